"""How the reading carries over to other hands: one calibration for all of them, one table.

A network is surest of itself on what it was trained on. So temperature and threshold go by
validation characters of every source, none of which was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vintraining.data.dataset import class_weights
from vintraining.scores import accepting
from vintraining.scores import figures as scores

import numpy as np
from numpy.typing import NDArray

from vinreader.litert import softmax
from vinreader.spec import CHARACTERS, DIGITS

IS_DIGIT = np.array([character in DIGITS for character in CHARACTERS])


@dataclass(frozen=True)
class Answers:
    """What the network said about a set: logits, float (N, 33), and the truth, int (N,)."""

    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def probabilities(self, temperature: float) -> NDArray[np.float64]:
        return softmax(self.logits, temperature)


@dataclass(frozen=True)
class Calibration:
    """temperature: divides logits; threshold: from which characters are accepted, 0 to 1.01;
    by_risk: the same for other shares of errors."""

    temperature: float
    threshold: float
    by_risk: dict[float, float]


def calibrate(
    validation: dict[str, Answers], target_risk: float, risks: Sequence[float] = ()
) -> Calibration:
    """Temperature and thresholds, from validation characters of every source.

    Every source weighs the same, and in a source every class that occurs.

    Args:
        validation: by source, at least one; none of them trained on.
    """
    logits, labels, weights = (
        np.concatenate(arrays)
        for arrays in zip(
            *((a.logits, a.labels, class_weights(a.labels)) for a in validation.values()),
            strict=True,
        )
    )
    temperature = scores.temperature(logits, labels, weights / len(validation))
    sources = [
        accepting.Readings(*confidences(answers, temperature), class_weights(answers.labels))
        for answers in validation.values()
    ]
    by_risk = {risk: round(accepting.threshold(sources, risk), 5) for risk in (target_risk, *risks)}
    return Calibration(round(temperature, 5), by_risk[target_risk], by_risk)


def confidences(answers: Answers, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """float (N,): how sure each reading is; bool (N,): whether it is wrong."""
    probabilities = answers.probabilities(temperature)
    return probabilities.max(axis=1), probabilities.argmax(axis=1) != answers.labels


def right_of_kind(
    probabilities: NDArray[np.float64], labels: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which characters, bool (N,), are right where one knows beforehand: a digit, or a letter."""
    possible = IS_DIGIT[labels][:, None] == IS_DIGIT
    found: NDArray[np.bool_] = np.where(possible, probabilities, -1).argmax(axis=1) == labels
    return found


def figures(answers: Answers, calibration: Calibration, bins: int) -> dict[str, Any]:
    """A set's line in the table; in all figures but `accuracy` its classes count alike.

    `accuracy` is the share right among 33, `kind_known` that among the digits or the letters
    alone, `ece` the calibration error; `accepted` and what follows, at the deployed threshold.
    """
    probabilities = answers.probabilities(calibration.temperature)
    right = probabilities.argmax(axis=1) == answers.labels
    weights = class_weights(answers.labels)
    of_kind = right_of_kind(probabilities, answers.labels)
    accepted = accepting.at(calibration.threshold, probabilities.max(axis=1), ~right, weights)
    return {
        "accuracy": round(float(right.mean()), 5),
        "balanced_accuracy": round(float(weights @ right), 5),
        "kind_known": round(float(weights @ of_kind), 5),
        "ece": round(scores.calibration_error(probabilities, answers.labels, weights, bins), 5),
    } | accepted.figures()
