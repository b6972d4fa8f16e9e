"""What was found, read and left aside, for the person who waits and for the record."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinreader.console import text
from vinreader.folders import Found

if TYPE_CHECKING:
    from vinreader.pipeline import Result

FOLDERS = 3  # that a line names


@dataclass
class Summary:
    """boxes, cards: how many have which status. drawn: cards for the audit. found: files, by kind
    and folder. thresholds: of cards, by expected share of errors; acceptable: how many cards each
    of them would accept. expected_errors: among the accepted cards."""

    boxes: Counter[str] = field(default_factory=Counter)
    cards: Counter[str] = field(default_factory=Counter)
    drawn: int = 0
    found: Found = field(default_factory=Found)
    thresholds: dict[str, float] = field(default_factory=dict)
    acceptable: Counter[str] = field(default_factory=Counter)
    expected_errors: float = 0.0

    def add(self, result: "Result") -> None:
        self.boxes.update(row.status for row in result.rows)
        if result.vin_row:
            self.cards[result.vin_row.status] += 1
            if result.vin_row.status == "ok" and result.confidence:
                self.expected_errors += 1 - result.confidence
            at_least = (risk for risk, t in self.thresholds.items() if result.confidence >= t)
            self.acceptable.update(at_least)

    @property
    def all_read(self) -> bool:
        return not (self.boxes["error"] or self.found.unlisted)

    def lines(self, where: Path | None = None, cards_in: dict[str, Path] | None = None) -> str:
        """For people: what there was and what became of it.

        where: the table of boxes; cards_in: the files for cards, by `vins`, `workbook`, `page`.
        """
        statuses = dict.fromkeys(("ok", "review", "error"), 0)
        told = [text("boxes", boxes=self.boxes.total(), **{**statuses, **self.boxes})]
        told[0] += f"; {text('see', path=where)}" if where else ""
        if self.cards:
            line = text("cards", cards=self.cards.total(), **{**statuses, **self.cards})
            if self.drawn:
                line += f", {text('drawn', drawn=self.drawn)}"
            told.append(line + (f"; {text('see_cards', **cards_in)}" if cards_in else ""))
            if errors := self.expected_errors:
                low, high = _poisson_interval(errors)
                line = text("expected", ok=self.cards["ok"], errors=errors, low=low, high=high)
                for risk in self.thresholds:
                    line += f"; {text('with_risk', risk=risk, cards=self.acceptable[risk])}"
                told.append(line)
        return "\n".join([*told, *self.lines_aside()])

    def lines_aside(self) -> list[str]:
        """What was left aside, and in which folders most of it is."""
        told = []
        if self.found.aside:
            kinds = ", ".join(
                f"{n:,} {kind or text('no_ending')}" for kind, n in self.found.images.most_common()
            )
            told.append(text("found", images=self.found.images.total(), kinds=kinds))
        for why, folders in sorted(self.found.aside.items()):
            named = ", ".join(f"{name} ({n:,})" for name, n in folders.most_common(FOLDERS))
            if len(folders) > FOLDERS:
                named = text("more_folders", folders=named, more=len(folders) - FOLDERS)
            told.append(text("aside", files=folders.total(), why=why, folders=named))
        if self.found.unlisted:
            told.append(text("unlisted", folders=self.found.unlisted))
        return told

    def record(self) -> dict[str, Any]:
        """The same for the record beside the table; of what was left aside every folder."""
        aside = {why: dict(sorted(of.items())) for why, of in sorted(self.found.aside.items())}
        return {
            "images": dict(sorted(self.found.images.items())),
            "left_aside": aside,
            "folders_not_listed": self.found.unlisted,
        }


def _poisson_interval(mean: float) -> tuple[int, int]:
    """Counts between which 95 % of a Poisson distribution lie: errors of many readings, each of
    which is wrong rarely and by itself (Le Cam, 1960)."""
    if mean > 500:
        return round(mean - 1.96 * math.sqrt(mean)), round(mean + 1.96 * math.sqrt(mean))
    count, low, share = 0, 0, math.exp(-mean)
    cumulated = share
    while cumulated < 0.975:
        count += 1
        low += cumulated < 0.025
        share *= mean / count
        cumulated += share
    return low, count
