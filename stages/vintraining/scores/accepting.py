"""Which readings are accepted without a person: one definition, for boxes and for cards.

A threshold on the confidence is chosen on validation readings so that, with a stated certainty,
at most the stated share of the accepted readings is wrong. What it then accepts, and how many of
these are wrong, is measured on test readings that had no part in choosing it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

STARTS = (0.25, 0.5)  # of the readings: with so many the search for a threshold begins anew
RESERVE = 0.2  # share of the uncertainty that is kept for these
WHOLE = 1 - RESERVE  # that of the search from the most confident reading on
NOTHING = 1.01  # a threshold above every confidence: all readings go to a person


@dataclass(frozen=True)
class Accepted:
    """What a threshold accepts.

    accepted: share of the readings, 0 to 1. wrong: share of the accepted that is wrong, 0 to 1; 0
    where none is accepted. interval: of `wrong`, 95 %. readings: how many there are in all.
    """

    accepted: float
    wrong: float
    interval: tuple[float, float]
    readings: int

    def figures(self, digits: int = 5) -> dict[str, float | int | list[float]]:
        """As they stand in the metrics."""
        return {
            "accepted": round(self.accepted, digits),
            "accepted_error": round(self.wrong, digits),
            "accepted_error_95_percent_interval": [round(end, digits) for end in self.interval],
            "readings": self.readings,
        }


def interval(wrong: float, of: float, certainty: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a share, `wrong` out of `of` readings (Clopper and Pearson, 1934).

    Both may be fractions: the effective numbers of a weighted sample (Korn and Graubard, 1998).
    """
    tail = (1 - certainty) / 2
    low = float(beta.ppf(tail, wrong, of - wrong + 1)) if wrong > 0 else 0.0
    return low, float(upper_bound(np.array(wrong), np.array(of), 1 - tail))


def upper_bound(wrong: np.ndarray, of: np.ndarray, certainty: float) -> np.ndarray:
    """The shares that are not exceeded, with this certainty; one-sided, as `interval`."""
    right = of - wrong
    return np.where(right > 0, beta.ppf(certainty, wrong + 1, np.where(right > 0, right, 1)), 1.0)


def effective(weights: np.ndarray) -> float:
    """How many equally weighted readings tell as much as these (Kish, 1965); 0 for none."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def least(accepted_error: float, certainty: float) -> int:
    """How many readings `threshold` needs before it finds any, if none is wrong; see there."""
    return math.ceil(math.log((1 - certainty) * WHOLE) / math.log(1 - accepted_error))


def threshold(
    confidence: np.ndarray,
    wrong: np.ndarray,
    accepted_error: float,
    certainty: float,
    weights: np.ndarray | None = None,
) -> float:
    """The lowest confidence from which, with this certainty, at most `accepted_error` are wrong.

    Fixed-sequence testing (Angelopoulos et al., "Learn then Test", 2021): ever more readings are
    tried, the most confident first, as long as `upper_bound` of their errors is at most
    `accepted_error`; as the first failure ends it, trying many thresholds costs no certainty. It
    begins with as many readings as may have two errors (one or none, where there are not so many),
    and anew with each share in `STARTS`, lest a few confident errors at the top hide all that is
    read right below them; the sequences share the uncertainty (weighted Bonferroni).

    Args:
        confidence: float (N,), 0 to 1; wrong: bool (N,), of validation readings.
        accepted_error: 0 to 1; certainty: 0.5 to below 1.
        weights: float (N,), share of each reading in the figure; all alike when not given. They
            count as `effective` many, their errors as a share of these.

    Returns:
        The threshold; `NOTHING` where no confidence is high enough.
    """
    if not len(confidence):
        return NOTHING
    doubt = (1 - certainty) * np.array([WHOLE] + [RESERVE / len(STARTS)] * len(STARTS))
    weights = _shares(weights, len(confidence))
    order = np.argsort(-confidence, kind="stable")
    ordered = weights[order]
    share = np.cumsum(ordered)
    errors = np.cumsum(ordered * wrong[order]) / share
    readings = share**2 / np.cumsum(ordered**2)
    # Equal confidences are accepted together, so only the last of each run is a threshold.
    tried = np.append(np.diff(confidence[order]) != 0, True)
    for allowed in (2, 1, 0):
        enough = upper_bound(np.full(len(order), allowed), readings, 1 - doubt[0]) <= accepted_error
        if enough.any():
            break
    tried &= enough
    confidence, share, errors, readings = (
        values[tried] for values in (confidence[order], share, errors, readings)
    )
    passed = []
    for start, left in zip((0, *np.searchsorted(share, STARTS)), doubt, strict=True):
        bound = upper_bound(errors[start:] * readings[start:], readings[start:], 1 - left)
        if held := int(np.append(bound > accepted_error, True).argmax()):
            passed.append(start + held)
    return float(confidence[max(passed) - 1]) if passed else NOTHING


def at(
    deployed: float | np.ndarray,
    confidence: np.ndarray,
    wrong: np.ndarray,
    weights: np.ndarray | None = None,
) -> Accepted:
    """What a threshold that is already chosen accepts of test readings.

    Args:
        deployed: the threshold, or float (N,), that of each reading's kind.
        confidence, wrong, weights: float, bool and float (N,), as for `threshold`.
    """
    weights = _shares(weights, len(confidence))
    accepted = confidence >= deployed
    share = float(weights[accepted].sum())
    error = float(weights[accepted & wrong].sum()) / share if share else 0.0
    readings = effective(weights[accepted])
    bounds = interval(error * readings, readings) if readings else (0.0, 1.0)
    return Accepted(share, error, bounds, len(confidence))


def _shares(weights: np.ndarray | None, count: int) -> np.ndarray:
    return np.full(count, 1 / max(count, 1)) if weights is None else weights / weights.sum()
