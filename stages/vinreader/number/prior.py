"""What vehicle numbers look like: a prior over all 33**17 of them, from a table of statistics.

The table (`vin-numbers.json`, made by the stage `numbers`) counts characters by position after
the prefixes of numbers that several cars share: the first character (region), two (country, and
often a family of makers), three (maker), four to eight (model). An archive's own numbers may be
counted by themselves, and are added. For old makers that the numbers hardly show, counts from
their models (`makers.py`) are. A character's probability after a prefix mixes its count there with
its probability after the next shorter one, down to all numbers and to even chances:

    P(c | prefix) = (count(c) + (s + left out) * P(c | shorter)) / (total + s)

s = strength + diversity * (characters seen there): what was seen to vary varies further (Witten
and Bell, 1991). `left out` are characters that too few numbers share to be told. A share `unseen`
of every row is as over all numbers, for what a model has that was never seen.

A number's longest prefix in the table is its *cell*. Every number is in one cell, and within a
cell positions are independent but for position 9: there the check digit stands with the rate of the
cell in the model year that position 10 tells (`_habits`), and another character as often as the
cell's other numbers have it. So the sum and the maximum over all numbers are sums and maxima of
products (`posterior.py`).
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinreader.files import sha256
from vinreader.number.makers import CHECK_HABITS, OLD_MODELS
from vinreader.number.vin import (
    CHECK_DIGITS,
    CHECK_POSITION,
    VALUES,
    WEIGHTS,
    YEAR_POSITION,
    Years,
    year_coded,
    years_by_code,
    years_of,
)
from vinreader.spec import BOXES, CHARACTERS, INDEX, ModelError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Lengths of the prefixes after which each position is counted. What a maker builds does not
# depend on which model year was built most, nor a serial number on the model.
LEVELS: dict[int, tuple[int, ...]] = {
    **{position: tuple(range(position)) for position in range(1, 9)},
    9: (0, 1, 2, 3, 6),
    10: (0, 1, 2, 3, 8),
    11: (0, 1, 2, 3, 5, 6, 8),
    12: (0, 1, 2, 3),
    13: (0, 1),
    **dict.fromkeys(range(14, BOXES + 1), (0,)),
}
FILE = "vin-numbers.json"  # beside the model
DEPTH = 8  # characters of the longest prefix
MODULUS = 11
CHECK_INDEX = np.array([INDEX[c] for c in CHECK_DIGITS])  # by remainder

CHECK = "check"  # in the table: how many of the numbers hold their check digit, and do not
ALL_YEARS = (1980, 2039)
YEARS = np.arange(ALL_YEARS[0], ALL_YEARS[1] + 1)
# Periods of which the check digits are counted by themselves, by the codes at position 10 that are
# counted for them. Those of W to Y are of 1998 to 2000, and tell of the years before, too; those of
# the other letters are of 2010 and later in numbers of adverts, nearly all.
PERIODS = {"WXY1": (1980, 2001), "23456789": (2002, 2009), "ABCDEFGHJKLMNPRSTV": (2010, 2039)}

# Choices of params.yaml that tables made before them lack, with what held then.
LATER: dict[str, float] = {
    **{"stray": 1e-5, "usual_check": 0.9, "known_maker": 20},
    **{"old_makers": 30, "habit": 30, "outside": 1e-4, "older": 0.25},
}

Counts = dict[str, dict[str, dict[str, float]]]  # by prefix, position ("1" to "17"), character


# int (17, 33): the remainder that every character adds to the check sum at every position.
REMAINDERS = np.outer(WEIGHTS, [VALUES[c] for c in CHARACTERS]) % MODULUS


@dataclass(frozen=True)
class Prior:
    """A prior over numbers, laid out for `posterior`.

    prefixes: of the cells, shorter ones first. depths, parents: int (C,), their lengths, and the
    cell of the prefix without its last character (the empty one is its own).
    begins: int (8, C), their characters, 0 where there is none; begun: bool (8, C), where there
    is one. led: bool (8, C, 33), the characters that numbers of a cell can have at the first
    positions: the prefix's, and after it those that lead into no longer cell.
    weights: float (C,), the probability of each prefix, and at most of what follows.
    rows: float (R, 33), probabilities of the characters after a prefix, by position;
    ends: int (18,), where the rows of each position end.
    row_of: int (17, C), the row that holds for a cell at each position.
    check_rate: float (C, 33), how often the check digit stands at position 9, by the character at
    position 10. year_share: float (C, 33), by how much likelier than in `rows` that character is,
    of the years that are possible.
    counts: float (C,), how many numbers the statistics of a cell's maker come from; 0 for no maker.
    stray: share of boxes that show something the network does not believe in at all.
    usual_check: rate from which on a check digit vouches for a number. known_maker: how many
    numbers of a maker must have been seen for its habits to be known.
    """

    prefixes: tuple[str, ...]
    depths: Indices
    parents: Indices
    begins: Indices
    begun: NDArray[np.bool_]
    led: NDArray[np.bool_]
    weights: Floats
    rows: Floats
    ends: Indices
    row_of: Indices
    check_rate: Floats
    year_share: Floats
    counts: Floats
    stray: float
    usual_check: float
    known_maker: float

    def rows_at(self, position: int) -> slice:
        """Which of the rows are those of a position, 1 to 17."""
        return slice(self.ends[position - 1], self.ends[position])

    @cached_property
    def _index(self) -> dict[str, int]:
        return {prefix: cell for cell, prefix in enumerate(self.prefixes)}

    def cell(self, vin: str) -> int:
        """The cell of a number: that of its longest prefix that has one. Every prefix of a cell's
        prefix has one, too."""
        found = 0
        for length in range(1, DEPTH + 1):
            if (cell := self._index.get(vin[:length])) is None:
                break
            found = cell
        return found

    def cells(self, numbers: Indices) -> Indices:
        """int (N,): the cells of numbers, int (N, 17) indices of characters."""
        vins = ("".join(CHARACTERS[c] for c in number) for number in numbers[:, :DEPTH].tolist())
        return np.array([self.cell(vin) for vin in vins], dtype=int)

    def log_probabilities(self, numbers: Indices) -> Floats:
        """float (N, 17): the natural logarithm of each character's part of the probability of
        numbers, int (N, 17) indices of characters; their sum is that of the number."""
        cells = self.cells(numbers)
        parts = self.rows[self.row_of[:, cells].T, numbers]
        parts[:, YEAR_POSITION - 1] *= self.year_share[cells, numbers[:, YEAR_POSITION - 1]]
        sums = REMAINDERS[np.arange(BOXES), numbers].sum(axis=1) % MODULUS
        nine = numbers[:, CHECK_POSITION - 1]
        chance = self.rows[self.row_of[CHECK_POSITION - 1, cells]]
        each = np.arange(len(numbers))
        other = 1 - chance[each, CHECK_INDEX[sums]]
        rate = self.check_rate[cells, numbers[:, YEAR_POSITION - 1]]
        parts[:, CHECK_POSITION - 1] = np.where(
            CHECK_INDEX[sums] == nine, rate, (1 - rate) * chance[each, nine] / other
        )
        return np.log(parts)


def load(path: Path, digest: str, years: Years | None = None) -> Prior:
    """The prior of a table of statistics.

    Args:
        digest: the SHA-256 that the file is known by. years: as for `build`.

    Raises:
        ModelError: the file is missing, another one, or no such table.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"no statistics of vehicle numbers at {path} ({error.strerror}); they belong beside "
            "the model"
        ) from None
    if sha256(content) != digest:
        raise ModelError(f"{path} has not the statistics of vehicle numbers that the model names")
    try:
        return build(json.loads(content), years)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} has no statistics of vehicle numbers: {error!r}") from None


