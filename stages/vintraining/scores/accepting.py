"""Which readings are accepted without a person: one rule, for boxes and for cards.

The largest set whose expected share of errors is at most `evaluate.target_risk`: readings are
accepted from the most confident down as long as the mean of 1 - confidence, the selective risk that
a calibrated reader expects (Geifman and El-Yaniv, arXiv 1705.08500), stays within it. The threshold
follows from validation readings that no network was trained on, an archive's own the more the more
there are; then the sources are checked one by one. What it accepts, and how many of these are
wrong, is measured on test readings.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from vinreader.litert import NOTHING

MOST = 2  # times the target risk: what no source is to exceed ...
CERTAINTY = 0.95  # ... with this certainty that it does
FEW = 2  # errors that tell nothing of a source: the surest are often errors of the truth
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Readings:
    """Validation readings of one source, and how much it weighs beside the others."""

    confidence: np.ndarray  # float (N,), 0 to 1
    wrong: np.ndarray  # bool (N,)
    weights: np.ndarray | None = None  # float (N,), share of each reading; all alike without
    evidence: float = 1.0


@dataclass(frozen=True)
class Accepted:
    """What a threshold accepts."""

    accepted: float  # share of the readings, 0 to 1
    wrong: float  # share of the accepted that is wrong, 0 to 1; 0 where none is accepted
    interval: tuple[float, float]  # of `wrong`, 95 %
    readings: int  # how many there are in all

    def figures(self) -> dict[str, float | int | list[float]]:
        """As they stand in the metrics."""
        return {
            "accepted": round(self.accepted, 5),
            "accepted_error": round(self.wrong, 5),
            "accepted_error_95_percent_interval": [round(end, 5) for end in self.interval],
            "readings": self.readings,
        }


def interval(wrong: float, of: float, certainty: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a share, `wrong` out of `of` readings (Clopper and Pearson, 1934).

    Both may be fractions: the effective numbers of a weighted sample (Korn and Graubard, 1998).
    """
    tail = (1 - certainty) / 2
    low = float(beta.ppf(tail, wrong, of - wrong + 1)) if wrong > 0 else 0.0
    return low, float(upper_bound(np.array(wrong), np.array(of), 1 - tail))


def over_clusters(
    share: tuple[float, float], hits: np.ndarray, of: np.ndarray, clusters: np.ndarray
) -> tuple[float, float]:
    """The 95 % interval of the sum of `hits` over that of `of`, float (N,) each, by bootstrap over
    `clusters`, (N,): what one person wrote, or one source gives, goes wrong together.

    Args:
        share: the interval if all were apart: it is never narrower than this, which alone is taken
            where no cluster has two.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    if len(names) == len(clusters):
        return share
    wrong, every = (np.bincount(cluster, values, len(names)) for values in (hits, of))
    even = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(0).multinomial(len(names), even, DRAWS)
    there = drawn @ every > 0
    shares = (drawn @ wrong)[there] / (drawn @ every)[there]
    low, high = np.percentile(shares, (2.5, 97.5)) if there.any() else share
    return min(float(low), share[0]), max(float(high), share[1])


def upper_bound(wrong: np.ndarray, of: np.ndarray, certainty: float) -> np.ndarray:
    """The shares that are not exceeded, with this certainty; one-sided, as `interval`."""
    right = of - wrong
    return np.where(right > 0, beta.ppf(certainty, wrong + 1, np.where(right > 0, right, 1)), 1.0)


def effective(weights: np.ndarray) -> float:
    """How many equally weighted readings tell as much as these (Kish, 1965); 0 for none."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def threshold(sources: Iterable[Readings], target_risk: float) -> float:
    """The confidence from which boxes, or cards, are accepted.

    Returns:
        The threshold, 0 to 1; `NOTHING` where no confidence is high enough.
    """
    sources = [source for source in sources if len(source.confidence)]
    found = by_expected_risk(sources, target_risk)
    for source in sources:
        found = max(found, _checked(source, found, target_risk))
    return found


