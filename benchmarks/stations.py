"""A check station, its store, and clerks with a browser or without: what several benchmarks drive.

    python benchmarks/stations.py --cards 100000 --clerks 20

tells how quick a station with very many cards is: opens a store of so many and one of ten, from the
command to the first card. Then one clerk, beside others who decide a card every ten seconds, asks
of the large one what a page asks (times are of the client, memory is the server's resident set),
and presses keys in Chromium: a key is shown when the frame after it has been drawn.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project import PROJECT
from vintraining.drawing.cards import draw_cards

import numpy as np
import psutil
import requests
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from vinchecking.building import Building
from vinchecking.store import FILE
from vinreader.review import ReviewCard, entry, picture
from vinreader.spec import BOXES, CHARACTERS
from vinreader.tables import VinRow

Event = dict[str, Any]
KEYS, OPENED = 300, 5  # times that a key is pressed, and a store is opened
PAUSE = 10.0  # seconds that the other clerks take for a card
# Of Chromium; containers make the shared memory too small for a page.
OFF = ("gpu", "dev-shm-usage", "quic", "background-networking", "component-update", "sync")
FLAGS = ("headless", "no-sandbox", "no-first-run", "lang=en", "window-size=1366,900")
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


def number(rng: random.Random) -> str:
    return "".join(rng.choices(CHARACTERS, k=BOXES))


def event(kind: str, clerk: str, card: int, rng: random.Random, **more: object) -> Event:
    return {
        "id": f"{rng.getrandbits(128):032x}",
        "at": "2000-01-01T00:00:00.000Z",
        "clerk": clerk,
        "kind": kind,
        "card": card,
        **more,
    }


class Client:
    """A clerk without a browser."""

    def __init__(self, url: str, clerk: str):
        self.url, self.clerk, self.rng = url, clerk, random.Random(clerk)
        self.session = requests.Session()
        self.session.headers["X-Clerk"] = clerk
        self.card = -1

    def get(self, path: str) -> requests.Response:
        answer = self.session.get(f"{self.url}/{path}", timeout=60)
        answer.raise_for_status()
        return answer

    def send(self, said: Event, seconds: float = 60) -> Any:
        return self.session.post(f"{self.url}/api/events", json=[said], timeout=seconds).json()

    def following(self) -> None:
        self.card = self.get(f"api/next?after={self.card}").json()["card"]
        self.get(f"api/cards/{self.card}")

    def work(self, over: threading.Event) -> None:
        """Decides on card after card."""
        while not over.wait(self.rng.uniform(0, 2 * PAUSE)):
            self.following()
            self.send(event("done", self.clerk, self.card, self.rng, vin=number(self.rng)))


@contextmanager
def browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """Chromium, whose profile and downloads are in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, *(f"disable-{name}" for name in OFF), f"user-data-dir={folder}/profile"):
        options.add_argument(f"--{flag}")
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


def open_station(folder: Path) -> float:
    """Milliseconds until a client has the page, the list and a card."""
    began = time.perf_counter()
    with station(folder) as (_, url):
        client = Client(url, "boris")
        for path in ("", "api/cards?from=0&count=200", "api/progress"):
            client.get(path)
        client.following()
        return 1000 * (time.perf_counter() - began)  # at its end it writes the tables


def milliseconds(do: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    do(*given)
    return 1000 * (time.perf_counter() - began)


def summary(what: str, took: Iterable[float]) -> None:
    took = list(took)
    middle, high = np.percentile(took, [50, 95])
    print(f"{what}: median {middle:.1f} ms, 95th percentile {high:.1f} ms of {len(took)}")


def ask(client: Client) -> None:
    def type_key() -> None:
        typed = {"box": 3, "character": "5", "view": "card"}
        client.send(event("box", "boris", client.card, client.rng, **typed))

    client.following()
    summary("a key's event", (milliseconds(type_key) for _ in range(KEYS)))
    summary("the next card, its images", (milliseconds(client.following) for _ in range(100)))
    for path in ("mosaic?character=5&doubtful=1&count=80", "cards?from=40000&count=200"):
        summary(path, (milliseconds(client.get, f"api/{path}") for _ in range(30)))
    print(f"vins.csv: {milliseconds(client.get, 'api/vins.csv'):.0f} ms")


def press_keys(driver: webdriver.Chrome, url: str) -> None:
    """Keys on cards and in the mosaic, each when the page has done what the one before asked."""
    page = Page(driver)
    page.open(url)
    driver.execute_script(WATCH)

    def pressed(key: str) -> float:
        page.press(key)
        page.wait("shown.length > 0")
        return float(page.told("shown.pop()"))

    summary("a character typed on a card", (pressed(CHARACTERS[n % 33]) for n in range(KEYS)))
    summary("Enter, until the next card is shown", (pressed(Keys.ENTER) for _ in range(100)))
    summary("F2, until the mosaic is shown", [pressed(Keys.F2)])
    keys = "8" + Keys.ARROW_LEFT
    summary("a key in the mosaic", (pressed(keys[n % 2]) for n in range(KEYS)))
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    heap = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / 2**20
    print(f"memory of the page's script: {heap:.1f} MB")


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
        for count, folder in folders.items():
            summary(f"open with {count:,} cards", (open_station(folder) for _ in range(OPENED)))
        print(f"load of the machine {os.getloadavg()[0]:.1f}")
        over = threading.Event()
        with station(large) as (server, url):
            for number in range(arguments.clerks - 1):
                clerk = Client(url, f"clerk {number}")
                threading.Thread(target=clerk.work, args=(over,), daemon=True).start()
            ask(Client(url, "boris"))
            with browser(large) as driver:
                press_keys(driver, url)
            over.set()
            print(f"memory at last: {server.memory_info().rss / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
