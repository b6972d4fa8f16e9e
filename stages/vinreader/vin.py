"""Vehicle identification numbers: the rules of ISO 3779, and 17 uncertain boxes read as one number.

Sources: ISO 3779:2009 (structure; the last four characters are digits), 49 CFR 565.15 and
GB 16735 (check digit and model-year code required in North America and China).

`decode` finds the most probable number, and its exact probability, under a prior over numbers:

    P(vin) = P(characters 1-3) * product of P(character i)         where no check digit is required
    P(vin) = the same, without position 9, * [check digit holds]   where one is (1-5, L)

The parts of the prior are the constants below, each with its reason; where no check digit is
required, some makers' usual forms stand beside the general one. Everything is a sum or a maximum
of products, so nothing is searched: positions are folded one by one into a table over the 11
remainders of the check sum, once with `max` (the best number) and once with `sum` (the total, and
every character's posterior). `_best` says where the parts of the prior overlap and what that means.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

CHECK_POSITION = 9
WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VALUES = [*range(10), *range(1, 9), *range(1, 6), 7, 9, *range(2, 10)]  # 0-9, A-H, J-N, P, R, S-Z
VALUES = dict(zip(CHARACTERS, _VALUES, strict=True))
CHECK_DIGITS = "0123456789X"  # by remainder
CHECK_DIGIT_REQUIRED = "12345L"  # first characters: North America, China
MODEL_YEARS = "ABCDEFGHJKLMNPRSTVWXY123456789"  # 1980 to 2009, and again 2010 to 2039

# What stands at positions 4 to 17 of numbers without a check digit, by maker. One sign a position:
# # digit, @ letter, * either, Y model-year code, else the character itself. The Volkswagen group
# fills positions it does not use with Z; the makers of the former USSR and Mercedes-Benz number
# their models; Renault, Peugeot and Citroen have eight digits of serial number, Fiat seven; Ford's
# unused positions are X and it writes the month of manufacture as a letter at position 12.
FILLER_MAKERS = ("WVW", "WVG", "WV1", "WV2", "WV3", "WAU", "WUA", "TRU", "VSS", "TMB", "WP0", "WP1")
USUAL_FORMS = (
    (FILLER_MAKERS, "ZZZ**ZY*######"),
    (("XTA", "XTB", "XTC", "XTH", "XTK", "XTT"), "######Y#######"),
    (("WDB", "WDC", "WDD"), "######*@######"),
    (("WBA", "WBS"), "@@##***@*#####"),
    (("W0L",), "******Y#######"),
    (("WF0",), "@XX@@@@*@#####"),
    (("VF1", "VF3", "VF7"), "******########"),
    (("ZFA", "ZAR", "ZCF"), "######0#######"),
    (("YV1", "YS3"), "@@****Y#######"),
)
# Makers that put the model-year code in position 10 although no law asks them to.
MODEL_YEAR_MAKERS = (*FILLER_MAKERS, "W0L", "YV1", "YS3", "XTA", "KMH", "KNA", "KNE")

# The prior. Shares of cards, chosen wide of the mark on purpose: a rule that is only usual may
# break a tie between two characters, but must not overrule a clear image.
NEW_MAKERS = 0.5  # ... whose maker code is in no list (any three characters, equally likely)
FORMED = 0.05  # ... in one of the usual forms
USUAL = 0.99  # ... that have at a position what the form says, where it says something
USUAL_DIGITS = {12: 0.5, 13: 0.8}  # ... with a digit there: serial numbers mostly have 6 digits
UNUSUAL_YEAR = 0.3  # weight of U or Z at position 10 where no model year is required; 0 is common
STRAY = 1e-5  # share of boxes that show something the network does not believe in at all

_ALTERNATIVES = 5


@dataclass(frozen=True)
class Change:
    """One box in which the number differs from the plain reading. `position` is 1 to 17."""

    position: int
    read: str
    became: str
    rule: str

    def __str__(self):
        return f"box {self.position}: {self.read} -> {self.became} ({self.rule})"


@dataclass(frozen=True)
class Decoding:
    """17 boxes read as one number.

    vin: the most probable number; raw: the most probable character of every box by itself.
    confidence: probability that the whole of `vin` is right, 0 to 1.
    changed: what the rules changed. check_digit: `check_digit_status(vin)`.
    region, manufacturer, model_year: what `vin` tells, else "".
    alternatives: for every box the few most probable characters under the rules, best first,
        as (character, probability). The first is nearly always the one in `vin`.
    """

    vin: str
    raw: str
    confidence: float
    changed: tuple[Change, ...]
    check_digit: str
    region: str
    manufacturer: str
    model_year: str
    alternatives: tuple[tuple[tuple[str, float], ...], ...]


# What a number tells


def check_digit(vin):
    """The check digit (0-9 or X) that belongs to a number of 17 characters; its 9th is ignored.

    Raises ValueError if `vin` is not 17 characters of the alphabet.
    """
    if len(vin) != BOXES or not set(vin) <= set(CHARACTERS):
        raise ValueError(f"not 17 characters of a vehicle identification number: {vin!r}")
    check_sum = sum(VALUES[c] * weight for c, weight in zip(vin, WEIGHTS, strict=True))
    return CHECK_DIGITS[check_sum % 11]


def check_digit_required(vin):
    """True where the law requires a check digit: North America (1-5) and China (L)."""
    return vin[0] in CHECK_DIGIT_REQUIRED


def check_digit_status(vin):
    """'ok' (it holds), 'wrong' (required, does not hold) or 'not required' (nor does it hold)."""
    if check_digit(vin) == vin[CHECK_POSITION - 1]:
        return "ok"
    return "wrong" if check_digit_required(vin) else "not required"


@cache
def regions():
    """The world regions ('Europe', 'North America', ...) by first character."""
    return {first: name for firsts, name in _vininfo().REGIONS.items() for first in firsts}


@cache
def makers():
    """The makers that vininfo lists, by the first three or two characters."""
    return {code: getattr(maker, "manufacturer", maker) for code, maker in _vininfo().WMI.items()}


def region(vin):
    """The world region of the first character, else ''."""
    return regions().get(vin[0], "")


def manufacturer(vin):
    """The maker listed for the first three characters, or else the first two, else ''."""
    return makers().get(vin[:3]) or makers().get(vin[:2]) or ""


def model_year(vin):
    """The model year ('2004'), both years that a code can mean ('1985 or 2015'), or ''.

    A letter at position 7 says that a North American car was built after 2009 (49 CFR 565.15).
    """
    known = check_digit_required(vin) or vin[:3] in MODEL_YEAR_MAKERS
    if not known or vin[9] not in MODEL_YEARS:
        return ""
    year = 1980 + MODEL_YEARS.index(vin[9])
    if vin[9] in DIGITS:
        return str(year)
    if vin[0] in "12345":
        return str(year if vin[6] in DIGITS else year + 30)
    return f"{year} or {year + 30}"


# Reading 17 boxes as one number


def decode(log_probabilities, rules="auto"):
    """Read one card: (17, 33) log probabilities. See `decode_batch`."""
    return decode_batch(np.asarray(log_probabilities)[None], rules)[0]


def decode_batch(log_probabilities, rules="auto"):
    """Read cards as numbers, each as the most probable one of all 33**17.

    Args:
        log_probabilities: (N, 17, 33) float, natural logarithms of the probability of every
            character in every box, from a reader to which all characters are equally likely.
            They need not be normalised; -inf is allowed.
        rules: "auto" knows the rules of the number's world region; "none" takes every box by
            itself.

    Returns: N `Decoding`s.
    Raises: ValueError for another shape, NaN, +inf or a box without any probability.
    """
    logs = np.asarray(log_probabilities, dtype=np.float64)
    if logs.ndim != 3 or logs.shape[1:] != (BOXES, len(CHARACTERS)):
        raise ValueError(f"expected (N, 17, 33) log probabilities, got {logs.shape}")
    if rules not in ("auto", "none"):
        raise ValueError(f"rules must be 'auto' or 'none', not {rules!r}")
    if not len(logs):
        return []
    peaks = logs.max(axis=2, keepdims=True)
    if not np.isfinite(peaks).all():
        raise ValueError("every box needs finite log probabilities (NaN, +inf or all -inf found)")
    boxes = np.exp(logs - peaks)
    boxes /= boxes.sum(axis=2, keepdims=True)
    raw = boxes.argmax(axis=2)
    if rules == "none":
        return _decodings(raw, raw, boxes.max(axis=2).prod(axis=1), boxes)
    # From here on no probability is 0, and no product of 17 underflows.
    boxes = (1 - STRAY) * boxes + STRAY / len(CHARACTERS)
    best, weight = _best(boxes)
    marginals, total = _posterior(boxes)
    return _decodings(best, raw, np.minimum(weight / total, 1.0), marginals)


def remainder_table(position, character_weights, combine):
    """(N, 33) weights of the characters at a position (1-17) as (N, 11), by remainder they add.

    `combine` is np.max or np.sum over the characters that add the same remainder.
    """
    padded = np.pad(character_weights, ((0, 0), (0, 1)))
    return combine(padded[:, _sharing(position)], axis=2)


def fold(before, table, combine):
    """Two (N, 11) tables over remainders as the one of their sum: a cyclic convolution."""
    return combine(before[:, None, :] * table[:, _DIFFERENCE], axis=2)


def unfold(after, table):
    """`fold` seen from the end: (N, 11) weight of what follows, by the remainder before `table`."""
    return np.sum(table[:, None, :] * after[:, _SUM], axis=2)


_SUM = np.add.outer(np.arange(11), np.arange(11)) % 11  # [before, added] -> after
_DIFFERENCE = np.subtract.outer(np.arange(11), np.arange(11)) % 11  # [after, before] -> added
_CHAIN = [position for position in range(4, BOXES + 1) if position != CHECK_POSITION]
_CHECK_INDEX = [INDEX[c] for c in CHECK_DIGITS]


@cache
def _remainders(position):
    """(33,) remainder that every character adds at a position."""
    return np.array([VALUES[c] * WEIGHTS[position - 1] % 11 for c in CHARACTERS])


@cache
def _sharing(position):
    """(11, 4) characters that add a remainder, filled up with 33, which weighs nothing."""
    groups = [np.flatnonzero(_remainders(position) == r).tolist() for r in range(11)]
    return np.array([group + [len(CHARACTERS)] * (4 - len(group)) for group in groups])


@cache
def _prior(required):
    """(18, 33) prior of every character at positions 1-17 (row 0 is unused), rows 1-3 all ones.

    `required`: where a check digit (then row 9 is all ones: it follows from the other sixteen)
    and a model-year code are.
    """
    count = len(CHARACTERS)
    digit = np.array([c in DIGITS for c in CHARACTERS])
    prior = np.full((BOXES + 1, count), 1 / count)
    prior[1:4] = 1
    year = np.ones(count)
    year[[INDEX["U"], INDEX["Z"]]] = 0 if required else UNUSUAL_YEAR
    if required:
        prior[CHECK_POSITION] = 1
        year[INDEX["0"]] = 0
    prior[10] = year / year.sum()
    for position, share in USUAL_DIGITS.items():
        prior[position] = np.where(digit, share / 10, (1 - share) / (count - 10))
    prior[14:] = digit / 10
    return prior


@dataclass(frozen=True)
class _Makers:
    """Listed maker codes of one kind: (K, 3) character indices, the remainders they add, (K, 33)
    indicator of the character at each of the three places."""

    codes: np.ndarray
    remainders: np.ndarray
    indicators: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, names):
        codes = np.array([[INDEX[c] for c in name] for name in names])
        remainders = sum(_remainders(i + 1)[codes[:, i]] for i in range(3)) % 11
        return cls(codes, remainders, tuple(np.eye(len(CHARACTERS))[codes.T]))

    def likelihood(self, boxes):
        """(N, K) product of the three boxes' probabilities for every code."""
        return np.prod([boxes[:, i, self.codes[:, i]] for i in range(3)], axis=0)


