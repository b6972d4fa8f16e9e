"""How well the network reads characters, and how far its confidence can be trusted.

Everywhere `labels` is int (N,) and `weights` float (N,) with sum 1: the share of each character in
the figure (`dataset.class_weights` makes all classes that occur count alike).
"""

from typing import Any, NamedTuple

from vintraining.data.dataset import class_weights
from vintraining.parameters import Evaluate
from vintraining.scores import accepting

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix, recall_score

from vinreader.spec import CHARACTERS, DIGITS

IS_DIGIT = np.array([character in DIGITS for character in CHARACTERS])
HEADLINE = ("accuracy", "balanced_accuracy", "ece", "accepted", "accepted_error")  # of `figures`


class Read(NamedTuple):
    """Characters that were read. probabilities: float (N, 33); labels: the truth, int (N,)."""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> np.ndarray:
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def right(self) -> np.ndarray:
        return np.asarray(self.predicted == self.labels)


def temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Temperature under which the labels are likeliest (Guo et al., arXiv 1706.04599)."""

    def loss(log_temperature: float) -> float:
        logs = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float(weights @ logs[np.arange(len(labels)), labels])

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def recall(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each class read right, float (33,); NaN where a class does not occur."""
    every = np.arange(len(CHARACTERS))
    return np.asarray(
        recall_score(labels, predicted, labels=every, average=None, zero_division=np.nan)
    )


def reliability(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray, bins: int
) -> list[dict[str, float]]:
    """Confidence, float (N,), against accuracy, of `right`, bool (N,), and the share of readings in
    `bins` equal intervals of confidence, empty ones left out."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    share = np.bincount(bin_of, weights, bins)
    sums = (np.bincount(bin_of, weights * value, bins) for value in (confidence, right))
    return [
        {"confidence": c / s, "accuracy": a / s, "share": s}
        for c, a, s in zip(*sums, share, strict=True)
        if s > 0
    ]


def calibration_error(read: Read, weights: np.ndarray, bins: int) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): mean |confidence - accuracy|."""
    rows = reliability(read.confidence, read.right, weights, bins)
    return sum(row["share"] * abs(row["confidence"] - row["accuracy"]) for row in rows)


def interval(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean recall: normal approximation for a mean over strata, the
    classes that occur."""
    counts = np.bincount(labels, minlength=len(CHARACTERS))
    shares = recall(predicted, labels)[counts > 0]
    counts = counts[counts > 0]
    deviation = np.sqrt((shares * (1 - shares) / counts).sum()) / len(counts)
    return float(shares.mean() - 1.96 * deviation), float(shares.mean() + 1.96 * deviation)


def coverage(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The risk-coverage curve. confidence: float (N,); wrong: bool (N,).

    Returns: for each threshold that occurs, from high to low: the confidence from which readings
        are accepted, the share accepted, and the share of wrong ones among these; float (M,) each.
    """
    thresholds, accepted, errors, _ = accepting.from_the_top(confidence, wrong, weights)
    return thresholds, accepted, errors / accepted


def acceptable(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray, accepted_error: float
) -> float:
    """Share that could be accepted with so many errors, if the best threshold were known."""
    _, accepted, error = coverage(confidence, wrong, weights)
    return float(accepted[error <= accepted_error].max(initial=0))


def surest_errors(read: Read) -> np.ndarray:
    """int (M,): the rows that are read wrong, those with the most confidence first."""
    wrong = np.flatnonzero(~read.right)
    return wrong[np.argsort(-read.confidence[wrong], kind="stable")]


def right_of_kind(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which characters, bool (N,), are right where one knows beforehand: a digit, or a letter."""
    possible = IS_DIGIT[labels][:, None] == IS_DIGIT
    return np.asarray(np.where(possible, probabilities, -1).argmax(axis=1) == labels)


def figures(
    read: Read, threshold: float, bins: int, writers: np.ndarray | None = None
) -> dict[str, Any]:
    """A set's figures; in all but `accuracy` its classes count alike.

    `accuracy` is the share right among 33, `kind_known` that among the digits or the letters
    alone, `ece` the calibration error; `accepted` and what follows, from `threshold` on.
    `writers`, (N,), widen its interval; see `accepting.over_clusters`.
    """
    weights = class_weights(read.labels)
    found = {
        "accuracy": read.right.mean(),
        "balanced_accuracy": weights @ read.right,
        "kind_known": weights @ right_of_kind(*read),
        "ece": calibration_error(read, weights, bins),
    }
    accepted = accepting.at(threshold, read.confidence, ~read.right, weights, writers)
    return {name: round(float(value), 5) for name, value in found.items()} | accepted.figures()


def headline(
    read: Read, frequencies: np.ndarray, threshold: float, how: Evaluate
) -> dict[str, Any]:
    """`HEADLINE` of `figures`, and what the set that was trained on shows besides.

    `accuracy` is that of the bare reading, for which all characters are equally likely beforehand;
    `accuracy_frequencies_known` that of a reader who knows how often each character occurs, float
    (33,), in any unit. `coverage` is the share that could be accepted with the target risk if the
    best threshold were known.
    """
    probabilities, labels = read
    weights = class_weights(labels)
    informed = (probabilities * frequencies).argmax(axis=1)
    top2 = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    further = {
        "accuracy_frequencies_known": (informed == labels).mean(),
        "balanced_accuracy_95_percent_interval": interval(read.predicted, labels),
        "top2_accuracy": weights @ (top2 == labels[:, None]).any(axis=1),
        "coverage": acceptable(read.confidence, ~read.right, weights, how.target_risk),
    }
    found = figures(read, threshold, how.bins)
    return {name: found[name] for name in HEADLINE} | {
        **{name: np.round(value, 5).tolist() for name, value in further.items()},
        "images": len(labels),
    }


def pairs(predicted: np.ndarray, labels: np.ndarray, most: int) -> dict[str, int]:
    """Characters of the `most` confused pairs, both directions together: {'2 Z': 17, ...}."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(CHARACTERS)))
    both = np.triu(matrix + matrix.T, 1)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, both.shape)
    return {
        f"{CHARACTERS[a]} {CHARACTERS[b]}": int(both[a, b])
        for a, b in zip(rows, columns, strict=True)
        if both[a, b] > 0
    }
