"""The store of a check station: the cards as they were read, and every event, in one SQLite file.

Events are only appended; triggers refuse anything else. All other columns that change (status,
who decided, which boxes are open) follow from the events of a card and are written in the same
transaction, so that lists and counts need no replay. A process killed at any moment leaves the
events that were acknowledged (write-ahead log, synced at every commit).
"""

import base64
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

from vinchecking.answers import Keyed, Outcome, View, outcome, view
from vinchecking.events import CLOSING, Event, replay
from vinreader.files import replacing
from vinreader.number import vin
from vinreader.spec import BOXES, CHARACTERS, UserError
from vinreader.tables import VinRow
from vinreader.template import Entry

FILE = "checks.sqlite"
FORMAT = 2
PICTURE = "data:image/png;base64,"
SURE = 0.999  # probability from which a box of an accepted card is known to be what was read

# What a box is used for in the mosaic: nothing, to be looked at, known to be what was read.
NOTHING, TO_SEE, KNOWN = 0, 1, 2

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cards (
    id INTEGER PRIMARY KEY,      -- place in vins.csv
    name TEXT NOT NULL,
    turn INTEGER,                -- place in the order of work
    doubtful INTEGER NOT NULL,   -- to be checked
    audit INTEGER NOT NULL DEFAULT 0,   -- to be keyed without the reading shown
    second INTEGER NOT NULL DEFAULT 0,  -- to be keyed by a second clerk, too
    entry TEXT NOT NULL,         -- as on the page, without its boxes and its row
    row TEXT NOT NULL,           -- of vins.csv, its cells
    stage TEXT NOT NULL DEFAULT 'first',
    status TEXT NOT NULL DEFAULT 'open',
    reading TEXT NOT NULL,
    clerk TEXT,
    decision TEXT
);
CREATE TABLE boxes (
    card INTEGER NOT NULL, box INTEGER NOT NULL,
    character TEXT NOT NULL, confidence REAL NOT NULL, runner_up TEXT NOT NULL,
    marked INTEGER NOT NULL,     -- a person has to look at it
    image BLOB NOT NULL, use INTEGER NOT NULL
);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, card INTEGER NOT NULL, clerk TEXT NOT NULL,
    kind TEXT NOT NULL, decides INTEGER NOT NULL, received REAL NOT NULL, body TEXT NOT NULL
);
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY, received REAL NOT NULL, why TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE answers (
    card INTEGER NOT NULL, clerk TEXT NOT NULL, PRIMARY KEY (card, clerk)
) WITHOUT ROWID;
CREATE TABLE leases (card INTEGER PRIMARY KEY, clerk TEXT NOT NULL, until REAL NOT NULL);
CREATE TABLE reserved (
    card INTEGER NOT NULL, box INTEGER NOT NULL, clerk TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (card, box)
) WITHOUT ROWID;
CREATE TABLE plants (
    token TEXT PRIMARY KEY, card INTEGER NOT NULL, box INTEGER NOT NULL, shown TEXT NOT NULL,
    clerk TEXT NOT NULL, at REAL NOT NULL, found INTEGER
);
CREATE TABLE tallies (of TEXT NOT NULL, what TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (of, what)) WITHOUT ROWID;
"""
# Made when all rows are there: that is quicker, and nothing changes before.
_INDICES = """
CREATE INDEX boxes_to_see ON boxes (character, marked, confidence, card, box) WHERE use = 1;
CREATE INDEX boxes_known ON boxes (runner_up, character) WHERE use = 2;
CREATE INDEX cards_turn ON cards (turn);
CREATE INDEX cards_stage ON cards (stage, turn) WHERE doubtful = 1;
CREATE INDEX events_card ON events (card);
CREATE INDEX events_decided ON events (received, clerk, card) WHERE decides = 1;
CREATE INDEX events_clerk ON events (clerk, card) WHERE decides = 1;
CREATE INDEX answers_clerk ON answers (clerk);
INSERT INTO tallies SELECT 'status', status, count(*) FROM cards WHERE doubtful GROUP BY status;
INSERT INTO tallies SELECT 'to see', character, count(*) FROM boxes WHERE use = 1
    GROUP BY character;
INSERT INTO tallies SELECT 'doubtful', character, sum(marked) FROM boxes WHERE use = 1
    GROUP BY character;
