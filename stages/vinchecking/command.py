"""Serves the page on which clerks check cards, and keeps what they decide beside the tables.

    vin-reader check FOLDER

reads the folder of card images if that has not been done here, prints an address to be opened in
a browser, and writes vins.csv with what was decided every now and then and at the end (Ctrl+C).
"""

import argparse
import json
import logging
import secrets
import signal
import socket
import sqlite3
import sys
import threading
from contextlib import ExitStack, closing, suppress
from ipaddress import ip_address
from pathlib import Path

from vinchecking.events import Event
from vinchecking.former import Taken, decisions, take_over
from vinchecking.report import report, told
from vinchecking.store import FILE, Building, Store, StoreError
from vinreader.files import Csv, sha256, write_json
from vinreader.options import EXIT_CANNOT_RUN, EXIT_READ, OPTIONS, share
from vinreader.spec import UserError
from vinreader.tables import VinRow

PORT = 8017
READING = (
    "--output",
    "--model",
    "--threshold",
    "--rules",
    "--known",
    "--known-rate",
    "--years",
    "--audit",
    "--jobs",
)


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
        help="share of the cards that a second clerk keys "
        "without seeing what was read or said; a third decides where they differ",
    )
    add(
        "--new-token",
        action="store_true",
        help="make another token: the former one opens nothing any more",
    )
    add(
        "--report",
        action="store_true",
        help="write the tables, print how the work went, and serve nothing",
    )
    reading = parser.add_argument_group("for a folder that has not been read")
    for name in READING:
        reading.add_argument(name, **OPTIONS[name])
    parser.set_defaults(engine="local", debug=None, format="csv", version=False)
    options = parser.parse_args(argv)
    options.output = options.output or Path("predictions.csv")
    if bool(options.certificate) != bool(options.certificate_key):
        parser.error("--certificate and --certificate-key go together")
    return options


def open_store(options: argparse.Namespace) -> Store:
    """The store beside the tables; the folder is read if there is none.

    Raises: UserError, OSError, StoreError; nothing was changed then.
    """
    path, vins = options.output.with_name(FILE), options.output.with_name("vins.csv")
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and not path.exists():
        raise UserError(
            f"{log} is there without {path.name}: put that back beside it, or remove it"
        )
    said = {} if path.exists() and _is_own(vins, options.output) else decisions(vins)
    if path.exists():
        store = Store(path)
        try:
            with store.writing() as db:
                found = take_over(db, said, vins)
        except BaseException:
            store.close()
            raise
    else:
        found = _read(options, path, said)
        store = Store(path)
    if found.taken:
        print(f"{found.taken:,} decisions of persons taken over from {vins}")
    if found.other:
        print(f"{found.other:,} decisions in {vins} are others than those here, which stay")
    return store


def _is_own(vins: Path, output: Path) -> bool:
    """Whether vins.csv is as a reading or a station has written it, as far as the record says."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads(_record(output).read_text("utf-8"))
        return bool(record["tables"][vins.name] == sha256(vins))
    return False


def _record(output: Path) -> Path:
    return output.with_name(f"{output.name}.json")


def _read(options: argparse.Namespace, path: Path, said: dict[str, Event]) -> Taken:
    """Read the folder into the tables and a store at `path`, with what persons have said of it."""
    from vinreader import command, provenance  # what reads images is not needed otherwise

    vins, found = options.output.with_name("vins.csv"), Taken(0, 0)

    def then(db: sqlite3.Connection) -> None:
        nonlocal found
        found = take_over(db, said, vins)

    counts = command.Counts()
    reader = command.open_reader(options)
    print(command.introduction(reader))
    with closing(command.read(reader, options)) as results:
        tables = command.write_files(
            results, options.output, counts, options.audit or 0, Building(path, then)
        )
    provenance.write_record(reader, options.rules, tables)
    print(command.summary(counts, None))
    return found


class Tables:
    """The tables beside a store, written from it: by one thread at a time, whole or not at all."""

    def __init__(self, store: Store, output: Path):
        self.path = output.with_name("vins.csv")
        self._store = store
        self._record = _record(output)
        self._lock = threading.Lock()
        self._events = -1  # of which the tables tell

    def write(self) -> Path:
        """Write vins.csv as it is decided now, and its SHA-256 into the record of the reading.

        Returns its path.

        Raises: OSError, StoreError.
        """
        with self._lock:
            events = self._store.count_events()
            if events != self._events or not self.path.exists():
                with ExitStack() as stack:
                    Csv(self.path, VinRow._fields, stack).writer.writerows(self._store.rows())
                with suppress(FileNotFoundError, ValueError, KeyError):
                    record = json.loads(self._record.read_text("utf-8"))
                    record["tables"][self.path.name] = sha256(self.path)
                    write_json(self._record, record)
                self._events = events
        return self.path


def serve(store: Store, tables: Tables, options: argparse.Namespace) -> None:
    """Answers until it is told to stop.

    Raises: UserError if the address cannot be had.
    """
    import uvicorn  # its import takes longer than a card is read

    from vinchecking.app import Access, make_app
    from vinchecking.desk import Desk

    listening = _listen(options.host, options.port)
    address, used = listening.getsockname()[:2]
    token = "" if ip_address(address).is_loopback else _token(store, options.new_token)
    names = {"localhost", "127.0.0.1", "::1", options.host, socket.gethostname(), *options.name}
    access = Access(
        frozenset(name.lower() for name in names),
        ip_address(address).is_unspecified,
        token,
        f"token-{used}",
    )
    app = make_app(Desk(store), access, tables.write)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.certificate_key,
    )
    called = socket.gethostname() if ip_address(address).is_unspecified else options.host
    called = f"[{called}]" if ":" in called else called
    url = f"{'https' if options.certificate else 'http'}://{called}:{used}/"
    print(f"Open {url}{f'?token={token}' if token else ''} in a browser. Ctrl+C ends.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the store is to be closed then, too
    with listening, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _token(store: Store, new: bool) -> str:
    token = None if new else store.meta("token")
    if not token:
        token = secrets.token_urlsafe(24)
        store.set_meta("token", token)
    return token


def _listen(host: str, wanted: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, wanted), family=family)
        # An answer is not to wait for the acknowledgement of its headers (40 ms); inherited.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise UserError(
            f"{host}:{wanted} cannot be listened on ({error.strerror or error}); "
            "name another --port or --host"
        ) from None


def run(options: argparse.Namespace) -> int:
    with closing(open_store(options)) as store:
        tables = Tables(store, options.output)
        if options.second is not None:
            store.key_twice(options.second)
        if not options.report:
            work = store.tallies("status")
            checked = sum(work.values())
            print(f"{checked:,} of {store.cards:,} cards to check, {work.get('open', 0):,} open")
            serve(store, tables, options)
        path = tables.write()
        print(told(report(store)))
        print(f"See {path}.")
    return EXIT_READ


def main(argv: list[str], program: str = "vin-reader check") -> int:
    """The command; gives its exit status."""
    options = parse(argv, program)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    try:
        return run(options)
    except (UserError, StoreError) as error:
        print(f"{program}: {error}", file=sys.stderr)
    except OSError as error:
        where = error.filename or "input/output"
        print(f"{program}: {where}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
    return EXIT_CANNOT_RUN
