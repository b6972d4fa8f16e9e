"""17 uncertain boxes read as one number: the most probable one, and exactly how probable it is.

The prior (`numbers.py`) parts all numbers into cells. Within a cell everything is a product but
for the check digit, so positions are folded one by one into a table over the 11 remainders of the
check sum, once with `max` (the best number) and once with `sum` (the total, and every
character's posterior). Most cells weigh nothing on a given card: those that together weigh at
most `NEGLIGIBLE` of the total, by an upper bound, are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vinreader import vin as facts
from vinreader.numbers import CHECK_INDEX, DEPTH, MODULUS, REMAINDERS, Prior
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

STRAY = 1e-5  # share of boxes that show something the network does not believe in at all
NEGLIGIBLE = 1e-6  # of all numbers' weight, that of those which are not looked at
BLOCK = 256  # cards decoded together
_ALTERNATIVES = 5
_NINE = facts.CHECK_POSITION - 1
_OTHERS = [i for i in range(1, BOXES + 1) if i != facts.CHECK_POSITION]

Combine = Callable[..., np.ndarray]


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
    confidence: probability that the whole of `vin` is right, 0 to 1.
    evidence: what vouches for it: "check digit", "known maker" or "none".
    changed: what the rules changed. check_digit: `check_digit_status(vin)`.
    region, manufacturer, model_year: what `vin` tells, else "".
    alternatives: for every box the few most probable characters under the rules, best first,
        as (character, probability). The first is nearly always the one in `vin`.
    """

    vin: str
    raw: str
    confidence: float
    evidence: str
    changed: tuple[Change, ...]
    check_digit: str
    region: str
    manufacturer: str
    model_year: str
    alternatives: tuple[tuple[tuple[str, float], ...], ...]


def decode(prior: Prior, log_probabilities: np.ndarray, rules: str = "auto") -> Decoding:
    """Read one card: (17, 33) log probabilities. See `decode_batch`."""
    return decode_batch(prior, np.asarray(log_probabilities)[None], rules)[0]


def decode_batch(
    prior: Prior, log_probabilities: np.ndarray, rules: str = "auto"
) -> list[Decoding]:
    """Read cards as numbers, each as the most probable one of all 33**17.

    Args:
        log_probabilities: (N, 17, 33) float, natural logarithms of the probability of every
            character in every box, from a reader to which all characters are equally likely.
            They need not be normalised; -inf is allowed.
        rules: "auto" knows what numbers look like; "none" takes every box by itself.

    Raises:
        ValueError: another shape, NaN, +inf, or a box without any probability.
    """
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if logs.ndim != 3 or logs.shape[1:] != (BOXES, len(CHARACTERS)):
        raise ValueError(f"expected (N, 17, 33) log probabilities, got {logs.shape}")
    if rules not in ("auto", "none"):
        raise ValueError(f"rules must be 'auto' or 'none', not {rules!r}")
    peaks = logs.max(axis=2, keepdims=True, initial=-np.inf)
    if not np.isfinite(peaks).all():
        raise ValueError("every box needs finite log probabilities (NaN, +inf or all -inf found)")
    boxes = np.exp(logs - peaks)
    boxes /= boxes.sum(axis=2, keepdims=True)
    raw = boxes.argmax(axis=2)
    found: list[Decoding] = []
    for start in range(0, len(boxes), BLOCK):
        part, plain = boxes[start : start + BLOCK], raw[start : start + BLOCK]
        if rules == "none":
            found += _decodings(prior, plain, plain, part.max(axis=2).prod(axis=1), part)
            continue
        # From here on no probability is 0, and no product of 17 underflows.
        part = (1 - STRAY) * part + STRAY / len(CHARACTERS)
        best, confidence, marginals = posterior(prior, part)
        found += _decodings(prior, best, plain, confidence, marginals)
    return found


# Tables over the remainders of the check sum


def remainder_table(position: int, weights: np.ndarray, combine: Combine) -> np.ndarray:
    """(N, 33) weights of the characters at a position (1-17) as (N, 11), by remainder they add.

    `combine` is np.max or np.sum over the characters that add the same remainder.
    """
    if combine is np.sum:
        return weights @ _ADDS[position - 1]
    padded = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1)
    return combine(padded[:, _SHARING[position - 1]], axis=2)


