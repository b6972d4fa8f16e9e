"""The page as the station serves it, in Chromium: several clerks, a lost connection, undo."""

import signal

import pytest

pytest.importorskip("starlette", reason="needs starlette and uvicorn")
from browsing import Keys, Page, chromium, emulate, in_browser
from test_station import READ, build, card, running

pytestmark = in_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        emulate(driver)
        yield driver


@pytest.fixture
def folder(tmp_path):
    build(tmp_path, [card(f"card {number}") for number in range(20)])
    return tmp_path


def opened(browser, station, clerk):
    """The page of one clerk, whose name the browser has kept."""
    browser.get(f"{station.url}/api/settings")
    browser.execute_script("localStorage.setItem('vin-review/clerk', arguments[0])", clerk)
    browser.get(station.url)
    return Page(browser)


def test_a_clerk_is_asked_for_a_name_once(browser, folder):
    with running(folder) as station:
        browser.get(station.url)
        page = Page.__new__(Page)
        page.browser = browser
        page.until(lambda: browser.execute_script("return document.getElementById('ask').open"))
        page.press("Anna", Keys.ENTER)
        page.wait()
        assert page.text("clerk") == "Clerk: Anna"
        page.press(Keys.ENTER)
        page.until(lambda: page.text("name") == "card 1")
        state = station.ask("/api/cards/0").json()["state"]
        assert (state["status"], state["by"]) == ("done", "Anna")
        page.reload()
        assert page.text("clerk") == "Clerk: Anna"


def test_two_clerks_have_different_cards_and_each_sees_whose_a_card_is(browser, folder):
    with running(folder) as station:
        anna = opened(browser, station, "anna")
        assert anna.text("name") == "card 0"
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        emulate(browser)
        ben = opened(browser, station, "ben")
        assert ben.text("name") == "card 1"
        ben.press(Keys.PAGE_UP)
        ben.until(lambda: ben.text("name") == "card 0")
        assert ben.text("said").startswith("anna has this card open")
        ben.press("9")
        assert ben.number == READ
        assert station.ask("/api/cards/0", clerk="ben").json()["events"] == []
        browser.close()
        browser.switch_to.window(first)


def test_without_a_connection_decisions_wait_and_are_sent(browser, folder):
    with running(folder) as station:
        page = opened(browser, station, "anna")
        port = station.url.rpartition(":")[2]
        station.stop(signal.SIGKILL)
        page.press("9")
        page.until(
            lambda: page.text("connection") == "No connection. 1 decision waits and will be sent."
        )
        page.press("8")
        page.until(lambda: "2 decisions wait" in page.text("connection"))
    with running(folder, "--port", port) as station:
        page.until(lambda: page.text("connection") == "")
        state = station.ask("/api/cards/0").json()["state"]
        assert state["reading"] == "98" + READ[2:]


def test_undo_takes_a_decision_back_on_the_station_too(browser, folder):
    with running(folder) as station:
        page = opened(browser, station, "anna")
        page.press("9", Keys.ENTER)
        page.until(lambda: page.text("name") == "card 1")
        page.undo()
        page.until(lambda: page.text("name") == "card 0")
        state = station.ask("/api/cards/0").json()["state"]
        assert (state["status"], state["reading"]) == ("open", "9" + READ[1:])


def test_boxes_read_alike_are_settled_on_the_station(browser, folder):
    with running(folder) as station:
        page = opened(browser, station, "anna")
        page.press(Keys.F2)
        page.until(lambda: page.cells)
        assert len(page.cells) >= 60
        left = page.text("mosaic-place")
        page.press("8", Keys.ENTER)
        page.until(lambda: "boxes settled" in page.text("said"))
        assert page.text("mosaic-place") != left
        progress = station.ask("/api/progress").json()
        assert progress["boxes"]["settled"] >= 60
        assert progress["done"] == 0