@cache
def _vininfo():
    """vininfo's tables, loaded when a number is first looked up (its import takes 50 ms)."""
    from vininfo import dicts

    return dicts


@cache
def _makers():
    """Listed makers as (with check digit, without), and the prior of one code of: the two
    together, any code at all."""
    listed = {
        name + third
        for name in _vininfo().WMI
        for third in ([""] if len(name) == 3 else CHARACTERS)
        if set(name) <= set(CHARACTERS)
    }
    required = sorted(name for name in listed if check_digit_required(name))
    free = sorted(listed - set(required))
    return (
        _Makers.of(required),
        _Makers.of(free),
        (1 - NEW_MAKERS - FORMED) / len(listed),
        NEW_MAKERS / len(CHARACTERS) ** 3,
    )


@dataclass(frozen=True)
class _Kind:
    """Numbers without a required check digit: those of some makers (None: of any), `weight` the
    prior of one maker's code, `prior` as from `_prior`."""

    makers: _Makers | None
    weight: float
    prior: np.ndarray


@cache
def _kinds():
    """The kinds of numbers without a required check digit, of which the prior is the sum."""
    _, makers, listed, anyone = _makers()
    formed = FORMED / sum(len(names) for names, _ in USUAL_FORMS)
    return (
        _Kind(None, anyone, _prior(False)),
        _Kind(makers, listed, _prior(False)),
        *(_Kind(_Makers.of(names), formed, _form_prior(form)) for names, form in USUAL_FORMS),
    )


