"""The station's page in a real browser: clerks at once, a lost connection, undo, blind cards."""

import contextlib
import signal
import time

import pytest

from browsing import Keys, Page, in_browser
from conftest import linux, rows
from test_station import OTHER, READ, Station, build, card, done, full_disk, running
from vinchecking.store import Store

from selenium.webdriver.common.action_chains import ActionChains  # isort: skip

pytestmark = in_browser


class Clerk(Page):
    """A clerk at the page, in a tab of his own: `told` gives what its script knows."""

    def __init__(self, driver, url, name):
        self.driver = driver
        driver.switch_to.new_window("tab")
        self.tab = driver.current_window_handle
        driver.get(f"{url}/api/report")
        driver.execute_script(
            "localStorage.setItem('vin-review/clerk', arguments[0]);"
            "localStorage.setItem('vin-review/language', 'en')",
            name,
        )
        driver.get(f"{url}/")
        self.wait()

    @property
    def browser(self):
        self.driver.switch_to.window(self.tab)
        return self.driver

    def told(self, expression):
        return self.browser.execute_script(f"return {expression}")

    def waits_for(self, condition):
        self.until(lambda: self.told(condition))

    def type(self, *keys):
        """Keys without a look whether they did anything, to whatever is selected by then."""
        self.see()
        ActionChains(self.browser).send_keys(*keys).perform()

    @property
    def card(self):
        return self.told("desk.card && desk.card.name")


@pytest.fixture
def sits_down(driver):
    """sits_down(url, name) -> a `Clerk` in a tab of his own; it is closed after the test."""
    first, clerks = driver.current_window_handle, []

    def open_page(url, name):
        clerks.append(Clerk(driver, url, name))
        return clerks[-1]

    yield open_page
    for clerk in clerks:
        clerk.browser.close()
    driver.switch_to.window(first)


def table(folder):
    return {row["card"]: row for row in rows(folder / "vins.csv")}


def test_two_clerks_work_beside_each_other_and_undo_across_cards(tmp_path, sits_down):
    build(tmp_path, [card(f"card {number}", sure=0.9999) for number in range(4)])
    with running(tmp_path) as station:
        anna = sits_down(station.url, "Anna")
        boris = sits_down(station.url.replace("127.0.0.1", "localhost"), "Борис")
        assert (anna.card, boris.card) == ("card 0", "card 1")
        anna.press("X", Keys.ENTER)
        assert anna.card == "card 2"
        boris.press(Keys.PAGE_UP)  # card 0, which Anna has decided
        assert boris.card == "card 0"
        boris.press("8")
        boris.waits_for("document.getElementById('said').textContent.includes('Anna')")
        assert boris.told("desk.state.reading") == "X" + READ[1:]
        boris.press(Keys.PAGE_DOWN, Keys.PAGE_DOWN)  # card 2, which Anna has open
        assert boris.card == "card 2" and "Anna" in boris.text("said")
        boris.press("8")
        assert boris.told("desk.state.reading") == READ
        anna.undo()
        assert anna.card == "card 0" and anna.told("desk.state.status") == "open"
    log = (tmp_path / "log").read_text()
    assert "Anna has decided this card" in log and "Traceback" not in log
    assert all(row["status"] == "review" for row in table(tmp_path).values())


WAITS = "document.getElementById('connection').textContent !== ''"
CONNECTED = f"!({WAITS})"


