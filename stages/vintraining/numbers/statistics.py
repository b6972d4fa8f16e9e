"""Statistics of real vehicle numbers, from which no number can be read.

Counted are characters by position after a number's prefix, and how often its check digit
holds; `vinreader/number/prior.py` says how they make a prior. A count is kept only where at least
`numbers.min_count` numbers share it: after prefixes of at most eight characters, at positions 12
and 13 (the first two of most serial numbers) only by maker or region, and at 14 to 17 only over
all numbers.

What all makers or those of a region do, at positions 4 to 12, is to tell of one that was never
seen. So a maker counts there as its numbers to the power of `numbers.damping` (in the spirit of
Kneser and Ney, 1995, who count it once): the one that sold most is no measure of the others.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.parameters import Numbers

import numpy as np

from vinreader.files import sha256
from vinreader.number.known import as_number, read_table
from vinreader.number.makers import MODEL_YEAR_MAKERS
from vinreader.number.prior import CHECK, LEVELS, PERIODS, Counts, Prior
from vinreader.number.vin import CHECK_POSITION, YEAR_POSITION, check_digit, is_number
from vinreader.spec import BOXES, INDEX, UserError

MAKER = 3  # characters of a maker's code


@dataclass(frozen=True)
class Real:
    """Real numbers."""

    vins: tuple[str, ...]  # different ones of 17 characters
    sources: tuple[str, ...]  # where each is from: file and, if it has such a column, `source`
    refused: int  # rows that had no such number
    lists: tuple[str, ...] = ()  # SHA-256 of each file


def read(folder: Path, without: Container[str] = ()) -> Real:
    """The numbers of all CSV files of a folder: the column `vin`; none where there is no file.

    Args:
        without: the SHA-256 of files that are left out.

    Raises:
        UserError: a file is no CSV file or has no column `vin`.
    """
    found: dict[str, str] = {}
    lists, refused = [], 0
    for path in sorted(folder.glob("*.csv")):
        if (digest := sha256(path)) in without:
            continue
        lists.append(digest)
        header, rows = read_table(path)
        if "vin" not in header:
            raise UserError(f"{path} has no column named vin")
        for row in rows:
            cells = dict(zip(header, row, strict=False))
            number = as_number(cells.get("vin", ""))
            if is_number(number):
                found.setdefault(number, f"{path.name} {cells.get('source', '')}".strip())
            else:
                refused += 1
    return Real(tuple(found), tuple(found.values()), refused, tuple(lists))


def learn(vins: Sequence[str], how: Numbers) -> dict[str, Any]:
    """The table of statistics of numbers of 17 characters, with the choices that the reader needs
    to make a prior of it."""
    counted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for vin in vins:
        holds = check_digit(vin) == vin[CHECK_POSITION - 1]
        names = [CHECK]
        if vin[:MAKER] in MODEL_YEAR_MAKERS:  # elsewhere the law asks for it, or no year is told
            names += [f"{CHECK} {codes}" for codes in PERIODS if vin[YEAR_POSITION - 1] in codes]
        for i, lengths in LEVELS.items():
            for prefix in (vin[:length] for length in lengths):
                if i == CHECK_POSITION:
                    for name in names if len(prefix) >= MAKER else names[:1]:
                        counted[prefix][name]["holds" if holds else "not"] += 1
                if i != CHECK_POSITION or not holds:
                    counted[prefix][str(i)][vin[i - 1]] += 1
    return {
        "numbers": len(vins),
        **choices(how),
        "beginnings": _shared(counted, how.min_count, _damped(counted, how.damping)),
    }


def choices(how: Numbers) -> dict[str, float]:
    """What the reader needs beside the counts to make a prior of them."""
    return how.model_dump(exclude={"damping", "fold", "base"})


def with_archive(table: dict[str, Any], vins: Sequence[str], how: Numbers) -> dict[str, Any]:
    """A table to which an archive's numbers are added, in the place of those that were before.

    They are counted by themselves: added again, they still count once. A number of theirs weighs as
    much as one of the table's, so that they tell in proportion to what they know.
    """
    counts = learn(vins, how)["beginnings"]
    return table | {"archive numbers": len(vins), "archive": counts}


def _damped(counted: dict[str, dict[str, Counter[str]]], power: float) -> Counts:
    """The counts after prefixes shorter than a maker's code, at positions 4 to 12: sums over the
    makers, of the numbers of each to this power."""
    found: Counts = {}
    for maker in sorted(prefix for prefix in counted if len(prefix) == MAKER):
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
    for prefix, tables in sorted(counted.items()):
        kept: dict[str, dict[str, float]] = {}
        for name, tally in tables.items():
            if tally.total() < least:
                continue
            if name.startswith(CHECK):
                kept[name] = {"holds": tally["holds"], "not": tally["not"]}
                continue
            told = damped.get(prefix, {}).get(name, tally)
            kept[name] = {c: _short(told[c]) for c, n in sorted(tally.items()) if n >= least}
            if left_out := _short(sum(told[c] for c, n in tally.items() if n < least)):
                kept[name][""] = left_out
        if kept:
            found[prefix] = kept
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
    return np.asarray(-prior.log_probabilities(indices(vins)) / np.log(2))


def folds(real: Real, least: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """For each source: its name, the numbers of the others, and its own. Sources of fewer than
    `least` numbers are held out together, as "others"; nothing where there is but one."""
    sizes = Counter(real.sources)
    names = [source if sizes[source] >= least else "others" for source in real.sources]
    pairs = list(zip(real.vins, names, strict=True))
    for name in sorted(set(names)) if len(set(names)) > 1 else []:
        taught = [vin for vin, other in pairs if other != name]
        yield name, taught, [vin for vin, other in pairs if other == name]