def _form_prior(form):
    """(18, 33) prior of a usual form, as `_prior`."""
    signs = {"#": DIGITS, "@": "".join(sorted(set(CHARACTERS) - set(DIGITS))), "Y": MODEL_YEARS}
    prior = _prior(False).copy()
    for position, sign in enumerate(form[:-4], start=4):  # the last four are digits in any case
        usual = np.array([sign == "*" or c in signs.get(sign, sign) for c in CHARACTERS])
        if usual.all():
            prior[position] = 1 / len(CHARACTERS)
        else:
            others = (1 - USUAL) / np.count_nonzero(~usual)
            prior[position] = np.where(usual, USUAL / np.count_nonzero(usual), others)
    return prior


@cache
def _first(required):
    """(33,) 1 for the first characters with (without) a required check digit, else 0."""
    return np.array([(c in CHECK_DIGIT_REQUIRED) == required for c in CHARACTERS], dtype=float)


def _best(boxes):
    """(N, 17) characters of the most probable numbers and (N,) their weights.

    A number's weight is the sum over the parts of the prior that can make it: a listed code is
    also "any code", a number in a usual form is also one without. The best number of each part is
    exact; of these, the one with the largest sum is taken. A number that is second in every part
    and yet first in their sum would be missed; the weight, and so the confidence, is exact.

    A number is taken for one with a required check digit only if it is the best both with the
    check digit and without: one in eleven European numbers fits it by chance, and none of them
    may be changed by that. The evidence stays in the weights: it lowers the confidence.
    """
    required, required_weight, without_check = _best_required(boxes)
    free, free_weight = _best_free(boxes)
    is_required = np.minimum(required_weight, without_check) > free_weight
    return (
        np.where(is_required[:, None], required, free),
        np.where(is_required, required_weight, free_weight),
    )