def build(table: dict[str, Any], years: Years | None = None) -> Prior:
    """The prior of a table as `statistics.learn` makes it, and of `makers.py`.

    Args:
        years: the first and the last model year that vehicles can be of; none after the next one
            when not given. The code of another year is `outside` times as likely as it was.

    Raises:
        ValueError, KeyError or TypeError: it is no such table.
    """
    shares = [float(table[name]) for name in ("strength", "diversity", "unseen")]
    strength, _, unseen = shares
    if not (all(0 <= share < math.inf for share in shares) and strength > 0 and unseen < 1):
        raise ValueError("strength, diversity or unseen is out of range")
    choices = {name: float(table.get(name, value)) for name, value in LATER.items()}
    learned = _together(table["beginnings"], table.get("archive", {}))
    counted = _together(learned, old_makers(choices.pop("old_makers")))
    prefixes = _prefixes([*counted, *(prefix for prefix, *_ in CHECK_HABITS)])
    index = {prefix: i for i, prefix in enumerate(prefixes)}
    rows, ends, row_of = _rows(counted, prefixes, *shares)
    depths = np.array([len(prefix) for prefix in prefixes])
    parents = np.array([index[prefix[:-1]] for prefix in prefixes])
    padded = "".join(prefix.ljust(DEPTH, CHARACTERS[0]) for prefix in prefixes)
    begins = np.array([INDEX[c] for c in padded]).reshape(-1, DEPTH).T
    begun = np.arange(DEPTH)[:, None] < depths
    led = ~begun[:, :, None] | (begins[:, :, None] == np.arange(len(CHARACTERS)))
    inner = np.flatnonzero(depths)
    led[depths[inner] - 1, parents[inner], begins[depths[inner] - 1, inner]] = False
    each = rows[row_of[:DEPTH], begins]
    seen = {maker: sum(tables.get("4", {}).values()) for maker, tables in learned.items()}
    habits = _habits(counted, prefixes, parents, strength, choices.pop("habit"))
    year_share = _year_shares(
        rows[row_of[YEAR_POSITION - 1]], prefixes, years, choices.pop("outside")
    )
    return Prior(
        prefixes=tuple(prefixes),
        depths=depths,
        parents=parents,
        begins=begins,
        begun=begun,
        led=led,
        weights=np.where(begun, each, 1).prod(axis=0) * year_share.max(axis=1),
        rows=rows,
        ends=ends,
        row_of=row_of,
        check_rate=_by_code(prefixes, *habits, years, choices.pop("older")),
        year_share=year_share,
        counts=np.array([seen.get(b[:3], 0) if len(b) >= 3 else 0 for b in prefixes]),
        **choices,
    )


