"""What was decided elsewhere, or before: taken over into the store.

Decisions in a vins.csv that the store does not know (the page from disk downloads such) become
events of the clerk named there, or of `CLERK`, each once: a card on which anybody has decided in
the store already stays as it is there.
"""

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import combinations
from operator import eq
from pathlib import Path

from vinchecking.events import LEFT_OUT, Event, EventError, checked
from vinchecking.store import FORMAT, FORMER, Store, append, as_json, find_card, settle
from vinreader.decisions import as_column, read_vins
from vinreader.files import sha256
from vinreader.spec import UserError
from vinreader.tables import ACCEPTED, VinRow

CLERK = "from vins.csv"


def decisions(path: Path) -> dict[str, Event]:
    """The decided cards of a vins.csv by name, as events without the number of the card. Raises:
    UserError if it is there and is no table of cards."""
    if not path.exists():
        return {}
    try:
        rows = [row for _, row in read_vins(path) if row.decision]
    except UserError as error:
        raise UserError(f"{error}; or move it away") from None
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat().replace("+00:00", "Z")
    found: dict[str, Event] = {}
    for row in rows:
        kind = "done" if row.decision in ACCEPTED else row.decision
        number = sha256("\0".join((row.card, kind, row.vin)).encode())[:32]
        event = {"id": number, "kind": kind, "clerk": row.clerk or CLERK}
        event |= {"at": row.decided_at or changed} | ({"vin": row.vin} if kind == "done" else {})
        found[row.card] = event
    return found


def take_over(db: sqlite3.Connection, said: Mapping[str, Event], path: Path) -> tuple[int, int]:
    """Let the store have decisions, in the transaction that `db` is in.

    said: of `decisions`; path: where they are from, for messages.

    Returns: how many came in, and of how many cards the store holds another one.

    Raises: UserError if one cannot be had: nothing of them is to be kept then.
    """
    taken = other = 0
    cards = dict(db.execute("SELECT name, id FROM cards")) if said else {}
    for name, event in said.items():
        card = find_card(db, cards.get(name, -1))
        if card is None:
            raise UserError(
                f"{path} holds a decision on {name!r}, which is no card here: move the table away"
            )
        read = card.keyed.reading
        if event["kind"] == "done":
            event = {**event, "vin": by_box(event["vin"], read)}
        try:
            kept = checked({**event, "card": card.id}, {card.id: len(read)}.get)
        except EventError as error:
            raise UserError(
                f"{path}: {name}: {error}; only 17 characters can be accepted: mend the row, or "
                "move the table away"
            ) from None
        decided = db.execute(
            "SELECT status, reading FROM cards WHERE id = ? AND EXISTS "
            "(SELECT 1 FROM events WHERE card = cards.id AND decides = 1)",
            (card.id,),
        ).fetchone()
        if not decided:
            append(db, kept)
            settle(db, card)
            taken += 1
        elif decided != (event["kind"], event.get("vin", read)):
            other += 1
    return taken, other


def by_box(vin: str, reading: str) -> str:
    """A number as characters, one a box, where a card has more boxes: those left out for which the
    others are most like what was read."""
    extra = len(reading) - len(vin)
    if extra <= 0:
        return vin
    found, places = [], range(len(reading))
    for out in combinations(places, extra):
        characters = iter(vin)
        found.append("".join(LEFT_OUT if at in out else next(characters) for at in places))
    return max(found, key=lambda one: sum(map(eq, one, reading)))


def upgrade(store: Store) -> None:
    """Bring a store of the former format to the present one; its events stay as they are. Raises:
    StoreError; the store is as it was then."""
    if store.format != FORMER:
        return
    with store.writing() as db:
        for number, cells in db.execute("SELECT id, row FROM cards").fetchall():
            row = as_column(VinRow(*json.loads(cells)))
            if not row.confidence:
                row = row._replace(vin="")  # it held what was read of some of the boxes
            db.execute("UPDATE cards SET row = ? WHERE id = ?", (as_json(row), number))
        for (number,) in db.execute("SELECT id FROM cards WHERE status = 'done'").fetchall():
            card = find_card(db, number)
            assert card
            settle(db, card)  # what is no number is not accepted any more
        db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))
    store.format = FORMAT
