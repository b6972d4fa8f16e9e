"""How the reading carries over to other hands: the sets of characters, one calibration for all.

A network is surest of itself on what it was trained on. So temperature and threshold go by
validation characters of every source, none of which was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vintraining.data import dataset
from vintraining.data.dataset import Characters, class_weights
from vintraining.hands import labelled
from vintraining.parameters import Evaluate
from vintraining.scores import accepting, figures
from vintraining.scores.figures import Read

import numpy as np

from vinreader.litert import softmax
from vinreader.number.vin import check_digit_status
from vinreader.spec import BOXES, CHARACTERS

SPLIT = Path("data/split")


@dataclass(frozen=True)
class Answers:
    """What the network said about a set: logits, float32 (N, 33), and the truth, uint8 (N,)."""

    logits: np.ndarray
    labels: np.ndarray

    def read(self, temperature: float) -> Read:
        return Read(softmax(self.logits, temperature), self.labels)


@dataclass(frozen=True)
class Calibration:
    """temperature: divides logits; threshold: from which characters are accepted, 0 to 1.01;
    by_risk: the same for other shares of errors."""

    temperature: float
    threshold: float
    by_risk: dict[float, float]


def load_sets(source: str, part: str) -> dict[str, Characters]:
    """The characters of a part: of `source`, of every labelled folder, of all checked cards.

    For validation, of checked cards only whole ones whose check digit is not wrong: a clerk's slip
    counts as an error of the reader, and the check digit tells ten of eleven.
    """
    sets = {source: dataset.load(SPLIT, part)} | labelled.load(part)
    if part == "validation" and labelled.CHECKED in sets:
        checked, cards = sets.pop(labelled.CHECKED), labelled.whole_cards(part)
        vins = ["".join(CHARACTERS[c] for c in card) for card in checked.labels[cards]]
        fine = np.array([check_digit_status(vin) != "wrong" for vin in vins], bool)
        if fine.any():
            sets[labelled.CHECKED] = checked[cards[fine].ravel()]
    return sets


def evidence(boxes: Mapping[str, int], prior_cards: int) -> dict[str, float]:
    """How much each source weighs, 0 to 1, together 1: an archive's own held-out cards as many as
    they are, all others together as `prior_cards`, each of them the same.

    Args:
        boxes: how many characters there are of each source.
    """
    cards = boxes.get(labelled.CHECKED, 0) / BOXES
    others = len(boxes) - (labelled.CHECKED in boxes)
    own = cards / (cards + prior_cards) if others else 1.0
    return {name: own if name == labelled.CHECKED else (1 - own) / others for name in boxes}


def calibrate(validation: dict[str, Answers], how: Evaluate) -> Calibration:
    """Temperature and thresholds, from validation characters by source, none of them trained on.
    Every source weighs as much as its `evidence`, and in a source every class that occurs alike."""
    weights = {name: class_weights(answers.labels) for name, answers in validation.items()}
    weigh = evidence({name: len(each) for name, each in weights.items()}, how.prior_cards)
    temperature = figures.temperature(
        np.concatenate([answers.logits for answers in validation.values()]),
        np.concatenate([answers.labels for answers in validation.values()]),
        np.concatenate([weigh[name] * each for name, each in weights.items()]),
    )
    read = {name: answers.read(temperature) for name, answers in validation.items()}
    sources = [
        accepting.Readings(one.confidence, ~one.right, weights[name], weigh[name])
        for name, one in read.items()
    ]
    risks = (how.target_risk, *how.risks)
    by_risk = {risk: round(accepting.threshold(sources, risk), 5) for risk in risks}
    return Calibration(round(temperature, 5), by_risk[how.target_risk], by_risk)
