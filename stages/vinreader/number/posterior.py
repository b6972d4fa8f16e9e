"""The most probable of all 33**17 numbers of a card, how probable it is, and every character.

The prior (`prior.py`) parts all numbers into cells. A cell is two chains here: its numbers with
the right check digit, and those without. In a chain every position has its own weights, prior
times likelihood, and position 9 those that belong to the remainder of all others in the check sum.
So the sum over all numbers of a chain is a product of discrete Fourier transforms over the 11
remainders (sum-product), and its best number a Viterbi path over them (max-product). Cells are
taken heaviest first, by an upper bound, until the rest weighs less than `NEGLIGIBLE` of the total.
"""

import numpy as np

from vinreader.number.prior import (
    CHECK_INDEX,
    DEPTH,
    MODULUS,
    REMAINDERS,
    Floats,
    Indices,
    Prior,
)
from vinreader.number.vin import CHECK_POSITION, YEAR_POSITION
from vinreader.spec import BOXES, CHARACTERS

NEGLIGIBLE = 1e-7  # share of all numbers' weight that may be left out
_CHUNK = 48  # cells weighed together
_NINE, _TEN = CHECK_POSITION - 1, YEAR_POSITION - 1
_RIVALS = 4  # chains whose best numbers are looked for together at first
_OTHERS = [i for i in range(BOXES) if i != _NINE]
# int (17, 11, 33): the remainder before a position, by that after it and the character there.
_BEFORE = (np.arange(MODULUS)[:, None] - REMAINDERS[:, None]) % MODULUS
# The transform of weights by remainder, real and imaginary parts in turn, and back.
_WAVES = np.fft.rfft(np.eye(MODULUS)).view(float)  # (11, 12)
_SPECTRA = _WAVES[REMAINDERS]  # (17, 33, 12)
_BACK = _WAVES.T * (np.array([1, 1, *[2] * (MODULUS - 1)]) / MODULUS)[:, None]
_BACK_BY_CHARACTER = _BACK.T[-REMAINDERS % MODULUS].transpose(0, 2, 1)  # (17, 12, 33)


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
    for i, bound in enumerate(_bounds(prior, scaled)):
        best[i], confidence[i], marginals[i] = _posterior(prior, scaled[i], bound)
    return best, confidence, marginals


def _bounds(prior: Prior, scaled: Floats) -> Floats:
    """float (N, C): what the numbers of each cell can weigh at most, as if position 9 were the
    likeliest character whatever the others are, and no cell had longer ones within it."""
    sums = np.empty((len(scaled), len(prior.rows)))
    for position in range(BOXES):
        rows = prior.rows_at(position + 1)
        sums[:, rows] = scaled[:, position] @ prior.rows[rows].T
    sums[:, prior.rows_at(CHECK_POSITION)] = 1
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
    marginals, total = np.zeros_like(scaled), 0.0
    chains: list[tuple[Floats, Floats, Floats]] = []
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

    No number weighs more than all of its chain, nor than the likeliest characters whatever their
    check sum: the chains of which most is possible first, until none can rival.
    """
    totals = np.concatenate([total for _, _, total in chains])
    weights = np.concatenate([weights for weights, _, _ in chains], axis=1)
    nine = np.concatenate([nine for _, nine, _ in chains])
    likeliest = weights[_OTHERS].max(axis=2).prod(axis=0) * nine.max(axis=(1, 2))
    possible = np.minimum(totals, likeliest * (1 + 1e-9))
    order = np.argsort(-possible, kind="stable")
    number, best = np.zeros(BOXES, dtype=int), 0.0
    start, size = 0, _RIVALS
    while start < len(order) and possible[order[start]] > best:
        some = order[start : start + size]
        numbers, found = _viterbi(weights[:, some], nine[some])
        if found.max() > best:
            number, best = numbers[found.argmax()], float(found.max())
        start, size = start + size, min(2 * size, _CHUNK)
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
