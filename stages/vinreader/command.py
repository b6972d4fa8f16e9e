"""Reads images of VIN boxes, one handwritten character in each, and whole cards, into CSV files."""

import argparse
import csv
import heapq
import os
import sys
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol, Self

import cv2

from vinreader import provenance
from vinreader.files import Csv, sha256
from vinreader.folders import Card, find_items
from vinreader.litert import notes_held
from vinreader.number.known import RATE, Known, alike, note_alike
from vinreader.options import (
    EXIT_CANNOT_RUN,
    EXIT_INTERRUPTED,
    EXIT_READ,
    EXIT_SOME_UNREADABLE,
    OPTIONS,
)
from vinreader.pipeline import Result, read_items
from vinreader.reader import Reader
from vinreader.review import Review
from vinreader.spec import UserError
from vinreader.tables import DRAWN, Row, VinRow
from vinreader.template import Entry

ROWS_IN_MEMORY = 8 << 20  # bytes of vins.csv in the making that need no file

Counts = Counter[str]  # how many boxes, and cards as `vin ...`, have which status


def parse(argv: list[str] | None, program: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    for name, settings in OPTIONS.items():
        parser.add_argument(name, **settings)
    options = parser.parse_args(argv)
    if not (options.input or options.version):
        parser.error("name a folder of images, or one image")
    if options.engine == "local":
        options.output = options.output or Path("predictions.csv")
    elif options.debug or options.known or options.years or options.audit:
        parser.error("--debug, --known, --years and --audit are for --engine local")
    if options.audit and options.format == "ascii":
        parser.error("--audit is for --format csv, which writes the page")
    return options


def find(source: Path) -> tuple[Iterator[Card | Path], Path]:
    """Cards and images in natural order, and the folder their names are relative to."""
    if source.is_file():
        return iter([source]), source.parent
    if not source.is_dir():
        raise UserError(f"{source}: no such folder or image")
    items = find_items(source)
    first = next(items, None)
    if first is None:
        raise UserError(f"{source}: there are no images in this folder")
    return chain([first], items), source


class Cards:
    """Rows of vins.csv, kept on disk until the last one is read: what a card says of others like
    it, and whether it is one of the `audit` cards drawn, is known only then. A context manager."""

    def __init__(self, audit: int = 0) -> None:
        self._audit = audit
        self._lots: list[tuple[int, int]] = []  # (minus the lot, place) of the accepted, a heap
        self._kept = SpooledTemporaryFile(  # noqa: SIM115 (closed with this object)
            ROWS_IN_MEMORY, "w+", newline="", encoding="utf-8"
        )
        self._writer = csv.writer(self._kept)
        self._names: list[str] = []
        self._vins: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.close()

    def add(self, row: VinRow) -> None:
        if self._audit and row.status == "ok":
            # Lots follow from what is in the rows alone: the same reading draws the same cards.
            lot = int(sha256("\0".join(row).encode()), 16)
            heapq.heappush(self._lots, (-lot, len(self._names)))
            if len(self._lots) > self._audit:
                heapq.heappop(self._lots)
        self._writer.writerow(row)
        self._names.append(row.card)
        self._vins.append(row.vin)

    def drawn(self) -> set[int]:
        """The places of the accepted cards with the smallest lots: a simple random sample."""
        return {place for _, place in self._lots}

    def notes(self) -> dict[int, str]:
        """By the place of a card: which others have its number, or one that differs in a box; and
        that it was drawn for the audit."""
        notes = {
            place: note_alike([(self._names[other], box) for other, box in others])
            for place, others in alike(self._vins).items()
        }
        for place in self.drawn():
            notes[place] = "; ".join(filter(None, (notes.get(place), DRAWN)))
        return notes

    def rows(self, notes: dict[int, str]) -> Iterator[VinRow]:
        """All rows in order, each with its note."""
        self._kept.seek(0)
        for place, row in enumerate(map(VinRow._make, csv.reader(self._kept))):
            message = "; ".join(filter(None, (row.message, notes.get(place))))
            yield row._replace(message=message)


def count(result: Result, counts: Counts) -> None:
    counts.update(row.status for row in result.rows)
    if result.vin_row:
        counts[f"vin {result.vin_row.status}"] += 1


class Page(Protocol):
    """What takes the cards beside the tables, so that persons can check them: `Review`, or the
    store of a check station. name: of its file; write: as of `Review`."""

    name: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: Any) -> None: ...
    def add(self, entry: Entry) -> None: ...
    def write(
        self, path: Path, notes: Mapping[int, str] | None = None, blind: Collection[int] = ()
    ) -> None: ...


def write_files(
    results: Iterable[Result],
    output: Path,
    counts: Counts,
    audit: int = 0,
    page: Page | None = None,
) -> list[Path]:
    """predictions.csv, and for cards vins.csv and the page beside it: all of them or none.

    audit: so many of the accepted cards, or all where there are fewer, are to be checked blind.
    page: by default review.html. Returns the tables.
    """
    tables = [output]
    # vins.csv is replaced last: what persons decided in the old one is in the page's store by then.
    with ExitStack() as last, ExitStack() as stack:
        predictions = Csv(output, Row._fields, stack)
        page = stack.enter_context(page or Review())
        cards = stack.enter_context(Cards(audit))
        vins = None
        for result in results:
            predictions.writer.writerows(result.rows)
            count(result, counts)
            if result.vin_row and result.entry:
                if not vins:
                    tables.append(output.with_name("vins.csv"))
                    vins = Csv(tables[-1], VinRow._fields, last)
                cards.add(result.vin_row)
                page.add(result.entry)
        if vins:
            notes = cards.notes()
            vins.writer.writerows(cards.rows(notes))
            page.write(output.with_name(page.name), notes, cards.drawn())
            counts["drawn"] = len(cards.drawn())
    return tables


