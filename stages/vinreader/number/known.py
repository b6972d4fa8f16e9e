"""Numbers that an archive already has (a register, a list of wanted cars), and cards alike.

A number of the list is on one of so many cards (`rate`), all of them equally likely, and any other
is as likely as `numbers.py` has it:

    P(vin) = rate, if it is in the list, + (1 - rate * length of the list) * P(vin by statistics)

By statistics a certain number is on one of 10**13 cards, so a doubtful box or two of a known
number are read as the list has them, while a clear one stays, and so does a number outside it.
"""

import codecs
import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinreader.number.decoding import Decoding, likelihoods, normalised, read_as
from vinreader.number.prior import Indices, Prior
from vinreader.number.vin import is_number
from vinreader.spec import BOXES, CHARACTERS, INDEX, UserError

Codes = NDArray[np.uint8]  # characters of numbers as indices

RATE = 1e-8  # of the cards, those with a certain number of the list
MOST = 0.5  # of the cards, those with any number of the list, however long it is
NEAR = 2  # boxes in which a number may differ from one that is told of
_TOLD = 3  # numbers or cards that a message names at most
_THIRDS = [np.arange(start, BOXES, 3) for start in range(3)]
_CODES = np.full(256, 255, dtype=np.uint8)
_CODES[[ord(c) for c in CHARACTERS]] = np.arange(len(CHARACTERS))


