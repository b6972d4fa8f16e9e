"""What the audit shows: how many of the accepted cards are wrong, from a random sample of them.

The cards were drawn by `predict.py --audit` and typed by a person who did not see the reading; a
card is wrong when any of its 17 characters was read otherwise. The bound is exact, one-sided
(Clopper and Pearson, 1934): with the stated certainty no larger share of all accepted is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vintraining.hands.corrections import CheckedRow
from vintraining.scores import accepting

import numpy as np

CERTAINTY = 0.95
MOST_MORE = 1_000_000  # cards; what would need more is told as needing these


@dataclass(frozen=True)
class Audited:
    """Accepted cards of one kind.

    accepted: how many there are, where the tables tell; open: drawn, but not checked yet.
    confidence: float (N,), wrong: bool (N,), of those that were checked.
    """

    accepted: int
    open: int
    confidence: np.ndarray
    wrong: np.ndarray

    @property
    def bound(self) -> float:
        """The share wrong that is not exceeded with `CERTAINTY`, 0 to 1; 1 where none was seen."""
        count = len(self.wrong)
        bound = accepting.upper_bound(np.array(self.wrong.sum()), np.array(count), CERTAINTY)
        return float(bound) if count else 1.0

    def more(self, promised: float) -> int:
        """How many further cards without an error would bring the bound to `promised`."""
        low, high = len(self.wrong), len(self.wrong) + MOST_MORE
        while low < high:
            middle = (low + high) // 2
            bound = accepting.upper_bound(np.array(self.wrong.sum()), np.array(middle), CERTAINTY)
            low, high = (low, middle) if middle and bound <= promised else (middle + 1, high)
        return low - len(self.wrong)

    def threshold(self, promised: float) -> float:
        """The confidence from which cards would have to be accepted for the bound to be kept;
        `accepting.NOTHING` where these cards are too few to show it of any."""
        return accepting.certain_threshold(self.confidence, self.wrong, promised, CERTAINTY)

    def figures(self, promised: float) -> dict[str, Any]:
        """As they stand in audit.json."""
        checked, wrong = len(self.wrong), int(self.wrong.sum())
        return {
            "accepted": self.accepted,
            "drawn": checked + self.open,
            "checked": checked,
            "wrong": wrong,
            "share_wrong": round(wrong / checked, 5) if checked else None,
            "bound": round(self.bound, 5),
            "further_cards_without_error_needed": self.more(promised),
        }


def audited(rows: Sequence[CheckedRow]) -> Audited:
    """What rows of tables say together. Accepted are those that were read as `ok` and, as the page
    turns what a person checked into `ok`, all that were drawn."""
    drawn = [row for row in rows if row.drawn]
    checked = [row for row in drawn if row.decided]
    accepted = sum(row.drawn or (row.row.status == "ok" and not row.decided) for row in rows)
    return Audited(
        accepted,
        len(drawn) - len(checked),
        np.array([float(row.row.confidence) for row in checked]),
        np.array([row.read != row.row.vin for row in checked], bool),
    )


def report(tables: dict[str, list[CheckedRow]], promised: float) -> dict[str, Any]:
    """audit.json: figures over all, and by region, maker and batch.

    Args:
        tables: rows by the name of their batch; promised: the share wrong among accepted cards.
    """
    rows = [row for table in tables.values() for row in table]
    everything = audited(rows)
    threshold = everything.threshold(promised)
    kept = threshold <= 1
    return {
        "promised": promised,
        "certainty": CERTAINTY,
        "all": everything.figures(promised),
        "kept": everything.bound <= promised,
        "threshold_that_keeps_it": round(threshold, 4) if kept else None,
        "accepted_with_it": round(float((everything.confidence >= threshold).mean()), 4)
        if kept
        else 0.0,
        "region": _by([row.row.region or "unknown" for row in rows], rows, promised),
        "maker": _by([_maker(row) for row in rows], rows, promised),
        "batch": {name: audited(table).figures(promised) for name, table in tables.items()},
    }


def _maker(row: CheckedRow) -> str:
    return row.row.manufacturer or row.row.vin[:3] or "unknown"


def _by(names: list[str], rows: list[CheckedRow], promised: float) -> dict[str, Any]:
    """Figures of the rows of each name of which cards were drawn, the most drawn first."""
    groups: dict[str, list[CheckedRow]] = {}
    for name, row in zip(names, rows, strict=True):
        groups.setdefault(name, []).append(row)
    figures = {name: audited(group).figures(promised) for name, group in sorted(groups.items())}
    drawn = {name: told for name, told in figures.items() if told["drawn"]}
    return dict(sorted(drawn.items(), key=lambda item: -item[1]["drawn"]))
