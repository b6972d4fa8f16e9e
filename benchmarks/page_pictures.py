"""The documentation's pictures of the page on which cards are checked, as Chromium shows it.

    python benchmarks/page_pictures.py

draws cards, reads them, and writes docs/review.png, review-dark.png, mosaic.png and blind.png.
"""

import csv
import tempfile
from pathlib import Path

from project import PROJECT, vin_reader

from selenium.webdriver.common.keys import Keys
from stations import Page, browser

MANY = 160  # cards of which the mosaic shows boxes
LIGHT_ENGLISH, DARK_UKRAINIAN = ("light", "en"), ("dark", "uk")


def read(folder: Path, cards: int, *options: str) -> str:
    """The address of the page of so many drawn cards."""
    folder.mkdir()
    vin_reader("samples", "input", "--cards", str(cards), cwd=folder)
    vin_reader("read", "input", *options, cwd=folder)
    return (folder / "review.html").as_uri()


def show(page: Page, url: str, looks: tuple[str, str], height: int) -> None:
    """The page as somebody sees it who opens it for the first time."""
    (scheme, language), command = looks, page.driver.execute_cdp_cmd
    size = {"width": 1366, "height": height, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    command("Emulation.setEmulatedMedia", {"features": features})
    page.driver.get("about:blank")
    command("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": "all"})
    for _ in range(2):  # the language is asked for when the page is opened
        page.driver.get(url)
        page.wait("document.body.dataset.ready === 'true'")
        page.driver.execute_script(f"localStorage.setItem('vin-review/language', '{language}')")


def main() -> None:
    with tempfile.TemporaryDirectory() as name, browser(Path(name)) as driver:
        page, folder = Page(driver), Path(name)

        def save(picture: str) -> None:
            driver.save_screenshot(PROJECT / "docs" / picture)

        samples = read(folder / "samples", 8)
        for looks, picture in ((LIGHT_ENGLISH, "review.png"), (DARK_UKRAINIAN, "review-dark.png")):
            show(page, samples, looks, 700)
            page.press(Keys.ENTER)
            while page.told(
                "Math.max(...desk.card.alternatives[desk.box].map(one => one[1])) > 0.9"
            ):
                page.press(Keys.SPACE)
            save(picture)
        show(page, read(folder / "audit", 8, "--audit", "2"), LIGHT_ENGLISH, 700)
        while not page.told("desk.card.blind"):
            page.press(Keys.ENTER)
        with (folder / "audit/input/truth.csv").open(newline="", encoding="utf-8") as file:
            truth = {row["card"]: row["vin"] for row in csv.DictReader(file)}
        page.press(truth[page.told("desk.card.name")][:6])
        save("blind.png")
        many, planted = read(folder / "many", MANY), False
        while not planted:  # which boxes are, and whether any is, is drawn by lot
            show(page, many, LIGHT_ENGLISH, 768)
            page.press(Keys.F2, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
            planted = page.told("mosaic.boxes.some(box => box.planted)")
        save("mosaic.png")


if __name__ == "__main__":
    main()
