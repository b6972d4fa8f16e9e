"""Attacks on the check station while clerks work: a table of promises.

    python benchmarks/station_faults.py --times 34      # of each kill: 100 in all and more
    python benchmarks/station_faults.py --only soak

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
import functools
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)

import requests
from stations import Client, Event, build, event, number, station

from vinchecking.desk import Desk
from vinchecking.store import FILE, Store

CARDS = 300
PATIENCE = 60.0  # seconds for a clerk's first decisions
CLERKS, HOURS, MEAN = 100, 24, 300.0  # of the soak; MEAN: seconds between a clerk's steps


Disturbance = Callable[[Path], contextlib.AbstractContextManager[None]]


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


def kill(disturb: Disturbance, folder: Path, rng: random.Random) -> str:
    """Every acknowledged decision is there, none is invented, none acknowledged in vain."""
    sent, acknowledged, in_vain, away = set(), set(), set(), threading.Event()
    with station(folder) as (process, url):
        client, first, until = Client(url, "anna"), rng.randrange(1, 30), time.time() + PATIENCE

        def attack() -> None:
            with disturb(folder / FILE):
                away.set()
                time.sleep(rng.uniform(0, 0.5))
                process.kill()
                process.wait()

        attacker = threading.Thread(target=attack)
        while process.poll() is None:
            said = event("done", "anna", len(sent) % CARDS, rng, vin=number(rng))
            sent.add(said["id"])
            was_away = away.is_set() and disturb is not contextlib.nullcontext
            with contextlib.suppress(requests.RequestException, ValueError):
                accepted = client.send(said, 5).get("accepted", ())
                acknowledged.update(accepted)
                in_vain.update(accepted if was_away else ())
            if not attacker.ident and (len(acknowledged) >= first or time.time() > until):
                attacker.start()
        attacker.join()
    with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
        kept = {one for (one,) in db.execute("SELECT id FROM events")}
    lost, invented = acknowledged - kept, kept - sent
    if lost or invented or in_vain or not acknowledged:
        return (
            f"{len(acknowledged)} acknowledged, {len(lost)} lost, {len(invented)} invented, "
            f"{len(in_vain)} acknowledged while the store was away"
        )
    return ""


def soak(folder: Path, rng: random.Random) -> str:
    """100 clerks, 24 hours: every event is kept once or refused once, and every state follows."""
    now, refused = 0.0, 0
    accepted: dict[object, Event] = {}
    last: dict[str, Event] = {}  # accepted event of a clerk
    with contextlib.closing(Store(folder / FILE)) as store:
        store.key_twice(0.1)
        desk = Desk(store, lambda: now)
        while now < HOURS * 3600:
            now += rng.expovariate(CLERKS / MEAN)
            clerk = f"clerk {rng.randrange(CLERKS)}"
            said = step(desk, clerk, last.get(clerk), rng)
            sent = [said, said] if rng.random() < 0.02 else [said]  # the answer was lost
            answer = desk.take_in(list(sent))
            refused += len(answer["refused"])
            if answer["accepted"]:
                accepted[said["id"]] = last[clerk] = said
        with store.reading() as db:
            kept = [one for (one,) in db.execute("SELECT id FROM events")]
            apart = db.execute("SELECT count(*) FROM refused").fetchone()[0]
    if sorted(kept) != sorted(map(str, accepted)) or apart != refused:
        return f"{len(accepted)} accepted, {len(kept)} kept, {refused} refused, {apart} kept apart"
    return ""


def step(desk: Desk, clerk: str, last: Event | None, rng: random.Random) -> Event:
    """What a clerk does next: mostly decides on the card that he is given."""
    if last and rng.random() < 0.1:
        return event("undo", clerk, last["card"], rng, undoes=last["id"])
    card = desk.next(clerk)
    if card is None or rng.random() < 0.05:  # one that may be another's
        card = rng.randrange(CARDS)
    kind = rng.choices(("done", "unreadable", "original", "open"), (60, 5, 5, 30))[0]
    more = {"vin": number(rng)} if kind == "done" else {}
    return event(kind, clerk, card, rng, **more)


ATTACKS: dict[str, Callable[[Path, random.Random], str]] = {
    "killed": functools.partial(kill, contextlib.nullcontext),
    "killed, store moved": functools.partial(kill, moved),
    "killed, store replaced by a copy": functools.partial(kill, replaced),
    "killed, store locked": functools.partial(kill, locked),
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
        (made := Path(name, "made")).mkdir()
        build(made / FILE, CARDS)
        print("| attack | promise | kept |\n|---|---|---|")
        for line, attack in ATTACKS.items():
            if not line.startswith(tuple(options.only)):
                continue
            times, promise = (1, soak) if attack is soak else (options.times, kill)
            folders = (shutil.copytree(made, Path(name, f"{line} {n}")) for n in range(times))
            problems = [attack(folder, rng) for folder in folders]
            kept = problems.count("")
            print(f"| {line} | {promise.__doc__} | {kept} of {times} |", flush=True)
            for problem in filter(None, problems):
                print(problem, file=sys.stderr)
            broken |= kept < times
    sys.exit(broken)


if __name__ == "__main__":
    main()