def one_line(name: str) -> str:
    """A name in which no character ends the line or commands the terminal: those as `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def print_ascii(results: Iterable[Result], counts: Counts) -> None:
    for result in results:
        for row in result.rows:
            counts[row.status] += 1
            if row.ascii:
                print(f"{row.ascii}, {one_line(row.path)}")
            else:
                print(f"{one_line(row.path)}: {row.message}", file=sys.stderr)


def with_bar(results: Iterator[Result], source: Path) -> Generator[Result, None, None]:
    """The results, counted on a bar where a person watches."""
    if not sys.stderr.isatty():
        yield from results
        return
    from tqdm import tqdm  # its import takes a tenth of the time in which a card is read

    tqdm.monitor_interval = 0  # no thread beside the processes to be forked
    files = sum(len(files) for *_, files in os.walk(source)) or 1
    with tqdm(total=files, unit=" files", leave=False) as bar:
        for result in results:
            yield result
            bar.update(result.files)


def read(reader: Reader, options: argparse.Namespace) -> Generator[Result, None, None]:
    if options.engine == "local":
        items, root = find(Path(options.input))
        results = read_items(reader, items, root, options.rules, options.jobs, options.debug)
        return with_bar(results, Path(options.input))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it asks nobody's server for anything
    from vinreader import cluster

    items, root = find(cluster.location(options.input))
    shards = cluster.location(options.shards)
    return cluster.read_items(
        reader, items, root, options.rules, options.jobs, shards, print_progress
    )


def print_progress(done: int, shards: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == shards else ""
        print(f"\r{done:,} of {shards:,} shards read", end=end, file=sys.stderr, flush=True)


def short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def summary(counts: Counts, output: Path | None) -> str:
    """What was read, for the person who waits, and in which files it is, if in any."""
    boxes = counts["ok"] + counts["review"] + counts["error"]
    cards = counts["vin ok"] + counts["vin review"]
    text = (
        f"{boxes:,} boxes: {counts['ok']:,} read, {counts['review']:,} doubtful, "
        f"{counts['error']:,} unreadable"
    )
    if output:
        text += f"; see {output}"
    if cards:
        text += f"\n{cards:,} cards: {counts['vin ok']:,} read, {counts['vin review']:,} doubtful"
        if counts["drawn"]:
            text += f", {counts['drawn']:,} of those read to be checked blind"
        if output:
            vins, page = output.with_name("vins.csv"), output.with_name("review.html")
            text += f"; see {vins} and check {page}"
    return text


def open_reader(options: argparse.Namespace) -> Reader:
    """The reader that the options ask for.

    Raises: UserError.
    """
    rate = RATE if options.known_rate is None else options.known_rate
    with notes_held():
        known = Known.read(options.known, rate) if options.known else None
        reader = Reader(options.model, options.threshold, known=known, years=options.years)
    if known:
        print(known.summary(), file=sys.stderr)
    return reader


def introduction(reader: Reader) -> str:
    """What reads, and how well, in a line."""
    made_from = reader.description
    return (
        f"Reader {short(reader.path)}: trained on {made_from['source']}; read "
        f"{made_from['test']['balanced_accuracy']:.1%} of its test characters right"
    )


def run(options: argparse.Namespace) -> int:
    """Reads what the options name.

    Raises: UserError, OSError.
    """
    notes = sys.stderr if options.format == "ascii" else sys.stdout
    reader = open_reader(options)
    if options.version:
        print(provenance.origin(reader))
        return EXIT_READ
    print(introduction(reader), file=notes)
    counts = Counts()
    with closing(read(reader, options)) as results:
        if options.format == "ascii":
            print_ascii(results, counts)
        elif options.output:
            tables = write_files(results, options.output, counts, options.audit or 0)
            provenance.write_record(reader, options.rules, tables)
        else:
            for result in results:
                count(result, counts)
    print(summary(counts, options.output if options.format == "csv" else None), file=notes)
    return EXIT_SOME_UNREADABLE if counts["error"] else EXIT_READ


def main(argv: list[str] | None = None, program: str = "vin-reader") -> int:
    """The command; gives its exit status. `argv`: its arguments, by default the process's."""
    options = parse(argv, program)
    kept = "nothing was changed"
    if options.engine == "ray":
        kept = f"what was read is in {options.shards}, from where the same command goes on"
    # The images are so small that OpenCV's threads cost more than they bring.
    cv2.setNumThreads(1)
    try:
        return run(options)
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    except OSError as error:
        where = error.filename or "input/output"
        print(f"{program}: {where}: {error.strerror or error}; {kept}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    except KeyboardInterrupt:
        print(f"{program}: interrupted; {kept}", file=sys.stderr)
        return EXIT_INTERRUPTED
