"""Simulated cards: vehicle numbers as they are on the road, written with single characters.

What whole cards are worth is measured on these: every box shows a character by another writer,
read by the network, and all 17 readings are decoded into one number. A number is a real one of a
source that the statistics were not learned from, with other last four digits (and the check digit
that then belongs there); where there are no real numbers, one drawn from the statistics.
"""

from collections.abc import Sequence

import numpy as np

from vinreader.number.prior import CHECK_INDEX, DEPTH, MODULUS, REMAINDERS, Prior
from vinreader.number.vin import CHECK_POSITION, YEAR_POSITION, check_digit, country, region
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

GROUPS = ("north_america", "china", "europe", "asia", "former_ussr", "elsewhere")
_FORMER_USSR = ("Russia", "USSR", "Ukraine", "Belarus", "Kazakhstan", "Uzbekistan", "Georgia")
_BY_REGION = {"North America": "north_america", "Europe": "europe", "Asia": "asia"}


def group(vin: str) -> str:
    """Which of `GROUPS` a number belongs to."""
    if vin[0] in "HL":
        return "china"
    if any(name in country(vin) for name in _FORMER_USSR):
        return "former_ussr"
    return _BY_REGION.get(region(vin), "elsewhere")


def fresh(vin: str, rng: np.random.Generator, serial: int = 4) -> str:
    """The number with so many other last digits, and its check digit mended if it held."""
    other = vin[:-serial] + "".join(rng.choice(list(DIGITS), serial))
    if check_digit(vin) != vin[CHECK_POSITION - 1]:
        return other
    return other[: CHECK_POSITION - 1] + check_digit(other) + other[CHECK_POSITION:]


def drawn(prior: Prior, count: int, rng: np.random.Generator) -> list[str]:
    """Numbers drawn from a prior."""

    def one(row: np.ndarray) -> int:
        return int(rng.choice(len(CHARACTERS), p=row / row.sum()))

    found = []
    for _ in range(count):
        cell, number, at_end = 0, np.zeros(BOXES, dtype=int), False
        for position in range(1, BOXES + 1):
            if position == CHECK_POSITION:
                continue
            number[position - 1] = c = one(prior.rows[prior.row_of[position - 1, cell]])
            children = np.flatnonzero((prior.parents == cell) & (prior.depths == position))
            children = children[prior.begins[min(position, DEPTH) - 1, children] == c]
            at_end = at_end or not len(children)
            if not at_end:
                cell = int(children[0])
        check = CHECK_INDEX[REMAINDERS[np.arange(BOXES), number].sum() % MODULUS]
        chance = prior.rows[prior.row_of[CHECK_POSITION - 1, cell]].copy()
        chance[check] = 0
        holds = rng.random() < prior.check_rate[cell, number[YEAR_POSITION - 1]]
        number[CHECK_POSITION - 1] = check if holds else one(chance)
        found.append("".join(CHARACTERS[c] for c in number))
    return found


def written(
    log_probabilities: np.ndarray, labels: np.ndarray, vins: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    """(N, 17, 33) readings of numbers, each box a random one of those of its character.

    Args:
        log_probabilities: (M, 33) float, of M characters; labels: (M,) int, their classes: every
            class in `vins` must occur.
    """
    members = [np.flatnonzero(labels == c) for c in range(len(CHARACTERS))]
    chosen = [[rng.choice(members[INDEX[c]]) for c in vin] for vin in vins]
    return np.asarray(log_probabilities[np.array(chosen, dtype=int).reshape(-1, BOXES)])
