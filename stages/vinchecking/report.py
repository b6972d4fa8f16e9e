"""How the work at a check station went, by clerk: speed, agreement, wrong boxes overlooked."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from vinchecking.answers import outcome
from vinchecking.events import clerk_name
from vinchecking.store import Store, events_of, find_card
from vinreader.console import text

MOST_DIFFER = 200
PAUSE = 120.0  # seconds without an event after which a clerk is taken to have left


def report(store: Store) -> dict[str, Any]:
    """Figures of the work so far.

    `cards`: how many to be checked have which status. `clerks`: of each, `cards` decided at last,
    `hours` at work (gaps of up to `PAUSE` count), `keyed_twice` and of these `agreed`,
    `decided_by_third` and of these `third_agreed`, `planted` wrong boxes and of these `found`,
    `refused` events. `differ`: the first cards that wait for a third clerk. `audit`: cards keyed
    without the reading, and how many of those differ from it.
    """
    with store.reading() as db:
        clerks: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for clerk, cards in db.execute("SELECT clerk, count(*) FROM answers GROUP BY clerk"):
            clerks[clerk]["cards"] = cards
        for clerk, shown, found in db.execute(
            "SELECT clerk, count(found), sum(found) FROM plants WHERE found NOT NULL GROUP BY clerk"
        ):
            clerks[clerk].update(planted=shown, found=found)
        for (body,) in db.execute("SELECT body FROM refused"):
            with suppress(ValueError, TypeError, KeyError):  # anything may have been sent
                clerks[clerk_name(json.loads(body)["clerk"])]["refused"] += 1
        _agreement(db, clerks)
        hours = {clerk: _hours(db, clerk) for clerk in clerks}
        audit = db.execute(
            "SELECT count(*), coalesce(sum(reading != json_extract(row, '$[1]')), 0) "
            "FROM cards WHERE audit AND status = 'done'"
        ).fetchone()
        third = "FROM cards WHERE doubtful = 1 AND stage = 'third' ORDER BY turn LIMIT ?"
        differ = db.execute(f"SELECT id, name {third}", (MOST_DIFFER,)).fetchall()
    return {
        "cards": store.tallies("status"),
        "differ": [{"id": number, "name": name} for number, name in differ],
        "clerks": {name: {"hours": hours[name], **clerks[name]} for name in sorted(clerks)},
        "audit": {"keyed": audit[0], "other than read": audit[1]},
    }


def _agreement(db: sqlite3.Connection, clerks: defaultdict[str, Counter[str]]) -> None:
    answers = "SELECT count(*) FROM answers WHERE card = cards.id"
    twice = db.execute(f"SELECT id FROM cards WHERE second AND ({answers}) > 1").fetchall()
    for (number,) in twice:
        card = find_card(db, number)
        assert card
        said = outcome(card.keyed, events_of(db, number)).answers
        (first, one), (second, other), *third = list(said.items())[:3]
        for clerk, state in ((first, one), (second, other)):
            clerks[clerk]["keyed_twice"] += 1
            clerks[clerk]["agreed"] += one.answer == other.answer
            if third:
                clerks[clerk]["decided_by_third"] += 1
                clerks[clerk]["third_agreed"] += state.answer == third[0][1].answer


def _hours(db: sqlite3.Connection, clerk: str) -> float:
    found = db.execute("SELECT received FROM events WHERE clerk = ? ORDER BY seq", (clerk,))
    gaps = (after - before for (before,), (after,) in pairwise(found))
    return round(sum((gap for gap in gaps if 0 < gap <= PAUSE), 0.0) / 3600, 2)


def told(figures: dict[str, Any]) -> str:
    """The report as lines for a person."""
    cards = figures["cards"]
    counts = (text("report_status", cards=n, status=status) for status, n in cards.items())
    lines = [", ".join(counts) or text("report_none")]
    for clerk, counted in figures["clerks"].items():
        lines.append(f"{clerk}: {'; '.join(_of_clerk(counted))}")
    audit = figures["audit"]
    if audit["keyed"]:
        lines.append(text("report_audit", keyed=audit["keyed"], other=audit["other than read"]))
    return "\n".join(lines)


def _of_clerk(counted: dict[str, Any]) -> Iterable[str]:
    hours, cards = counted["hours"], counted.get("cards", 0)
    rate = cards / hours if hours else 0.0
    yield text("report_rate" if rate else "report_cards", cards=cards, rate=rate)
    if twice := counted.get("keyed_twice"):
        yield text("report_twice", agreed=counted["agreed"], twice=twice)
    if third := counted.get("decided_by_third"):
        yield text("report_third", agreed=counted["third_agreed"], third=third)
    if planted := counted.get("planted"):
        yield text("report_planted", found=counted["found"], planted=planted)
    if refused := counted.get("refused"):
        yield text("report_refused", events=refused)
