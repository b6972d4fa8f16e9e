"""Attacks on the check station while clerks work: a table of promises.

    python benchmarks/station_faults.py --times 34      # of each kill: 100 in all and more
    python benchmarks/station_faults.py --only "half-open" soak

In a kill a clerk sends decisions one after the other, until the station is killed (SIGKILL) at a
random moment, with its store as it is, moved away, replaced by a copy or locked just before. When
the store is in its place again it must hold every decision that was acknowledged, and none that
nobody sent; and none may have been acknowledged that was sent while the store was away. In the soak
100 clerks work for 24 hours of a simulated clock on what the station is made of: leases that end,
decisions, corrections, undo, second keying. Prints a line an attack; exit status 1 when a promise
is broken.
"""

import argparse
import contextlib
import random
import shutil
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import project  # noqa: F401 (finds what is imported below)

import requests
from stations import Event, build, event, station

from vinchecking.desk import Desk
from vinchecking.store import FILE, Store
from vinreader.spec import CHARACTERS

CARDS = 300
SOCKETS = 1100
MOST_LOG = 1 << 20  # bytes that the half-open sockets may make the log grow by
PATIENCE = 60.0  # seconds for a clerk's first decisions
SLOWEST = 5.0  # seconds that a clerk waits among them at most
CLERKS, HOURS, MEAN = 100, 24, 300.0  # of the soak; MEAN: seconds between a clerk's steps


def number(rng: random.Random) -> str:
    return "".join(rng.choices(CHARACTERS, k=17))


class Clerk(threading.Thread):
    """Sends decisions one after the other. sent, acknowledged: ids; away: whether the store is."""

    def __init__(self, url: str, rng: random.Random):
        super().__init__(daemon=True)
        self.url, self.rng = url, rng
        self.sent: set[object] = set()
        self.acknowledged: set[object] = set()
        self.in_vain: set[object] = set()
        self.away, self.over = threading.Event(), threading.Event()

    def wait(self, decisions: int) -> None:
        """Until so many decisions are acknowledged, or nobody can wait any more."""
        until = time.monotonic() + PATIENCE
        while len(self.acknowledged) < decisions and time.monotonic() < until:
            time.sleep(0.002)

    def run(self) -> None:
        while not self.over.is_set():
            said = event("done", "anna", len(self.sent) % CARDS, self.rng, vin=number(self.rng))
            self.sent.add(said["id"])
            away = self.away.is_set()
            with contextlib.suppress(requests.RequestException, ValueError):
                answer = requests.post(f"{self.url}/api/events", json=[said], timeout=5).json()
                if said["id"] in answer.get("accepted", ()):
                    self.acknowledged.add(said["id"])
                    if away:
                        self.in_vain.add(said["id"])