INSERT INTO tallies SELECT 'boxes', 'all', coalesce(sum(number), 0) FROM tallies
    WHERE of = 'to see';
CREATE TRIGGER status_tally AFTER UPDATE OF status ON cards
    WHEN NEW.doubtful AND OLD.status != NEW.status BEGIN
    INSERT INTO tallies VALUES ('status', NEW.status, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
    UPDATE tallies SET number = number - 1 WHERE of = 'status' AND what = OLD.status;
END;
CREATE TRIGGER use_tally AFTER UPDATE OF use ON boxes WHEN OLD.use != NEW.use BEGIN
    UPDATE tallies SET number = number + (NEW.use = 1) - (OLD.use = 1)
        WHERE (of = 'to see' OR (of = 'doubtful' AND NEW.marked)) AND what = NEW.character;
END;
CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;
"""


class StoreError(Exception):
    """The store cannot be written or read now, as on a full disk; what was asked is not done."""


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


class Building:
    """The store in the making: takes the place of `review.Review` when a folder is read.

    A context manager; the store is there when the block has ended without an error, or not at all.
    then: called with its connection when all cards are in it.
    """

    name = FILE

    def __init__(self, path: Path, then: Callable[[sqlite3.Connection], None] | None = None):
        self._path = path
        self._then = then
        self._stack = ExitStack()
        self._written = False
        self.count = 0

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(replacing(self._path))
        self._db = self._stack.enter_context(closing(sqlite3.connect(temporary)))
        temporary.chmod(0o600)  # it holds the token, and numbers of vehicles
        with _errors():
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        return self

    def __exit__(self, *error: Any) -> None:
        nothing = UserError("there are no cards in the folder, and only cards are checked here")
        if error[0] is None and not self._written:
            self._stack.__exit__(UserError, nothing, None)
            raise nothing
        self._stack.__exit__(*error)

    def add(self, entry: Entry) -> None:
        """Add the `Entry` of the next card in vins.csv."""
        card = json.loads(entry.json + "}")
        row, reading = VinRow(**card.pop("row")), card["reading"]
        pictures = card.pop("boxes")
        with _errors():
            self._db.execute(
                "INSERT INTO cards (id, name, doubtful, entry, row, reading) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (self.count, card["name"], entry.doubtful, _json(card), _json(row), reading),
            )
            self._db.executemany(
                "INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (self.count, box, *_box(card, box, entry.doubtful, picture))
                    for box, picture in enumerate(pictures)
                ],
            )
        self.count += 1

    def write(
        self, path: Path, notes: Mapping[int, str] | None = None, blind: Collection[int] = ()
    ) -> None:
        """Finish the store. `notes` are added to messages, by the cards' places in vins.csv; the
        cards at the places `blind` are to be keyed without what was read.

        Raises: OSError if it cannot be written.
        """
        assert path == self._path
        with _errors():
            for place, note in (notes or {}).items():
                found = self._db.execute("SELECT row FROM cards WHERE id = ?", (place,))
                row = VinRow(*json.loads(found.fetchone()[0]))
                row = row._replace(message="; ".join(filter(None, (row.message, note))))
                self._db.execute("UPDATE cards SET row = ? WHERE id = ?", (_json(row), place))
            places = [(place,) for place in blind]
            self._db.execute("CREATE UNIQUE INDEX boxes_place ON boxes (card, box)")
            self._db.executemany("UPDATE cards SET doubtful = 1, audit = 1 WHERE id = ?", places)
            self._db.executemany("UPDATE boxes SET use = 0 WHERE card = ?", places)
            self._order()
            self._db.executescript(_INDICES)
            self._db.execute(
                "INSERT INTO meta VALUES ('format', ?), ('cards', ?), ('second', '0'), ('key', ?)",
                (str(FORMAT), str(self.count), secrets.token_hex(12)),
            )
            if self._then:
                self._then(self._db)
            self._db.commit()
            self._db.execute("PRAGMA journal_mode = WAL")
        self._written = True

    def _order(self) -> None:
        """The cards in the order of work: those of the audit evenly among the doubtful ones."""
        kinds = ("doubtful AND NOT audit", "audit", "NOT doubtful")
        doubtful, audit, sure = (
            [row[0] for row in self._db.execute(f"SELECT id FROM cards WHERE {kind} ORDER BY id")]
            for kind in kinds
        )
        spread = sorted(
            ((place + 0.5) / len(ids), card)
            for ids in (doubtful, audit)
            for place, card in enumerate(ids)
        )
        order = [card for _, card in spread] + sure
        self._db.executemany(
            "UPDATE cards SET turn = ? WHERE id = ?", ((t, card) for t, card in enumerate(order))
        )


def _box(
    card: dict[str, Any], box: int, checked: bool, picture: str
) -> tuple[str, float, str, bool, bytes, int]:
    """A box's row after its place: character, confidence, runner-up, marked, image, use."""
    character = card["reading"][box]
    likely = dict(card["alternatives"][box])
    confidence = likely.pop(character, card["confidences"][box])
    runner_up = next(iter(likely), "")
    use = NOTHING
    if character in CHARACTERS and checked:
        use = TO_SEE
    elif character in CHARACTERS and confidence >= SURE:
        use = KNOWN
    image = base64.b64decode(picture.removeprefix(PICTURE))
    return character, confidence, runner_up, box in card["marked"], image, use


class Store:
    """The store, opened. Its methods may be called from several threads.

    Raises:
        UserError: there is none at `path`, it is damaged, or another version's.
    """

    def __init__(self, path: Path):
        self.path = path
        if not path.is_file():
            raise UserError(f"there is no {path}")
        self._lock = threading.RLock()
        wrong = f"{path} is damaged or no store of a check station; put a copy back in its place"
        try:
            self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.db.execute("PRAGMA synchronous = FULL")
            meta = dict(self.db.execute("SELECT key, value FROM meta"))
            self.cards = int(meta["cards"])
            found = int(meta["format"])
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            raise UserError(f"{wrong} ({error})") from None
        if found != FORMAT:
            raise UserError(f"{path} was made by another version of the reader (format {found})")

    def close(self) -> None:
        with self._lock:
            self.db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for reading.

        Raises: StoreError.
        """
        with self._lock, _errors():
            yield self.db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction: on the disk when the block ends, or nothing of it.

        Raises: StoreError.
        """
        with self._lock, _errors():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def meta(self, key: str) -> str | None:
        with self.reading() as db:
            found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def set_meta(self, key: str, value: str) -> None:
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def count_events(self) -> int:
        with self.reading() as db:
            row = db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return int(row[0])

    def tallies(self, of: str) -> dict[str, int]:
        """Numbers that are kept as they change: of 'status', the cards to be checked; of 'to
        see', the boxes of each character that nobody has looked at; 'doubtful', those of them
        that are marked."""
        with self.reading() as db:
            found = db.execute("SELECT what, number FROM tallies WHERE of = ? ORDER BY what", (of,))
            return {what: number for what, number in found if number}

    def key_twice(self, share: float) -> None:
        """Let a second clerk key a share (0 to 1) of the cards to be checked. Which ones follows
        from their names; a card that somebody has decided stays as it is."""
        if self.meta("second") == str(share):
            return
        with self.writing() as db:
            cards = db.execute(
                "SELECT id, name FROM cards WHERE doubtful AND stage = 'first'"
            ).fetchall()
            db.executemany(
                "UPDATE cards SET second = ? WHERE id = ?",
                ((_part(name) < share, card) for card, name in cards),
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('second', ?)", (str(share),))

    def card(self, number: int) -> Card | None:
        with self.reading() as db:
            return find_card(db, number)

    def boxes(self, number: int) -> int | None:
        """How many boxes a card has, None if there is no such card."""
        with self.reading() as db:
            found = db.execute("SELECT length(reading) FROM cards WHERE id = ?", (number,))
            row = found.fetchone()
        return row[0] if row else None

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

        Raises: StoreError.
        """
        with _errors(), closing(sqlite3.connect(self.path)) as db:
            for text, status, reading in db.execute(
                "SELECT row, status, reading FROM cards ORDER BY id"
            ):
                row = VinRow(*json.loads(text))
                read = row.vin  # here also of a card of which only some boxes were read
                if not row.confidence:
                    row = row._replace(vin="")
                yield decided_row(row, status, read, reading)


def find_card(db: sqlite3.Connection, number: int) -> Card | None:
    row = db.execute(
        "SELECT id, name, turn, doubtful, second, audit, entry, row FROM cards WHERE id = ?",
        (number,),
    ).fetchone()
    if not row:
        return None
    number, name, turn, doubtful, second, audit, text, cells = row
    entry = json.loads(text)
    keyed = Keyed(entry["reading"], bool(second), bool(audit))
    return Card(number, name, turn, bool(doubtful), entry, VinRow(*json.loads(cells)), keyed)


def events_of(db: sqlite3.Connection, card: int) -> list[Event]:
    """The events of a card in the order in which they arrived."""
    found = db.execute("SELECT body FROM events WHERE card = ? ORDER BY seq", (card,))
    return [json.loads(body) for (body,) in found]


def append(db: sqlite3.Connection, event: Event, received: float | None = None) -> None:
    """Keep an event (see `events.checked`); `settle` its card afterwards."""
    db.execute(
        "INSERT INTO events (id, card, clerk, kind, decides, received, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            event["id"],
            event["card"],
            event["clerk"],
            event["kind"],
            event["kind"] in CLOSING,
            time.time() if received is None else received,
            _json(event),
        ),
    )


def settle(db: sqlite3.Connection, card: Card) -> Outcome:
    """Write what the events of a card come to into the columns that follow from them."""
    events = events_of(db, card.id)
    found = outcome(card.keyed, events)
    state = found.state
    status = state.status
    if status == "open" and found.stage in ("second", "third"):
        status = "waiting"
    reading = state.reading if status == "done" else card.keyed.reading
    db.execute(
        "UPDATE cards SET stage = ?, status = ?, reading = ?, clerk = ?, decision = ? WHERE id = ?",
        (found.stage, status, reading, state.by, state.decision, card.id),
    )
    db.execute("DELETE FROM answers WHERE card = ?", (card.id,))
    db.executemany(
        "INSERT INTO answers VALUES (?, ?)", ((card.id, clerk) for clerk in found.answers)
    )
    if not card.keyed.audit:
        settled = replay(card.keyed.reading, events).settled
        _use(db, card, status, settled, reading)
    return found


def _use(
    db: sqlite3.Connection, card: Card, status: str, settled: frozenset[int], reading: str
) -> None:
    for box, character in enumerate(card.keyed.reading):
        use = NOTHING
        if status == "done" and reading[box] == character:
            use = KNOWN
        elif status == "open" and card.doubtful and box not in settled:
            use = TO_SEE
        if character in CHARACTERS:
            db.execute(
                "UPDATE boxes SET use = ? WHERE card = ? AND box = ? AND use != ?",
                (use, card.id, box, use),
            )


def decided_row(row: VinRow, status: str, read: str, reading: str) -> VinRow:
    """The row of a card in vins.csv, in the words of review.html.

    Args:
        read: the characters as they were read; reading: as a person left them.
    """
    if status == "done":
        changed = [
            f"box {number}: {a} -> {b}"
            for number, (a, b) in enumerate(zip(read, reading, strict=True), 1)
            if a != b
        ]
        said = f"corrected by a person ({', '.join(changed)})" if changed else "checked by a person"
        row = row._replace(vin=reading, status="ok", **tells(reading))
    elif status == "unreadable":
        said = "a person cannot read it"
    elif status == "original":
        said = "needs the original, says a person"
    else:
        return row
    if status != "done":
        row = row._replace(status="review")
    return row._replace(message="; ".join(filter(None, (row.message, said))))


def tells(number: str) -> dict[str, str]:
    """The cells that follow from a number; none if it is not a whole one."""
    if len(number) != BOXES or not set(number) <= set(CHARACTERS):
        return {}
    return {
        "check_digit": vin.check_digit_status(number),
        "region": vin.region(number),
        "manufacturer": vin.manufacturer(number),
        "model_year": vin.model_year(number),
    }


def picture(image: bytes) -> str:
    """A PNG as the page shows it."""
    return PICTURE + base64.b64encode(image).decode()


def _part(name: str) -> float:
    """A number from 0 to 1 that follows from a name, evenly spread."""
    return int.from_bytes(sha256(name.encode()).digest()[:6]) / 2**48


@contextmanager
def _errors() -> Iterator[None]:
    """Gives what SQLite could not do the text for a person.

    Raises: StoreError.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store cannot be used now: {error}") from error


def _json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))
