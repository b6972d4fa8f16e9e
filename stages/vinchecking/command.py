"""Serves the page on which clerks check cards, and keeps what they decide beside the tables.

The folder is read if that has not been done here; vins.csv is written with what was decided every
now and then, and at the end (Ctrl+C).
"""

import argparse
import json
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vinchecking.building import Building
from vinchecking.events import Event
from vinchecking.former import decisions, take_over, upgrade
from vinchecking.report import report, told
from vinchecking.store import FILE, Store, StoreError
from vinreader.console import choose, interruptible, lines, text
from vinreader.files import Csv, put_aside, sha256, write_json
from vinreader.options import EXIT_CANNOT_RUN, EXIT_READ, OPTIONS, share
from vinreader.spec import UserError
from vinreader.tables import VINS, WORKBOOK, VinRow
from vinreader.workbook import Workbook

PORT = 8017
MINUTE = 60.0
log = logging.getLogger("vinchecking")
HOW = ["--model", "--threshold", "--rules", "--known", "--known-rate"]
HOW += ["--risk", "--years", "--audit"]


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError
    return value


def parse(argv: list[str], program: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    parser.add_argument("input", help="folder of card images (with its subfolders)")
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; another than this machine's own needs a token, which is made "
        "and printed (default: %(default)s)",
    )
    add("--port", type=port, default=PORT, help="0: any that is free (default: %(default)s)")
    add(
        "--name",
        action="append",
        default=[],
        help="a further name by which browsers may call this machine; may be given several times",
    )
    add("--certificate", type=Path, metavar="FILE", help="PEM file for https")
    add("--certificate-key", type=Path, metavar="FILE", help="PEM file of its private key")
    add(
        "--second",
        type=share,
        metavar="0..1",
        help="share of the cards that a second clerk keys without seeing what was read or said; a "
        "third decides where they differ",
    )
    add("--new-token", action="store_true", help="make another token: the former opens nothing")
    add("--report", action="store_true", help="write the tables, tell of the work, serve nothing")
    add("--language", **OPTIONS["--language"])
    reading = parser.add_argument_group("for a folder that has not been read")
    for name in ("--output", *HOW, "--jobs"):
        reading.add_argument(name, **OPTIONS[name])
    parser.set_defaults(engine="local", debug=None, format="csv", version=False)
    options = parser.parse_args(argv)
    choose(options.language)
    options.output = options.output or Path("predictions.csv")
    if bool(options.certificate) != bool(options.certificate_key):
        parser.error("--certificate and --certificate-key go together")
    return options


def open_store(options: argparse.Namespace) -> Store:
    """The store beside the tables; the folder is read if there is none. Raises: UserError, OSError,
    StoreError; nothing was changed then."""
    path, vins = options.output.with_name(FILE), options.output.with_name(VINS)
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and not path.exists():
        raise UserError(f"{wal} is there without {path.name}: put that back, or remove it")
    own = path.exists() and vins.is_file() and sha256(vins) == _recorded(vins, options.output)
    said = {} if own else decisions(vins)
    if path.exists():
        store = Store(path)
        try:
            _refuse_another(store, options)
            upgrade(store)
            with store.writing() as db:
                taken, other = take_over(db, said, vins)
        except BaseException:
            store.close()
            raise
    else:
        taken, other = _read(options, path, said)
        store = Store(path)
    if taken:
        print(text("taken_over", cards=taken, path=vins))
    if other:
        print(text("others_stay", cards=other, path=vins))
    return store


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked to be read, and how: as JSON has it."""
    asked = {name: getattr(options, name[2:].replace("-", "_")) for name in HOW}
    asked["input"] = Path(options.input)
    found: dict[str, Any] = json.loads(json.dumps(asked, default=lambda path: str(path.resolve())))
    return found


def _refuse_another(store: Store, options: argparse.Namespace) -> None:
    """Raises: UserError where the store is of another folder, or of one that was read otherwise."""
    was, asked = json.loads(store.meta("reading") or "{}"), _asked(options)
    if not was:
        return  # it was made before this was written down
    if was["input"] != asked["input"]:
        if Path(was["input"]).exists():
            raise UserError(
                f"{store.path} is of the folder {was['input']}, not of {asked['input']}: name that "
                "folder, or another --output for this one"
            )
        print(f"{store.path} was made of {was['input']}, which has been moved")
    given = [name for name in HOW if asked[name] not in (None, "auto")]
    if other := [name for name in given if asked[name] != was[name]]:
        raise UserError(
            f"{store.path}: the folder has been read already, and with another "
            f"{', '.join(other)} or none; leave that out, or read it anew into another folder with "
            "--output"
        )


def _recorded(vins: Path, output: Path) -> str:
    """The SHA-256 of vins.csv as it was last written, by the record of the reading; else ""."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(_record(output).read_text("utf-8"))["tables"][vins.name])
    return ""