Disturbance = Callable[[Path], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def left_alone(store: Path) -> Iterator[None]:
    yield


@contextlib.contextmanager
def moved(store: Path) -> Iterator[None]:
    store.rename(store.with_name("elsewhere"))
    yield
    store.with_name("elsewhere").rename(store)


@contextlib.contextmanager
def replaced(store: Path) -> Iterator[None]:
    store.with_name("true").hardlink_to(store)
    shutil.copy(store, store.with_name("copy"))
    store.with_name("copy").replace(store)
    yield
    store.with_name("true").replace(store)


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def kill(disturb: Disturbance, made: Path, rng: random.Random) -> str:
    """Every acknowledged decision is there, none is invented, none acknowledged in vain."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(made, Path(name, "batch")))
        with station(folder) as (process, url):
            clerk = Clerk(url, rng)
            clerk.start()
            clerk.wait(rng.randrange(1, 30))
            with disturb(folder / FILE):
                clerk.away.set()
                time.sleep(rng.uniform(0, 0.5))
                process.kill()
                process.wait()
            clerk.over.set()
            clerk.join()
        with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
            kept = {one for (one,) in db.execute("SELECT id FROM events")}
    in_vain = clerk.in_vain if disturb is not left_alone else ()
    lost, invented = clerk.acknowledged - kept, kept - clerk.sent
    if lost or invented or in_vain or not clerk.acknowledged:
        return (
            f"{len(clerk.acknowledged)} acknowledged, {len(lost)} lost, {len(invented)} invented, "
            f"{len(in_vain)} acknowledged while the store was away"
        )
    return ""


def half_open(made: Path, rng: random.Random) -> str:
    """1,100 sockets that never end their request: clerks work on, and the log stays small."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()), "batch")
        shutil.copytree(made, folder)
        _, url = stack.enter_context(station(folder))
        session = stack.enter_context(requests.Session())
        session.get(f"{url}/api/progress", headers={"X-Clerk": "anna"}, timeout=SLOWEST)
        address = urlsplit(url)
        for _ in range(SOCKETS):
            with contextlib.suppress(OSError):  # refusing them is as good
                one = socket.create_connection((address.hostname, address.port), timeout=1)
                stack.callback(one.close)
                one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        slowest = 0.0
        for card in range(50):
            said = event("done", "anna", card, rng, vin=number(rng))
            start = time.perf_counter()
            try:
                answer = session.post(f"{url}/api/events", json=[said], timeout=SLOWEST).json()
            except requests.RequestException as error:
                return f"a clerk was not answered: {error}"
            slowest = max(slowest, time.perf_counter() - start)
            if answer.get("accepted") != [said["id"]]:
                return f"a decision was refused: {answer}"
        log = (folder / "log").stat().st_size
    return "" if log < MOST_LOG else f"the log grew to {log:,} bytes; slowest {slowest:.2f} s"


def soak(made: Path, rng: random.Random) -> str:
    """100 clerks, 24 hours: every event is kept once or refused once, and every state follows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(made, Path(name, "batch")))
        store = Store(folder / FILE)
        store.key_twice(0.1)
        now = [1_000_000.0]
        desk = Desk(store, lambda: now[0])
        accepted: dict[object, Event] = {}
        refused = 0
        until = now[0] + HOURS * 3600
        while now[0] < until:
            now[0] += rng.expovariate(CLERKS / MEAN)
            said = step(desk, f"clerk {rng.randrange(CLERKS)}", accepted, rng)
            sent = [said, said] if rng.random() < 0.02 else [said]  # the answer was lost
            answer = desk.take_in(list(sent))
            refused += len(answer["refused"])
            accepted |= {one: said for one in answer["accepted"]}
        with store.reading() as db:
            kept = [one for (one,) in db.execute("SELECT id FROM events")]
            apart = db.execute("SELECT count(*) FROM refused").fetchone()[0]
        store.close()
    if sorted(kept) != sorted(map(str, accepted)) or apart != refused:
        return f"{len(accepted)} accepted, {len(kept)} kept, {refused} refused, {apart} kept apart"
    return ""


def step(desk: Desk, clerk: str, done: dict[object, Event], rng: random.Random) -> Event:
    """What a clerk does next: mostly decides on the card that he is given."""
    mine = [e for e in list(done.values())[-200:] if e["clerk"] == clerk]
    if mine and rng.random() < 0.1:
        last = mine[-1]
        return event("undo", clerk, int(str(last["card"])), rng, undoes=last["id"])
    card = desk.next(clerk)
    if card is None or rng.random() < 0.05:  # one that may be another's
        card = rng.randrange(CARDS)
    kind = rng.choices(("done", "unreadable", "original", "open"), (60, 5, 5, 30))[0]
    more = {"vin": number(rng)} if kind == "done" else {}
    return event(kind, clerk, card, rng, **more)


ATTACKS: dict[str, Callable[[Path, random.Random], str]] = {
    "killed": lambda made, rng: kill(left_alone, made, rng),
    "killed, store moved": lambda made, rng: kill(moved, made, rng),
    "killed, store replaced by a copy": lambda made, rng: kill(replaced, made, rng),
    "killed, store locked": lambda made, rng: kill(locked, made, rng),
    "half-open sockets": half_open,
    "soak": soak,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="that each kill is tried")
    parser.add_argument("--seed", type=int, default=1981)
    parser.add_argument("--only", nargs="+", default=[""], help="lines, or beginnings of them")
    options = parser.parse_args()
    rng, broken = random.Random(options.seed), False
    with tempfile.TemporaryDirectory() as name:
        build(Path(name, FILE), CARDS)
        print("| attack | promise | kept |\n|---|---|---|")
        for line, attack in ATTACKS.items():
            if not line.startswith(tuple(options.only)):
                continue
            times = options.times if line.startswith("killed") else 1
            problems = [attack(Path(name), rng) for _ in range(times)]
            kept = problems.count("")
            promise = (kill if line.startswith("killed") else attack).__doc__
            print(f"| {line} | {promise} | {kept} of {times} |", flush=True)
            for problem in filter(None, problems):
                print(problem, file=sys.stderr)
            broken |= kept < times
    sys.exit(broken)


if __name__ == "__main__":
    main()