def _best_required(boxes):
    """The best number with a check digit, its weight, and what weighs the best one if any digit
    or X may stand at position 9, as likely as where none is required."""
    cards = np.arange(len(boxes))
    makers, _, listed, anyone = _makers()
    weighted = boxes * _prior(True)[1:]
    weighted[:, 0] *= _first(True)

    # Characters 1 to 3 by remainder: any code ...
    unlisted = [anyone * remainder_table(1, weighted[:, 0], np.max)]
    for position in (2, 3):
        table = remainder_table(position, weighted[:, position - 1], np.max)
        unlisted.append(fold(unlisted[-1], table, np.max))
    # ... or a listed one
    likelihood = (listed + anyone) * makers.likelihood(boxes)
    best_code = np.zeros((len(boxes), 11), dtype=int)
    head = unlisted[-1].copy()
    is_listed = np.zeros(head.shape, dtype=bool)
    for r in range(11):
        members = np.flatnonzero(makers.remainders == r)
        best_code[:, r] = members[likelihood[:, members].argmax(axis=1)]
        weight = likelihood[cards, best_code[:, r]]
        is_listed[:, r] = weight >= head[:, r]
        head[:, r] = np.maximum(head[:, r], weight)

    forward = [head]
    for position in _CHAIN:
        table = remainder_table(position, weighted[:, position - 1], np.max)
        forward.append(fold(forward[-1], table, np.max))
    complete = forward.pop() * weighted[:, CHECK_POSITION - 1, _CHECK_INDEX]
    remainder = complete.argmax(axis=1)
    weight = complete[cards, remainder]

    best = np.zeros((len(boxes), BOXES), dtype=int)
    best[:, CHECK_POSITION - 1] = np.take(_CHECK_INDEX, remainder)

    def step_back(position, before, remainder):
        """The character that led to `remainder` at a position, and the remainder before it."""
        choices = (
            weighted[:, position - 1]
            * before[cards[:, None], (remainder[:, None] - _remainders(position)) % 11]
        )
        best[:, position - 1] = choices.argmax(axis=1)
        return (remainder - _remainders(position)[best[:, position - 1]]) % 11

    for position, before in zip(reversed(_CHAIN), reversed(forward), strict=True):
        remainder = step_back(position, before, remainder)
    head_remainder = remainder
    for position in (3, 2):
        remainder = step_back(position, unlisted[position - 2], remainder)
    start = np.zeros((len(boxes), 11))
    start[:, 0] = 1
    step_back(1, start, remainder)
    use = is_listed[cards, head_remainder]
    best[use, :3] = makers.codes[best_code[cards, head_remainder][use]]
    free_check = weighted[:, CHECK_POSITION - 1, _CHECK_INDEX].max(axis=1) / len(CHARACTERS)
    tail = weighted[:, [position - 1 for position in _CHAIN]].max(axis=2).prod(axis=1)
    return best, weight, head.max(axis=1) * tail * free_check


