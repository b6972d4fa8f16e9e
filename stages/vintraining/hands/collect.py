"""The command `collect`: takes checked cards into a batch from which the next `dvc repro` learns.

    vin-reader collect input/ vins.csv

The images that were read, and the table that the page gave back. Cards that a person checked or
corrected go to data/checked/<batch>/, their numbers to data/numbers/<batch>.csv; all others are
left out. The same again changes nothing, and a table that has grown adds its new cards.
"""

import argparse
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from vintraining.console import stage
from vintraining.hands import batches, labelled
from vintraining.hands.batches import Batch, BatchError, Checked
from vintraining.hands.corrections import CheckedRow, read_table
from vintraining.hands.labelled import MOST_TOLD
from vintraining.parameters import load

from vinreader import tables
from vinreader.console import choose, text
from vinreader.options import OPTIONS
from vinreader.spec import BOXES, UserError


def batch_name(given: str | None, folder: Path) -> str:
    """The name given, or one after the folder of images. Raises: BatchError."""
    name = given or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BatchError(
            f"{name!r} is no name for a batch; give one of letters, digits, - _ and . with --batch"
        )
    return name


def to_take(rows: list[CheckedRow], table: Path) -> tuple[dict[str, CheckedRow], Counter[str]]:
    """The rows of whole numbers that a person decided, by card, and why others are left out.
    Raises: BatchError if none."""
    wanted, left = {}, Counter[str]()
    for row in rows:
        if not row.decided:
            left[text("not_checked")] += 1
        elif not row.whole:
            left[text("not_a_number")] += 1
        else:
            wanted[row.card] = row
    if not wanted:
        raise BatchError(text("nothing_checked", table=table))
    return wanted, left


def confidences(path: Path | None, table: Path) -> dict[str, tuple[str, str]]:
    """What was read in each box and how surely, by its path; nothing where no file tells it.
    Raises: TableError, OSError."""
    chosen = path or table.with_name("predictions.csv")
    if path is None and not chosen.is_file():
        return {}
    rows = tables.read_table(chosen, tables.Row._fields)
    return {row["path"]: (row["character"], row["confidence"]) for _, row in rows}


def checked_card(
    row: CheckedRow, paths: tuple[str, ...], said: dict[str, tuple[str, str]]
) -> Checked:
    """The card as the batch keeps it; `paths` are its boxes' in predictions.csv. Raises: BatchError
    where that is of another reading than the table."""
    raw = row.raw if len(row.raw) == BOXES else batches.NO_READING * BOXES
    card = Checked(row.card, row.vin, raw)
    if any(path not in said for path in paths):
        return card
    characters, sure = zip(*(said[path] for path in paths), strict=True)
    if "".join(character or batches.NO_READING for character in characters) != raw:
        raise BatchError(
            f"card {row.card} was read as {raw} in the table, and otherwise in "
            "predictions.csv; name the one that was written with it: --predictions FILE"
        )
    return replace(card, confidences=sure)


def told(batch: Batch, before: int, left: Counter[str]) -> str:
    """What was done, for people."""
    cards, parts = [kept.checked for kept in batch.cards.values()], batch.counts()
    corrected = sum(a != b for c in cards for a, b in zip(c.vin, c.read, strict=True))
    counts = {"cards": len(cards), "new": len(cards) - before, "boxes": BOXES * len(cards)}
    lines = [text("collected", folder=batch.folder, corrected=corrected, **counts)]
    lines.append(text("parts", numbers=batch.numbers, **parts))
    if batch.twice:
        left[text("same_scan")] = batch.twice
    if left:
        reasons = ", ".join(f"{n:,} {why}" for why, n in left.items())
        lines.append(text("left_out", reasons=reasons))
    return "\n".join(lines)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, help="folder of images that was read")
    parser.add_argument("table", type=Path, help="vins.csv that the page gave back")
    parser.add_argument("--batch", help="its name (default: that of the folder)")
    parser.add_argument(
        "--predictions", type=Path, help="predictions.csv of the reading (default: beside vins.csv)"
    )
    parser.add_argument(
        "--replace", action="store_true", help="take cards that have changed as they are now"
    )
    parser.add_argument("--language", **OPTIONS["--language"])
    options = parser.parse_args()
    choose(options.language)
    how = load().finetune.checked
    wanted, left = to_take(read_table(options.table), options.table)
    sure = confidences(options.predictions, options.table)
    folder = labelled.BATCHES / batch_name(options.batch, options.input)
    with Batch(folder, how.holdout) as batch:
        before = len(batch.cards)
        if not before and batch.numbers.exists():
            raise BatchError(f"{batch.numbers} is there already; choose another name with --batch")
        for scan in batches.scans(options.input, set(wanted)):
            card = checked_card(wanted.pop(scan.name), scan.paths, sure)
            batch.add(card, scan, options.replace)
        if wanted:
            more = " …" if len(wanted) > MOST_TOLD else ""
            told_of = {"folder": options.input, "cards": len(wanted), "table": options.table}
            names = ", ".join(list(wanted)[:MOST_TOLD]) + more
            raise BatchError(text("not_in_folder", **told_of, names=names))
        if batch.changed:
            raise UserError(text("cards_changed", lines=batch.changed[:MOST_TOLD]))
        batch.write()
    print(told(batch, before, left))
