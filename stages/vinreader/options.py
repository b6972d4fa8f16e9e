"""What the commands take and give: options with their types, and exit statuses."""

import argparse
import sys
from pathlib import Path
from typing import Any

from vinreader.console import LANGUAGES, choose, text

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


def years(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    found = int(first), int(last or first)
    if not 1900 <= found[0] <= found[1] <= 2039:
        raise ValueError
    return found


# What is read, how, and where with: each option with the arguments of `add_argument`.
OPTIONS: dict[str, dict[str, Any]] = {
    "input": {
        "nargs": "?",
        "help": "folder of images (with its subfolders), or one image; with --engine ray also a "
        "URL such as s3://bucket/cards",
    },
    "--output": {
        "type": Path,
        "help": "CSV file to write (default: predictions.csv; with --engine ray none)",
    },
    "--format": {
        "choices": ("csv", "ascii"),
        "default": "csv",
        "help": "csv: write --output; ascii: print lines '065, path'",
    },
    "--model": {
        "type": Path,
        "help": "a .tflite model with its .json beside it (default: the released reader)",
    },
    "--threshold": {
        "type": share,
        "metavar": "0..1",
        "help": "confidence under which a reading is for review (default: the model's own)",
    },
    "--rules": {
        "choices": ("auto", "none"),
        "default": "auto",
        "help": "auto: a card's VIN is read under the rules of its world region; none: box by box "
        "(default: %(default)s)",
    },
    "--known": {
        "type": Path,
        "metavar": "FILE",
        "help": "CSV file of numbers that the archive already has (column vin): found more "
        "easily, and named in vins.csv",
    },
    "--known-rate": {
        "type": share,
        "metavar": "0..1",
        "help": "strength of --known: the share of all cards that have a certain number of the "
        "list; 0: they are named only (default: 1e-08)",
    },
    "--years": {
        "type": years,
        "metavar": "FIRST-LAST",
        "help": "model years that the vehicles can be of, such as 1975-2001: others are ruled out, "
        "and of two years 30 apart it is settled which is meant (default: none after the next)",
    },
    "--risk": {
        "type": share,
        "metavar": "SHARE",
        "help": "expected share of errors among what is accepted, such as 0.01 "
        "(default: the model's own, 0.005)",
    },
    "--audit": {
        "type": number,
        "metavar": "N",
        "help": "draw N of the accepted cards into review.html, to be checked without what was "
        "read; vin-reader audit tells from the answers how many of all accepted cards are wrong",
    },
    "--jobs": {"type": number, "metavar": "N", "help": "processes that read (default: one a core)"},
    "--debug": {
        "type": Path,
        "metavar": "DIR",
        "help": "write a picture of each box into DIR: how it was read",
    },
    "--language": {"choices": LANGUAGES, "help": "of what is said here (default: the system's)"},
    "--version": {
        "action": "store_true",
        "help": "print what the model was made from, and what reads here",
    },
    "--engine": {
        "choices": ("local", "ray"),
        "default": "local",
        "help": "local: this machine's processes; ray: a Ray cluster's (default: %(default)s)",
    },
    "--shards": {
        "default": "predictions.parquet",
        "metavar": "DIR",
        "help": "with --engine ray: folder or URL of the Parquet files; what is in them is not "
        "read again (default: %(default)s)",
    },
}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The options of a reading, by default of the process's arguments; sets the language.

    Raises: SystemExit where they are wrong.
    """
    parser = argparse.ArgumentParser(
        prog=Path(sys.argv[0]).name,
        description="Reads images of VIN boxes, one handwritten character in each, and whole "
        "cards, into CSV files.",
    )
    for name, settings in OPTIONS.items():
        parser.add_argument(name, **settings)
    options = parser.parse_args(argv)
    choose(options.language)
    if not (options.input or options.version):
        parser.error(text("no_input"))
    if options.engine == "local":
        options.output = options.output or Path("predictions.csv")
    elif options.debug or options.known or options.years or options.risk or options.audit:
        parser.error("--debug, --known, --years, --risk and --audit are for --engine local")
    if options.audit and options.format == "ascii":
        parser.error("--audit is for --format csv, which writes the page")
    return options
