"""A check station with very many cards: how soon it is open, how quick its answers, how large.

    python benchmarks/station_size.py --cards 100000

makes a store of cards whose boxes are drawn and one of ten cards, and opens them in turn with
`vin-reader check`: from the command to the page, the list and the first card, by the wall clock and
in seconds of processor that the station takes for it. Then it asks of the large one what a page
asks (times are of the client, memory is the server's resident set), and presses keys in Chromium: a
key is shown when the frame after it has been drawn.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from project import PROJECT
from vintraining.drawing.cards import draw_cards

import numpy as np
import psutil
import requests
from checking import Page, browser
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from vinchecking.building import Building
from vinchecking.store import FILE
from vinreader.review import ReviewCard, entry, picture
from vinreader.spec import BOXES, CHARACTERS
from vinreader.tables import VinRow

READER = PROJECT / "stages/vinreader"
KEYS = 300  # events that are sent one by one
OPENED = 5  # times
PORT = 8993
URL = f"http://127.0.0.1:{PORT}/"
# From a key until the frame with what it changed has been drawn, in milliseconds.
WATCH = """
window.shown = [];
document.addEventListener("keydown", event => acting.then(() => requestAnimationFrame(() => {
  const drawn = new MessageChannel();
  drawn.port1.onmessage = () => shown.push(performance.now() - event.timeStamp);
  drawn.port2.postMessage(0);
})));
"""


def build(path: Path, cards: int) -> None:
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
def station(folder: Path) -> Iterator[tuple[psutil.Process, requests.Session, float]]:
    """The process, a client who has the page, the list and a card, and the seconds until then."""
    began = time.perf_counter()
    command = [sys.executable, READER, "check", "input", "--port", str(PORT)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if line.startswith(b"Open"):
                    break
            session = requests.Session()
            session.headers["X-Clerk"] = "boris"
            for path in ("", "api/cards?from=0&count=200", "api/progress"):
                session.get(URL + path, timeout=60).raise_for_status()
            card = session.get(f"{URL}api/next", timeout=60).json()["card"]
            session.get(f"{URL}api/cards/{card}", timeout=60).raise_for_status()
            yield psutil.Process(process.pid), session, time.perf_counter() - began
        finally:
            process.terminate()
            process.communicate()  # its report is of no interest here, but is to be taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / str(count) for count in (10, arguments.cards)}
        for count, folder in folders.items():
            folder.mkdir()
            build(folder / FILE, count)
        large = folders[arguments.cards]
        print(f"{arguments.cards:,} cards, store {(large / FILE).stat().st_size / 2**20:,.0f} MB")
        opened: dict[int, list[tuple[float, float]]] = {count: [] for count in folders}
        for _ in range(OPENED):
            for count, folder in folders.items():
                with station(folder) as (server, _, seconds):
                    used = server.cpu_times()
                    opened[count].append((seconds, used.user + used.system))
        for count, times in opened.items():
            (seconds, used), least = np.median(times, axis=0), np.min(times, axis=0)
            print(
                f"open with {count:,} cards: median {seconds:.2f} s, least {least[0]:.2f} s; "
                f"processor {used:.2f} s; load of the machine {os.getloadavg()[0]:.1f}"
            )
        with station(large) as (server, session, _):
            ask(server, session)
            with browser(large) as driver:
                press_keys(driver)
            print(f"memory at last: {server.memory_info().rss / 2**20:.0f} MB")


def ask(server: psutil.Process, session: requests.Session) -> None:
    print(f"memory when it is open: {server.memory_info().rss / 2**20:.0f} MB")

    def get(path: str) -> requests.Response:
        answer = session.get(URL + path, timeout=60)
        answer.raise_for_status()
        return answer

    card = get("api/next").json()["card"]

    def key() -> None:
        nonlocal card
        event = {
            "id": uuid.uuid4().hex,
            "at": "2000-01-01T00:00:00.000Z",
            "clerk": "boris",
            "kind": "box",
            "card": card,
            "box": 3,
            "character": "5",
            "view": "card",
        }
        answer = session.post(f"{URL}api/events", json=[event], timeout=60)
        assert answer.json()["accepted"], answer.text

    def following() -> None:
        nonlocal card
        card = get(f"api/next?after={card}").json()["card"]
        get(f"api/cards/{card}")

    told("a key's event", key, KEYS)
    told("the next card, with its images", following, 100)
    told("80 boxes of the mosaic", lambda: get("api/mosaic?character=5&doubtful=1&count=80"), 30)
    told("progress", lambda: get("api/progress"), 30)
    told("200 cards of the list", lambda: get("api/cards?from=40000&count=200"), 30)
    told("vins.csv", lambda: get("api/vins.csv"), 1)


def press_keys(driver: webdriver.Chrome) -> None:
    """Keys on cards and in the mosaic, each when the page has done what the one before asked."""
    page = Page(driver)
    page.open(URL)
    driver.execute_script(WATCH)

    def pressed(what: str, times: int, *keys: str) -> None:
        for number in range(times):
            page.press(keys[number % len(keys)])
            page.wait("shown.length > 0")
            took.append(page.told("shown.pop()"))
        summary(what, took)
        took.clear()

    took: list[float] = []
    pressed("a character typed on a card", KEYS, *CHARACTERS)
    heap = [page_heap(driver)]
    pressed("Enter, until the next card is shown", 100, Keys.ENTER)
    heap.append(page_heap(driver))
    page.press(Keys.F2)
    page.wait("shown.length > 0")
    page.told("shown.pop()")
    pressed("a character typed in the mosaic", KEYS, "8", Keys.ARROW_LEFT)
    print(f"memory of the page's script: {heap[0]:.1f} MB, 100 cards later {heap[1]:.1f} MB")


def page_heap(driver: webdriver.Chrome) -> float:
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    return float(driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]) / 2**20


def told(what: str, ask: Callable[[], object], times: int) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    summary(what, took)


def summary(what: str, took: list[float]) -> None:
    middle, high = np.percentile(took, [50, 95])
    print(f"{what}: median {middle:.1f} ms, 95th percentile {high:.1f} ms of {len(took)}")


if __name__ == "__main__":
    main()