def _best_free(boxes):
    """The best number without a required check digit, and its weight."""
    best = np.zeros((len(boxes), BOXES), dtype=int)
    weight = np.full(len(boxes), -1.0)
    for kind in _kinds():
        numbers = (boxes * kind.prior[1:]).argmax(axis=2)
        if kind.makers:
            code = kind.makers.likelihood(boxes).argmax(axis=1)
            numbers[:, :3] = kind.makers.codes[code]
        else:
            numbers[:, 0] = (boxes[:, 0] * _first(False)).argmax(axis=1)
        likelihood = np.take_along_axis(boxes, numbers[:, :, None], axis=2)[:, :, 0].prod(axis=1)
        weights = likelihood * _weights_free(numbers)
        better = weights > weight
        best[better], weight[better] = numbers[better], weights[better]
    return best, weight


def _weights_free(numbers):
    """(N,) prior of numbers without a required check digit, (N, 17) character indices."""
    total = np.zeros(len(numbers))
    for kind in _kinds():
        weight = kind.weight * kind.prior[np.arange(1, BOXES + 1), numbers].prod(axis=1)
        if kind.makers:
            weight *= (numbers[:, None, :3] == kind.makers.codes).all(axis=2).any(axis=1)
        total += weight
    return total


def _posterior(boxes):
    """(N, 17, 33) posterior of every character in every box, (N,) total weight of all numbers."""
    marginals = _marginals_required(boxes) + _marginals_free(boxes)
    total = marginals[:, 0].sum(axis=1)
    return marginals / total[:, None, None], total


