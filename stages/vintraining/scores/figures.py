"""How well the network reads, and how far its confidence can be trusted.

Everywhere `probabilities` is float (N, 33), `labels` int (N,) and `weights` float (N,) with sum 1:
the share of each character in the figure (`dataset.class_weights` makes all classes count alike).
"""

from vintraining.data.dataset import class_weights
from vintraining.parameters import Evaluate

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix, recall_score

from vinreader.spec import CHARACTERS


def temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Temperature under which the labels are likeliest (Guo et al., arXiv 1706.04599)."""

    def loss(log_temperature: float) -> float:
        logs = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float(weights @ logs[np.arange(len(labels)), labels])

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def recall(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each class read right, float (33,); NaN where a class does not occur."""
    shares: np.ndarray = recall_score(
        labels,
        predicted,
        labels=np.arange(len(CHARACTERS)),
        average=None,
        zero_division=np.nan,
    )
    return shares


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, bins: int
) -> list[dict[str, float]]:
    """Confidence against accuracy in `bins` equal intervals of confidence, empty ones left out."""
    right = probabilities.argmax(axis=1) == labels
    return calibration(probabilities.max(axis=1), right, weights, bins)


def calibration(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray, bins: int
) -> list[dict[str, float]]:
    """`reliability` of readings of a confidence, float (N,), that are right, bool (N,), or not."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    share = np.bincount(bin_of, weights, bins)
    sums = (np.bincount(bin_of, weights * value, bins) for value in (confidence, right))
    return [
        {"confidence": c / s, "accuracy": a / s, "share": s}
        for c, a, s in zip(*sums, share, strict=True)
        if s > 0
    ]


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, bins: int
) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): mean |confidence - accuracy|."""
    rows = reliability(probabilities, labels, weights, bins)
    return sum(row["share"] * abs(row["confidence"] - row["accuracy"]) for row in rows)


def interval(predicted: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean recall, from the number of characters of each class.

    Normal approximation for a mean over strata: every class that occurs is one.
    """
    counts = np.bincount(labels, minlength=len(CHARACTERS))
    shares = recall(predicted, labels)[counts > 0]
    counts = counts[counts > 0]
    deviation = np.sqrt((shares * (1 - shares) / counts).sum()) / len(counts)
    return float(shares.mean() - 1.96 * deviation), float(shares.mean() + 1.96 * deviation)


def coverage(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The risk-coverage curve: readings accepted from the most confident down.

    Args:
        confidence: float (N,); wrong: bool (N,), whether the reading is, or float (N,), how
            probable that is.

    Returns:
        For each threshold that occurs, from high to low: the confidence from which readings are
        accepted, the share accepted, and the share of wrong ones among these; float (M,) each.
    """
    order = np.argsort(-confidence, kind="stable")
    accepted = np.cumsum(weights[order])
    error = np.cumsum((weights * wrong)[order]) / accepted
    # Equal confidences are accepted together, so only the last of each run is a threshold.
    last = np.append(np.diff(confidence[order]) != 0, True)
    return confidence[order][last], accepted[last], error[last]


def acceptable(
    confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray, accepted_error: float
) -> float:
    """Share that could be accepted with so many errors, if the best threshold were known."""
    _, accepted, error = coverage(confidence, wrong, weights)
    return float(accepted[error <= accepted_error].max(initial=0))


def surest_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int (M,): the rows that are read wrong, those with the most confidence first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def figures(
    probabilities: np.ndarray,
    labels: np.ndarray,
    frequencies: np.ndarray,
    threshold: float,
    how: Evaluate,
) -> dict[str, float | int | list[float]]:
    """The headline figures of a set; in all but the first two its classes count alike.

    `accuracy` is that of the bare reading, for which all characters are equally likely beforehand;
    `accuracy_frequencies_known` that of a reader who knows how often each character occurs, as a
    network trained on the characters as they fall does. `coverage` is the share that could be
    accepted with the stated error if the best threshold were known; `accepted` is what the
    threshold chosen on validation accepts.

    Args:
        frequencies: how often each character occurs, (33,), in any unit.
        threshold: the confidence from which readings are accepted.
    """
    weights = class_weights(labels)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = predicted == labels
    informed = (probabilities * frequencies).argmax(axis=1)
    top2 = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    accepted = confidence >= threshold
    wrong = weights @ (accepted & ~right) / max(weights @ accepted, 1e-12)
    coverable = acceptable(confidence, ~right, weights, how.target_risk)
    found = {
        "accuracy": right.mean(),
        "accuracy_frequencies_known": (informed == labels).mean(),
        "balanced_accuracy": weights @ right,
        "balanced_accuracy_95_percent_interval": interval(predicted, labels),
        "top2_accuracy": weights @ (top2 == labels[:, None]).any(axis=1),
        "ece": calibration_error(probabilities, labels, weights, how.bins),
        "accepted": weights @ accepted,
        "accepted_error": wrong,
        "coverage": coverable,
    }
    return {name: np.round(value, 5).tolist() for name, value in found.items()} | {
        "images": len(labels)
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
