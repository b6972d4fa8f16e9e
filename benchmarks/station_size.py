"""A check station with very many cards: how soon it is open, how quick its answers, how large.

    python benchmarks/station_size.py --cards 100000

makes a store of cards whose boxes are drawn, starts `stages/check.py` on it, and asks what a page
asks. Times are of the client, by the wall clock; memory is the server's resident set.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from project import PROJECT
from vintraining.cards import draw_cards

import numpy as np
import psutil
import requests

from vinreader.review import ReviewCard, entry, picture
from vinreader.spec import BOXES, CHARACTERS
from vinreader.store import FILE, Building
from vinreader.tables import VinRow

CHECK = PROJECT / "stages/check.py"
KEYS = 300  # events that are sent one by one
PORT = 8993


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / FILE, arguments.cards)
        print(f"{arguments.cards:,} cards, store {(folder / FILE).stat().st_size / 2**20:,.0f} MB")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, CHECK, "input", "--port", str(PORT)],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout
            for line in process.stdout:
                if line.startswith(b"Open"):
                    break
            measure(psutil.Process(process.pid), began)
        finally:
            process.terminate()
            process.wait()


def measure(server: psutil.Process, began: float) -> None:
    session = requests.Session()
    session.headers["X-Clerk"] = "anna"

    def get(path: str) -> requests.Response:
        answer = session.get(f"http://127.0.0.1:{PORT}{path}", timeout=60)
        answer.raise_for_status()
        return answer

    while True:
        try:
            get("/")
            break
        except requests.ConnectionError:
            time.sleep(0.01)
    for path in ("/api/cards?from=0&count=200", "/api/progress"):
        get(path)
    card = get("/api/next").json()["card"]
    get(f"/api/cards/{card}")
    print(f"from the command to page, list and first card: {time.perf_counter() - began:.2f} s")
    print(f"memory then: {server.memory_info().rss / 2**20:.0f} MB")

    def key() -> None:
        nonlocal card
        event = {
            "id": uuid.uuid4().hex,
            "at": "2000-01-01T00:00:00.000Z",
            "clerk": "anna",
            "kind": "box",
            "card": card,
            "box": 3,
            "character": "5",
            "view": "card",
        }
        answer = session.post(f"http://127.0.0.1:{PORT}/api/events", json=[event], timeout=60)
        assert answer.json()["accepted"], answer.text

    def following() -> None:
        nonlocal card
        card = get(f"/api/next?after={card}").json()["card"]
        get(f"/api/cards/{card}")

    told("a key's event", key, KEYS)
    told("the next card, with its images", following, 100)
    told("80 boxes of the mosaic", lambda: get("/api/mosaic?character=5&count=80"), 30)
    told("progress", lambda: get("/api/progress"), 30)
    told("200 cards of the list", lambda: get("/api/cards?from=40000&count=200"), 30)
    told("vins.csv", lambda: get("/api/vins.csv"), 1)
    print(f"memory at last: {server.memory_info().rss / 2**20:.0f} MB")


def told(what: str, ask: Callable[[], object], times: int) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    middle, high = np.percentile(took, [50, 95])
    print(f"{what}: median {middle:.1f} ms, 95th percentile {high:.1f} ms of {times}")


if __name__ == "__main__":
    main()