def _together(learned: Counts, others: Counts) -> Counts:
    """The sum of counts."""
    found = dict(learned)
    for prefix, tables in others.items():
        found[prefix] = sums = dict(found.get(prefix, {}))
        for name, tally in tables.items():
            before = sums.get(name, {})
            sums[name] = before | {c: before.get(c, 0) + n for c, n in tally.items()}
    return found


def _prefixes(counted: Iterable[str]) -> list[str]:
    found = {prefix[:n] for prefix in counted for n in range(len(prefix) + 1)}
    legal = set(CHARACTERS).issuperset
    if any(len(prefix) > DEPTH or not legal(prefix) for prefix in found):
        raise ValueError("a prefix is too long or has other characters")
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _rows(
    counted: Counts, prefixes: list[str], strength: float, diversity: float, unseen: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(R, 33) probabilities, (18,) where those of a position end, and (C, 17) the row of every
    cell and position."""
    cell_of = {prefix: cell for cell, prefix in enumerate(prefixes)}
    found = [
        (int(position) - 1, cell_of[prefix], tally)
        for prefix, tables in counted.items()
        for position, tally in tables.items()
        if not position.startswith(CHECK)
    ]
    places, cells = np.array([row[:2] for row in found], dtype=int).reshape(-1, 2).T
    order = np.lexsort((cells, places))
    places, cells = places[order], cells[order]
    if not set(range(BOXES)) <= set(places[cells == 0].tolist()):
        raise ValueError("a position has no counts over all numbers")
    if not 0 <= places[0] <= places[-1] < BOXES:
        raise ValueError(f"counts of a position that is not one of 1 to {BOXES}")
    ends = np.append(0, np.searchsorted(places, range(1, BOXES + 1)))
    index = INDEX | {"": len(CHARACTERS)}  # characters left out
    tallies = [found[row][2] for row in order.tolist()]
    entries = np.array([count for tally in tallies for count in tally.values()], dtype=float)
    if not (np.isfinite(entries).all() and (entries >= 0).all()):
        raise ValueError("a count is negative or no number")
    columns = [index[character] for tally in tallies for character in tally]
    counts = np.zeros((len(tallies), len(CHARACTERS) + 1))
    counts[np.repeat(np.arange(len(tallies)), [*map(len, tallies)]), columns] = entries
    counts, left_out = counts[:, :-1], counts[:, -1:]
    extra = strength + diversity * (counts > 0).sum(axis=1, keepdims=True)
    total = counts.sum(axis=1, keepdims=True) + left_out + extra

    parents = np.array([cell_of[prefix[:-1]] for prefix in prefixes])
    depths = np.array([len(prefix) for prefix in prefixes])
    row_of = np.full((len(prefixes), BOXES), len(tallies))
    rows = np.full((len(tallies) + 1, len(CHARACTERS)), 1 / len(CHARACTERS))  # last: nothing known
    for depth in range(DEPTH + 1):
        if depth:
            deep = depths == depth
            row_of[deep] = row_of[parents[deep]]
        at = np.flatnonzero(depths[cells] == depth)
        shorter = rows[row_of[cells[at], places[at]]]
        rows[at] = (counts[at] + (extra[at] + left_out[at]) * shorter) / total[at]
        row_of[cells[at], places[at]] = at
    rows = rows[:-1]
    over_all = unseen * rows[row_of[0]]
    rows *= 1 - unseen
    return rows + over_all[places], ends, np.ascontiguousarray(row_of.T)


def old_makers(weight: float) -> Counts:
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


def _habits(
    counted: Counts, prefixes: list[str], parents: Indices, strength: float, habit: float
) -> tuple[Floats, Floats]:
    """How often numbers have the check digit by prefix, float (C,), and by prefix and model year,
    float (C, 60), NaN where the year tells nothing.

    The rate after a prefix is that after the next shorter one, which counts as `strength` numbers,
    and its own numbers. Those of each period (`PERIODS`) are counted by themselves, too: they tell
    of the years of that period, here and after longer prefixes, and the rate of all years counts
    for them as `strength` numbers. What `makers.CHECK_HABITS` states is added to the counts of its
    years, or of all, as `habit` numbers.
    """
    overall = np.full(len(prefixes), 0.5)
    by_year = np.full((len(prefixes), len(YEARS)), np.nan)
    stated: dict[str, list[tuple[int, int, dict[str, float]]]] = {}
    for prefix, first, last, rate in CHECK_HABITS:
        claimed = {"holds": habit * rate, "not": habit * (1 - rate)}
        stated.setdefault(prefix, []).append((first, last, claimed))
    periods = {CHECK: ALL_YEARS} | {f"{CHECK} {codes}": PERIODS[codes] for codes in PERIODS}
    for cell, (prefix, parent) in enumerate(zip(prefixes, parents, strict=True)):
        tables = counted.get(prefix, {})
        tallies = [(*of, tables[name]) for name, of in periods.items() if tables.get(name)]
        tallies += stated.get(prefix, [])
        if not tallies:
            overall[cell], by_year[cell] = overall[parent], by_year[parent]
            continue
        counts = np.zeros((2, len(YEARS)))  # of some years: those that hold it, and all
        whole = np.zeros(2)
        for first, last, seen in tallies:
            tally = np.array([seen["holds"], seen["holds"] + seen["not"]])
            if (first, last) == ALL_YEARS:
                whole += tally
            else:
                counts[:, (first <= YEARS) & (last >= YEARS)] += tally[:, None]
        overall[cell] = (whole[0] + strength * overall[parent]) / (whole[1] + strength)
        before = np.where(np.isnan(by_year[parent]), overall[cell], by_year[parent])
        mixed = (counts[0] + strength * before) / (counts[1] + strength)
        by_year[cell] = np.where(counts[1] > 0, mixed, by_year[parent])
    return overall, by_year


def _by_code(
    prefixes: list[str], overall: Floats, by_year: Floats, years: Years | None, older: float
) -> Floats:
    """float (C, 33): the rates of `_habits` by the character at position 10, of all years that it
    can mean, of two the `older` share of the numbers in the first; of a character that means none,
    those of all numbers."""
    rates = np.where(np.isnan(by_year), overall[:, None], by_year)
    if not ((rates > 0) & (rates < 1)).all():
        raise ValueError("a check digit's rate is not between 0 and 1")
    found = np.repeat(overall[:, None], len(CHARACTERS), axis=1)
    for cell in np.flatnonzero(~np.isnan(by_year).all(axis=1)).tolist():
        by_code = years_by_code(prefixes[cell], years)
        ends = [(INDEX[code], of[0], of[-1]) for code, of in by_code.items() if of]
        codes, first, last = np.array(ends, int).reshape(-1, 3).T
        earlier, later = rates[cell, first - YEARS[0]], rates[cell, last - YEARS[0]]
        found[cell, codes] = older * earlier + (1 - older) * later
    return found


def _year_shares(rows: Floats, prefixes: list[str], years: Years | None, outside: float) -> Floats:
    """float (C, 33): by how much likelier than in `rows`, (C, 33), each character at position 10
    is, of the years that are possible.

    Of which years the numbers were that were counted, they do not tell: where `years` are given,
    half of the weight of the possible codes is spread over them evenly.
    """
    share = np.ones(rows.shape)
    if years is None:
        return share
    possible: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for cell, prefix in enumerate(prefixes):
        if not year_coded(prefix):
            continue
        key = prefix[:3], prefix[6:7]
        if key not in possible:
            possible[key] = np.array([bool(years_of(c, prefix, years)) for c in CHARACTERS])
        codes = possible[key]
        if codes.any():
            inside = np.where(codes, rows[cell], 0)
            inside = inside / inside.sum() / 2 + codes / codes.sum() / 2
            new = (1 - outside) * inside + outside * rows[cell]
            share[cell] = new / rows[cell]
    return share
