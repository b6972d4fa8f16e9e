"""A check station, its store, and a clerk's browser: what several benchmarks drive."""

import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project import PROJECT
from vintraining.drawing.cards import draw_cards

import numpy as np
import psutil
from selenium import webdriver

from vinchecking.building import Building
from vinreader.review import ReviewCard, entry, picture
from vinreader.spec import BOXES, CHARACTERS
from vinreader.tables import VinRow

Event = dict[str, Any]


def build(path: Path, cards: int) -> None:
    """A store of so many cards; a third of them were accepted."""
    rng = np.random.default_rng(0)
    pictures = [picture(box) for card in draw_cards(8) for box in card.boxes]
    with Building(path) as store:
        for number in range(cards):
            drawn = rng.integers(0, len(CHARACTERS), (BOXES, 2))
            reading = "".join(CHARACTERS[c] for c in drawn[:, 0])
            sure = 1 - rng.exponential(0.02, BOXES).clip(max=0.6)
            likely = [
                [(CHARACTERS[a], float(p)), (CHARACTERS[b], 1 - float(p))]
                for (a, b), p in zip(drawn, sure, strict=True)
            ]
            boxes = [pictures[i] for i in rng.integers(0, len(pictures), BOXES)]
            status = "review" if number % 3 else "ok"
            row = VinRow(f"{number:06}", reading, reading, "0.9000", status=status)
            store.add(entry(ReviewCard(boxes, reading, sure.tolist(), likely, row)))
        store.write(path)


@contextmanager
def station(folder: Path) -> Iterator[tuple[psutil.Popen, str]]:
    """`vin-reader check` on the store in a folder, and its address; its log is folder/log."""
    command = [sys.executable, PROJECT / "stages/vinreader", "check", "input", "--port", "0"]
    with (folder / "log").open("a") as log:
        process = psutil.Popen(
            [*map(str, command)], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        lines = (re.match(r"Open (\S+?)/? in", line) for line in process.stdout)
        found = next(filter(None, lines), None)
        if found is None:
            sys.exit(f"the station does not start:\n{(folder / 'log').read_text()}")
        yield process, found[1]
    finally:
        if process.is_running():
            process.terminate()
        process.communicate()  # its report is of no interest here, but is to be taken


def event(kind: str, clerk: str, card: int, rng: random.Random, **more: object) -> Event:
    return {
        "id": f"{rng.getrandbits(128):032x}",
        "at": "2000-01-01T00:00:00.000Z",
        "clerk": clerk,
        "kind": kind,
        "card": card,
        **more,
    }


@contextmanager
def browser(folder: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1366,900"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    service = webdriver.ChromeService(shutil.which("chromedriver") or "")
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(60)
    downloads = {"behavior": "allow", "downloadPath": str(folder)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page in the browser; `told` gives what its script knows."""

    def __init__(self, driver: webdriver.Chrome):
        self.driver = driver

    def open(self, url: str) -> None:
        """A station's page, for the clerk Anna."""
        self.driver.get(f"{url}/api/report")  # of the same origin: the clerk's name is kept there
        self.driver.execute_script("localStorage.setItem('vin-review/clerk', 'anna')")
        self.driver.execute_script("localStorage.setItem('vin-review/language', 'en')")
        self.driver.get(url)
        self.wait("document.body.dataset.ready === 'true'")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + 60
        while not self.told(condition):
            if time.monotonic() > until:
                raise TimeoutError(condition)
            time.sleep(0.01)

    def told(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def press(self, *keys: str) -> None:
        if keys:
            self.driver.switch_to.active_element.send_keys("".join(keys))
            self.driver.execute_async_script("acting.then(() => arguments[0]())")
