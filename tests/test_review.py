import dataclasses
import re

import numpy as np
import pytest

from browsing import By, Keys, Page, emulate, in_browser
from vinreader import review, template
from vinreader.number import vin
from vinreader.tables import VinRow

READ, RIGHT = "1M8GDM9AXKPO42788".replace("O", "D"), "1M8GDM9AXKP042788"
EUROPEAN = "WVWZZZ1JZ3W386752"
EVIL = "=<img src=x onerror=\"document.title='hacked'\"></script><b>{{cards}} \u2028\n\u202e,'"

_PIXELS = np.random.default_rng(0).integers(0, 256, (17, 50, 40)).astype(np.uint8)
PICTURES = [review.picture(pixels) for pixels in _PIXELS]


def card(name, reading=EUROPEAN, doubts=(), status="review", **row):
    boxes = [PICTURES[i % len(PICTURES)] for i in range(len(reading))]
    confidences = [0.5 if i + 1 in doubts else 0.9999 for i in range(len(reading))]
    first = zip(reading, confidences, strict=True)
    alternatives = [
        [(read, sure), *((c, p) for c, p in (("0", 0.01), ("Z", 0.001)) if c != read)]
        for read, sure in first
    ]
    row = {"vin": reading, "raw": reading, "confidence": "0.4000", "status": status, **row}
    return review.ReviewCard(boxes, reading, confidences, alternatives, VinRow(name, **row))


def write(path, cards, blind=()):
    with review.Review() as page:
        for shown in cards:
            page.add(review.entry(shown))
        page.write(path, blind=blind)


@pytest.fixture
def browser(driver):
    emulate(driver)
    yield driver
    driver.get("about:blank")
    forget = {"origin": "file://", "storageTypes": "all"}
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", forget)


@pytest.fixture
def show(browser, tmp_path):
    def show(*cards, blind=()):
        path = tmp_path / "review.html"
        write(path, cards, blind)
        browser.get(path.as_uri())
        return Page(browser)

    return show


