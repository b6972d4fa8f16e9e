"""Stage 5: how well the network reads the test characters, and how far to trust its confidence.

Temperature and review threshold are chosen on validation characters; the test characters are only
measured. In every figure but `accuracy`, all classes count alike, as in a VIN of any country.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from vinreader.files import write_csv, write_json
from vinreader.litert import softmax
from vinreader.spec import CHARACTERS
from vintraining import card_scores, charts, dataset, network, scores
from vintraining.console import stage
from vintraining.parameters import load

SPLIT = Path("data/split")
MODEL = Path("models/vin-reader.keras")
METRICS = Path("metrics")
PICTURES = METRICS / "pictures"  # hold test images: in DVC's cache, never in git


def measured(part: str, model) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """images (as in the dataset), labels, logits and class weights of one part."""
    characters = dataset.load(SPLIT, part)
    logits = network.logits(model, characters.images)
    return characters.images, characters.labels, logits, dataset.class_weights(characters.labels)


def figures(probabilities, labels, weights, threshold, how, frequencies) -> dict:
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


def draw(images, labels, probabilities, weights, threshold, bins, seed) -> None:
    """The pictures for `dvc plots show`."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:4] for c in range(len(CHARACTERS))]
    )
    charts.characters(
        PICTURES / "test.png", images[rows], labels[rows], probabilities[rows], 12,
        "Test characters: truth → reading, confidence",
    )  # fmt: skip
    wrong = np.flatnonzero(predicted != labels)
    rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:96]
    charts.characters(
        PICTURES / "confident-errors.png", images[rows], labels[rows], probabilities[rows], 12,
        "The most confident errors: truth → reading, confidence",
    )  # fmt: skip
    charts.reliability(
        METRICS / "reliability.png",
        scores.reliability(probabilities, labels, weights, bins),
        "Reliability on test characters",
    )
    thresholds, accepted, error = scores.coverage(confidence, predicted != labels, weights)
    at = max(0, int((thresholds >= threshold).sum()) - 1)
    charts.coverage(
        METRICS / "coverage.png", accepted, error, (accepted[at], error[at]),
        "Test characters accepted, and errors among them",
    )  # fmt: skip


@stage
def main() -> None:
    parameters = load()
    how = parameters.evaluate
    network.be_reproducible(parameters.seed, parameters.train.threads)
    model = network.load(MODEL)
    _, labels, logits, weights = measured("validation", model)
    temperature = scores.temperature(logits, labels, weights)
    probabilities = softmax(logits, temperature)
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    threshold, _ = scores.review_threshold(
        confidence,
        scores.expected_errors(confidence, wrong, weights),
        weights,
        how.accepted_error,
    )
    frequencies = dataset.load(SPLIT, "train").counts()
    validation = figures(probabilities, labels, weights, threshold, how, frequencies)
    tuned = probabilities, labels

    images, labels, logits, weights = measured("test", model)
    probabilities = softmax(logits, temperature)
    cards = card_scores.measure(tuned, (probabilities, labels), parameters)
    predicted = probabilities.argmax(axis=1)
    source = json.loads(Path("data/raw/source.json").read_text("utf-8"))
    write_json(
        METRICS / "evaluation.json",
        {"source": source["name"]}
        | figures(probabilities, labels, weights, threshold, how, frequencies)
        | {
            "temperature": round(temperature, 5),
            "review_threshold": round(threshold, 5),
            "vin_review_threshold": cards.thresholds,
            "validation": validation,
            "recall": {
                character: round(float(share), 4)
                for character, share in zip(
                    CHARACTERS, scores.recall(predicted, labels), strict=True
                )
            },
        },
    )
    write_json(METRICS / "vins.json", cards.figures)
    charts.reliability(
        METRICS / "vin-reliability.png", cards.reliability(how.bins), "Reliability of whole numbers"
    )
    write_json(METRICS / "confusion.json", scores.pairs(predicted, labels, how.pairs))
    names = np.array(list(CHARACTERS))
    write_csv(
        METRICS / "confusion.csv",
        pd.DataFrame({"actual": names[labels], "predicted": names[predicted]}),
    )
    draw(images, labels, probabilities, weights, threshold, how.bins, parameters.seed)


if __name__ == "__main__":
    main()
