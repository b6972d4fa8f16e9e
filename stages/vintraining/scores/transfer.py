"""How the reading carries over to other hands: one calibration for all of them, one table.

A network is surest of itself on what it was trained on. So temperature and review threshold go by
validation characters of every origin, none of which was trained on. The threshold keeps the stated
error with the stated certainty for all of them together, and in each origin by itself as likely as
not: a few writers are too few to be certain of more, and would else close the door for everybody.
"""

from dataclasses import dataclass
from typing import Any

from vintraining.data.dataset import class_weights
from vintraining.scores import accepting
from vintraining.scores import figures as scores

import numpy as np
from numpy.typing import NDArray

from vinreader.litert import softmax
from vinreader.spec import CHARACTERS, DIGITS

EVEN = 0.5  # certainty: as likely as not
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
    """temperature: divides logits; thresholds: what each origin needs, and all `together`, by name,
    0 to 1.01."""

    temperature: float
    thresholds: dict[str, float]

    @property
    def threshold(self) -> float:
        """The confidence from which readings of any of the origins are accepted."""
        return max(self.thresholds.values())


def calibrate(
    validation: dict[str, Answers], accepted_error: float, certainty: float, margin: float = 1.0
) -> Calibration:
    """Temperature and thresholds, from validation characters of every origin.

    Every origin weighs the same in the temperature, and in an origin every class that occurs.

    Args:
        validation: by origin, at least one; none of them trained on.
        accepted_error, certainty: as for `accepting.threshold`, of all origins together.
        margin: how many times as often new writers are expected to be read wrong as these, at
            least 1: validation characters of EMNIST are by writers who were trained on, too.
    """
    logits, labels, weights = (
        np.concatenate(arrays)
        for arrays in zip(
            *((a.logits, a.labels, class_weights(a.labels)) for a in validation.values()),
            strict=True,
        )
    )
    weights /= len(validation)
    temperature = scores.temperature(logits, labels, weights)
    thresholds = {
        name: _threshold(answers, class_weights(answers.labels), temperature, accepted_error, EVEN)
        for name, answers in validation.items()
    }
    # Each reading counts once here: were classes weighed alike, the one error of a rare letter
    # would be hundreds, and no number of characters enough to be certain.
    thresholds["together"] = _threshold(
        Answers(logits, labels), None, temperature, accepted_error / margin, certainty
    )
    return Calibration(temperature, thresholds)


def _threshold(
    answers: Answers,
    weights: NDArray[np.float64] | None,
    temperature: float,
    accepted_error: float,
    certainty: float,
) -> float:
    probabilities = answers.probabilities(temperature)
    wrong = probabilities.argmax(axis=1) != answers.labels
    confidence = probabilities.max(axis=1)
    return accepting.threshold(confidence, wrong, accepted_error, certainty, weights)


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