@in_browser
def test_a_correction_is_typed_accepted_kept_and_downloaded(show):
    page = show(
        card("sure", status="ok", check_digit="not required"),
        card("b", READ, doubts=(12,), check_digit="wrong", message="blurred"),
        card("c", EUROPEAN, doubts=(3, 7, 9)),
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
    assert page.selected.startswith("Box 9")  # the next doubtful one
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
    assert (b["read_as"], b["decision"], b["message"]) == (READ, "corrected", "blurred")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", b["decided_at"])
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
    page.press(Keys.HOME, READ[0])  # who goes elsewhere types box by box
    assert page.selected.startswith("Box 2")
    page.press("o")
    assert page.number == READ
    assert "letter O" in page.text("said")


@in_browser
@pytest.mark.parametrize("number", [RIGHT, EUROPEAN, "1M8GDMAAXKP042788", "JT1AB2C3D40123456"])
def test_page_and_library_tell_the_same(show, number):
    page = show(card("t", number))
    page.press(Keys.ENTER)
    if vin.check_digit_status(number) == "wrong":
        assert "Enter once more" in page.text("said")
        assert page.text("progress") == "0 of 1 doubtful cards checked"
        page.press(Keys.ENTER)
    (row,) = page.download()
    for tell in (vin.region, vin.manufacturer, vin.model_year):
        assert row[tell.__name__] == tell(number)
    assert row["check_digit"] == vin.check_digit_status(number)


@in_browser
def test_names_with_markup_and_formulas_do_no_harm(show):
    """Nor do they end the script in which the cards stand."""
    page = show(card(EVIL, message=EVIL))
    assert page.browser.title == "VIN review"
    assert page.browser.find_element(By.ID, "name").get_attribute("textContent") == EVIL
    assert not page.browser.find_elements(By.CSS_SELECTOR, "#card b b, #card h2 *, [onerror]")
    (row,) = page.download()
    assert row["card"] == row["message"] == "'" + EVIL


@in_browser
def test_a_thousand_cards_show_the_images_of_one(browser, show):
    page = show(*(card(f"card {i}", doubts=(5,)) for i in range(1000)))
    # What makes thousands of cards open at once and stay fluid, on a slow machine too.
    assert browser.execute_script("return document.images.length") < 40
    page.press(Keys.ENTER)
    assert page.text("progress") == "1 of 1,000 doubtful cards checked"


@in_browser
@pytest.mark.parametrize("number", ["", "S", EUROPEAN[:16], EUROPEAN + "7", "-" * 17])
def test_only_numbers_can_be_accepted(show, number):
    page = show(card("a", number, vin=""), card("b"))
    page.press(Keys.ENTER, Keys.ENTER)
    assert page.text("name") == "a"
    assert "17 characters" in page.text("said") or "not typed" in page.text("said")
    page.press(Keys.F4)  # what no number is can go to a person with the original
    a, _ = page.download()
    assert (a["vin"], a["status"], a["decision"]) == ("", "review", "original")


@in_browser
def test_boxes_that_are_missing_empty_or_one_too_many_keep_their_places(show):
    unread = card("unread", EUROPEAN[:4] + "-" + EUROPEAN[5:])
    unread = dataclasses.replace(unread, boxes=[*PICTURES[:4], "", *PICTURES[5:]])
    page = show(unread, card("extra", EUROPEAN[:3] + "7" + EUROPEAN[3:]))
    page.press(Keys.HOME)
    assert page.number == EUROPEAN[:4] + "·" + EUROPEAN[5:]
    assert page.text("check") == "" and page.selected.startswith("Box 1")
    page.press(Keys.ENTER)
    assert page.selected.startswith("Box 5: not typed")
    page.press("Z", Keys.ENTER)
    assert page.text("name") == "extra"
    page.press(Keys.ENTER)
    assert "leave a box out" in page.text("said")
    page.press(Keys.HOME, *[Keys.ARROW_RIGHT] * 3, Keys.DELETE)
    assert page.selected.startswith("Box 4: left out") and page.number == EUROPEAN
    page.press(Keys.ENTER)
    unread, extra = page.download()
    assert [row["vin"] for row in (unread, extra)] == [EUROPEAN] * 2
    assert unread["read_as"] == EUROPEAN[:4] + "-" + EUROPEAN[5:]
    assert extra["decision"] == "corrected"


@in_browser
def test_a_key_counts_only_for_the_card_that_was_seen(show):
    page = show(*(card(name) for name in "abcd"))
    page.see()
    decode = "HTMLImageElement.prototype.decode"
    held = "() => new Promise(done => drawn.push(done))"
    page.browser.execute_script(f"window.drawn = []; {decode} = {held}")
    page.browser.switch_to.active_element.send_keys(Keys.ENTER + Keys.ENTER + Keys.F8)
    page.until(lambda: page.text("name") == "b")
    page.browser.switch_to.active_element.send_keys("X" + Keys.ENTER)  # its pictures are not there
    page.settle()
    assert page.text("name") == "b" and page.number == EUROPEAN
    freed = "() => Promise.resolve(); drawn.forEach(done => done())"
    page.browser.execute_script(f"{decode} = {freed}")
    page.press("X", Keys.ENTER)
    assert page.text("name") == "c"
    assert [row["status"] for row in page.download()] == ["ok", "ok", "review", "review"]


@in_browser
def test_undo_goes_back_over_cards_and_over_a_reload(show):
    page = show(card("a", READ, doubts=(12,)), card("b"), card("c"))
    page.press("0", Keys.ENTER, Keys.F8)
    assert page.text("name") == "c"
    page.undo()
    assert page.text("name") == "b"
    assert page.text("progress") == "1 of 3 doubtful cards checked"
    page.reload()
    page.undo()
    assert (page.text("name"), page.number) == ("a", RIGHT)  # typed, and open again
    page.undo()
    assert (page.number, page.selected) == (READ, "Box 12: D, doubtful")
    page.undo()
    assert page.text("said") == "Nothing to undo."
    assert [row["status"] for row in page.download()] == ["review"] * 3


@in_browser
def test_cards_that_cannot_be_read_or_need_the_original_stay_for_review(show):
    page = show(card("a", message="blurred"), card("b"), card("c"))
    page.press(Keys.F8, Keys.F4)
    assert page.text("progress") == "2 of 3 doubtful cards checked"
    a, b, c = page.download()
    assert (a["vin"], a["status"]) == (EUROPEAN, "review")
    assert (a["decision"], a["read_as"], a["message"]) == ("unreadable", EUROPEAN, "blurred")
    assert (b["status"], b["decision"]) == ("review", "original")
    assert (c["status"], c["decision"], c["decided_at"]) == ("review", "", "")
    page.press(Keys.PAGE_UP, Keys.F4)  # once more: it is open again
    assert page.text("progress") == "1 of 3 doubtful cards checked"


@in_browser
@pytest.mark.parametrize(
    ("key", "code", "typed", "told"),
    [
        ("в", "KeyD", "D", "For the Latin B press the key B"),  # Ukrainian: the key's place
        ("и", "KeyB", "B", "И stands on the key B"),
        ("С", "KeyC", "C", "С stands on the key C"),  # noqa: RUF001
        ("х", "BracketLeft", "X", "taken as the Latin X"),  # no letter in its place  # noqa: RUF001
        ("А", "", "A", "taken as the Latin A"),  # a keyboard on the screen  # noqa: RUF001
        ("щ", "KeyO", "V", "no vehicle number has the letter o"),
        ("a", "KeyQ", "A", ""),  # French: what the layout says
        ("é", "Digit2", "2", ""),  # French: digits without Shift
        ("!", "Digit1 with Shift", "V", ""),
    ],
)
def test_typing_works_with_any_layout(show, key, code, typed, told):
    page = show(card("a", "VVWZZZ1JZ3W386752"))
    page.key(key, *code.split(" with "))
    assert page.number[0] == typed
    assert told.lower() in page.text("said").lower()


@in_browser
def test_a_held_key_decides_one_card(show):
    page = show(*(card(name) for name in "abcd"))
    page.key("Enter", "Enter")
    for _ in range(3):
        page.key("Enter", "Enter", repeat=True)
    assert page.text("name") == "b"


@in_browser
def test_why_a_box_is_doubtful_and_what_each_character_would_mean(show):
    message = "box 12: D -> 0 (check digit); box 3: blot; in the list of known numbers"
    page = show(dataclasses.replace(card("a", RIGHT, doubts=(12,), message=message), problems=[2]))
    assert page.selected == "Box 3: 8, doubtful"
    page.press(Keys.SPACE)
    assert page.text("why").split("\n") == [
        "Box 12: looks like D, made 0 by the rules (check digit)",
        "Going by the image alone, the reader is only 50 % sure",
        "Looks alike: 0 D O Q",
        "This number is in the list of known numbers",
    ]
    assert "check digit holds" in page.text("choices")
    assert "Box 3: blot" in page.text("message")


@in_browser
def test_the_page_speaks_the_language_of_the_browser_or_the_one_chosen(browser, show):
    emulate(browser, language="uk")
    page = show(card("a", doubts=(3,)), card("b"))
    assert browser.title == "Перевірка VIN"
    assert page.text("progress") == "Перевірено 0 із 2 сумнівних"
    browser.find_element(By.CSS_SELECTOR, "[data-language=en]").click()
    assert page.text("progress") == "0 of 2 doubtful cards checked"
    page.reload()
    assert browser.title == "VIN review"


def test_both_languages_say_the_same():
    english, ukrainian = map(template.texts, template.LANGUAGES)
    assert english.keys() == ukrainian.keys()
    for key, said in english.items():
        kinds = [said, ukrainian[key]]
        if key.endswith("_keys"):
            assert len(kinds[0]) == len(kinds[1])
            continue
        plural = [list(kind.values()) if isinstance(kind, dict) else [kind] for kind in kinds]
        values = {frozenset(re.findall(r"{(\w+)}", one)) - {"n"} for kind in plural for one in kind}
        assert len(values) == 1, key


ALIKE = [card(f"card {number}", doubts=(4, 5, 6, 9)) for number in range(30)]  # all Z


@in_browser
def test_boxes_read_alike_are_settled_and_accept_no_card(show):
    page = show(*ALIKE)
    page.press(Keys.F2)
    assert page.text("mosaic-title") == "Do all of these show Z?"
    assert len(page.cells) >= 60
    before = page.text("mosaic-place")
    assert before.endswith("· 120 left")  # 4 on each card
    page.press(Keys.ARROW_RIGHT, "7", Keys.SPACE, "2", Keys.BACKSPACE)
    settled = len(page.cells) - 1
    odd, left = page.cells[1], page.cells[2]
    assert odd.endswith("shows 7") and left.endswith("left for its card")
    page.press(Keys.ENTER)
    assert page.text("said").startswith(f"{settled} boxes settled.")
    assert page.text("mosaic-place").endswith(f"· {120 - settled - 1} left")
    assert page.text("progress") == "0 of 30 doubtful cards checked"
    assert {row["status"] for row in page.download()} == {"review"}
    page.undo()
    assert page.text("mosaic-place") == before


@in_browser
def test_a_box_settled_among_others_is_no_longer_doubtful_on_its_card(show):
    page = show(card("a", doubts=(3,)), card("b", doubts=(3,)))
    page.press(Keys.F2, "v", Keys.ENTER, Keys.F2)  # the box of "a"; that of "b" stands beside it
    assert page.text("name") == "a"
    assert page.number == EUROPEAN[:2] + "V" + EUROPEAN[3:]
    page.press(Keys.ENTER)
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.selected == "Box 3: W, confirmed"
    page.press(Keys.ENTER)
    a, b = page.download()
    assert (a["decision"], a["read_as"]) == ("corrected", EUROPEAN)
    assert (b["decision"], b["read_as"]) == ("confirmed", EUROPEAN)


@in_browser
def test_who_confirms_a_planted_wrong_box_sees_it(show):
    def sure(name):  # boxes read so surely that they are known not to be the runner-up
        shown = card(name, "0" * 17, status="ok")
        likely = [[("0", 1.0), ("Z", 0.0)]] * 17
        return dataclasses.replace(shown, confidences=[1.0] * 17, alternatives=likely)

    page = show(*ALIKE, *(sure(f"sure {number}") for number in range(3)))
    page.press(Keys.F2)
    assert page.text("mosaic-title") == "Do all of these show Z?"
    page.press(Keys.ENTER)
    assert "known not to show Z" in page.text("missed")
    assert re.search(r"Planted boxes found: 0 of [1-9]\.", page.text("said"))
    assert {row["decision"] for row in page.download()} == {""}


@in_browser
def test_a_card_of_the_audit_is_typed_blind(show):
    page = show(card("sure", status="ok"), card("drawn", status="ok"), blind={1})
    assert page.text("name") == "drawn"
    assert page.number == "·" * 17
    shown = page.browser.find_element(By.TAG_NAME, "body").text
    assert EUROPEAN not in shown and "%" not in shown and "Volkswagen" not in shown
    assert page.text("check") == ""
    assert not page.browser.find_elements(By.CSS_SELECTOR, "#choices button, .box.doubt")
    page.press(Keys.ENTER)
    assert page.text("said") == "Box 1 is not typed yet."
    page.press(*EUROPEAN[:16], "3", Keys.ENTER)
    sure, drawn = page.download()
    assert drawn["vin"] == EUROPEAN[:16] + "3"
    assert (drawn["decision"], drawn["read_as"], drawn["audit"]) == ("corrected", EUROPEAN, "drawn")
    assert (sure["decision"], sure["audit"]) == ("", "")


@in_browser
@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "uk")])
def test_axe_finds_no_violation_and_the_boxes_are_one_tab_stop(browser, show, scheme, language):
    axe = pytest.importorskip("axe_core_python.selenium", reason="needs axe-core-python").Axe()
    emulate(browser, language=language, scheme=scheme)
    page = show(*ALIKE, card("sure", status="ok"), card("blind", status="ok"), blind={31})

    def violations():
        return [(found["id"], found["nodes"]) for found in axe.run(browser)["violations"]]

    assert violations() == []
    assert len(browser.find_elements(By.CSS_SELECTOR, ".box[tabindex='0']")) == 1
    for keys in (
        ("x", Keys.ENTER, Keys.F8, Keys.PAGE_UP),
        (Keys.F2, "7", Keys.SPACE),
        (Keys.ENTER,),
    ):
        page.press(*keys)
        assert violations() == []
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@in_browser
@pytest.mark.parametrize("language", ["en", "uk"])
def test_at_200_percent_nothing_is_cut_off(browser, show, language):
    emulate(browser, 683, 384, scale=2, language=language)
    page = show(*ALIKE)
    wide = "return document.documentElement.scrollWidth > innerWidth"
    assert not browser.execute_script(wide)
    page.press(Keys.F2)
    assert not browser.execute_script(wide)


