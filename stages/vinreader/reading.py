"""A reading from its options to its files: what is read, by what, and what is said of it."""

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import cv2

from vinreader import provenance
from vinreader.console import one_line, text, uninterruptible
from vinreader.folders import Card, Found, find_items
from vinreader.litert import notes_held
from vinreader.number.known import RATE, Known
from vinreader.options import EXIT_READ, EXIT_SOME_UNREADABLE
from vinreader.pipeline import Result, read_items
from vinreader.reader import Reader
from vinreader.spec import UserError
from vinreader.summary import Summary
from vinreader.tables import PAGE, VINS, WORKBOOK
from vinreader.workbook import MOST
from vinreader.writing import (
    put_aside_changed,
    put_aside_earlier,
    refuse_to_replace,
    write_files,
)


def run(options: argparse.Namespace) -> int:
    """Reads what the options name; gives the exit status.

    Raises: UserError, OSError.
    """
    # The images are so small that OpenCV's threads cost more than they bring.
    cv2.setNumThreads(1)
    notes = sys.stderr if options.format == "ascii" else sys.stdout
    to_file = options.output if options.format == "csv" else None
    if to_file and not options.version:
        refuse_to_replace(to_file)
    reader = open_reader(options)
    if options.version:
        print(provenance.origin(reader))
        return EXIT_READ
    print(introduction(reader), file=notes)
    summary = Summary(thresholds=reader.vin_thresholds)
    earlier = provenance.recorded_tables(to_file) if to_file else {}
    with closing(read(reader, options, summary.found)) as results:
        if options.format == "ascii":
            print_ascii(results, summary)
        elif to_file:
            changed: dict[str, str] = {}

            def before_replacing() -> None:
                uninterruptible()
                changed.update(put_aside_changed(to_file, earlier))

            tables = write_files(
                results, to_file, summary, options.audit or 0, before_replacing=before_replacing
            )
            if changed:
                print(text("changed", **listed(changed)), file=notes)
            provenance.write_record(reader, options.rules, tables, summary.record())
        else:
            for result in results:
                summary.add(result)
    print(report(summary, to_file), file=notes)
    if to_file and not summary.cards and VINS in earlier:
        print(text("earlier", **listed(put_aside_earlier(to_file))), file=notes)
    return EXIT_READ if summary.all_read else EXIT_SOME_UNREADABLE


def listed(names: dict[str, str]) -> dict[str, str]:
    """Names of files and what they are called now, as a message tells them."""
    return {"paths": ", ".join(names), "names": ", ".join(names.values())}


def open_reader(options: argparse.Namespace) -> Reader:
    """The reader that the options ask for.

    Raises: UserError.
    """
    rate = RATE if options.known_rate is None else options.known_rate
    with notes_held():
        known = Known.read(options.known, rate) if options.known else None
        reader = Reader(
            options.model, options.threshold, known=known, years=options.years, risk=options.risk
        )
    if known:
        print(known.summary(), file=sys.stderr)
    return reader


def introduction(reader: Reader) -> str:
    """What reads, and how well, in a line."""
    made_from, path, here = reader.description, reader.path, Path.cwd()
    path = path.relative_to(here) if path.is_relative_to(here) else path
    accuracy = made_from["test"]["balanced_accuracy"]
    return text("reader", path=path, source=made_from["source"], accuracy=accuracy)


def find(source: Path, found: Found) -> tuple[Iterator[Card | Path], Path]:
    """Cards and images in natural order, and the folder their names are relative to; `found` takes
    up what lies there.

    Raises: UserError where there is nothing to read.
    """
    if source.is_file():
        return iter([source]), source.parent
    if not source.is_dir():
        raise UserError(text("no_folder", path=source))
    items = find_items(source, found)
    first = next(items, None)
    if first is None:
        aside = Summary(found=found).lines_aside()
        raise UserError("\n".join((text("no_images", path=source), *aside)))
    return chain([first], items), source


def read(
    reader: Reader, options: argparse.Namespace, found: Found
) -> Generator[Result, None, None]:
    """Results of what the options name, in its order."""
    if options.engine == "local":
        items, root = find(Path(options.input), found)
        results = read_items(reader, items, root, options.rules, options.jobs, options.debug)
        return with_bar(results, Path(options.input))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it asks nobody's server for anything
    from vinreader import cluster

    items, root = find(cluster.location(options.input), found)
    shards = cluster.location(options.shards)
    return cluster.read_items(
        reader, items, root, options.rules, options.jobs, shards, print_progress
    )


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


def print_progress(done: int, shards: int) -> None:
    if sys.stderr.isatty():
        said = "\r" + text("shards", done=done, shards=shards)
        print(said, end="\n" if done == shards else "", file=sys.stderr, flush=True)


def print_ascii(results: Iterable[Result], summary: Summary) -> None:
    """Prints the lines `065, path` that the original task asks for."""
    for result in results:
        summary.boxes.update(row.status for row in result.rows)
        for row in result.rows:
            if row.ascii:
                print(f"{row.ascii}, {one_line(row.path)}")
            else:
                print(one_line(f"{row.path}: {row.message}"), file=sys.stderr)


def report(summary: Summary, output: Path | None) -> str:
    """What is said at the end; `output`: the table of boxes, if there is one."""
    if not output:
        return summary.lines()
    beside = {"vins": VINS, "workbook": WORKBOOK, "page": PAGE}
    said = summary.lines(output, {name: output.with_name(file) for name, file in beside.items()})
    if summary.cards.total() > MOST:
        said += "\n" + text("rows_left_out", workbook=WORKBOOK, most=MOST, vins=VINS)
    return said
