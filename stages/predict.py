"""Reads images of VIN boxes, one handwritten character in each, and whole cards, into CSV files."""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

from vinreader import provenance
from vinreader.files import replacing
from vinreader.folders import Card, find_items
from vinreader.known import Known
from vinreader.pipeline import Result, read_items
from vinreader.reader import Reader
from vinreader.review import Review
from vinreader.spec import UserError
from vinreader.tables import COLUMNS, VIN_COLUMNS

EXIT_READ, EXIT_SOME_UNREADABLE, EXIT_CANNOT_RUN, EXIT_INTERRUPTED = 0, 1, 2, 130


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__)
    parser.add_argument("input", nargs="?",
                        help="folder of images (with its subfolders), or one image; "
                        "with --engine ray also a URL such as s3://bucket/cards")  # fmt: skip
    parser.add_argument("--output", type=Path,
                        help="CSV file to write (default: predictions.csv; with --engine ray "
                        "none)")  # fmt: skip
    parser.add_argument("--format", choices=("csv", "ascii"), default="csv",
                        help="csv: write --output; ascii: print lines '065, path'")  # fmt: skip
    parser.add_argument("--model", type=Path, help="a .tflite model with its .json beside it "
                        "(default: the released reader)")  # fmt: skip
    parser.add_argument("--threshold", type=share, metavar="0..1",
                        help="confidence under which a reading is for review "
                        "(default: the model's own)")  # fmt: skip
    parser.add_argument("--rules", choices=("auto", "none"), default="auto",
                        help="auto: a card's VIN is read under the rules of its world region; "
                        "none: box by box (default: %(default)s)")  # fmt: skip
    parser.add_argument("--known", type=Path, metavar="FILE",
                        help="CSV file of numbers that the archive already has (column vin): found "
                        "more easily, and told of in vins.csv")  # fmt: skip
    parser.add_argument("--jobs", type=number, metavar="N",
                        help="processes that read (default: one a core)")  # fmt: skip
    parser.add_argument("--debug", type=Path, metavar="DIR",
                        help="write a picture of each box into DIR: how it was read")  # fmt: skip
    parser.add_argument("--version", action="store_true",
                        help="print what the model was made from, and what reads here")  # fmt: skip
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="local: this machine's processes; ray: a Ray cluster's "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--shards", default="predictions.parquet", metavar="DIR",
                        help="with --engine ray: folder or URL of the Parquet files; what is in "
                        "them is not read again (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(argv)
    if not (options.input or options.version):
        parser.error("name a folder of images, or one image")
    if options.engine == "local":
        options.output = options.output or Path("predictions.csv")
    elif options.debug or options.known:
        parser.error("--debug and --known are for --engine local")
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


class Csv:
    """A CSV file that takes the place of an older one only when it is whole."""

    def __init__(self, path: Path, columns: tuple[str, ...], stack: ExitStack):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no ordinary file"
            raise UserError(f"{path} is {kind}; --output names the file to write")
        file = stack.enter_context(
            stack.enter_context(replacing(path)).open("w", newline="", encoding="utf-8")
        )
        # csv quotes a line end within a cell only if it is in its own; the file's lines end in LF.
        lines = SimpleNamespace(write=lambda row: file.write(row.removesuffix("\r\n") + "\n"))
        self.writer = csv.writer(lines, lineterminator="\r\n")
        self.writer.writerow(columns)


def count(result: Result, counts: Counter) -> None:
    counts.update(row.status for row in result.rows)
    if result.vin_row:
        counts[f"vin {result.vin_row['status']}"] += 1


def write_files(results: Iterable[Result], output: Path, counts: Counter) -> None:
    """predictions.csv, and for cards vins.csv and review.html beside it: all of them or none."""
    with ExitStack() as stack:
        predictions = Csv(output, COLUMNS, stack)
        vins = page = None
        for result in results:
            predictions.writer.writerows(result.rows)
            count(result, counts)
            if not result.vin_row:
                continue
            if not vins:
                vins = Csv(output.with_name("vins.csv"), VIN_COLUMNS, stack)
                page = stack.enter_context(Review())
            vins.writer.writerow([result.vin_row.get(column, "") for column in VIN_COLUMNS])
            page.add(result.entry)
        if page:
            page.write(output.with_name("review.html"))


def one_line(name: str) -> str:
    """A name in which no character ends the line or commands the terminal: those as `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def print_ascii(results: Iterable[Result], counts: Counter) -> None:
    for result in results:
        for row in result.rows:
            counts[row.status] += 1
            if row.ascii:
                print(f"{row.ascii}, {one_line(row.path)}")
            else:
                print(f"{one_line(row.path)}: {row.message}", file=sys.stderr)


def with_bar(results: Iterator[Result], source: Path) -> Iterator[Result]:
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


def read(reader: Reader, options: argparse.Namespace) -> Iterator[Result]:
    if options.engine == "local":
        items, root = find(Path(options.input))
        results = read_items(reader, items, root, options.rules, options.jobs, options.debug)
        return with_bar(results, Path(options.input))
    from vinreader import cluster

    items, root = find(cluster.location(options.input))
    shards = cluster.location(options.shards)
    return cluster.read_items(reader, items, root, options.rules, options.jobs, shards, told)


def told(done: int, shards: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == shards else ""
        print(f"\r{done:,} of {shards:,} shards read", end=end, file=sys.stderr, flush=True)


def short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def summary(counts: Counter, output: Path | None) -> str:
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
        if output:
            text += (
                f"; see {output.with_name('vins.csv')} and check {output.with_name('review.html')}"
            )
    return text


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    notes = sys.stderr if options.format == "ascii" else sys.stdout
    counts: Counter = Counter()
    kept = "nothing was changed"
    if options.engine == "ray":
        kept = f"what was read is in {options.shards}, from where the same command goes on"
    try:
        known = Known.read(options.known) if options.known else None
        reader = Reader(options.model, options.threshold, known=known)
        card = reader.card
        if options.version:
            print(provenance.tell(reader))
            return EXIT_READ
        print(
            f"Reader {short(reader.path)}: trained on {card['source']}; read "
            f"{card['test']['balanced_accuracy']:.1%} of its test characters right",
            file=notes,
        )
        with closing(read(reader, options)) as results:
            if options.format == "ascii":
                print_ascii(results, counts)
            elif options.output:
                write_files(results, options.output, counts)
                has_cards = counts["vin ok"] + counts["vin review"]
                vins = [options.output.with_name("vins.csv")] if has_cards else []
                provenance.write_record(reader, options.rules, [options.output, *vins])
            else:
                for result in results:
                    count(result, counts)
    except UserError as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    except OSError as error:
        where = error.filename or "input/output"
        print(f"predict.py: {where}: {error.strerror or error}; {kept}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    except KeyboardInterrupt:
        print(f"predict.py: interrupted; {kept}", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(summary(counts, options.output if options.format == "csv" else None), file=notes)
    return EXIT_SOME_UNREADABLE if counts["error"] else EXIT_READ


if __name__ == "__main__":
    sys.exit(main())
