"""The store of a check station in the making, and how it is laid out."""

import base64
import json
import secrets
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

from vinchecking.store import FILE, FORMAT, KNOWN, NOTHING, TO_SEE, as_json, errors
from vinreader.files import replacing
from vinreader.spec import CHARACTERS, UserError
from vinreader.tables import DRAWN, VinRow
from vinreader.template import PICTURE, Entry

SURE = 0.999  # probability from which a box of an accepted card is known to be what was read

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
# The order of work: the cards of the audit evenly among the doubtful ones, the others after them.
_ORDER = """
WITH spread AS (
    SELECT id, doubtful, (row_number() OVER (PARTITION BY doubtful, audit ORDER BY id) - 0.5)
        / count(*) OVER (PARTITION BY doubtful, audit) AS place FROM cards
), ordered AS (SELECT id, row_number() OVER (ORDER BY doubtful DESC, place, id) - 1 AS turn
    FROM spread)
UPDATE cards SET turn = ordered.turn FROM ordered WHERE ordered.id = cards.id
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
        self.count = 0

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(replacing(self._path))
        self._db = self._stack.enter_context(closing(sqlite3.connect(temporary)))
        temporary.chmod(0o600)  # it holds the token, and numbers of vehicles
        with errors():
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        return self

    def __exit__(self, *error: Any) -> None:
        nothing = UserError("there are no cards in the folder, and only cards are checked here")
        if error[0] is None and not self.count:
            self._stack.__exit__(UserError, nothing, None)
            raise nothing
        self._stack.__exit__(*error)

    def add(self, entry: Entry) -> None:
        """Add the `Entry` of the next card in vins.csv."""
        card = json.loads(entry.json + "}")
        row, reading = VinRow(**card.pop("row")), card["reading"]
        pictures = card.pop("boxes")
        boxes = [
            (self.count, box, *_box(card, box, entry.doubtful, image))
            for box, image in enumerate(pictures)
        ]
        with errors():
            self._db.execute(
                "INSERT INTO cards (id, name, doubtful, entry, row, reading) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (self.count, card["name"], entry.doubtful, as_json(card), as_json(row), reading),
            )
            self._db.executemany("INSERT INTO boxes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", boxes)
        self.count += 1

    def write(
        self, path: Path, notes: Mapping[int, str] | None = None, blind: Collection[int] = ()
    ) -> None:
        """Finish the store. `notes` are added to messages, by the cards' places in vins.csv; the
        cards at the places `blind` are to be keyed without what was read. Raises: OSError if it
        cannot be written."""
        assert path == self._path
        with errors():
            self._db.execute("CREATE UNIQUE INDEX boxes_place ON boxes (card, box)")
            for place in {*(notes or {}), *blind}:
                found = self._db.execute("SELECT row FROM cards WHERE id = ?", (place,))
                row = VinRow(*json.loads(found.fetchone()[0]))
                message = "; ".join(filter(None, (row.message, (notes or {}).get(place))))
                row = row._replace(message=message, audit=DRAWN if place in blind else "")
                self._db.execute("UPDATE cards SET row = ? WHERE id = ?", (as_json(row), place))
            for place in blind:
                self._db.execute("UPDATE cards SET doubtful = 1, audit = 1 WHERE id = ?", (place,))
                self._db.execute("UPDATE boxes SET use = 0 WHERE card = ?", (place,))
            self._db.execute(_ORDER)
            self._db.executescript(_INDICES)
            self._db.execute(
                "INSERT INTO meta VALUES ('format', ?), ('cards', ?), ('second', '0'), ('key', ?)",
                (str(FORMAT), str(self.count), secrets.token_hex(12)),
            )
            if self._then:
                self._then(self._db)
            self._db.commit()
            self._db.execute("PRAGMA journal_mode = WAL")


def _box(card: dict[str, Any], box: int, checked: bool, picture: str) -> tuple[object, ...]:
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