def test_without_a_connection_decisions_wait_and_are_sent(tmp_path, sits_down):
    build(tmp_path, [card(f"card {number}", sure=0.9999) for number in range(3)])
    station = Station(tmp_path)
    port = station.url.rsplit(":", 1)[1]
    anna = sits_down(station.url, "Anna")
    anna.press("X")
    station.stop(signal.SIGKILL)
    anna.type(Keys.ENTER)
    anna.waits_for(WAITS)
    with running(tmp_path, "--port", port) as station:
        anna.waits_for(CONNECTED)
        anna.waits_for("desk.card.name === 'card 1'")
        anna.see()
        station.stop(signal.SIGKILL)
        anna.type("X", Keys.ENTER)
        anna.waits_for(WAITS)
        anna.browser.get("about:blank")  # what waits outlives the page, too
    with running(tmp_path, "--port", port) as station:
        sits_down(station.url, "Anna").waits_for("desk.card && desk.card.name === 'card 2'")
    found = table(tmp_path)
    for name in ("card 0", "card 1"):
        assert found[name]["vin"] == "X" + READ[1:]
        assert (found[name]["decision"], found[name]["clerk"]) == ("corrected", "Anna")


def test_a_station_killed_at_ten_moments_has_every_key_once(tmp_path, sits_down):
    path = build(tmp_path, [card(f"card {number}", sure=0.9999) for number in range(12)])
    station = Station(tmp_path)
    port = station.url.rsplit(":", 1)[1]
    anna = sits_down(station.url, "Anna")
    for moment in range(10):
        anna.waits_for(f"desk.card.name === 'card {moment}'")
        anna.type("X", Keys.ENTER)
        time.sleep(moment * 0.01)
        station.stop(signal.SIGKILL)
        station = Station(tmp_path, "--port", port)
    anna.waits_for("desk.card.name === 'card 10'")
    station.stop()
    with contextlib.closing(Store(path)) as store, store.reading() as db:
        kept = db.execute("SELECT card, kind FROM events ORDER BY seq").fetchall()
        assert not db.execute("SELECT * FROM refused").fetchall()
    assert kept == [(number, kind) for number in range(10) for kind in ("box", "done")]
    assert [row["vin"] for row in table(tmp_path).values()] == ["X" + READ[1:]] * 10 + [READ] * 2


@linux
def test_what_a_full_disk_refuses_waits_at_the_page(tmp_path, sits_down):
    build(tmp_path, [card(f"card {number}", sure=0.9999) for number in range(3)])
    with running(tmp_path) as station:
        anna = sits_down(station.url, "Anna")
        with full_disk(station):
            anna.type("X", Keys.ENTER)
            anna.waits_for(WAITS)
        anna.waits_for("desk.card.name === 'card 1'")
        anna.waits_for(CONNECTED)
    assert table(tmp_path)["card 0"]["vin"] == "X" + READ[1:]


def test_the_mosaic_settles_boxes_and_the_second_clerk_keys_blind(tmp_path, sits_down):
    build(tmp_path, [card(f"card {number}", sure=0.9) for number in range(10)])
    with running(tmp_path, "--second", "1") as station:
        anna = sits_down(station.url, "Anna")
        anna.press(Keys.F2)
        anna.waits_for("mosaic.boxes.length > 0")
        character, shown = anna.told("mosaic.character"), anna.told("mosaic.boxes.length")
        assert (character, shown) == ("Z", 40)
        anna.press(Keys.ARROW_RIGHT, "2", Keys.ENTER)
        assert anna.told("mosaic.character") != "Z"  # none is left, so another is shown
        state = station.ask("/api/cards/0", clerk="Anna").json()["state"]
        assert state["status"] == "open" and state["reading"] == READ[:4] + "2" + READ[5:]
        station.send(done(0, clerk="Anna"))
        boris = sits_down(station.url.replace("127.0.0.1", "localhost"), "Boris")
        assert boris.card == "card 0" and boris.told("desk.card.blind")
        assert READ not in boris.browser.page_source
        boris.press(*READ[:16], Keys.ENTER)
        assert boris.card == "card 0"  # a box is not typed yet
        boris.press(OTHER[16], Keys.ENTER)
        vera = station.ask("/api/cards/0", clerk="Vera").json()
        assert [answer["reading"] for answer in vera["answers"]] == [READ, OTHER]
    assert table(tmp_path)["card 0"]["status"] == "review"
