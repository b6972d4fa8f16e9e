"""Stage 5: how well the network reads the test characters, and how far to trust its confidence.

Temperature and review threshold are chosen on validation characters of all origins; the test
characters are only measured. In every figure but `accuracy`, all classes count alike, as in a VIN
of any country. metrics/transfer.json sets EMNIST and every labelled folder side by side.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from vinreader.files import write_csv, write_json
from vinreader.spec import CHARACTERS
from vintraining import (
    adaptation,
    card_scores,
    charts,
    dataset,
    labelled,
    network,
    scores,
    transfer,
)
from vintraining.console import stage
from vintraining.parameters import Evaluate, load

SPLIT = Path("data/split")
MODEL = Path("models/adapted.keras")
METRICS = Path("metrics")
PICTURES = METRICS / "pictures"  # hold test images: in DVC's cache, never in git


def answers(model: keras.Model, characters: dataset.Characters) -> transfer.Answers:
    return transfer.Answers(network.logits(model, characters.images), characters.labels)


def figures(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    how: Evaluate,
    frequencies: np.ndarray,
) -> dict[str, Any]:
    """The headline figures of one part.

    `accuracy` is that of the bare reading, for which all characters are equally likely beforehand;
    `accuracy_frequencies_known` that of a reader who knows how often each character occurs, as a
    network trained on the characters as they fall does. `coverage` is the share that could be
    accepted with the stated error if the best threshold were known; `accepted` is what the
    threshold chosen on validation accepts.
    """
    predicted = probabilities.argmax(axis=1)
    informed = (probabilities * frequencies).argmax(axis=1)
    low, high = scores.interval(predicted, labels)
    top2 = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    confidence = probabilities.max(axis=1)
    accepted = confidence >= threshold
    _, coverage = scores.review_threshold(
        confidence, predicted != labels, weights, how.accepted_error
    )
    wrong = weights @ (accepted & (predicted != labels))
    return {
        "accuracy": round(float((predicted == labels).mean()), 5),
        "accuracy_frequencies_known": round(float((informed == labels).mean()), 5),
        "balanced_accuracy": round(float(weights @ (predicted == labels)), 5),
        "balanced_accuracy_95_percent_interval": [round(low, 5), round(high, 5)],
        "top2_accuracy": round(float(weights @ (top2 == labels[:, None]).any(axis=1)), 5),
        "ece": round(scores.calibration_error(probabilities, labels, weights, how.bins), 5),
        "accepted": round(float(weights @ accepted), 5),
        "accepted_error": round(float(wrong / max(weights @ accepted, 1e-12)), 5),
        "coverage": round(coverage, 5),
        "images": len(labels),
    }


def confident_errors(
    path: Path, name: str, characters: dataset.Characters, probabilities: np.ndarray
) -> None:
    """A picture of what is read wrong with the most confidence."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != characters.labels)
    rows = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:96]
    charts.characters(
        path,
        characters.images[rows],
        characters.labels[rows],
        probabilities[rows],
        12,
        f"{name}: the most confident errors: truth → reading, confidence",
    )


def draw(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    bins: int,
    seed: int,
) -> None:
    """The pictures for `dvc plots show`."""
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:4] for c in range(len(CHARACTERS))]
    )
    charts.characters(
        PICTURES / "test.png",
        images[rows],
        labels[rows],
        probabilities[rows],
        12,
        "Test characters: truth → reading, confidence",
    )
    charts.reliability(
        METRICS / "reliability.png",
        scores.reliability(probabilities, labels, weights, bins),
        "Reliability on test characters",
    )
    thresholds, accepted, error = scores.coverage(confidence, wrong, weights)
    at = max(0, int((thresholds >= threshold).sum()) - 1)
    charts.coverage(
        METRICS / "coverage.png",
        accepted,
        error,
        (accepted[at], error[at]),
        "Test characters accepted, and errors among them",
    )