def codes(vins: Sequence[str]) -> Codes:
    """uint8 (N, 17): numbers as indices of their characters, 255 for a character of another
    alphabet."""
    joined = "".join(vins).encode("ascii", "replace")
    return _CODES[np.frombuffer(joined, dtype=np.uint8)].reshape(-1, BOXES)


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header, in lowercase, and the rows of a table of text, as spreadsheets write it.

    UTF-8 (with or without a byte order mark), UTF-16 ("Unicode text") or else Windows-1251; columns
    apart by commas, semicolons or tabs, whichever the first line has most of.

    Raises:
        UserError: the file cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if b"\0" in content and not wide:
            raise UserError(f"{path} is not a CSV file; if a spreadsheet made it, save it as CSV")
        try:
            text = content.decode("utf-16" if wide else "utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("utf-16" if wide else "cp1251")
        lines = text.splitlines()
        if lines and lines[0].lower().startswith("sep="):  # Excel's own note of the separator
            lines.pop(0)
        separator = max(",;\t", key=lines[0].count) if lines else ","
        header, *rows = list(csv.reader(lines, delimiter=separator)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file of numbers: {error}") from None
    return [name.strip().lower() for name in header], rows


def as_number(text: str) -> str:
    """A number as it was meant: capitals, and without the spaces that group its characters."""
    return "".join(text.split()).upper()


@dataclass(frozen=True)
class Known:
    """Known numbers: uint8 (N, 17) indices of characters, each number once.

    rate: share of the cards that have a certain one of them; 0: they raise nothing. keys, orders:
    for each third of the positions, uint32 (N,) what stands there, sorted, and which number it is
    of: a number that differs in two boxes at most has one of the thirds in common. unused_rows: how
    many rows of the file had something else than a number; unused: the first of them.
    """

    numbers: Codes
    rate: float
    keys: tuple[NDArray[np.uint32], ...]
    orders: tuple[NDArray[np.uint32], ...]
    unused: tuple[str, ...] = ()
    unused_rows: int = 0

    @classmethod
    def of(cls, numbers: Codes, rate: float = RATE) -> "Known":
        keys, orders = [], []
        for third in _THIRDS:
            key = _key(numbers, third)
            order = np.argsort(key, kind="stable").astype(np.uint32)
            keys.append(key[order])
            orders.append(order)
        return cls(numbers, min(rate, MOST / len(numbers)), tuple(keys), tuple(orders))

    @classmethod
    def read(cls, path: Path, rate: float = RATE) -> "Known":
        """The numbers of a table as `read_table` reads it: those of the column `vin`, or else of
        the column that has most.

        Rows without a number of 17 characters are left out and counted: an older number is no VIN.

        Raises:
            UserError: the file cannot be read, or no row has a number.
        """
        header, rows = read_table(path)
        names = [i for i, name in enumerate(header) if "vin" in name]
        first = 2 if names else 1  # the row of the file that the first of `rows` is
        if not names:
            rows = [header, *rows]
            counts = Counter(
                i for row in rows[:1000] for i, cell in enumerate(row) if is_number(as_number(cell))
            )
            names = [i for i, _ in counts.most_common(1)] or [0]
        vins, unused = set(), []
        for number, row in enumerate(rows, first):
            cell = row[names[0]].strip() if len(row) > names[0] else ""
            if is_number(vin := as_number(cell)):
                vins.add(vin)
            elif cell:
                unused.append(f"row {number}: {cell!r:.40}")
        if not vins:
            raise UserError(f"{path} has no number of {BOXES} characters in a column named vin")
        known = cls.of(codes(sorted(vins)), rate)
        return replace(known, unused=tuple(unused[:_TOLD]), unused_rows=len(unused))

    def summary(self) -> str:
        """How many numbers there are, and which rows were not used."""
        text = f"{len(self.numbers):,} known numbers"
        if self.unused_rows:
            more = ", ..." if self.unused_rows > len(self.unused) else ""
            text += (
                f"; {self.unused_rows:,} rows are no number of {BOXES} characters and were not "
                f"used: {', '.join(self.unused)}{more}"
            )
        return text

    def near(self, number: Codes) -> NDArray[np.uint32]:
        """int (M,): which of them differ from a number, uint8 (17,), in two boxes at most; the
        most alike first."""
        found = []
        for third, keys, order in zip(_THIRDS, self.keys, self.orders, strict=True):
            key = _key(number[None], third)[0]
            low, high = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
            found.append(order[low:high])
        rows = np.unique(np.concatenate(found))
        apart = (self.numbers[rows] != number).sum(axis=1)
        alike: NDArray[np.uint32] = rows[np.argsort(apart, kind="stable")]
        return alike[: np.count_nonzero(apart <= NEAR)]


def _key(numbers: Codes, third: Indices) -> NDArray[np.uint32]:
    powers = np.uint32(len(CHARACTERS)) ** np.arange(len(third), dtype=np.uint32)[::-1]
    key: NDArray[np.uint32] = numbers[:, third] @ powers
    return key


def recognise(
    known: Known, prior: Prior, found: Decoding, log_probabilities: np.ndarray
) -> tuple[Decoding, str]:
    """A card's number in the light of the known ones, and what to tell of it.

    Args:
        found: the card decoded with `prior`; log_probabilities: float (17, 33), what it was
            decoded from.
    """
    raw, best = codes([found.raw, found.vin])
    if not is_number(found.vin):  # an empty box stays empty
        return found, _note(known, best)
    rows = np.union1d(known.near(raw), known.near(best))
    candidates = np.unique(np.concatenate([best[None], known.numbers[rows]]), axis=0)
    listed = (candidates[:, None] == known.numbers[rows][None]).all(axis=2).any(axis=1)
    logs = np.log(likelihoods(prior, normalised(log_probabilities)))
    likelihood = logs[np.arange(BOXES), candidates].sum(axis=1)
    statistics = prior.log_probabilities(candidates.astype(int)).sum(axis=1)
    at_best = int((candidates == best).all(axis=1).argmax())
    # The likelihood as a share of the total, which the best number's confidence tells.
    scale = np.log(max(found.confidence, 1e-300)) - statistics[at_best] - likelihood[at_best]
    by_list = listed * np.exp(np.minimum(likelihood + scale, 600)) * known.rate
    others = 1 - known.rate * len(known.numbers)
    weights = others * np.exp(np.minimum(statistics + likelihood + scale, 0)) + by_list
    total = others + by_list.sum()
    chosen = int(weights.argmax())
    confidence = min(float(weights[chosen] / total), 1.0)
    number = candidates[chosen]
    if chosen != at_best:
        vin = "".join(CHARACTERS[c] for c in number)
        found = read_as(prior, found, vin, "known number")
    return replace(found, confidence=confidence), _note(known, number)


def _note(known: Known, number: Codes) -> str:
    rows = known.near(number)
    if len(rows) and (known.numbers[rows[0]] == number).all():
        return "in the list of known numbers"
    notes = []
    for other in known.numbers[rows[:_TOLD]]:
        boxes = [str(box + 1) for box in np.flatnonzero(other != number)]
        plural = "es" if len(boxes) > 1 else ""
        text = "".join(CHARACTERS[c] for c in other)
        notes.append(f"known number {text} differs in box{plural} {' and '.join(boxes)}")
    return "; ".join(notes)


def alike(vins: Sequence[str]) -> dict[int, list[tuple[int, int]]]:
    """Which of a reading's numbers are the same or one box apart.

    Takes some 40 bytes for each number: hundreds of thousands are held at once.

    Args:
        vins: the cards' numbers in order; one that is not of 17 characters is like none.

    Returns:
        By place in `vins`: (place of the other, box in which they differ, 0 for none), at most
        `_TOLD` of each, the same numbers first.
    """
    whole = [i for i, v in enumerate(vins) if len(v) == BOXES and set(v) <= set(INDEX)]
    places = np.array(whole, dtype=int)
    if len(places) < 2:
        return {}
    numbers, which = np.unique(codes([vins[i] for i in places]), axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    groups = np.split(places[order], np.flatnonzero(np.diff(which[order])) + 1)
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for group in groups:
        first = group[: _TOLD + 1].tolist()
        for place in group.tolist() if len(group) > 1 else ():
            found[place] += [(other, 0) for other in first if other != place][:_TOLD]
    for one, other, box in _one_apart(numbers):
        for place in groups[one].tolist():
            if len(found[place]) < _TOLD:
                found[place].append((int(groups[other][0]), box))
    return dict(found)


def _one_apart(numbers: Codes) -> Iterator[tuple[int, int, int]]:
    """(one, other, box): which of different numbers, uint8 (N, 17), differ in one box only.

    Of many that are alike the first `_TOLD` others of each number are found.
    """
    factors = np.random.default_rng(0).integers(1, 2**63, BOXES, dtype=np.uint64)
    whole = (numbers * factors).sum(axis=1, dtype=np.uint64)
    for box in range(1, BOXES + 1):
        key = whole - numbers[:, box - 1] * factors[box - 1]  # the same where the others are
        order = np.argsort(key, kind="stable")
        begins = np.append(True, np.diff(key[order]) != 0)
        firsts = np.flatnonzero(begins)[np.cumsum(begins) - 1]  # where each one's group begins
        for nth in range(_TOLD + 1):
            at = np.flatnonzero(firsts + nth < len(order))
            one, other = order[at], order[firsts[at] + nth]
            differs = numbers[one] != numbers[other]
            apart = differs[:, box - 1] & (differs.sum(axis=1) == 1)
            yield from zip(one[apart].tolist(), other[apart].tolist(), repeat(box))


def note_alike(others: Sequence[tuple[str, int]]) -> str:
    """The message of a card: the names of others, each with the box in which it differs, or 0."""
    return "; ".join(
        f"same number as {name}" if box == 0 else f"like {name} but for box {box}"
        for name, box in others
    )
