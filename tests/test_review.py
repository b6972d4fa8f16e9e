import json
import shutil
import time

import numpy as np
import pytest

from vinreader import review, vin
from vinreader.tables import VinRow

from conftest import rows  # isort: skip

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (requirements-dev)")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
in_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

READ, RIGHT = "1M8GDM9AXKPO42788".replace("O", "D"), "1M8GDM9AXKP042788"
EUROPEAN = "WVWZZZ1JZ3W386752"
EVIL = "=<img src=x onerror=\"document.title='hacked'\"></script><b>{{cards}} \u2028\n\u202e,'"


def card(name, reading=EUROPEAN, doubts=(), status="review", **row):
    rng = np.random.default_rng(0)
    boxes = [review.picture(rng.integers(0, 256, (50, 40)).astype(np.uint8)) for _ in reading]
    confidences = [0.5 if i + 1 in doubts else 0.99 for i in range(len(reading))]
    first = zip(reading, confidences, strict=True)
    alternatives = [[likely, ("0", 0.01), ("Z", 0.001)] for likely in first]
    row = {"raw": reading, "confidence": "0.4000", "status": status, **row}
    return review.ReviewCard(boxes, reading, confidences, alternatives, VinRow(name, **row))


def write(path, cards):
    with review.Review() as page:
        for shown in cards:
            page.add(review.entry(shown))
        page.write(path)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    home = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *FLAGS,
        "--lang=en",
        "--window-size=1366,900",
        f"--user-data-dir={home / 'profile'}",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.downloads = home / "downloads"
    driver.downloads.mkdir()
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(driver.downloads)},
    )
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    def show(*cards):
        path = tmp_path / "review.html"
        write(path, cards)
        browser.get(path.as_uri())
        return Page(browser)

    yield show
    browser.get("about:blank")


class Page:
    """The page as a clerk uses it: with keys, and with eyes."""

    def __init__(self, browser):
        self.browser = browser
        self.wait()

    def wait(self):
        ready = "return document.body !== null && document.body.dataset.ready === 'true'"
        WebDriverWait(self.browser, 60, 0.02).until(lambda b: b.execute_script(ready))

    def press(self, *keys):
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def text(self, name):
        return self.browser.find_element(By.ID, name).text

    @property
    def number(self):
        return self.text("number").replace("\n", "").replace(" ", "")

    @property
    def selected(self):
        return self.browser.find_element(By.CSS_SELECTOR, ".box[aria-current]").get_attribute(
            "aria-label"
        )

    def reload(self):
        self.browser.refresh()
        self.wait()

    def download(self):
        target = self.browser.downloads / "vins.csv"
        target.unlink(missing_ok=True)
        self.browser.find_element(By.ID, "download").click()
        for _ in range(600):
            if target.exists():
                return rows(target)
            time.sleep(0.05)
        raise AssertionError("no vins.csv within 30 s")


@in_browser
def test_a_correction_is_typed_accepted_kept_and_downloaded(show):
    page = show(
        card("sure", status="ok", check_digit="not required"),
        card("b", READ, doubts=(12,), check_digit="wrong", message="blurred"),
        card("c", EUROPEAN, doubts=(3, 7)),
    )
    assert page.text("name") == "b"  # doubtful cards first
    assert page.selected == "Box 12: D, doubtful"
    assert "wrong" in page.text("check")
    page.press("0")
    assert page.number == RIGHT
    assert "holds" in page.text("check")
    assert page.selected.startswith("Box 13")
    page.press(Keys.ENTER)
    assert page.text("name") == "c"
    assert page.text("progress") == "1 of 2 doubtful cards checked"
    page.press(Keys.SPACE)
    assert page.selected.startswith("Box 7")
    page.press("x")  # typed, not accepted

    page.reload()
    assert page.text("progress") == "1 of 2 doubtful cards checked"
    assert page.text("name") == "c"
    assert page.number == EUROPEAN[:6] + "X" + EUROPEAN[7:]
    page.press(Keys.PAGE_UP)
    assert page.number == RIGHT

    sure, b, c = page.download()
    assert list(sure) == list(VinRow._fields)
    assert (sure["card"], sure["status"]) == ("sure", "ok")
    assert (b["vin"], b["raw"], b["status"], b["check_digit"]) == (RIGHT, READ, "ok", "ok")
    assert b["message"] == "blurred; corrected by a person (box 12: D -> 0)"
    known = vin.region(RIGHT), vin.manufacturer(RIGHT), vin.model_year(RIGHT)
    assert (b["region"], b["manufacturer"], b["model_year"]) == known
    assert (c["vin"], c["status"]) == (EUROPEAN, "review")  # not accepted, so not decided


