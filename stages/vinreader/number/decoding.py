"""17 uncertain boxes read as one number: the most probable one, and exactly how probable it is.

The prior (`numbers.py`) parts all numbers into cells. Within a cell everything is a product but
for the check digit, so positions are folded one by one into a table over the 11 remainders of the
check sum: once with `max` (the best number), and once with `sum` (the total, and every
character's posterior), as a product of discrete Fourier transforms. Most cells weigh nothing on a
given card: those that together weigh at most `NEGLIGIBLE` of the total, by an upper bound, are
left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from vinreader.number import vin as facts
from vinreader.number.prior import CHECK_INDEX, DEPTH, MODULUS, REMAINDERS, Floats, Indices, Prior
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

Complex = NDArray[np.complex128]

STRAY = 1e-5  # share of boxes that show something the network does not believe in at all
NEGLIGIBLE = 1e-6  # of all numbers' weight, that of those which are not looked at
BLOCK = 256  # cards decoded together
_ALTERNATIVES = 5
_NINE = facts.CHECK_POSITION - 1
_OTHERS = [i for i in range(1, BOXES + 1) if i != facts.CHECK_POSITION]


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


def best_by_remainder(position: int, weights: Floats) -> Floats:
    """(N, 33) weights of the characters at a position (1-17) as (N, 11): the largest of those that
    add the same remainder."""
    padded = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1)
    largest: np.ndarray = padded[:, _SHARING[position - 1]].max(axis=2)
    return largest


def fold(before: Floats, table: Floats) -> Floats:
    """Two (N, 11) tables of largest weights over remainders as the one of their sum."""
    largest: np.ndarray = (before[:, None, :] * table[:, _DIFFERENCE]).max(axis=2)
    return largest


def spectrum(weights: Floats, position: int | None = None) -> Complex:
    """(N, 33) weights of the characters at a position (1-17), or (N, 11) weights by remainder, as
    complex (N, 6): the discrete Fourier transform of the weights summed by remainder.

    The table of a sum of remainders is the cyclic convolution of their tables, and so its
    spectrum the product of theirs. That of `sum(before[r] * after[r + added])`, over r and by what
    is added, is `before.conj() * after`.
    """
    found: Floats = weights @ (_WAVES if position is None else _SPECTRA[position - 1])
    return found.view(complex)


def by_remainder(spectra: Complex) -> Floats:
    """(N, 11): the weights that have this spectrum, complex (N, 6)."""
    weights: np.ndarray = spectra.view(float) @ _BACK
    return weights


def by_character(spectra: Complex, position: int) -> Floats:
    """(N, 33): the same, by the remainder that each character adds at a position (1-17)."""
    weights: np.ndarray = spectra.view(float) @ _BACK[:, REMAINDERS[position - 1]]
    return weights


def _sharing(remainders: np.ndarray) -> np.ndarray:
    """(11, most) characters that add a remainder, filled up with 33, which weighs nothing."""
    groups = [np.flatnonzero(remainders == r).tolist() for r in range(MODULUS)]
    most = max(map(len, groups))
    return np.array([group + [len(CHARACTERS)] * (most - len(group)) for group in groups])


_DIFFERENCE = np.subtract.outer(np.arange(MODULUS), np.arange(MODULUS)) % MODULUS
_SHARING = [_sharing(remainders) for remainders in REMAINDERS]
_WAVES = np.fft.rfft(np.eye(MODULUS)).view(float)  # (11, 12): real and imaginary parts in turn
_SPECTRA = _WAVES[REMAINDERS]  # (17, 33, 12)
_BACK = _WAVES.T * (np.array([1, 1, *[2] * (MODULUS - 1)]) / MODULUS)[:, None]


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

    card: Indices
    cell: Indices
    positions: list[int]
    weights: Floats
    start: Floats
    nine: Floats
    chance: Floats
    rate: Floats

    def spectra(self) -> list[Complex]:
        """complex (K, 6), of the characters at each of the positions."""
        return [spectrum(self.weights[:, i], p) for i, p in enumerate(self.positions)]

    def scale(self) -> Floats:
        """(K, 11): `chance` times this is the prior where the others leave a remainder, but for
        the check digit."""
        return (1 - self.rate[:, None]) / (1 - self.chance[:, CHECK_INDEX])

    def end(self) -> Floats:
        """(K, 11, 33): weights of the characters at position 9 by the remainder of the others."""
        weights = self.scale()[:, :, None] * self.chance[:, None, :]
        weights[:, np.arange(MODULUS), CHECK_INDEX] = self.rate[:, None]
        return weights * self.nine[:, None, :]

    def end_summed(self) -> Floats:
        """(K, 11): the same, summed over the characters."""
        other = self.chance * self.nine
        rest = other.sum(axis=1, keepdims=True) - other[:, CHECK_INDEX]
        summed: Floats = self.scale() * rest + self.rate[:, None] * self.nine[:, CHECK_INDEX]
        return summed

    def at_nine(self, before: Floats) -> Floats:
        """(K, 33): the same, summed over the remainders, each of the weight `before`, (K, 11)."""
        scaled = before * self.scale()
        weights = self.chance * scaled.sum(axis=1, keepdims=True)
        checks = self.chance[:, CHECK_INDEX]
        weights[:, CHECK_INDEX] += before * self.rate[:, None] - scaled * checks
        summed: Floats = np.maximum(weights, 0) * self.nine
        return summed


@dataclass(frozen=True)
class _Tail:
    """The last positions, at which all cells have the same row: weighed once for each card.

    positions: those after 9 behind which no other has two rows. weights: float (T, N, 33), prior
    times likelihood of the characters; spectra: complex (T, N, 6); whole: complex (N, 6), of all.
    """

    positions: list[int]
    weights: list[Floats]
    spectra: list[Complex]
    whole: Complex

    @classmethod
    def of(cls, prior: Prior, scaled: Floats) -> "_Tail":
        various = np.flatnonzero(np.diff(prior.ends) > 1) + 1
        positions = list(range(int(max([facts.CHECK_POSITION, *various])) + 1, BOXES + 1))
        weights = [scaled[:, i - 1] * prior.rows[prior.ends[i - 1]] for i in positions]
        spectra = [spectrum(w, i) for w, i in zip(weights, positions, strict=True)]
        return cls(positions, weights, spectra, _product(spectra, len(scaled)))

    @property
    def before(self) -> int:
        """The last position before these."""
        return BOXES - len(self.positions)

    def add_marginals(self, rest: Complex, summed: Floats) -> None:
        """Add to `summed` by character and box; `rest`: (N, 6), the spectrum of the weight of what
        is before, by the remainder that these add."""
        for i, position in enumerate(self.positions):
            others = _product(self.spectra[:i] + self.spectra[i + 1 :], len(rest))
            there = by_character(others.conj() * rest, position)
            summed[:, position - 1] += self.weights[i] * there


def _product(spectra: Sequence[Complex], count: int) -> Complex:
    """complex (count, 6): the spectrum of a sum of remainders, each with its own, (count, 6)."""
    return reduce(np.multiply, spectra, np.ones((count, len(_BACK) // 2), complex))


def _chains(
    prior: Prior, scaled: Floats, card: Indices, cell: Indices, last: int = BOXES
) -> list[_Chains]:
    """Cards and cells, grouped by depth of the cells, of the positions up to the last one."""
    found = []
    for depth in np.unique(prior.depths[cell]).tolist():
        at = prior.depths[cell] == depth
        cards, cells = card[at], cell[at]
        positions = [i for i in _OTHERS if depth < i <= last]
        columns = np.array(positions) - 1
        weights = prior.rows[prior.row_of[cells][:, columns]]
        weights *= scaled[cards[:, None], columns]
        if depth < DEPTH:
            weights[:, 0][prior.leaves[cells]] = 0
        start = np.zeros((len(cards), MODULUS))
        each = scaled[cards[:, None], np.arange(depth), prior.begins[cells, :depth]]
        start[np.arange(len(cards)), prior.starts[cells]] = each.prod(axis=1) * prior.weights[cells]
        nine, chance = scaled[cards, _NINE], prior.rows[prior.row_of[cells, _NINE]]
        rate = prior.check_rate[cells]
        found.append(_Chains(cards, cells, positions, weights, start, nine, chance, rate))
    return found


def _bounds(prior: Prior, scaled: Floats) -> tuple[Floats, Floats, Floats]:
    """What the numbers of each cell can weigh at most: float (N, C), as if all that follows the
    cell's beginning were as usual as it can be; and the sums that follow, (N, R) by row of the
    prior, and the largest of each position, (18, N)."""
    sums = np.empty((len(scaled), len(prior.rows)))
    most = np.ones((BOXES + 2, len(scaled)))
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
    after: Floats = np.cumprod(most[::-1], axis=0, dtype=np.float64)[::-1]
    weights: Floats = bound * prior.weights * after.T[:, prior.depths + 1]
    return weights, sums, after


def _narrow(
    prior: Prior,
    scaled: Floats,
    sums: Floats,
    card: Indices,
    cell: Indices,
    last: int,
) -> Floats:
    """float (K,): the prior times the likelihood of what follows the cells' beginnings, each
    position by itself, up to the last one; the check digit as if it were the likeliest one."""
    depth = prior.depths[cell]
    exact = np.ones(len(card))
    for position in range(1, last + 1):
        if position != facts.CHECK_POSITION:
            factor = sums[card, prior.row_of[cell, position - 1]]
            exact *= factor if position > DEPTH else np.where(depth < position, factor, 1)
    digit = scaled[:, _NINE, CHECK_INDEX].max(axis=1)
    rate = prior.check_rate[cell]
    weights: Floats = exact * (rate * digit[card] + 1 - rate)
    return weights


def _candidates(prior: Prior, scaled: Floats, tail: _Tail) -> tuple[Indices, Indices]:
    """Cards and cells, int (K,) each: all but those that weigh `NEGLIGIBLE` of the card's total or
    less, all together."""
    bound, sums, after = _bounds(prior, scaled)
    # The total is at least that of a few cells.
    card, cell = np.nonzero(bound >= bound.max(axis=1, keepdims=True) / 100)
    total = np.zeros(len(scaled))
    for chains in _chains(prior, scaled, card, cell, tail.before):
        before = _product([spectrum(chains.start), *chains.spectra()], len(chains.card))
        rest = before.conj() * spectrum(chains.end_summed())
        np.add.at(total, chains.card, by_remainder(tail.whole[chains.card].conj() * rest)[:, 0])
    least = NEGLIGIBLE / 2 / bound.shape[1] * total
    card, cell = np.nonzero(bound >= least[:, None])
    exact = bound[card, cell] / after[prior.depths[cell] + 1, card] * after[tail.before + 1, card]
    exact *= _narrow(prior, scaled, sums, card, cell, tail.before)
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


def posterior(prior: Prior, boxes: Floats) -> tuple[Indices, Floats, Floats]:
    """The best numbers of cards, how probable they are, and every character's probability.

    Args:
        boxes: (N, 17, 33) float, the probabilities of the characters in each box, none 0.

    Returns:
        int (N, 17) indices of characters, float (N,) and float (N, 17, 33).
    """
    scaled = boxes / boxes.max(axis=2, keepdims=True)
    tail = _Tail.of(prior, scaled)
    best, weight, summed = _decode(prior, scaled, tail, *_candidates(prior, scaled, tail))
    total = summed[:, 0].sum(axis=1)
    return best, np.minimum(weight / total, 1), np.clip(summed / total[:, None, None], 0, 1)


def _decode(
    prior: Prior, scaled: Floats, tail: _Tail, card: Indices, cell: Indices
) -> tuple[Indices, Floats, Floats]:
    """(N, 17) best number of each card among these cells, its weight, and (N, 17, 33) the summed
    weight of the numbers with each character in each box."""
    summed = np.zeros_like(scaled)
    rest = np.zeros_like(tail.whole)
    chains = _chains(prior, scaled, card, cell, tail.before)
    total = np.concatenate([_add_marginals(prior, one, tail, rest, summed) for one in chains])
    tail.add_marginals(rest, summed)
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


def _add_marginals(
    prior: Prior, chains: _Chains, tail: _Tail, rest: Complex, summed: Floats
) -> Floats:
    """(K,) the summed weight of each cell's numbers, added to `summed` by character and box, and
    to `rest` what `_Tail.add_marginals` needs."""
    first = np.flatnonzero(np.append(True, np.diff(chains.card) != 0))
    cards = chains.card[first]
    spectra, end = chains.spectra(), spectrum(chains.end_summed())
    forward = list(accumulate(spectra, np.multiply, initial=spectrum(chains.start)))
    whole = tail.whole[chains.card]
    others = by_remainder(forward[-1] * whole)
    summed[cards, _NINE] += np.add.reduceat(chains.at_nine(others), first)
    rest[cards] += np.add.reduceat(forward[-1].conj() * end, first)
    after = whole.conj() * end  # of what follows, by the remainder before it
    total = by_remainder(forward[-1].conj() * after)[:, 0]
    for place in reversed(range(len(chains.positions))):
        position = chains.positions[place]
        there = by_character(forward[place].conj() * after, position) * chains.weights[:, place]
        summed[cards, position - 1] += np.add.reduceat(there, first)
        after *= spectra[place].conj()
    for place in range(int(prior.depths[chains.cell[0]])):
        begin = prior.begins[chains.cell, place]
        np.add.at(summed, (chains.card, np.full_like(begin, place), begin), total)
    return total


def _best(prior: Prior, chains: _Chains) -> tuple[Indices, Floats]:
    """(K, 17) the best number of each cell, (K,) its weight."""
    each = np.arange(len(chains.card))
    forward, end = [chains.start], chains.end()
    for i, position in enumerate(chains.positions):
        forward.append(fold(forward[-1], best_by_remainder(position, chains.weights[:, i])))
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
    prior: Prior, best: Indices, raw: Indices, confidence: Floats, marginals: Floats
) -> list[Decoding]:
    top = np.argsort(-marginals, axis=2, kind="stable")[:, :, :_ALTERNATIVES]
    probability = np.take_along_axis(marginals, top, axis=2)
    cells = prior.cells(best).tolist()
    each = zip(cells, best, raw, confidence.tolist(), top, probability, strict=True)
    return [_decoding(prior, *one) for one in each]


def _decoding(
    prior: Prior,
    cell: int,
    best: Indices,
    raw: Indices,
    confidence: float,
    top: Indices,
    probability: Floats,
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