def _marginals_required(boxes):
    """(N, 17, 33) summed weight of the numbers with a check digit, by character of a box."""
    makers, _, listed, anyone = _makers()
    weighted = boxes * _prior(True)[1:]
    weighted[:, 0] *= _first(True)
    tables = {
        position: remainder_table(position, weighted[:, position - 1], np.sum)
        for position in (1, 2, 3, *_CHAIN)
    }
    # after[p]: weight of everything behind position p, by the remainder so far
    after = {BOXES: weighted[:, CHECK_POSITION - 1, _CHECK_INDEX]}
    following = BOXES
    for position in reversed((1, 2, 3, *_CHAIN[:-1])):
        if position == CHECK_POSITION - 1:
            following = CHECK_POSITION + 1
        after[position] = unfold(after[following], tables[following])
        following = position

    marginals = np.zeros_like(boxes)
    before = np.zeros((len(boxes), 11))
    before[:, 0] = anyone
    named = listed * makers.likelihood(boxes)
    for position in (1, 2, 3, *_CHAIN):
        if position == 4:
            indicator = np.eye(11)[makers.remainders]
            before = before + named @ indicator
        # unfold() with the two sides exchanged: the weight of the rest by what a box adds
        rest = np.sum(before[:, None, :] * after[position][:, _SUM], axis=2)
        marginals[:, position - 1] = weighted[:, position - 1] * rest[:, _remainders(position)]
        before = fold(before, tables[position], np.sum)
    named *= after[3][:, makers.remainders]
    for place, indicator in enumerate(makers.indicators):
        marginals[:, place] += named @ indicator
    marginals[:, CHECK_POSITION - 1, _CHECK_INDEX] = before * after[BOXES]
    return marginals


def _marginals_free(boxes):
    """(N, 17, 33) summed weight of the numbers without a check digit, by character of a box."""
    marginals = np.zeros_like(boxes)
    for kind in _kinds():
        weighted = boxes * kind.prior[1:]
        weighted[:, 0] *= _first(False)
        sums = weighted.sum(axis=2, keepdims=True)
        shares = weighted / sums
        if not kind.makers:
            marginals += shares * kind.weight * sums.prod(axis=1, keepdims=True)
            continue
        tail = sums[:, 3:, 0].prod(axis=1, keepdims=True)
        codes = kind.weight * kind.makers.likelihood(boxes) * tail
        marginals[:, 3:] += shares[:, 3:] * codes.sum(axis=1)[:, None, None]
        for place, indicator in enumerate(kind.makers.indicators):
            marginals[:, place] += codes @ indicator
    return marginals


def _decodings(best, raw, confidence, marginals):
    top = np.argsort(-marginals, axis=2, kind="stable")[:, :, :_ALTERNATIVES]
    probability = np.take_along_axis(marginals, top, axis=2)
    return [
        _decoding(_text(best[i]), _text(raw[i]), float(confidence[i]), top[i], probability[i])
        for i in range(len(best))
    ]


def _decoding(vin, raw, confidence, top, probability):
    return Decoding(
        vin=vin,
        raw=raw,
        confidence=confidence,
        changed=tuple(
            Change(i + 1, before, after, _rule(vin, i + 1, before))
            for i, (before, after) in enumerate(zip(raw, vin, strict=True))
            if before != after
        ),
        check_digit=check_digit_status(vin),
        region=region(vin),
        manufacturer=manufacturer(vin),
        model_year=model_year(vin),
        alternatives=tuple(
            tuple((CHARACTERS[c], p) for c, p in zip(box, row, strict=True))
            for box, row in zip(top.tolist(), probability.tolist(), strict=True)
        ),
    )


def _rule(vin, position, read):
    """The rule that speaks most plainly against having read `read` at a position of `vin`."""
    required = check_digit_required(vin)
    if position >= 14 and read not in DIGITS:
        return "the last four are digits"
    if required and position == 10 and read not in MODEL_YEARS:
        return "model year"
    if required and position == CHECK_POSITION:
        return "check digit"
    if position <= 3 and manufacturer(vin):
        return "maker's code"
    return "check digit" if required else "usual form"


def _text(indices):
    return "".join(CHARACTERS[i] for i in indices)
