"""The store of a check station: the cards as they were read, and every event, in one SQLite file.

Events are only appended; triggers refuse anything else. All other columns that change (status,
who decided, which boxes are open) follow from the events of a card and are written in the same
transaction, so that lists and counts need no replay. A process killed at any moment leaves the
events that were acknowledged (write-ahead log, synced at every commit).
"""

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from vinchecking.answers import Keyed, View, outcome, view
from vinchecking.events import CLOSING, Event, number, replay
from vinreader.decisions import decided
from vinreader.spec import CHARACTERS, UserError
from vinreader.tables import STORE, VinRow
from vinreader.template import PICTURE

FILE = STORE
FORMAT = 3
FORMER = 2  # before there were columns of decisions, see `former.upgrade`

# What a box is used for in the mosaic: nothing, to be looked at, known to be what was read.
NOTHING, TO_SEE, KNOWN = 0, 1, 2


class StoreError(Exception):
    """The store cannot be written or read now, as on a full disk; what was asked is not done."""


class StoreGone(StoreError):
    """Another file, or none, is in the store's place: what is written would be nobody's."""


class Card(NamedTuple):
    """A card as the store has it. turn: its place in the order of work. entry: as on the page,
    without its boxes and its row."""

    id: int
    name: str
    turn: int
    doubtful: bool
    entry: dict[str, Any]
    row: VinRow
    keyed: Keyed


class Store:
    """The store, opened. Its methods may be called from several threads.
    Raises: UserError if there is none at `path`, it is damaged, or another version's."""

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise UserError(f"there is no {path}")
        self._lock = threading.RLock()
        try:
            self.db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                check_same_thread=False,
                isolation_level=None,
            )
            self.db.execute("PRAGMA synchronous = FULL")
            meta = dict(self.db.execute("SELECT key, value FROM meta"))
            self.cards = int(meta["cards"])
            self.format = int(meta["format"])
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            no_table = sqlite3.SQLITE_ERROR
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != no_table:
                raise StoreError(f"{path} cannot be opened now: {error}; is it in use?") from None
            raise UserError(
                f"{path} is damaged or no store of a check station; put a copy back in its place "
                f"({error})"
            ) from None
        if self.format not in (FORMAT, FORMER):
            raise UserError(
                f"{path} was made by another version of the reader (format {self.format})"
            )
        # The log beside the store is part of it: what is acknowledged may stand there alone.
        self._files = [path, *(path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))]
        self._opened = self._identity()

    def _identity(self) -> list[tuple[int, int]]:
        """Device and inode of each file of the store."""
        try:
            return [(found.st_dev, found.st_ino) for found in map(Path.stat, self._files)]
        except OSError as error:
            raise StoreGone(f"{error.filename} is gone ({error.strerror})") from None

    def _stays(self) -> None:
        """Raises: StoreGone if the files that were opened are not those in their places now."""
        if self._identity() != self._opened:
            raise StoreGone(f"another file is in the place of {self.path}")

    def close(self) -> None:
        with self._lock:
            self.db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for reading. Raises: StoreError."""
        with self._lock, errors():
            self._stays()
            yield self.db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction: on the disk when the block ends, or nothing of it.
        Raises: StoreError; StoreGone where it may be in a file that nobody will open again."""
        with self._lock, errors():
            self._stays()
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
            self._stays()

    def value(self, select: str, *parameters: object) -> Any:
        """The first value that a SELECT finds, None if it finds none."""
        with self.reading() as db:
            return next(db.execute(select, parameters), (None,))[0]

    def meta(self, key: str) -> str | None:
        found: str | None = self.value("SELECT value FROM meta WHERE key = ?", key)
        return found

    def set_meta(self, key: str, value: str) -> None:
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def count_events(self) -> int:
        return self.value("SELECT max(seq) FROM events") or 0

    def tallies(self, of: str) -> dict[str, int]:
        """Numbers that are kept as they change: of 'status', the cards to be checked; of 'to
        see', the boxes of each character that nobody has looked at; 'doubtful', those of them
        that are marked."""
        select = "SELECT what, number FROM tallies WHERE of = ? AND number ORDER BY what"
        with self.reading() as db:
            return dict(db.execute(select, (of,)))

    def key_twice(self, share: float) -> None:
        """Let a second clerk key a share (0 to 1) of the cards to be checked. Which ones follows
        from their names; a card that somebody has decided stays as it is."""
        if self.meta("second") == str(share):
            return
        select = "SELECT id, name FROM cards WHERE doubtful AND stage = 'first'"
        with self.writing() as db:
            cards = [(_place(name) < share, card) for card, name in db.execute(select)]
            db.executemany("UPDATE cards SET second = ? WHERE id = ?", cards)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('second', ?)", (str(share),))

    def card(self, number: int) -> Card | None:
        with self.reading() as db:
            return find_card(db, number)

    def boxes(self, number: int) -> int | None:
        """How many boxes a card has, None if there is no such card."""
        found: int | None = self.value("SELECT length(reading) FROM cards WHERE id = ?", number)
        return found

    def pictures(self, number: int) -> list[str]:
        """The images of a card's boxes, as on the page."""
        with self.reading() as db:
            found = db.execute("SELECT image FROM boxes WHERE card = ? ORDER BY box", (number,))
            return [picture(image) for (image,) in found]

    def view(self, card: Card, clerk: str) -> View:
        with self.reading() as db:
            return view(card.keyed, events_of(db, card.id), clerk)

    def rows(self) -> Iterator[VinRow]:
        """The rows of vins.csv with what people decided, read beside what goes on meanwhile.
        Raises: StoreError."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with errors(), closing(sqlite3.connect(address, uri=True)) as db:
            self._stays()
            for text, status, reading, read, by, said, received in db.execute(_ROWS):
                row = VinRow(*json.loads(text))
                if status in CLOSING:
                    # No clock of a clerk's machine makes a decision later than it came here.
                    at = min(datetime.fromisoformat(said), datetime.fromtimestamp(received, UTC))
                    shown = at.isoformat(timespec="seconds").replace("+00:00", "Z")
                    row = decided(row, status, read, number(reading), by, shown)
                yield row
            self._stays()


_ROWS = """
SELECT row, status, reading, json_extract(entry, '$.reading'), cards.clerk,
    json_extract(body, '$.at'), received