@in_browser
def test_keys(show):
    page = show(card("k", READ, doubts=(12,)))
    page.press(Keys.ARROW_DOWN)
    assert page.number == RIGHT  # the next likely character
    page.press(Keys.BACKSPACE)
    assert page.number == READ
    page.press(Keys.HOME, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert page.selected.startswith("Box 2")
    page.press(Keys.END)
    assert page.selected.startswith("Box 17")
    page.press("o")
    assert page.number == READ
    assert "letter O" in page.text("said")


@in_browser
@pytest.mark.parametrize("number", [RIGHT, EUROPEAN, "1M8GDMAAXKP042788", "JT1AB2C3D40123456"])
def test_page_and_library_tell_the_same(show, number):
    page = show(card("t", number))
    page.press(Keys.ENTER)
    (row,) = page.download()
    decided = row["check_digit"], row["region"], row["manufacturer"], row["model_year"]
    assert decided == (
        vin.check_digit_status(number),
        vin.region(number),
        vin.manufacturer(number),
        vin.model_year(number),
    )


@in_browser
def test_names_with_markup_and_formulas_do_no_harm(show):
    page = show(card(EVIL, message=EVIL))
    assert page.browser.title == "VIN review"
    assert page.browser.find_element(By.ID, "name").get_attribute("textContent") == EVIL
    assert not page.browser.find_elements(By.CSS_SELECTOR, "#card b b, #card h2 *, [onerror]")
    (row,) = page.download()
    assert row["card"] == "'" + EVIL
    assert row["message"] == "'" + EVIL


@in_browser
def test_a_thousand_cards_show_the_images_of_one(browser, tmp_path):
    path = tmp_path / "review.html"
    write(path, [card(f"card {i}", doubts=(5,)) for i in range(1000)])
    browser.get(path.as_uri())
    page = Page(browser)
    # What makes thousands of cards open at once and stay fluid, on a slow machine too.
    assert browser.execute_script("return document.images.length") < 40
    page.press(Keys.ENTER)
    assert page.text("progress") == "1 of 1,000 doubtful cards checked"


@in_browser
def test_single_characters_and_empty_cards_can_be_shown(show):
    page = show(card("loose.png", "S", doubts=(1,)), card("no boxes", ""))
    page.press("5", Keys.ENTER)
    page.press(Keys.ENTER)
    assert "All doubtful cards are checked" in page.text("said")
    loose, empty = page.download()
    assert (loose["vin"], loose["status"], empty["vin"]) == ("5", "ok", "")


@in_browser
def test_everything_has_a_name_and_the_boxes_are_one_tab_stop(show):
    page = show(card("a"), card("b"))
    unnamed = page.browser.execute_script(
        "return [...document.querySelectorAll('button')]"
        ".filter(b => !(b.getAttribute('aria-label') || b.textContent).trim()).length"
    )
    stops = page.browser.find_elements(By.CSS_SELECTOR, ".box[tabindex='0']")
    assert (unnamed, len(stops)) == (0, 1)
    assert not [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_page_is_self_contained_and_repeatable(tmp_path):
    for name in ("a.html", "b.html"):
        write(tmp_path / name, [card("x")])
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page == (tmp_path / "b.html").read_text("utf-8")
    assert "http://" not in page and "https://" not in page
    assert "{{" not in page


def test_cards_cannot_end_the_script(tmp_path):
    write(tmp_path / "a.html", [card(EVIL)])
    page = (tmp_path / "a.html").read_text("utf-8")
    content = page.split('id="cards-0">')[1].split("</script>")[0]
    assert "<" not in content
    assert json.loads(content)["name"] == EVIL


def test_images_are_small(tmp_path):
    big = np.zeros((500, 300), np.uint8)
    shown = review.ReviewCard([review.picture(big)], "A", [0.5], [[("A", 0.5)]], VinRow("x"))
    assert len(review.entry(shown).json) < 1000


def test_numbers_of_boxes_and_readings_must_agree(tmp_path):
    with pytest.raises(ValueError, match="'x'"):
        wrong = review.ReviewCard([], "A", [0.5], [[]], VinRow("x"))
        write(tmp_path / "a.html", [wrong])
    assert not list(tmp_path.iterdir())