def _record(output: Path) -> Path:
    return output.with_name(f"{output.name}.json")


def _read(options: argparse.Namespace, path: Path, said: dict[str, Event]) -> tuple[int, int]:
    """Read the folder into the tables and a store at `path`, with what persons have said of it.
    Returns: as `take_over`."""
    from vinreader import provenance, reading, summary, writing  # not needed otherwise

    found = 0, 0

    def then(db: sqlite3.Connection) -> None:
        nonlocal found
        found = take_over(db, said, options.output.with_name(VINS))
        db.execute("INSERT INTO meta VALUES ('reading', ?)", (json.dumps(_asked(options)),))

    reader = reading.open_reader(options)
    counts = summary.Summary(thresholds=reader.vin_thresholds)
    print(reading.introduction(reader))
    with closing(reading.read(reader, options, counts.found)) as results:
        building = Building(path, then)
        tables = writing.write_files(results, options.output, counts, options.audit or 0, building)
    provenance.write_record(reader, options.rules, tables, counts.record())
    print(counts.lines())
    return found


class Seldom(logging.Filter):
    """Lets one line a minute through for one cause, and tells how many there were more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = clock
        self._last: dict[object, tuple[float, int]] = {}  # of a cause: when, and how many since

    def filter(self, record: logging.LogRecord) -> bool:
        now, cause = self._now(), (record.name, record.msg)
        last, more = self._last.get(cause, (now - 2 * MINUTE, 0))
        if now - last < MINUTE:
            self._last[cause] = last, more + 1
            return False
        self._last[cause] = now, 0
        if more:
            record.msg = f"{record.getMessage()} ({more:,} more like it before)"
            record.args = ()
        return True


class Tables:
    """The tables beside a store, written from it: by one thread at a time, whole or not at all."""

    def __init__(self, store: Store, output: Path):
        self.path = output.with_name(VINS)
        self._store = store
        self._record = _record(output)
        self._lock = threading.Lock()
        self._events = -1  # of which the tables tell
        self._written = _recorded(self.path, output)

    def write(self) -> Path:
        """Write vins.csv as it is decided now, and its SHA-256 into the record of the reading;
        gives its path. Raises: OSError, StoreError."""
        path = self.path
        with self._lock:
            events = self._store.count_events()
            if events == self._events and path.exists():
                return path
            if self._written and path.is_file() and sha256(path) != self._written:
                # A person changed it, or put one with decisions in its place.
                aside = put_aside(path)
                log.warning("%s was changed by another than the station: it is %s now", path, aside)
            with ExitStack() as stack:
                Csv(path, VinRow._fields, stack).write(self._store.rows())
            self._written = sha256(path)
            with suppress(OSError):  # `write_workbook` makes it anew when the work is done
                path.with_name(WORKBOOK).unlink(missing_ok=True)
            with suppress(FileNotFoundError, ValueError, KeyError):
                record = json.loads(self._record.read_text("utf-8"))
                record["tables"][path.name] = self._written
                write_json(self._record, record)
            self._events = events
        return path

    def write_workbook(self, images: Path) -> None:
        """Write vins.xlsx. images: the folder that was read. Raises: OSError, StoreError."""
        with Workbook(self.path.with_name(WORKBOOK)) as book:
            for row in self._store.rows():
                source = images / row.card.partition("#page=")[0]
                book.add(row, str(source) if source.exists() else "")


def run(options: argparse.Namespace) -> int:
    missing = [name for name in ("starlette", "uvicorn") if not find_spec(name)]
    if missing and not options.report:
        raise UserError(
            f"{' and '.join(missing)} is not installed, and the check station needs it: "
            "pip install 'vinreader[check]', or pip install '.[check]' in the project's folder"
        )
    with closing(open_store(options)) as store:
        tables = Tables(store, options.output)
        if options.second is not None:
            store.key_twice(options.second)
        if not options.report:
            work = store.tallies("status")
            counts = {"checked": sum(work.values()), "open": work.get("open", 0)}
            print(text("to_check", cards=store.cards, **counts))
            from vinchecking.serving import serve  # its import takes longer than a card is read

            serve(store, tables.write, options)
        path = tables.write()
        tables.write_workbook(Path(options.input))
        print(told(report(store)))
        print(text("see", path=path))
    return EXIT_READ


def main() -> int:
    """The command, with the process's arguments; gives its exit status."""
    program = Path(sys.argv[0]).name
    options = parse(sys.argv[1:], program)
    interruptible()
    said = logging.StreamHandler()
    said.addFilter(Seldom())
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING, handlers=[said])
    try:
        return run(options)
    except (UserError, StoreError) as error:
        print(f"{program}: {lines(error)}", file=sys.stderr)
    except OSError as error:
        where = error.filename or "input/output"
        print(f"{program}: {lines(f'{where}: {error.strerror or error}')}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"{program}: {text('stopped')}", file=sys.stderr)
    return EXIT_CANNOT_RUN
