"""Decisions in a vins.csv that no station wrote: the page from disk downloads such.

They come into the store as events of a clerk of no name, `CLERK`, each once: a card on which
anybody has decided in the store already stays as it is there.
"""

import csv
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from vinchecking.events import Event, EventError, checked
from vinchecking.store import append, find_card, settle
from vinreader.spec import UserError

CLERK = "from vins.csv"
_SAID = {  # how the last part of a decided row's message begins, and the kind of its event
    "checked by a person": "done",
    "corrected by a person (": "done",
    "a person cannot read it": "unreadable",
    "needs the original, says a person": "original",
}


class Taken(NamedTuple):
    """How many decisions came into the store, and of how many cards it holds another one."""

    taken: int
    other: int


def decisions(path: Path) -> dict[str, Event]:
    """The decided cards of a vins.csv by name, as events without the number of the card.

    Raises: UserError if it is there and is no table of cards.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
            rows = [
                (row["card"], row["vin"] or "", row["message"] or "")
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(f"{path} is no table of cards ({error!r}): move it away") from None
    found: dict[str, Event] = {}
    for name, vin, message in rows:
        said = message.rpartition("; ")[2]
        kind = next((kind for start, kind in _SAID.items() if said.startswith(start)), None)
        if kind:
            event = {"kind": kind, "clerk": CLERK, "at": at.replace("+00:00", "Z")}
            number = sha256("\0".join((name, kind, vin)).encode()).hexdigest()[:32]
            found[name] = event | {"id": number} | ({"vin": vin} if kind == "done" else {})
    return found


def take_over(db: sqlite3.Connection, said: Mapping[str, Event], path: Path) -> Taken:
    """Let the store have decisions, in the transaction that its connection `db` is in.

    Args:
        said: of `decisions`; path: where they are from, for messages.

    Raises: UserError if one cannot be had: nothing of them is to be kept then.
    """
    if not said:
        return Taken(0, 0)
    taken = other = 0
    cards: dict[str, int] = dict(db.execute("SELECT name, id FROM cards"))
    sizes: dict[int, int] = dict(db.execute("SELECT id, length(reading) FROM cards"))
    for name, event in said.items():
        card = find_card(db, cards[name]) if name in cards else None
        if card is None:
            raise UserError(
                f"{path} holds a decision on {name!r}, which is no card here: move the table away"
            )
        try:
            kept = checked({**event, "card": card.id}, sizes.get)
        except EventError as error:
            raise UserError(f"{path}: {name}: {error}; mend the row, or move it away") from None
        decided = db.execute(
            "SELECT status, reading FROM cards WHERE id = ? AND EXISTS "
            "(SELECT 1 FROM events WHERE card = cards.id AND decides = 1)",
            (card.id,),
        ).fetchone()
        if not decided:
            append(db, kept)
            settle(db, card)
            taken += 1
        elif decided != (event["kind"], event.get("vin", card.keyed.reading)):
            other += 1
    return Taken(taken, other)