def fold(before: np.ndarray, table: np.ndarray, combine: Combine) -> np.ndarray:
    """Two (N, 11) tables over remainders as the one of their sum: a cyclic convolution."""
    if combine is np.sum:
        return np.matmul(table[:, _DIFFERENCE], before[:, :, None])[:, :, 0]
    return combine(before[:, None, :] * table[:, _DIFFERENCE], axis=2)


def unfold(after: np.ndarray, *tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """`fold` seen from the end: (N, 11) weight of what follows, by the remainder before each."""
    shifted = after[:, _SUM]
    return tuple(np.matmul(shifted, table[:, :, None])[:, :, 0] for table in tables)


def _sharing(remainders: np.ndarray) -> np.ndarray:
    """(11, most) characters that add a remainder, filled up with 33, which weighs nothing."""
    groups = [np.flatnonzero(remainders == r).tolist() for r in range(MODULUS)]
    most = max(map(len, groups))
    return np.array([group + [len(CHARACTERS)] * (most - len(group)) for group in groups])


_SUM = np.add.outer(np.arange(MODULUS), np.arange(MODULUS)) % MODULUS  # [before, added] -> after
_DIFFERENCE = np.subtract.outer(np.arange(MODULUS), np.arange(MODULUS)) % MODULUS
_SHARING = [_sharing(remainders) for remainders in REMAINDERS]
_ADDS = [np.eye(MODULUS)[remainders] for remainders in REMAINDERS]


# Cells


@dataclass(frozen=True)
class _Chains:
    """Cells of one depth, each with a card whose number may be in it: K rows, cards in order.

    card, cell: int (K,). positions: those after the beginning, without position 9.
    weights: float (K, len(positions), 33), prior times likelihood of the characters there.
    start: float (K, 11), of the beginning, by the remainder it adds.
    nine: float (K, 33), likelihoods at position 9; chance: float (K, 33), prior of a character
    there that is not the check digit; rate: float (K,), prior of the check digit.
    """

    card: np.ndarray
    cell: np.ndarray
    positions: list[int]
    weights: np.ndarray
    start: np.ndarray
    nine: np.ndarray
    chance: np.ndarray
    rate: np.ndarray

    def table(self, place: int, combine: Combine) -> np.ndarray:
        return remainder_table(self.positions[place], self.weights[:, place], combine)

    def forward(self, combine: Combine) -> list[np.ndarray]:
        """(K, 11) before the first position, and after each, by the remainder so far."""
        found = [self.start]
        for place in range(len(self.positions)):
            found.append(fold(found[-1], self.table(place, combine), combine))
        return found

    def total(self) -> np.ndarray:
        """(K,) the summed weight of each cell's numbers."""
        return (self.forward(np.sum)[-1] * self.end_summed()).sum(axis=1)

    def scale(self) -> np.ndarray:
        """(K, 11): `chance` times this is the prior where the others leave a remainder, but for
        the check digit."""
        return (1 - self.rate[:, None]) / (1 - self.chance[:, CHECK_INDEX])

    def end(self) -> np.ndarray:
        """(K, 11, 33): weights of the characters at position 9 by the remainder of the others."""
        weights = self.scale()[:, :, None] * self.chance[:, None, :]
        weights[:, np.arange(MODULUS), CHECK_INDEX] = self.rate[:, None]
        return weights * self.nine[:, None, :]

    def end_summed(self) -> np.ndarray:
        """(K, 11): the same, summed over the characters."""
        other = self.chance * self.nine
        rest = other.sum(axis=1, keepdims=True) - other[:, CHECK_INDEX]
        return self.scale() * rest + self.rate[:, None] * self.nine[:, CHECK_INDEX]

    def at_nine(self, before: np.ndarray) -> np.ndarray:
        """(K, 33): the same, summed over the remainders, each of the weight `before`, (K, 11)."""
        scaled = before * self.scale()
        weights = self.chance * scaled.sum(axis=1, keepdims=True)
        checks = self.chance[:, CHECK_INDEX]
        weights[:, CHECK_INDEX] += before * self.rate[:, None] - scaled * checks
        return np.maximum(weights, 0) * self.nine


def _chains(prior: Prior, scaled: np.ndarray, card: np.ndarray, cell: np.ndarray) -> list[_Chains]:
    """Cards and cells, grouped by depth of the cells."""
    found = []
    for depth in np.unique(prior.depths[cell]).tolist():
        at = prior.depths[cell] == depth
        cards, cells = card[at], cell[at]
        positions = [i for i in range(depth + 1, BOXES + 1) if i != facts.CHECK_POSITION]
        columns = np.array(positions) - 1
        weights = prior.rows[prior.row_of[cells][:, columns]]
        weights *= scaled[cards[:, None], columns]
        if depth < DEPTH:
            weights[:, 0][prior.leaves[cells]] = 0
        start = np.zeros((len(cards), MODULUS))
        each = scaled[cards[:, None], np.arange(depth), prior.begins[cells, :depth]]
        start[np.arange(len(cards)), prior.starts[cells]] = each.prod(axis=1) * prior.weights[cells]
        found.append(
            _Chains(
                cards, cells, positions, weights, start, scaled[cards, _NINE],
                prior.rows[prior.row_of[cells, _NINE]], prior.check_rate[cells],
            )
        )  # fmt: skip
    return found


def _bounds(prior: Prior, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the numbers of each cell can weigh at most: float (N, C), as if all that follows the
    cell's beginning were as usual as it can be; and the sums that follow, (N, R) by row of the
    prior, and the largest of each position, (18, N)."""
    sums = np.empty((len(scaled), len(prior.rows)))
    most = np.ones((BOXES + 1, len(scaled)))
    for position in range(1, BOXES + 1):
        rows = prior.rows_at(position)
        sums[:, rows] = scaled[:, position - 1] @ prior.rows[rows].T
        if position != facts.CHECK_POSITION:
            most[position] = sums[:, rows].max(axis=1)
    bound = np.ones((len(scaled), len(prior.depths)))
    for depth in range(DEPTH + 1):
        at = np.flatnonzero(prior.depths == depth)
        if depth:
            last = prior.begins[at, depth - 1]
            bound[:, at] = bound[:, prior.parents[at]] * scaled[:, depth - 1, last]
    after = np.cumprod(most[::-1], axis=0)[::-1]
    return bound * prior.weights * after.T[:, prior.depths + 1], sums, after


def _narrow(
    prior: Prior,
    scaled: np.ndarray,
    bound: np.ndarray,
    sums: np.ndarray,
    after: np.ndarray,
    least: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cards and cells with a bound of at least float (N,) `least`, int (K,) each, and a narrower
    bound, float (K,): with the prior of what follows the beginning, but for the check digit."""
    card, cell = np.nonzero(bound >= least[:, None])
    depth = prior.depths[cell]
    exact = bound[card, cell] / after[depth + 1, card]
    for position in _OTHERS:
        factor = sums[card, prior.row_of[cell, position - 1]]
        exact *= factor if position > DEPTH else np.where(depth < position, factor, 1)
    digit = scaled[:, _NINE, CHECK_INDEX].max(axis=1)
    rate = prior.check_rate[cell]
    return card, cell, exact * (rate * digit[card] + 1 - rate)


def _candidates(prior: Prior, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cards and cells, int (K,) each: all but those that weigh `NEGLIGIBLE` of the card's total or
    less, all together."""
    bound, sums, after = _bounds(prior, scaled)
    # The total is at least that of a few cells.
    top = bound.max(axis=1) / 100
    card, cell, _ = _narrow(prior, scaled, bound, sums, after, top)
    total = np.zeros(len(scaled))
    for chains in _chains(prior, scaled, card, cell):
        np.add.at(total, chains.card, chains.total())
    least = NEGLIGIBLE / 2 / bound.shape[1] * total
    card, cell, exact = _narrow(prior, scaled, bound, sums, after, least)
    order = np.lexsort((exact, card))
    card, cell = card[order], cell[order]
    share = np.ones(len(card))  # of the total, at most; all of it where none is known
    np.divide(exact[order], total[card], out=share, where=total[card] > exact[order])
    first = np.flatnonzero(np.append(True, np.diff(card) != 0))
    sizes = np.diff(np.append(first, len(card)))
    lighter = np.cumsum(share)
    lighter -= np.repeat(lighter[first] - share[first], sizes)
    used = lighter > NEGLIGIBLE / 2
    return card[used], cell[used]


def posterior(prior: Prior, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best numbers of cards, how probable they are, and every character's probability.

    Args:
        boxes: (N, 17, 33) float, the probabilities of the characters in each box, none 0.

    Returns:
        int (N, 17) indices of characters, float (N,) and float (N, 17, 33).
    """
    scaled = boxes / boxes.max(axis=2, keepdims=True)
    best, weight, summed = _decode(prior, scaled, *_candidates(prior, scaled))
    total = summed[:, 0].sum(axis=1)
    return best, np.minimum(weight / total, 1), summed / total[:, None, None]


def _decode(
    prior: Prior, scaled: np.ndarray, card: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 17) best number of each card among these cells, its weight, and (N, 17, 33) the summed
    weight of the numbers with each character in each box."""
    summed = np.zeros_like(scaled)
    chains = _chains(prior, scaled, card, cell)
    total = np.concatenate([_add_marginals(prior, one, summed) for one in chains])
    card = np.concatenate([one.card for one in chains])
    cell = np.concatenate([one.cell for one in chains])
    # No number weighs more than all of its cell: first the heaviest cells, then what may rival.
    order = np.lexsort((-total, card))
    card, cell, total = card[order], cell[order], total[order]
    first = np.append(True, np.diff(card) != 0)
    best = np.zeros((len(scaled), BOXES), dtype=int)
    weight = np.zeros(len(scaled))
    for some in (first, ~first):
        some &= total > weight[card]
        for one in _chains(prior, scaled, card[some], cell[some]):
            numbers, weights = _best(prior, one)
            for i in np.argsort(weights, kind="stable").tolist():
                if weights[i] > weight[one.card[i]]:
                    best[one.card[i]], weight[one.card[i]] = numbers[i], weights[i]
    return best, weight, summed


def _add_marginals(prior: Prior, chains: _Chains, summed: np.ndarray) -> np.ndarray:
    """(K,) the summed weight of each cell's numbers, added to `summed` by character and box."""
    first = np.flatnonzero(np.append(True, np.diff(chains.card) != 0))
    cards = chains.card[first]
    forward, after = chains.forward(np.sum), chains.end_summed()
    summed[cards, _NINE] += np.add.reduceat(chains.at_nine(forward[-1]), first)
    total = (forward[-1] * after).sum(axis=1)
    for place in reversed(range(len(chains.positions))):
        position = chains.positions[place]
        # unfold() with the two sides exchanged: the weight of the rest by what a box adds
        rest, after = unfold(after, forward[place], chains.table(place, np.sum))
        there = chains.weights[:, place] * rest[:, REMAINDERS[position - 1]]
        summed[cards, position - 1] += np.add.reduceat(there, first)
    for place in range(int(prior.depths[chains.cell[0]])):
        begin = prior.begins[chains.cell, place]
        np.add.at(summed, (chains.card, np.full_like(begin, place), begin), total)
    return total


def _best(prior: Prior, chains: _Chains) -> tuple[np.ndarray, np.ndarray]:
    """(K, 17) the best number of each cell, (K,) its weight."""
    each = np.arange(len(chains.card))
    forward, end = chains.forward(np.max), chains.end()
    complete = (forward[-1][:, :, None] * end).reshape(len(each), -1)
    place = complete.argmax(axis=1)
    weight = complete[each, place]
    numbers = np.zeros((len(each), BOXES), dtype=int)
    numbers[:, :DEPTH] = prior.begins[chains.cell]
    remainder, numbers[:, _NINE] = np.divmod(place, len(CHARACTERS))
    for step in reversed(range(len(chains.positions))):
        added = REMAINDERS[chains.positions[step] - 1]
        before = forward[step][each[:, None], (remainder[:, None] - added) % MODULUS]
        choice = (chains.weights[:, step] * before).argmax(axis=1)
        numbers[:, chains.positions[step] - 1] = choice
        remainder = (remainder - added[choice]) % MODULUS
    return numbers, weight


# What is told of a card


def _decodings(
    prior: Prior, best: np.ndarray, raw: np.ndarray, confidence: np.ndarray, marginals: np.ndarray
) -> list[Decoding]:
    top = np.argsort(-marginals, axis=2, kind="stable")[:, :, :_ALTERNATIVES]
    probability = np.take_along_axis(marginals, top, axis=2)
    cells = prior.cells(best)
    return [
        _decoding(prior, int(cells[i]), best[i], raw[i], float(confidence[i]), top[i],
                  probability[i])
        for i in range(len(best))
    ]  # fmt: skip


def _decoding(
    prior: Prior,
    cell: int,
    best: np.ndarray,
    raw: np.ndarray,
    confidence: float,
    top: np.ndarray,
    probability: np.ndarray,
) -> Decoding:
    vin = _text(best)
    return Decoding(
        vin=vin,
        raw=_text(raw),
        confidence=confidence,
        evidence=evidence(prior, cell, vin),
        changed=tuple(
            Change(i + 1, CHARACTERS[raw[i]], vin[i], _rule(prior, cell, vin, i + 1, int(raw[i])))
            for i in np.flatnonzero(raw != best).tolist()
        ),
        check_digit=facts.check_digit_status(vin),
        region=facts.region(vin),
        manufacturer=facts.manufacturer(vin),
        model_year=facts.model_year(vin),
        alternatives=tuple(
            tuple((CHARACTERS[c], p) for c, p in zip(box, row, strict=True))
            for box, row in zip(top.tolist(), probability.tolist(), strict=True)
        ),
    )


def told(prior: Prior, found: Decoding, vin: str, rule: str) -> Decoding:
    """A card's decoding with another number, chosen by another rule."""
    number = np.array([[INDEX[c] for c in vin]])
    return replace(
        found,
        vin=vin,
        evidence=evidence(prior, int(prior.cells(number)[0]), vin),
        changed=tuple(
            Change(i + 1, read, became, rule)
            for i, (read, became) in enumerate(zip(found.raw, vin, strict=True))
            if read != became
        ),
        check_digit=facts.check_digit_status(vin),
        region=facts.region(vin),
        manufacturer=facts.manufacturer(vin),
        model_year=facts.model_year(vin),
    )


KINDS = ("check digit", "known maker", "none")
USUAL_CHECK = 0.9  # from this rate on, a check digit vouches for a number
KNOWN_MAKER = 20  # numbers of a maker that have been seen, from which on its habits are known


def evidence(prior: Prior, cell: int, vin: str) -> str:
    """What vouches for a number, one of `KINDS`; each has a threshold of its own."""
    holds = facts.check_digit(vin) == vin[_NINE]
    if holds and prior.check_rate[cell] >= USUAL_CHECK:
        return KINDS[0]
    return KINDS[1] if prior.counts[cell] >= KNOWN_MAKER else KINDS[2]


def _rule(prior: Prior, cell: int, vin: str, position: int, read: int) -> str:
    """The rule that speaks most plainly against having read `read` at a position of `vin`."""
    if position >= 14 and CHARACTERS[read] not in DIGITS:
        return "the last four are digits"
    if facts.check_digit_required(vin) and position == 10 and read not in _MODEL_YEARS:
        return "model year"
    check = prior.check_rate[cell] > 0.5 and facts.check_digit(vin) == vin[_NINE]
    if check and position == facts.CHECK_POSITION:
        return "check digit"
    if position <= 3 and facts.manufacturer(vin):
        return "maker's code"
    row = prior.rows[prior.row_of[cell, position - 1]]
    unusual = position > prior.depths[cell] and row[read] < row[INDEX[vin[position - 1]]] / 10
    return "check digit" if check and not unusual else "usual form"


_MODEL_YEARS = [INDEX[c] for c in facts.MODEL_YEARS]


def _text(indices: np.ndarray) -> str:
    return "".join(CHARACTERS[i] for i in indices)
