"""17 uncertain boxes read as one number, and what is to be said of it: how sure it is, what the
rules changed and by which of them, what else each box could be."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vinreader.number import vin as facts
from vinreader.number.posterior import posterior
from vinreader.number.prior import Floats, Indices, Prior
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

BLOCK = 64  # cards decoded together
KINDS = ("check digit", "known maker", "none")
_ALTERNATIVES = 5


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

    vin: the most probable number; raw: the most probable character of every box by itself. An
    empty box has `-` in both, and each other one in `vin` what is most probable whatever it hides.
    confidence: probability that the whole of `vin` is right, 0 to 1; 0 with an empty box.
    evidence: what vouches for it: one of `KINDS`.
    changed: what the rules changed, in boxes that are not empty.
    alternatives: for every box the few most probable characters under the rules, best first, as
    (character, probability); none for an empty one.
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
    empty = np.zeros(raw.shape, dtype=bool) if empty is None else empty
    found: list[Decoding] = []
    for start in range(0, len(boxes), BLOCK):
        part = slice(start, start + BLOCK)
        if rules == "none":
            read = raw[part], boxes[part].max(axis=2).prod(axis=1), boxes[part]
        else:
            read = posterior(prior, likelihoods(prior, boxes[part]))
        each = zip(*read, raw[part], empty[part], strict=True)
        found += [_decoding(prior, *card) for card in each]
    return found


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


def _decoding(
    prior: Prior,
    best: Indices,
    confidence: float,
    marginals: Floats,
    raw: Indices,
    empty: NDArray[np.bool_],
) -> Decoding:
    top = np.argsort(-marginals, axis=1, kind="stable")[:, :_ALTERNATIVES]
    probability = np.take_along_axis(marginals, top, axis=1)
    if empty.any():  # what fits best with invented characters is no evidence
        best, confidence = top[:, 0], 0.0
    found = Decoding(
        vin="",
        raw=_text(raw, empty),
        confidence=float(confidence),
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


def evidence(prior: Prior, cell: int, vin: str) -> str:
    """What vouches for a number of this cell, one of `KINDS`: a check digit that its maker nearly
    always keeps in that year, or a maker of whom many numbers are known."""
    if not facts.is_number(vin):
        return KINDS[2]
    if _check_rate(prior, cell, vin) >= prior.usual_check:
        return KINDS[0]
    return KINDS[1] if prior.counts[cell] >= prior.known_maker else KINDS[2]


def _check_rate(prior: Prior, cell: int, vin: str) -> float:
    """How often numbers like this one have the check digit; -1 of one that has not."""
    if facts.check_digit_status(vin) != "ok":
        return -1
    return float(prior.check_rate[cell, INDEX[vin[facts.YEAR_POSITION - 1]]])


def _rule(prior: Prior, cell: int, vin: str, position: int, read: str) -> str:
    """The rule that speaks most plainly against having read a character at a position of `vin`."""
    if position >= 14 and read not in DIGITS:
        return "the last four are digits"
    if facts.year_coded(vin) and position == 10 and read not in facts.MODEL_YEARS:
        return "model year"
    check = _check_rate(prior, cell, vin) > 0.5
    if check and position == facts.CHECK_POSITION:
        return "check digit"
    if position <= 3 and facts.manufacturer(vin):
        return "maker's code"
    row = prior.rows[prior.row_of[position - 1, cell]]
    usual = row[INDEX[vin[position - 1]]]
    unusual = position > prior.depths[cell] and row[INDEX[read]] < usual / 10
    return "check digit" if check and not unusual else "usual form"


def _text(indices: Indices, empty: NDArray[np.bool_]) -> str:
    return "".join(
        "-" if blank else CHARACTERS[c] for c, blank in zip(indices.tolist(), empty, strict=True)
    )