@in_browser
def test_the_boxes_that_have_to_be_looked_at_come_first_of_all_characters(show):
    page = show(card("a", doubts=(3,)), card("b", doubts=(3, 14)))
    page.press(Keys.F2)
    assert page.text("mosaic-title") == "Do all of these show W?"
    assert len(page.cells) == 2 and page.text("mosaic-place").endswith("· 2 left")
    page.press(Keys.ENTER)
    assert page.text("mosaic-title") == "Do all of these show 6?"
    assert page.cells == ["Card 2, box 14"]
    page.press(Keys.ENTER)
    assert "No doubtful box is left" in page.text("said")
    assert page.text("mosaic-place").startswith("Read surely")
    page.press(Keys.F2, Keys.ENTER, Keys.ENTER)
    assert [row["decision"] for row in page.download()] == ["confirmed"] * 2


@in_browser
def test_a_browser_that_keeps_nothing_says_so(browser, show):
    page = show(card("a"), card("b"))
    full = {"origin": "file://", "quotaSize": 1}
    browser.execute_cdp_cmd("Storage.overrideQuotaForOrigin", full)
    try:
        page.press("x", Keys.ENTER)
        page.until(lambda: "download the CSV" in page.text("connection"))
        assert page.text("said") == "a accepted."
        a, _ = page.download()
        assert a["vin"] == "X" + EUROPEAN[1:]
    finally:
        browser.execute_cdp_cmd("Storage.overrideQuotaForOrigin", {"origin": full["origin"]})


