"""A check station with very many cards: how soon it is open, how quick its answers, how large.

    python benchmarks/station_size.py --cards 100000 --clerks 20

opens a store of so many cards and one of ten in turn, from the command to the first card. Then one
clerk, beside so many others who decide a card every ten seconds, asks of the large one what a page
asks (times are of the client, memory is the server's resident set), and presses keys in Chromium: a
key is shown when the frame after it has been drawn.
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import requests
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from stations import Page, browser, build, event, station

from vinchecking.store import FILE
from vinreader.spec import BOXES, CHARACTERS

KEYS = 300  # events that are sent one by one
OPENED = 5  # times
PAUSE = 10.0  # seconds that the other clerks take for a card
# From a key until the frame with what it changed has been drawn, in milliseconds.
WATCH = """
window.shown = [];
document.addEventListener("keydown", event => acting.then(() => requestAnimationFrame(() => {
  const drawn = new MessageChannel();
  drawn.port1.onmessage = () => shown.push(performance.now() - event.timeStamp);
  drawn.port2.postMessage(0);
})));
"""


class Client:
    """A clerk without a browser."""

    def __init__(self, url: str, clerk: str):
        self.url, self.clerk, self.rng = url, clerk, random.Random(clerk)
        self.session = requests.Session()
        self.session.headers["X-Clerk"] = clerk
        self.card: int | None = None

    def get(self, path: str) -> requests.Response:
        answer = self.session.get(f"{self.url}/{path}", timeout=60)
        answer.raise_for_status()
        return answer

    def send(self, kind: str, **more: object) -> None:
        said = event(kind, self.clerk, self.card or 0, self.rng, **more)
        self.session.post(f"{self.url}/api/events", json=[said], timeout=60).raise_for_status()

    def following(self) -> None:
        after = "" if self.card is None else f"?after={self.card}"
        self.card = self.get(f"api/next{after}").json()["card"]
        self.get(f"api/cards/{self.card}")

    def work(self, over: threading.Event) -> None:
        """Decides on card after card."""
        while not over.wait(self.rng.uniform(0, 2 * PAUSE)):
            self.following()
            self.send("done", vin="".join(self.rng.choices(CHARACTERS, k=BOXES)))


def opened(folder: Path) -> tuple[float, float]:
    """Seconds until a client has the page, the list and a card; the station's processor's."""
    began = time.perf_counter()
    with station(folder) as (server, url):
        client = Client(url, "boris")
        for path in ("", "api/cards?from=0&count=200", "api/progress"):
            client.get(path)
        client.following()
        return time.perf_counter() - began, sum(server.cpu_times()[:2])


def ask(server: psutil.Process, client: Client) -> None:
    print(f"memory when it is open: {memory(server):.0f} MB")
    client.following()
    timed("a key's event", lambda: client.send("box", box=3, character="5", view="card"), KEYS)
    timed("the next card, with its images", client.following, 100)
    for what, path, times in (
        ("80 boxes of the mosaic", "api/mosaic?character=5&doubtful=1&count=80", 30),
        ("progress", "api/progress", 30),
        ("200 cards of the list", "api/cards?from=40000&count=200", 30),
        ("vins.csv", "api/vins.csv", 1),
    ):
        timed(what, lambda path=path: client.get(path), times)


def press_keys(driver: webdriver.Chrome, url: str) -> None:
    """Keys on cards and in the mosaic, each when the page has done what the one before asked."""
    page = Page(driver)
    page.open(url)
    driver.execute_script(WATCH)

    def pressed(what: str, times: int, *keys: str) -> None:
        took = []
        for number in range(times):
            page.press(keys[number % len(keys)])
            page.wait("shown.length > 0")
            took.append(page.told("shown.pop()"))
        summary(what, took)

    pressed("a character typed on a card", KEYS, *CHARACTERS)
    pressed("Enter, until the next card is shown", 100, Keys.ENTER)
    pressed("F2, until the mosaic is shown", 1, Keys.F2)
    pressed("a character typed in the mosaic", KEYS, "8", Keys.ARROW_LEFT)
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    heap = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / 2**20
    print(f"memory of the page's script: {heap:.1f} MB")


def timed(what: str, ask: Callable[[], object], times: int) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    summary(what, took)


def summary(what: str, took: list[float]) -> None:
    middle, high = np.percentile(took, [50, 95])
    print(f"{what}: median {middle:.1f} ms, 95th percentile {high:.1f} ms of {len(took)}")


def memory(server: psutil.Process) -> float:
    return float(server.memory_info().rss) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--clerks", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / str(count) for count in (10, arguments.cards)}
        for count, folder in folders.items():
            folder.mkdir()
            build(folder / FILE, count)
        large = folders[arguments.cards]
        print(f"{arguments.cards:,} cards, store {(large / FILE).stat().st_size / 2**20:,.0f} MB")
        turns = [
            {count: opened(folder) for count, folder in folders.items()} for _ in range(OPENED)
        ]
        for count in folders:
            seconds, used = np.median([turn[count] for turn in turns], axis=0)
            print(f"open with {count:,} cards: median {seconds:.2f} s; processor {used:.2f} s")
        print(f"load of the machine {os.getloadavg()[0]:.1f}")
        over = threading.Event()
        with station(large) as (server, url):
            for number in range(arguments.clerks - 1):
                clerk = Client(url, f"clerk {number}")
                threading.Thread(target=clerk.work, args=(over,), daemon=True).start()
            ask(server, Client(url, "boris"))
            with browser(large) as driver:
                press_keys(driver, url)
            over.set()
            print(f"memory at last: {memory(server):.0f} MB")


if __name__ == "__main__":
    main()
