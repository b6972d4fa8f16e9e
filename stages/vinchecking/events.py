"""What a clerk does to a card: events that are only appended, and the state they lead to.

An event is a JSON object of the page: a random `id`, the time `at`, the `clerk`, the `kind`, the
`card` (its place in vins.csv, from 0), and by kind:

    box         box (from 0), character, view: `card` or `mosaic`
    confirm     boxes: looked at in the mosaic and found right as shown
    done        vin: the characters as the clerk leaves them, a number but for boxes left out
    unreadable, original, open      the statuses: cannot be read, needs the original, open again
    undo        undoes: the id of an event of the same clerk
    planted     box, found, token: a wrong box shown on purpose was marked, or was overlooked

A decision of another clerk is replaced only by an event that names it (`over`). The page replays
events by the same rules.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any

from vinreader.number.vin import is_number
from vinreader.spec import CHARACTERS

Event = dict[str, Any]

STATUSES = ("open", "done", "unreadable", "original")
CLOSING = ("done", "unreadable", "original")
DECIDING = (*CLOSING, "open")
NAME_LENGTH = 60  # characters of a clerk's name at most
NONE = "-"  # in place of a character that nobody has read
LEFT_OUT = "_"  # in place of that of a box which is none of the number's


class EventError(ValueError):
    """An event is not one; the text says why."""


@dataclass(frozen=True, slots=True)
class State:
    """What the events of a card come to. status: one of `STATUSES`. reading: a character a box. by:
    who decided, with the event of the id `decision`; None while the card is open. settled: boxes
    that a person looked at, from 0."""

    status: str
    reading: str
    by: str | None = None
    decision: str | None = None
    settled: frozenset[int] = frozenset()

    @property
    def answer(self) -> tuple[str, str]:
        """What two clerks have to agree on: the status, and the characters if it is `done`."""
        return self.status, self.reading if self.status == "done" else ""


def replay(start: str, events: Sequence[Event]) -> State:
    """The state of a card. start: its characters before anybody saw it, `-` for each box of one
    shown blind; events: of this card, valid, in the order in which they arrived."""
    void = voided(events)
    valid = (event for event in events if event["id"] not in void)
    return reduce(_after, valid, State("open", start))


def voided(events: Sequence[Event]) -> set[str]:
    """Ids of the events that are taken back: an undo that is taken back takes nothing back."""
    void: set[str] = set()
    for event in reversed(events):
        if event["kind"] == "undo" and event["id"] not in void:
            void.add(event["undoes"])
    return void


def _after(state: State, event: Event) -> State:
    kind = event["kind"]
    if kind == "box":
        at, settled = event["box"], state.settled | {event["box"]}
        reading = state.reading[:at] + event["character"] + state.reading[at + 1 :]
        return State("open", reading, settled=settled)
    if kind == "confirm":
        return replace(state, settled=state.settled | set(event["boxes"]))
    if kind == "open":
        return replace(state, status=kind, by=None, decision=None)
    reading = event["vin"] if kind == "done" else state.reading
    if kind in CLOSING and (kind != "done" or is_number(number(reading))):  # once there were others
        return State(kind, reading, event["clerk"], event["id"], state.settled)
    return state


def number(reading: str) -> str:
    """The number that characters, one a box, make: without boxes that are left out."""
    return reading.replace(LEFT_OUT, "")


def clerk_name(text: object) -> str:
    """A clerk's name, composed (NFC), without needless spaces. Raises: EventError."""
    name = " ".join(unicodedata.normalize("NFC", text).split()) if isinstance(text, str) else ""
    if not (0 < len(name) <= NAME_LENGTH and name.isprintable()):
        raise EventError(f"a clerk's name has 1 to {NAME_LENGTH} printable characters")
    return name


def checked(event: object, boxes: Callable[[int], int | None]) -> Event:
    """An event as it is kept: the fields that its kind has, each of the right type and range.
    boxes: how many boxes the card with a number has, None if there is none. Raises: EventError."""
    if not isinstance(event, dict):
        raise EventError("an event is a JSON object")
    kind = event.get("kind")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise EventError(f"no kind of event: {str(kind)[:40]!r}")
    card: Any = event.get("card")
    count = boxes(card) if _is_box(card, 1 << 53) else None
    if count is None:
        raise EventError("no card has this number")
    kept: Event = {"kind": kind, "card": card, "clerk": clerk_name(event.get("clerk"))}
    over = () if event.get("over") is None else ("over",)
    for name in ("id", "at", *_FIELDS[kind], *over):
        value = event.get(name)
        if not _CHECKS[name](value, count):
            raise EventError(f"{kind}: {name} is missing or wrong")
        kept[name] = value
    return kept


def _is_id(value: object, _count: int) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def _is_time(value: object, _count: int) -> bool:
    with suppress(ValueError):
        if isinstance(value, str) and len(value) <= 40 and value.endswith("Z"):
            return bool(datetime.fromisoformat(value))
    return False


def _is_box(value: object, count: int) -> bool:
    return type(value) is int and 0 <= value < count


def _are_boxes(value: object, count: int) -> bool:
    if not (isinstance(value, list) and 0 < len(value) <= count):
        return False
    return all(_is_box(box, count) for box in value)


_FIELDS: dict[str, tuple[str, ...]] = {
    "box": ("box", "character", "view"),
    "confirm": ("boxes",),
    "done": ("vin",),
    "unreadable": (),
    "original": (),
    "open": (),
    "undo": ("undoes",),
    "planted": ("box", "found", "token"),
}
_CHECKS: dict[str, Callable[[object, int], bool]] = {
    "id": _is_id,
    "at": _is_time,
    "box": _is_box,
    "character": lambda value, _: (
        isinstance(value, str) and len(value) == 1 and value in CHARACTERS + LEFT_OUT + NONE
    ),
    "view": lambda value, _: value in ("card", "mosaic"),
    "boxes": _are_boxes,
    "vin": lambda value, count: (
        isinstance(value, str) and len(value) == count and is_number(number(value))
    ),
    "undoes": _is_id,
    "over": _is_id,
    "found": lambda value, _: isinstance(value, bool),
    "token": lambda value, _: isinstance(value, str) and 0 < len(value) <= 100,
}