def by_expected_risk(sources: list[Readings], target_risk: float) -> float:
    """The lowest confidence from which the mean of 1 - confidence is at most `target_risk`, every
    source weighing as much as its `evidence`; `NOTHING` where there is none."""
    if not sources:
        return NOTHING
    confidence = np.concatenate([source.confidence for source in sources])
    shares = [_shares(source.weights, len(source.confidence)) for source in sources]
    weights = np.concatenate([s.evidence * each for s, each in zip(sources, shares, strict=True)])
    ordered, share, doubt, _ = from_the_top(confidence, 1 - confidence, weights)
    fitting = ordered[doubt / share <= target_risk]
    return float(fitting[-1]) if len(fitting) else NOTHING


def _checked(source: Readings, found: float, target_risk: float) -> float:
    """The lowest confidence, from `found` on, at which it is not shown that the source has more
    than `MOST` times as many errors as are to be (one-sided interval of Clopper and Pearson)."""
    weights = _shares(source.weights, len(source.confidence))
    ordered, share, errors, readings = from_the_top(source.confidence, source.wrong, weights)
    wrong = errors / share * readings
    low = beta.ppf(1 - CERTAINTY, np.maximum(wrong, 1e-9), readings - wrong + 1)
    low[wrong <= FEW] = 0
    if not (ordered >= found).any():
        return found
    fitting = ordered[(ordered >= found) & (low <= MOST * target_risk)]
    if not len(fitting):
        return NOTHING
    return found if fitting[-1] == ordered[ordered >= found][-1] else float(fitting[-1])


def from_the_top(
    confidence: np.ndarray, loss: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, ...]:
    """For each confidence that occurs, from high to low, float (M,): the confidence, the weight of
    the readings from it on, their loss, and how many equally weighted ones tell as much."""
    order = np.argsort(-confidence, kind="stable")
    ordered, weights = confidence[order], weights[order]
    share, lost = np.cumsum(weights), np.cumsum(weights * loss[order])
    effective = share**2 / np.cumsum(weights**2)
    # Equal confidences are accepted together, so only the last of each run is a threshold.
    last = np.append(np.diff(ordered) != 0, True)
    return ordered[last], share[last], lost[last], effective[last]


def certain_threshold(
    confidence: np.ndarray, wrong: np.ndarray, risk: float, certainty: float
) -> float:
    """The lowest confidence from which, with this certainty, at most `risk` are wrong: what an
    audit of an archive's cards shows by itself.

    Fixed-sequence testing (Angelopoulos et al., "Learn then Test", 2021): ever more readings are
    tried, the most confident first, as long as `upper_bound` of their errors is at most `risk`; as
    the first failure ends it, trying many thresholds costs no certainty. It starts with as many
    readings as may have two errors (one or none, where there are not so many).

    Returns:
        The threshold; `NOTHING` where no confidence is high enough.
    """
    if not len(confidence):
        return NOTHING
    ordered, share, errors, readings = from_the_top(confidence, wrong, np.ones(len(confidence)))
    for allowed in (2, 1, 0):
        enough = upper_bound(np.full(len(readings), allowed), readings, certainty) <= risk
        if enough.any():
            break
    bound = upper_bound(
        errors[enough] / share[enough] * readings[enough], readings[enough], certainty
    )
    held = int(np.append(bound > risk, True).argmax())
    return float(ordered[enough][held - 1]) if held else NOTHING


def at(
    deployed: float,
    confidence: np.ndarray,
    wrong: np.ndarray,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> Accepted:
    """What a threshold that is already chosen accepts of test readings.

    Args:
        confidence, wrong, weights: float, bool and float (N,), as of `Readings`.
        clusters: (N,), the writer of each, or its source, where known; see `over_clusters`.
    """
    weights = _shares(weights, len(confidence))
    accepted = confidence >= deployed
    share = float(weights[accepted].sum())
    error = float(weights[accepted & wrong].sum()) / share if share else 0.0
    readings = effective(weights[accepted])
    bounds = interval(error * readings, readings) if readings else (0.0, 1.0)
    if clusters is not None and readings:
        bounds = over_clusters(bounds, weights * (accepted & wrong), weights * accepted, clusters)
    return Accepted(share, error, bounds, len(confidence))


def _shares(weights: np.ndarray | None, count: int) -> np.ndarray:
    return np.full(count, 1 / max(count, 1)) if weights is None else weights / weights.sum()