FROM cards LEFT JOIN events ON events.id = cards.decision ORDER BY cards.id
"""


def find_card(db: sqlite3.Connection, place: int) -> Card | None:
    row = db.execute(
        "SELECT id, name, turn, doubtful, second, audit, entry, row FROM cards WHERE id = ?",
        (place,),
    ).fetchone()
    if not row:
        return None
    place, name, turn, doubtful, second, audit, text, cells = row
    entry = json.loads(text)
    keyed = Keyed(entry["reading"], bool(second), bool(audit))
    return Card(place, name, turn, bool(doubtful), entry, VinRow(*json.loads(cells)), keyed)


def events_of(db: sqlite3.Connection, card: int) -> list[Event]:
    """The events of a card in the order in which they arrived."""
    found = db.execute("SELECT body FROM events WHERE card = ? ORDER BY seq", (card,))
    return [json.loads(body) for (body,) in found]


def append(db: sqlite3.Connection, event: Event, received: float | None = None) -> None:
    """Keep an event (see `events.checked`); `settle` its card afterwards."""
    received = time.time() if received is None else received
    db.execute(
        "INSERT INTO events (id, card, clerk, kind, decides, received, body) "
        "VALUES (:id, :card, :clerk, :kind, :decides, :received, :body)",
        event | {"decides": event["kind"] in CLOSING, "received": received, "body": as_json(event)},
    )


def settle(db: sqlite3.Connection, card: Card) -> None:
    """Write what the events of a card come to into the columns that follow from them."""
    events = events_of(db, card.id)
    found = outcome(card.keyed, events)
    state, read = found.state, card.keyed.reading
    status = "waiting" if found.stage in ("second", "third") else state.status
    reading = state.reading if status == "done" else read
    db.execute(
        "UPDATE cards SET stage = ?, status = ?, reading = ?, clerk = ?, decision = ? WHERE id = ?",
        (found.stage, status, reading, state.by, state.decision, card.id),
    )
    db.execute("DELETE FROM answers WHERE card = ?", (card.id,))
    answers = ((card.id, clerk) for clerk in found.answers)
    db.executemany("INSERT INTO answers VALUES (?, ?)", answers)
    if card.keyed.audit:
        return
    settled = replay(read, events).settled
    change = "UPDATE boxes SET use = :use WHERE card = :card AND box = :box AND use != :use"
    for box in (box for box, character in enumerate(read) if character in CHARACTERS):
        use = NOTHING
        if status == "done" and reading[box] == read[box]:
            use = KNOWN
        elif status == "open" and card.doubtful and box not in settled:
            use = TO_SEE
        db.execute(change, {"use": use, "card": card.id, "box": box})


def picture(image: bytes) -> str:
    """A PNG as the page shows it; "" for none."""
    return PICTURE + base64.b64encode(image).decode() if image else ""


def _place(name: str) -> float:
    """From 0 to 1, evenly spread: follows from the name."""
    return int.from_bytes(sha256(name.encode()).digest()[:6]) / 2**48


@contextmanager
def errors() -> Iterator[None]:
    """Raises: StoreError with a text for a person, where SQLite could not do something."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store cannot be used now: {error}") from error


def as_json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))
