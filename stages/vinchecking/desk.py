"""Who has which card: leases, the next card of a clerk, boxes of the mosaic, events let in.

A lease ends by itself `LEASE` seconds after the last event of its clerk. A card that another
clerk has, or has decided, is changed by nobody without knowing: such an event is refused, with
the reason, and kept apart.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from vinchecking import events
from vinchecking.answers import outcome
from vinchecking.events import CLOSING, DECIDING, Event, EventError, clerk_name
from vinchecking.store import Card, Store, append, events_of, find_card, picture, settle

LEASE = 600.0  # seconds
PLANTED = 0.02  # of the boxes of a mosaic, those known to be wrong
HOUR = 3600.0
PRESENT = 60.0  # seconds for which a name belongs to the browser that last used it
_STARTED = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since 1970, which go on evenly when the machine's clock is set."""
    return _STARTED + time.monotonic()


_FREE = "NOT EXISTS (SELECT 1 FROM leases WHERE card = {} AND clerk != :clerk AND until > :now)"


class Refused(Exception):
    """An event that is not let in. answer: what the page is told."""

    def __init__(self, code: str, why: str, **more: Any):
        super().__init__(why)
        self.answer = {"code": code, "why": why, **more}


class Desk:
    """What clerks ask of the store. clock: seconds since 1970."""

    def __init__(self, store: Store, clock: Callable[[], float] = steady):
        self.store = store
        self._now = clock
        self._browsers: dict[str, tuple[str, float]] = {}  # of a clerk: which, and seen when
        longest = self._now() + LEASE
        with store.writing() as db:
            for table in ("leases", "reserved"):  # of before a clock was set back
                db.execute(f"DELETE FROM {table} WHERE until > ?", (longest,))
            names = db.execute("SELECT DISTINCT clerk FROM events ORDER BY seq").fetchall()
        self._names: dict[str, str] = {name.casefold(): name for (name,) in reversed(names)}

    def name(self, text: object) -> str:
        """A clerk's name as it was first written: large and small letters make no other clerk.
        Raises: EventError."""
        name = clerk_name(text)
        return self._names.setdefault(name.casefold(), name)

    def greet(self, clerk: str, browser: str, take: bool = False) -> bool:
        """Whether a clerk's name is this browser's to use: it is another's that was here a moment
        ago, unless it is taken."""
        now = self._now()
        other, seen = self._browsers.get(clerk, (browser, now))
        if other != browser and now - seen < PRESENT and not take:
            return False
        self._browsers[clerk] = browser, now
        return True

    def lease(self, card: int, clerk: str) -> dict[str, Any]:
        """Give a card to a clerk, or say who has it and until when."""
        with self.store.writing() as db:
            holder = self._holder(db, card, clerk)
            if holder:
                return {"ok": False, "by": holder[0], "until": holder[1]}
            return {"ok": True, "by": clerk, "until": self._take(db, card, clerk)}

    def next(self, clerk: str, after: int = -1) -> int | None:
        """The next card for a clerk, leased to him: one between whose answers he can decide, else
        the one whose turn comes after the card `after`, which he leaves. None if there is none."""
        with self.store.writing() as db:
            row = db.execute("SELECT turn FROM cards WHERE id = ?", (after,)).fetchone()
            db.execute("DELETE FROM leases WHERE card = ? AND clerk = ?", (after, clerk))
            values = {"clerk": clerk, "now": self._now(), "left": after}
            found = _next(db, values | {"after": row[0] if row else -1})
            if found is not None:
                self._take(db, found, clerk)
        return found

    def waiting(self, clerk: str) -> int:
        """How many cards only another clerk can go on with."""
        count = "SELECT count(*) FROM answers JOIN cards ON id = card WHERE status = 'waiting'"
        return int(self.store.value(f"{count} AND answers.clerk = ?", clerk))

    def take_in(self, sent: list[object]) -> dict[str, list[Any]]:
        """Keep events, in their order: on the disk when this returns. Gives the ids of those
        `accepted`; of those `refused` each one's id, a code, and why."""
        answer: dict[str, list[Any]] = {"accepted": [], "refused": []}
        with self.store.writing() as db:
            for event in sent:
                try:
                    answer["accepted"].append(self._take_in(db, event))
                except Refused as refusal:
                    said = event.get("id") if isinstance(event, dict) else None
                    said = said if isinstance(said, str) else None
                    answer["refused"].append({"id": said, **refusal.answer})
                    db.execute(
                        "INSERT INTO refused (received, why, body) VALUES (?, ?, ?)",
                        (self._now(), str(refusal), json.dumps(event)[:4000]),
                    )
        return answer

    def mosaic(self, clerk: str, character: str, count: int, doubtful: bool) -> dict[str, Any]:
        """Boxes read as a character, the marked ones or the others, least sure first, reserved
        for a clerk; some are planted."""
        now = self._now()
        values = {"clerk": clerk, "now": now, "c": character, "n": count, "marked": doubtful}
        with self.store.writing() as db:
            rows = db.execute(
                "SELECT card, box, confidence, image FROM boxes "
                "WHERE use = 1 AND character = :c AND marked = :marked "
                f"AND {_FREE.format('boxes.card')} AND NOT EXISTS (SELECT 1 FROM reserved "
                "WHERE reserved.card = boxes.card AND reserved.box = boxes.box "
                "AND clerk != :clerk AND until > :now) "
                "ORDER BY confidence, card, box LIMIT :n",
                values,
            ).fetchall()
            db.executemany(
                "INSERT OR REPLACE INTO reserved VALUES (?, ?, ?, ?)",
                [(card, box, clerk, now + LEASE) for card, box, *_ in rows],
            )
            shown = [_shown(*row) for row in rows]
            self._plant(db, clerk, character, shown)
        left = self.store.tallies("doubtful" if doubtful else "to see")
        return {"left": left.get(character, 0), "boxes": shown}

    def list_cards(self, clerk: str, start: int, count: int, find: str) -> list[dict[str, Any]]:
        """Cards in the order of work; find: those whose name or number contains this, or that this
        clerk has decided. The number of a card that is keyed blind is not looked into."""
        values = {"clerk": clerk, "now": self._now(), "start": start, "count": count, "find": find}
        which = "turn >= :start AND turn < :start + :count"
        if find:
            values["by"] = self._names.get(find.casefold())
            which = (
                "(instr(name, :find) OR cards.clerk = :by OR "
                "NOT audit AND NOT second AND instr(reading, upper(:find)))"
            )
        keys = "id", "name", "doubtful", "status", "leased_by"
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT id, name, doubtful, "
                "iif(status = 'waiting' AND answers.clerk IS NULL, 'open', status), leases.clerk "
                "FROM cards LEFT JOIN answers ON answers.card = id AND answers.clerk = :clerk "
                "LEFT JOIN leases ON leases.card = id AND until > :now AND leases.clerk != :clerk "
                f"WHERE {which} ORDER BY turn LIMIT :count",
                values,
            )
            found = [dict(zip(keys, row, strict=True)) for row in rows]
        return [card | {"doubtful": bool(card["doubtful"])} for card in found]

    def progress(self, clerk: str) -> dict[str, Any]:
        """How many cards to be checked there are, and of each status; `clerk`: how many this one
        has `done`, and in the last hour (`per_hour`)."""
        decided = "SELECT count(DISTINCT card) FROM events WHERE decides = 1"
        since = self._now() - HOUR
        own = self.store.value(f"{decided} AND clerk = ?", clerk)
        recent = self.store.value(f"{decided} AND received > ? AND +clerk = ?", since, clerk)
        cards = self.store.tallies("status")
        return {
            "total": sum(cards.values()),
            **{status: cards.get(status, 0) for status in (*events.STATUSES, "waiting")},
            "clerk": {"done": own, "per_hour": recent},
        }

    def _holder(self, db: sqlite3.Connection, card: int, clerk: str) -> tuple[str, float] | None:
        found: tuple[str, float] | None = db.execute(
            "SELECT clerk, until FROM leases WHERE card = ? AND clerk != ? AND until > ?",
            (card, clerk, self._now()),
        ).fetchone()
        return found

    def _take(self, db: sqlite3.Connection, card: int, clerk: str) -> float:
        """A clerk has one card: the one before is free."""
        until = self._now() + LEASE
        db.execute("DELETE FROM leases WHERE clerk = ?", (clerk,))
        db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (card, clerk, until))
        return until

    def _take_in(self, db: sqlite3.Connection, sent: object) -> str:
        try:
            event = events.checked(sent, self.store.boxes)
            event["clerk"] = self.name(event["clerk"])
        except EventError as error:
            raise Refused("invalid", str(error)) from None
        kept = db.execute("SELECT body FROM events WHERE id = ?", (event["id"],)).fetchone()
        if kept and json.loads(kept[0]) != event:
            raise Refused("invalid", "another event has this id")
        if kept:
            return str(event["id"])
        card = find_card(db, event["card"])
        assert card  # or it would not have been checked
        if event["kind"] == "planted":
            changed = db.execute(
                "UPDATE plants SET found = :found WHERE token = :token AND card = :card "
                "AND box = :box AND clerk = :clerk AND found IS NULL",
                event,
            )
            if not changed.rowcount:
                raise Refused("invalid", "no box was planted so, or it was answered before")
            append(db, event, self._now())
            return str(event["id"])
        self._refuse(db, card, event)
        append(db, event, self._now())
        settle(db, card)
        if event["kind"] in CLOSING:
            db.execute("DELETE FROM leases WHERE card = ?", (card.id,))
        elif event["kind"] != "confirm" and event.get("view") != "mosaic":
            self._take(db, card.id, event["clerk"])
        return str(event["id"])

    def _refuse(self, db: sqlite3.Connection, card: Card, event: Event) -> None:
        """Raises: Refused if another clerk has the card, or decided it and is not named."""
        kind, clerk = event["kind"], event["clerk"]
        if kind == "confirm":
            return  # it takes nothing from anybody
        holder = self._holder(db, card.id, clerk)
        if holder:
            raise Refused("leased", f"{holder[0]} has this card now", by=holder[0])
        before, second = events_of(db, card.id), card.keyed.second
        found = outcome(card.keyed, before)
        state = found.state
        if kind == "undo":
            select = "SELECT card, clerk, kind FROM events WHERE id = ?"
            undone = db.execute(select, (event["undoes"],)).fetchone()
            if not undone or undone[:2] != (card.id, clerk) or undone[2] == "planted":
                raise Refused("invalid", "there is no such event of this clerk to take back")
            if outcome(card.keyed, [*before, event]).state == state:
                return
        if found.stage == "decided" and state.by != clerk:
            knowing = event.get("over") == state.decision
            if not knowing or (kind not in DECIDING and second):
                now = {"by": state.by, "decision": state.decision, "reading": state.reading}
                raise Refused("decided", f"{state.by} has decided this card", **now)
        elif second and found.stage != "decided" and event.get("over"):
            raise Refused("invalid", "the decision to be replaced is not there any more")

    def _plant(
        self, db: sqlite3.Connection, clerk: str, character: str, shown: list[dict[str, Any]]
    ) -> None:
        """Put boxes of which another character is known among those shown, as sure as they."""
        wanted = PLANTED * len(shown)
        number = int(wanted) + (secrets.randbelow(1000) < 1000 * (wanted % 1))
        found = db.execute(
            "SELECT card, box, image FROM boxes WHERE rowid IN (SELECT rowid FROM boxes "
            "WHERE use = 2 AND runner_up = ? AND character != ? ORDER BY random() LIMIT ?)",
            (character, character, number),
        ).fetchall()
        for card, box, image in found:
            token = secrets.token_hex(16)
            db.execute(
                "INSERT INTO plants VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (token, card, box, character, clerk, self._now()),
            )
            at = secrets.randbelow(len(shown) + 1)
            confidence = shown[min(at, len(shown) - 1)]["confidence"]
            shown.insert(at, _shown(card, box, confidence, image) | {"planted": token})


def _shown(card: int, box: int, confidence: float, image: bytes) -> dict[str, Any]:
    return {"card": card, "box": box, "confidence": confidence, "image": picture(image)}


def _next(db: sqlite3.Connection, values: dict[str, Any]) -> int | None:
    free = (
        f"doubtful = 1 AND {_FREE.format('cards.id')} AND NOT EXISTS "
        "(SELECT 1 FROM answers WHERE card = cards.id AND clerk = :clerk)"
    )
    for stages, turns in (
        (("third",), "id != :left"),
        (("second", "first"), "turn > :after"),
        (("second", "first", "third"), "turn <= :after AND id != :left"),
    ):
        select = f"SELECT turn, id FROM cards WHERE {turns} AND {free} AND stage = '{{}}'"
        found = (  # one stage at a time: each has its cards in order in an index
            db.execute(f"{select.format(stage)} ORDER BY turn LIMIT 1", values).fetchone()
            for stage in stages
        )
        if row := min(filter(None, found), default=None):
            return int(row[1])
    return None
