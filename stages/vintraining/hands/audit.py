"""The command `audit`: how many of the accepted cards are wrong, from those checked blind.

    vin-reader read input/ --audit 598     (then check review.html, download vins.csv)
    vin-reader audit vins.csv

The cards were drawn at random and typed by a person who did not see the reading; a card is wrong
when any of its 17 characters was read otherwise. The bound is exact, one-sided (Clopper and
Pearson, 1934): with the stated certainty no larger share of all accepted is wrong. Several tables
are several batches; the bound over all holds where the same share of every batch was drawn. Writes
audit.json and audit.png.
"""

import argparse
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.hands.corrections import CheckedRow, read_table
from vintraining.parameters import load
from vintraining.scores import accepting, charts

import numpy as np

from vinreader.console import choose, text
from vinreader.files import write_json
from vinreader.options import OPTIONS
from vinreader.spec import UserError

CERTAINTY = 0.95
MOST_MORE = 1_000_000  # cards; what would need more is told as needing these


@dataclass(frozen=True)
class Audited:
    """Accepted cards of one kind. accepted: how many there are; open: drawn, but not checked yet;
    confidence: float (N,), wrong: bool (N,), of those that were checked."""

    accepted: int
    open: int
    confidence: np.ndarray
    wrong: np.ndarray

    def bound(self, further: int = 0) -> float:
        """The share wrong that is not exceeded with `CERTAINTY`, 0 to 1 (1 where none was seen),
        with so many further cards without an error."""
        wrong, of = np.array(self.wrong.sum()), np.array(len(self.wrong) + further)
        return float(accepting.upper_bound(wrong, of, CERTAINTY))

    def more(self, promised: float) -> int:
        """How many further cards without an error would bring the bound to `promised`."""
        return bisect_left(range(MOST_MORE), True, key=lambda n: self.bound(n) <= promised)

    def threshold(self, promised: float) -> float:
        """The confidence from which cards would have to be accepted for the bound to be kept;
        `accepting.NOTHING` where these cards are too few to show it of any."""
        return accepting.certain_threshold(self.confidence, self.wrong, promised, CERTAINTY)

    def figures(self, promised: float) -> dict[str, Any]:
        checked, wrong = len(self.wrong), int(self.wrong.sum())
        return {
            "accepted": self.accepted,
            "drawn": checked + self.open,
            "checked": checked,
            "wrong": wrong,
            "share_wrong": round(wrong / checked, 5) if checked else None,
            "bound": round(self.bound(), 5),
            "further_cards_without_error_needed": self.more(promised),
        }


def audited(rows: Sequence[CheckedRow]) -> Audited:
    """What rows say together. Accepted are those that were read as `ok` and, as the page turns
    what a person checked into `ok`, all that were drawn."""
    drawn = [row for row in rows if row.drawn]
    checked = [row for row in drawn if row.decided]
    return Audited(
        sum(row.drawn or (row.status == "ok" and not row.decided) for row in rows),
        len(drawn) - len(checked),
        np.array([float(row.confidence or 0) for row in checked]),
        np.array([row.read != row.vin for row in checked], bool),
    )


def report(tables: dict[str, list[CheckedRow]], promised: float) -> dict[str, Any]:
    """audit.json: figures over all, and by region, maker and batch. tables: rows by the name of
    their batch; promised: the share wrong among accepted cards."""
    rows = [row for table in tables.values() for row in table]
    everything = audited(rows)
    threshold = everything.threshold(promised)
    kept = threshold <= 1
    share = float((everything.confidence >= threshold).mean()) if kept else 0.0
    return {
        "promised": promised,
        "certainty": CERTAINTY,
        "all": everything.figures(promised),
        "kept": everything.bound() <= promised,
        "threshold_that_keeps_it": round(threshold, 4) if kept else None,
        "accepted_with_it": round(share, 4),
        "region": _by(lambda row: row.region or "unknown", rows, promised),
        "maker": _by(lambda row: row.manufacturer or row.vin[:3] or "unknown", rows, promised),
        "batch": {name: audited(table).figures(promised) for name, table in tables.items()},
    }


def _by(
    name_of: Callable[[CheckedRow], str], rows: list[CheckedRow], promised: float
) -> dict[str, Any]:
    """Figures of the rows of each name of which cards were drawn, the most drawn first."""
    groups = groupby(sorted(rows, key=name_of), name_of)
    told = {name: audited(list(group)).figures(promised) for name, group in groups}
    drawn = [item for item in told.items() if item[1]["drawn"]]
    return dict(sorted(drawn, key=lambda item: -item[1]["drawn"]))


def warning(found: dict[str, Any]) -> str:
    """What to do where the promise is not shown to be kept."""
    all_, promised, threshold = found["all"], found["promised"], found["threshold_that_keeps_it"]
    lines = [text("not_shown", promised=promised)]
    if all_["share_wrong"] > promised:
        lines.append(text("more_wrong"))
    if threshold is not None:
        lines.append(text("threshold", threshold=threshold, share=found["accepted_with_it"]))
    elif all_["wrong"]:
        lines.append(text("no_threshold"))
    lines.append(text("further_cards", more=all_["further_cards_without_error_needed"]))
    return "\n  ".join(lines)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="vins.csv that the page gave back")
    parser.add_argument("--output", type=Path, default=Path("audit.json"), help="file to write")
    parser.add_argument("--language", **OPTIONS["--language"])
    options = parser.parse_args()
    choose(options.language)
    tables = {str(path): read_table(path) for path in options.tables}
    found = report(tables, load().evaluate.target_risk)
    all_, picture = found["all"], options.output.with_suffix(".png")
    if not all_["drawn"]:
        raise UserError(text("none_drawn"))
    if not all_["checked"]:
        raise UserError(text("none_checked"))
    write_json(options.output, found)
    charts.audit(picture, found)
    counts = {name: all_[name] for name in ("checked", "accepted", "wrong", "bound")}
    shares = {"share": all_["share_wrong"], "certainty": CERTAINTY, "promised": found["promised"]}
    print(text("audited", **counts, **shares))
    if still_open := all_["drawn"] - all_["checked"]:
        print(text("still_open", cards=still_open))
    if not found["kept"]:
        print(warning(found), file=sys.stderr)
    print(text("see", path=f"{options.output}, {picture}"))
