"""Statistics of real vehicle numbers, from which no number can be read.

Counted are characters by position after a number's beginning, and how often its check digit
holds; `vinreader/numbers.py` says how they make a prior. A count is kept only where at least
`numbers.least` numbers share it: after beginnings of at most eight characters, at positions 12
and 13 (the first two of most serial numbers) only by maker or region, and at 14 to 17 only over
all numbers.

What all makers or those of a region do, at positions 4 to 12, is to tell of one that was never
seen. So a maker counts there as its numbers to the power of `numbers.damping` (in the spirit of
Kneser and Ney, 1995, who count it once): the one that sold most is no measure of the others.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.parameters import Numbers

import numpy as np

from vinreader.number.makers import OLD_MODELS
from vinreader.number.prior import CHECK, LEVELS, Counts, Prior
from vinreader.number.vin import CHECK_POSITION, check_digit
from vinreader.spec import BOXES, CHARACTERS, INDEX, UserError

MAKER = 3  # characters of a maker's code


@dataclass(frozen=True)
class Real:
    """Real numbers: `vins`, different ones of 17 characters; `sources`, where each is from (file
    and, if it has such a column, `source`); `refused`, how many rows had no such number; `checked`,
    how many of them only checked cards tell (`batches.py`: files with the column `batch`)."""

    vins: tuple[str, ...]
    sources: tuple[str, ...]
    refused: int
    checked: int = 0

    @property
    def only_checked(self) -> bool:
        """Whether there are none but those of checked cards, which are an archive's, and few."""
        return self.checked == len(self.vins)


def read(folder: Path) -> Real:
    """The numbers of all CSV files of a folder: the column `vin`; none where there is no file.

    Raises:
        UserError: a file is no CSV file in UTF-8 or has no column `vin`.
    """
    found: dict[str, str] = {}
    checked: set[str] = set()
    refused = 0
    for path in sorted(folder.glob("*.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                if "vin" not in (rows.fieldnames or ()):
                    raise UserError(f"{path} has no column named vin")
                for row in rows:
                    number = (row["vin"] or "").strip().upper()
                    if len(number) != BOXES or not set(number) <= set(CHARACTERS):
                        refused += 1
                        continue
                    if "batch" not in row:
                        checked.discard(number)
                    elif number not in found:
                        checked.add(number)
                    found.setdefault(number, f"{path.name} {row.get('source') or ''}".strip())
        except (UnicodeDecodeError, csv.Error, OSError) as error:
            raise UserError(f"{path} is not a CSV file of numbers: {error}") from None
    return Real(tuple(found), tuple(found.values()), refused, len(checked))


def learn(vins: Iterable[str], how: Numbers) -> dict[str, Any]:
    """The table of statistics of numbers of 17 characters."""
    counted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    seen = 0
    for vin in vins:
        seen += 1
        holds = check_digit(vin) == vin[CHECK_POSITION - 1]
        for i, lengths in LEVELS.items():
            for beginning in (vin[:length] for length in lengths):
                if i == CHECK_POSITION:
                    counted[beginning][CHECK]["holds" if holds else "not"] += 1
                if i != CHECK_POSITION or not holds:
                    counted[beginning][str(i)][vin[i - 1]] += 1
    return {
        "numbers": seen,
        "least": how.least,
        "strength": how.strength,
        "diversity": how.diversity,
        "damping": how.damping,
        "unseen": how.unseen,
        "beginnings": _shared(counted, how.least, _damped(counted, how.damping)),
        "old makers": _old_makers(how.old_makers),
    }


def with_archive(table: dict[str, Any], vins: Sequence[str], how: Numbers) -> dict[str, Any]:
    """A table to which the numbers of an archive's checked cards are added, in the place of those
    that were before. They are counted by themselves: added again, they still count once."""
    counts = learn(vins, how)["beginnings"]
    return table | {"archive numbers": len(vins), "archive": counts}


def _old_makers(weight: float) -> Counts:
    """Counts of makers that the numbers hardly show, as if each had so many numbers, spread evenly
    over its models; without model, nothing is said. Of the makers' codes themselves a tenth."""
    found: Counts = {}
    for maker, models in OLD_MODELS.items() if weight else ():
        filled = [model.ljust(6, "0") for model in models.split()]
        for place in range(6):
            tally = Counter(model[place] for model in filled)
            found.setdefault(maker, {})[str(place + 4)] = {
                c: round(weight * n / len(filled), 3) for c, n in sorted(tally.items())
            }
        for length in (1, 2):
            codes = found.setdefault(maker[:length], {}).setdefault(str(length + 1), {})
            codes[maker[length]] = codes.get(maker[length], 0) + weight / 10
    return found


def _damped(counted: dict[str, dict[str, Counter[str]]], power: float) -> Counts:
    """The counts after beginnings shorter than a maker's code, at positions 4 to 12: sums over the
    makers, of the numbers of each to this power."""
    found: Counts = {}
    for maker in sorted(beginning for beginning in counted if len(beginning) == MAKER):
        for position in range(MAKER + 1, 13):
            tally = counted[maker].get(str(position), Counter())
            for length in (n for n in LEVELS[position] if n < MAKER):
                sums = found.setdefault(maker[:length], {}).setdefault(str(position), {})
                for c, n in tally.items():
                    sums[c] = sums.get(c, 0) + n**power
    return found


def _shared(counted: dict[str, dict[str, Counter[str]]], least: int, damped: Counts) -> Counts:
    """The counts that at least so many numbers share; those of other characters go together."""
    found: Counts = {}
    for beginning, tables in sorted(counted.items()):
        kept: dict[str, dict[str, float]] = {}
        for name, tally in tables.items():
            if tally.total() < least:
                continue
            if name == CHECK:
                kept[name] = {"holds": tally["holds"], "not": tally["not"]}
                continue
            told = damped.get(beginning, {}).get(name, tally)
            kept[name] = {c: _short(told[c]) for c, n in sorted(tally.items()) if n >= least}
            if left_out := _short(sum(told[c] for c, n in tally.items() if n < least)):
                kept[name][""] = left_out
        if kept:
            found[beginning] = kept
    return found


def _short(count: float) -> float:
    """A count to a tenth, as it is written shortest."""
    count = round(count, 1)
    return int(count) if count == int(count) else count


def indices(vins: Sequence[str]) -> np.ndarray:
    """int (N, 17): numbers as indices of their characters."""
    return np.array([[INDEX[c] for c in vin] for vin in vins]).reshape(-1, BOXES)


def bits(prior: Prior, vins: Sequence[str]) -> np.ndarray:
    """float (N, 17): what each character of numbers tells one who knows the prior, in bits."""
    found: np.ndarray = -prior.log_probabilities(indices(vins)) / np.log(2)
    return found


def folds(real: Real, least: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each source: its name, the numbers of the others, and its own. Sources of fewer than
    `least` numbers are held out together, as "others"; nothing where there is but one."""
    sizes = Counter(real.sources)
    names = [source if sizes[source] >= least else "others" for source in real.sources]
    for name in sorted(set(names)) if len(set(names)) > 1 else []:
        kinds = (False, True)
        taught, held = (
            [vin for vin, other in zip(real.vins, names, strict=True) if (other == name) is kind]
            for kind in kinds
        )
        yield name, taught, held