def carried_over(
    tests: dict[str, dataset.Characters],
    answered: dict[str, transfer.Answers],
    calibration: transfer.Calibration,
    how: Evaluate,
) -> None:
    """The table of all test sets, its plot, and of each set the most confident errors."""
    record = labelled.load_record(SPLIT)
    sets = {}
    for name, characters in tests.items():
        sets[name] = transfer.figures(answered[name], calibration, how.bins)
        if name in record:
            told = record[name]
            sets[name] |= {key: told[key] for key in ("weight", "rows", "sha256")}
            sets[name]["groups"] = {part: n["groups"] for part, n in told["parts"].items()}
        probabilities = answered[name].probabilities(calibration.temperature)
        confident_errors(PICTURES / f"wrong-{name}.png", name, characters, probabilities)
    write_json(
        METRICS / "transfer.json",
        {
            "thresholds": {name: round(value, 5) for name, value in calibration.thresholds.items()},
            "sets": sets,
        },
    )
    charts.transfer(
        METRICS / "transfer.png",
        sets,
        how.accepted_error,
        "Hands that were not trained on; dashed: stated error",
    )


def written(
    own: str,
    part: str,
    sets: dict[str, dataset.Characters],
    said: dict[str, transfer.Answers],
    temperature: float,
) -> card_scores.Written:
    """What the cards of a part are written with: its characters, and the writers who wrote all
    digits of each labelled folder."""
    read = {name: (said[name].probabilities(temperature), sets[name].labels) for name in sets}
    hands = {
        name: card_scores.by_writer(characters, labelled.load_groups(SPLIT, name, part))
        for name, characters in read.items()
        if name not in (own, adaptation.ARCHIVE)
    }
    if adaptation.ARCHIVE in read:  # all of its hands together: it is read as a whole
        hands[adaptation.ARCHIVE] = [read[adaptation.ARCHIVE]]
    return card_scores.Written(read[own], hands)


def confusions(predicted: np.ndarray, labels: np.ndarray, pairs: int) -> None:
    """The tables of what is taken for what."""
    write_json(METRICS / "confusion.json", scores.pairs(predicted, labels, pairs))
    names = np.array(list(CHARACTERS))
    write_csv(
        METRICS / "confusion.csv",
        pd.DataFrame({"actual": names[labels], "predicted": names[predicted]}),
    )


@stage
def main() -> None:
    parameters = load()
    how = parameters.evaluate
    network.be_reproducible(parameters.seed, parameters.train.threads)
    model = network.load(MODEL)
    source = json.loads(Path("data/raw/source.json").read_text("utf-8"))
    own = source["source"]
    parts = {
        part: {own: dataset.load(SPLIT, part)} | labelled.load(SPLIT, part) | adaptation.load(part)
        for part in ("validation", "test")
    }
    said = {
        part: {name: answers(model, characters) for name, characters in sets.items()}
        for part, sets in parts.items()
    }
    calibration, calibrated_on = adaptation.calibrate(said["validation"], how)
    frequencies = dataset.load(SPLIT, "train").counts()
    headline = {}
    for part, sets in parts.items():
        probabilities = said[part][own].probabilities(calibration.temperature)
        weights = dataset.class_weights(sets[own].labels)
        headline[part] = figures(
            probabilities, sets[own].labels, weights, calibration.threshold, how, frequencies
        )
    images, labels = parts["test"][own].images, parts["test"][own].labels
    validation, test = (
        written(own, part, sets, said[part], calibration.temperature)
        for part, sets in parts.items()
    )
    cards = card_scores.measure(validation, test, parameters)
    predicted = probabilities.argmax(axis=1)
    recall = zip(CHARACTERS, scores.recall(predicted, labels), strict=True)
    told = {
        "temperature": round(calibration.temperature, 5),
        "review_threshold": round(calibration.threshold, 5),
        "vin_review_threshold": cards.thresholds,
        "calibrated_on": {"boxes": calibrated_on, "cards": cards.origins},
        "validation": headline["validation"],
        "recall": {character: round(float(share), 4) for character, share in recall},
    }
    write_json(METRICS / "evaluation.json", {"source": source["name"]} | headline["test"] | told)
    write_json(METRICS / "vins.json", cards.figures)
    charts.reliability(
        METRICS / "vin-reliability.png", cards.reliability(how.bins), "Reliability of whole numbers"
    )
    confusions(predicted, labels, how.pairs)
    threshold = calibration.threshold
    draw(images, labels, probabilities, weights, threshold, how.bins, parameters.seed)
    carried_over(parts["test"], said["test"], calibration, how)


if __name__ == "__main__":
    main()
