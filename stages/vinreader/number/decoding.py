"""17 uncertain boxes read as one number: the most probable one, and exactly how probable it is.

The prior (`prior.py`) parts all numbers into cells. A cell is two chains here: its numbers with
the right check digit, and those without. In a chain every position has its own weights, prior
times likelihood, and position 9 those that belong to the remainder of all others in the check sum.
So the sum over all numbers of a chain is a product of discrete Fourier transforms over the 11
remainders (sum-product), and its best number a Viterbi path over them (max-product). Cells are
taken heaviest first, by an upper bound, until the rest weighs less than `NEGLIGIBLE` of the total.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vinreader.number import vin as facts
from vinreader.number.prior import (
    CHECK_INDEX,
    DEPTH,
    MODULUS,
    REMAINDERS,
    Floats,
    Indices,
    Prior,
)
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

Complex = NDArray[np.complex128]

NEGLIGIBLE = 1e-7  # share of all numbers' weight that may be left out
BLOCK = 64  # cards whose bounds are computed together
_CHUNK = 48  # cells weighed together
_ALTERNATIVES = 5
_NINE = facts.CHECK_POSITION - 1
_TEN = facts.YEAR_POSITION - 1


@dataclass(frozen=True)
class Change:
    """One box in which the number differs from the plain reading. `position` is 1 to 17."""

    position: int
    read: str
    became: str
    rule: str

    def __str__(self) -> str:
        return f"box {self.position}: {self.read} -> {self.became} ({self.rule})"


@dataclass(frozen=True)
class Decoding:
    """17 boxes read as one number.

    vin: the most probable number; raw: the most probable character of every box by itself.
    In a card with empty boxes both have `-` there, and each other box of `vin` the character that
    is most probable whatever the empty ones would be.
    confidence: probability that the whole of `vin` is right, 0 to 1; 0 with an empty box.
    evidence: what vouches for it: one of `KINDS`.
    changed: what the rules changed, in boxes that are not empty.
    alternatives: for every box the few most probable characters under the rules, best first,
        as (character, probability); none for an empty one. The first is nearly always that of
        `vin`.
    """

    vin: str
    raw: str
    confidence: float
    evidence: str
    changed: tuple[Change, ...]
    alternatives: tuple[tuple[tuple[str, float], ...], ...]


def decode(prior: Prior, log_probabilities: np.ndarray, rules: str = "auto") -> Decoding:
    """Read one card: (17, 33) log probabilities. See `decode_batch`."""
    return decode_batch(prior, np.asarray(log_probabilities)[None], rules)[0]


def decode_batch(
    prior: Prior,
    log_probabilities: np.ndarray,
    rules: str = "auto",
    empty: NDArray[np.bool_] | None = None,
) -> list[Decoding]:
    """Read cards as numbers, each as the most probable one of all 33**17.

    Args:
        log_probabilities: (N, 17, 33) float, natural logarithms of the probability of every
            character in every box, from a reader to which all characters are equally likely.
            They need not be normalised; -inf is allowed.
        rules: "auto" knows what numbers look like; "none" takes every box by itself.
        empty: (N, 17) bool, boxes without a character; none when not given.

    Raises:
        ValueError: another shape, NaN, +inf, or a box without any probability.
    """
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if logs.ndim != 3 or logs.shape[1:] != (BOXES, len(CHARACTERS)):
        raise ValueError(f"expected (N, 17, 33) log probabilities, got {logs.shape}")
    if rules not in ("auto", "none"):
        raise ValueError(f"rules must be 'auto' or 'none', not {rules!r}")
    boxes = normalised(logs)
    raw = boxes.argmax(axis=2)
    if rules == "none":
        best, confidence, marginals = raw, boxes.max(axis=2).prod(axis=1), boxes
    else:
        best, confidence, marginals = posterior(prior, likelihoods(prior, boxes))
    if empty is None:
        empty = np.zeros(raw.shape, dtype=bool)
    each = zip(best, raw, confidence.tolist(), marginals, empty, strict=True)
    return [_decoding(prior, *card) for card in each]


def normalised(log_probabilities: np.ndarray) -> Floats:
    """(..., 33) probabilities that sum to 1. Raises ValueError where there are none."""
    peaks = log_probabilities.max(axis=-1, keepdims=True, initial=-np.inf)
    if not np.isfinite(peaks).all():
        raise ValueError("every box needs finite log probabilities (NaN, +inf or all -inf found)")
    boxes: Floats = np.exp(log_probabilities - peaks)
    boxes /= boxes.sum(axis=-1, keepdims=True)
    return boxes


def likelihoods(prior: Prior, boxes: Floats) -> Floats:
    """(..., 33) probabilities, each box with the prior's share of a stray one: none is 0, and no
    product of 17 underflows."""
    return (1 - prior.stray) * boxes + prior.stray / len(CHARACTERS)


def posterior(prior: Prior, boxes: Floats) -> tuple[Indices, Floats, Floats]:
    """The best numbers of cards, how probable they are, and every character's probability.

    Args:
        boxes: (N, 17, 33) float, the probabilities of the characters in each box, none 0.

    Returns:
        int (N, 17) indices of characters, float (N,) and float (N, 17, 33).
    """
    scaled = boxes / boxes.max(axis=2, keepdims=True)
    best, confidence = np.zeros((len(boxes), BOXES), dtype=int), np.zeros(len(boxes))
    marginals = np.zeros_like(scaled)
    for start in range(0, len(scaled), BLOCK):
        bounds = _bounds(prior, scaled[start : start + BLOCK])
        for i, bound in enumerate(bounds, start):
            best[i], confidence[i], marginals[i] = _posterior(prior, scaled[i], bound)
    return best, confidence, marginals


def _bounds(prior: Prior, scaled: Floats) -> Floats:
    """float (N, C): what the numbers of each cell can weigh at most, as if position 9 were the
    likeliest character whatever the others are, and no cell had longer ones within it."""
    sums = np.empty((len(scaled), len(prior.rows)))
    for position in range(BOXES):
        rows = prior.rows_at(position + 1)
        sums[:, rows] = scaled[:, position] @ prior.rows[rows].T
    sums[:, prior.rows_at(facts.CHECK_POSITION)] = 1
    bounds = np.empty((len(scaled), len(prior.depths)))
    for card, boxes, bound in zip(scaled, sums, bounds, strict=True):
        factors = boxes[prior.row_of]
        prefix = card[np.arange(DEPTH)[:, None], prior.begins]
        factors[:DEPTH] = np.where(prior.begun, prefix, factors[:DEPTH])
        bound[:] = factors.prod(axis=0) * prior.weights
    return bounds


def _posterior(prior: Prior, scaled: Floats, bound: Floats) -> tuple[Indices, float, Floats]:
    """As `posterior`, of one card: (17, 33), with the bounds (C,) of its cells."""
    order = np.argsort(-bound, kind="stable")
    remaining = bound[order][::-1].cumsum()[::-1]
    marginals, total, chains = np.zeros_like(scaled), 0.0, []
    for start in range(0, len(order), _CHUNK):
        if remaining[start] <= NEGLIGIBLE * total:
            break
        weights, nine = _chains(prior, scaled, order[start : start + _CHUNK])
        summed, totals = _sum_product(weights, nine)
        marginals += summed
        total += totals.sum()
        chains.append((weights, nine, totals))
    number, weight = _best(chains)
    return number, min(weight / total, 1.0), np.clip(marginals / total, 0, 1)


def _chains(prior: Prior, scaled: Floats, cells: Indices) -> tuple[Floats, Floats]:
    """The chains of some cells: those with the check digit, and then those without.

    Returns:
        float (17, 2K, 33), the weight of every character at every position but 9, and float
        (2K, 11, 33), that at position 9 by the remainder of the others.
    """
    rows = prior.row_of[:, cells]
    weights = prior.rows[rows] * scaled[:, None]
    weights[:DEPTH] *= prior.led[:, cells]
    rate = prior.check_rate[cells]
    each = np.arange(MODULUS)
    without = np.repeat(prior.rows[rows[_NINE]][:, None], MODULUS, axis=1)
    without /= 1 - without[:, each, CHECK_INDEX][:, :, None]
    without[:, each, CHECK_INDEX] = 0
    check = np.zeros_like(without)
    check[:, each, CHECK_INDEX] = 1
    weights = np.concatenate([weights, weights], axis=1)
    weights[_TEN] *= np.concatenate([rate, 1 - rate]) * np.tile(prior.year_share[cells], (2, 1))
    return weights, np.concatenate([check, without]) * scaled[_NINE]


def _sum_product(weights: Floats, nine: Floats) -> tuple[Floats, Floats]:
    """Of chains as `_chains` gives them: float (17, 33), the summed weight of the numbers with
    each character at each position, and (K,), of all numbers of each chain."""
    ends = nine.sum(axis=2)
    spectra = (weights @ _SPECTRA).view(complex)
    # As if position 9 took from the check sum what the others add: all remainders sum to 0.
    spectra[_NINE] = (ends @ _WAVES).view(complex).conj()
    before = np.ones((BOXES + 1, *spectra.shape[1:]), complex)
    after = before.copy()
    np.cumprod(spectra, axis=0, out=before[1:])
    np.cumprod(spectra[::-1], axis=0, out=after[1:])
    others = (before[:-1] * after[-2::-1]).view(float)
    summed = (weights * (others @ _BACK_BY_CHARACTER)).sum(axis=1)
    remainder = np.maximum(others[_NINE] @ _BACK, 0)
    summed[_NINE] = np.einsum("kr,krc->c", remainder, nine)
    return summed, (remainder * ends).sum(axis=1)


def _best(chains: list[tuple[Floats, Floats, Floats]]) -> tuple[Indices, float]:
    """int (17,) and its weight: the best number of all chains, by weights, position 9 and total.

    No number weighs more than all of its chain: the heaviest chains first, until none can rival.
    """
    totals = np.concatenate([total for _, _, total in chains])
    order = np.argsort(-totals, kind="stable")
    weights = np.concatenate([weights for weights, _, _ in chains], axis=1)
    nine = np.concatenate([nine for _, nine, _ in chains])
    number, best = np.zeros(BOXES, dtype=int), 0.0
    for start in range(0, len(order), _RIVALS):
        some = order[start : start + _RIVALS]
        some = some[totals[some] > best]
        if not len(some):
            break
        numbers, found = _viterbi(weights[:, some], nine[some])
        if found.max() > best:
            number, best = numbers[found.argmax()], float(found.max())
    return number, best


def _viterbi(weights: Floats, nine: Floats) -> tuple[Indices, Floats]:
    """int (K, 17), the best number of each chain, and float (K,), its weight."""
    each = np.arange(len(nine))[:, None]
    forward = [np.where(np.arange(MODULUS) == 0, 1.0, np.zeros((len(nine), 1)))]
    for position in _OTHERS:
        forward.append((forward[-1][:, _BEFORE[position]] * weights[position][:, None]).max(axis=2))
    complete = (forward[-1][:, :, None] * nine).reshape(len(nine), -1)
    place = complete.argmax(axis=1)
    numbers = np.zeros((len(nine), BOXES), dtype=int)
    remainder, numbers[:, _NINE] = np.divmod(place, len(CHARACTERS))
    for position, before in zip(_OTHERS[::-1], forward[-2::-1], strict=True):
        origin = _BEFORE[position][remainder]
        numbers[:, position] = choice = (weights[position] * before[each, origin]).argmax(axis=1)
        remainder = origin[each[:, 0], choice]
    return numbers, complete[each[:, 0], place]


_RIVALS = 4  # chains whose best numbers are looked for together
_OTHERS = [i for i in range(BOXES) if i != _NINE]
# int (17, 11, 33): the remainder before a position, by that after it and the character there.
_BEFORE = (np.arange(MODULUS)[:, None] - REMAINDERS[:, None]) % MODULUS
# The transform of weights by remainder, real and imaginary parts in turn, and back.
_WAVES = np.fft.rfft(np.eye(MODULUS)).view(float)  # (11, 12)
_SPECTRA = _WAVES[REMAINDERS]  # (17, 33, 12)
_BACK = _WAVES.T * (np.array([1, 1, *[2] * (MODULUS - 1)]) / MODULUS)[:, None]
_BACK_BY_CHARACTER = _BACK.T[-REMAINDERS % MODULUS].transpose(0, 2, 1)  # (17, 12, 33)


# What is said of a card


def _decoding(
    prior: Prior,
    best: Indices,
    raw: Indices,
    confidence: float,
    marginals: Floats,
    empty: NDArray[np.bool_],
) -> Decoding:
    top = np.argsort(-marginals, axis=1, kind="stable")[:, :_ALTERNATIVES]
    probability = np.take_along_axis(marginals, top, axis=1)
    if empty.any():  # what fits best with invented characters is no evidence
        best, confidence = top[:, 0], 0.0
    found = Decoding(
        vin="",
        raw=_text(raw, empty),
        confidence=confidence,
        evidence=KINDS[-1],
        changed=(),
        alternatives=tuple(
            () if blank else tuple((CHARACTERS[c], p) for c, p in zip(box, row, strict=True))
            for blank, box, row in zip(empty, top.tolist(), probability.tolist(), strict=True)
        ),
    )
    return read_as(prior, found, _text(best, empty))


def read_as(prior: Prior, found: Decoding, vin: str, rule: str = "") -> Decoding:
    """A card's decoding as another number, and why: the rule that is named, or in each box the one
    that speaks most plainly against what was read."""
    cell = prior.cell(vin)
    return replace(
        found,
        vin=vin,
        evidence=evidence(prior, cell, vin),
        changed=tuple(
            Change(i, read, became, rule or _rule(prior, cell, vin, i, read))
            for i, (read, became) in enumerate(zip(found.raw, vin, strict=True), 1)
            if read != became
        ),
    )


KINDS = ("check digit", "known maker", "none")


def evidence(prior: Prior, cell: int, vin: str) -> str:
    """What vouches for a number of this cell, one of `KINDS`: a check digit that its maker nearly
    always keeps in that year, or a maker of whom many numbers are known."""
    if not facts.is_number(vin):
        return KINDS[2]
    if facts.check_digit(vin) == vin[_NINE] and _check_rate(prior, cell, vin) >= prior.usual_check:
        return KINDS[0]
    return KINDS[1] if prior.counts[cell] >= prior.known_maker else KINDS[2]


def _check_rate(prior: Prior, cell: int, vin: str) -> float:
    return float(prior.check_rate[cell, INDEX[vin[_TEN]]])


def _rule(prior: Prior, cell: int, vin: str, position: int, read: str) -> str:
    """The rule that speaks most plainly against having read a character at a position of `vin`."""
    if position >= 14 and read not in DIGITS:
        return "the last four are digits"
    if facts.year_coded(vin) and position == 10 and read not in facts.MODEL_YEARS:
        return "model year"
    check = facts.check_digit_status(vin) == "ok" and _check_rate(prior, cell, vin) > 0.5
    if check and position == facts.CHECK_POSITION:
        return "check digit"
    if position <= 3 and facts.manufacturer(vin):
        return "maker's code"
    row = prior.rows[prior.row_of[position - 1, cell]]
    unusual = (
        position > prior.depths[cell] and row[INDEX[read]] < row[INDEX[vin[position - 1]]] / 10
    )
    return "check digit" if check and not unusual else "usual form"


def _text(indices: Indices, empty: NDArray[np.bool_]) -> str:
    return "".join(
        "-" if blank else CHARACTERS[c] for c, blank in zip(indices.tolist(), empty, strict=True)
    )