@in_browser
def test_a_file_that_is_not_complete_says_so(browser, show, tmp_path):
    page, path = show(*ALIKE), tmp_path / "review.html"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b'id="cards-1"') + 5000])
    page.reload()
    page.press(Keys.END)
    browser.find_element(By.ID, "download").click()
    page.until(lambda: "not complete" in page.text("said"))


def test_as_few_boxes_are_marked_as_leave_the_others_right():
    def marked(*sure, status="review", problems=()):
        likely = [[("5", p), ("S", 1 - p)] for p in sure]
        row, number = VinRow("x", status=status), "5" * len(sure)
        pictures = [PICTURES[0]] * len(sure)
        return review.marked(review.ReviewCard(pictures, number, sure, likely, row, problems))

    assert marked(0.9, 0.998, 0.9999, 0.998) == [0]
    assert marked(0.9, 0.997, 0.9999, 0.997) == [0, 1]  # one of the two can be left out
    assert marked(*[0.9999] * 17) != [] and marked(*[0.9999] * 17, status="ok") == []
    assert marked(1.0, 1.0, 0.9, problems=[0]) == [0, 2]
    unread = review.ReviewCard([PICTURES[0]], "-", [0.0], [[("5", 0.5)]], VinRow("x"))
    assert review.marked(unread) == [0]


def test_page_is_self_contained_and_repeatable(tmp_path):
    for name in ("a.html", "b.html"):
        write(tmp_path / name, [card("x")])
    page = (tmp_path / "a.html").read_text("utf-8")
    assert page == (tmp_path / "b.html").read_text("utf-8")
    assert "http://" not in page and "https://" not in page
    assert "{{" not in page


def test_images_are_small(tmp_path):
    big = np.zeros((500, 300), np.uint8)
    shown = review.ReviewCard([review.picture(big)], "A", [0.5], [[("A", 0.5)]], VinRow("x"))
    assert len(review.entry(shown).json) < 1000


def test_numbers_of_boxes_and_readings_must_agree(tmp_path):
    with pytest.raises(ValueError, match="'x'"):
        wrong = review.ReviewCard([], "A", [0.5], [[]], VinRow("x"))
        write(tmp_path / "a.html", [wrong])
    assert not list(tmp_path.iterdir())
