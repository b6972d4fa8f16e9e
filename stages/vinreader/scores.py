"""How well the network reads, and how far its confidence can be trusted.

Everywhere `probabilities` is float (N, 33), `labels` int (N,) and `weights` float (N,) with sum 1:
the share of each character in the figure (`dataset.class_weights` makes all classes count alike).
"""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import confusion_matrix

from vinreader.alphabet import CHARACTERS


def temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Temperature under which the labels are likeliest (Guo et al., arXiv 1706.04599)."""

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        peak = scaled.max(axis=1)
        total = peak + np.log(np.exp(scaled - peak[:, None]).sum(axis=1))
        return float(weights @ (total - scaled[np.arange(len(labels)), labels]))

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def recall(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each class read right, float (33,); NaN where a class does not occur."""
    counts = np.bincount(labels, minlength=len(CHARACTERS))
    right = np.bincount(labels[predicted == labels], minlength=len(CHARACTERS))
    return np.divide(right, counts, out=np.full(len(CHARACTERS), np.nan), where=counts > 0)


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, bins: int
) -> list[dict[str, float]]:
    """Confidence against accuracy in `bins` equal intervals of confidence, empty ones left out."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
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


def coverage(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The risk-coverage curve: characters accepted from the most confident down.

    Returns:
        For each threshold that occurs, from high to low: the confidence from which characters are
        accepted, the share accepted, and the share of wrong ones among these; float (M,) each.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(axis=1) != labels)[order]
    accepted = np.cumsum(weights[order])
    error = np.cumsum(weights[order] * wrong) / accepted
    # Equal confidences are accepted together, so only the last of each run is a threshold.
    last = np.append(np.diff(confidence[order]) != 0, True)
    return confidence[order][last], accepted[last], error[last]


def review_threshold(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, accepted_error: float
) -> float:
    """Lowest confidence at which the accepted characters have at most `accepted_error` errors.

    Above 1 when no threshold does: then every character is doubtful.
    """
    thresholds, _, error = coverage(probabilities, labels, weights)
    good = np.flatnonzero(error <= accepted_error)
    return float(thresholds[good[-1]]) if len(good) else 1.01


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
