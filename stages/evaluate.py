"""Stage 5: how well the network reads the test characters, and how far to trust its confidence.

Temperature and review threshold are chosen on validation characters of all origins; the test
characters are only measured. In every figure but `accuracy`, all classes count alike, as in a VIN
of any country. metrics/transfer.json sets EMNIST and every labelled folder side by side.
"""

from pathlib import Path

from vintraining.console import stage
from vintraining.data import dataset
from vintraining.hands import adaptation, labelled
from vintraining.model import network
from vintraining.parameters import Evaluate, load
from vintraining.scores import cards as card_scores
from vintraining.scores import charts, transfer
from vintraining.scores import figures as scores

import numpy as np
import pandas as pd

from vinreader.files import write_csv, write_json
from vinreader.spec import CHARACTERS

SOURCE = Path("data/raw/source.json")
SPLIT = Path("data/split")
MODEL = Path("models/adapted.keras")
METRICS = Path("metrics")
PICTURES = METRICS / "pictures"  # hold test images: in DVC's cache, never in git

Said = dict[str, transfer.Answers]  # what the network said about the sets of a part, by name


def written(own: str, part: str, said: Said, temperature: float) -> card_scores.Written:
    """What the cards of a part are written with: its characters, and the writers who wrote all
    digits of each labelled folder."""
    read = {name: (one.probabilities(temperature), one.labels) for name, one in said.items()}
    hands = {
        name: card_scores.by_writer(characters, labelled.load_groups(name, part))
        for name, characters in read.items()
        if name not in (own, adaptation.ARCHIVE)
    }
    if adaptation.ARCHIVE in read:  # all of its hands together: it is read as a whole
        hands[adaptation.ARCHIVE] = [read[adaptation.ARCHIVE]]
    return card_scores.Written(read[own], hands)


def tell_characters(
    test: dataset.Characters, probabilities: np.ndarray, threshold: float, how: Evaluate, seed: int
) -> None:
    """The pictures of the test characters, and the tables of what is taken for what."""
    labels, predicted = test.labels, probabilities.argmax(axis=1)
    weights = dataset.class_weights(labels)
    rng = np.random.default_rng(seed)
    each = [rng.permutation(np.flatnonzero(labels == c))[:4] for c in range(len(CHARACTERS))]
    charts.characters(
        PICTURES / "test.png", test, probabilities, np.concatenate(each), "Test characters"
    )
    charts.reliability(
        METRICS / "reliability.png",
        scores.reliability(probabilities, labels, weights, how.bins),
        "Reliability on test characters",
    )
    charts.coverage(
        METRICS / "coverage.png",
        *scores.coverage(probabilities.max(axis=1), predicted != labels, weights),
        threshold,
        "Test characters accepted, and errors among them",
    )
    write_json(METRICS / "confusion.json", scores.pairs(predicted, labels, how.pairs))
    names = np.array(list(CHARACTERS))
    confusion = pd.DataFrame({"actual": names[labels], "predicted": names[predicted]})
    write_csv(METRICS / "confusion.csv", confusion)


def tell_sets(
    tests: dict[str, dataset.Characters],
    said: Said,
    calibration: transfer.Calibration,
    how: Evaluate,
) -> None:
    """The table of all test sets, its plot, and of each set the most confident errors."""
    record = labelled.load_record()
    sets = {}
    for name, characters in tests.items():
        sets[name] = transfer.figures(said[name], calibration, how.bins)
        if name in record:
            told = record[name]
            sets[name] |= {key: told[key] for key in ("share", "rows", "sha256")}
            sets[name]["groups"] = {part: n["groups"] for part, n in told["parts"].items()}
        probabilities = said[name].probabilities(calibration.temperature)
        charts.characters(
            PICTURES / f"wrong-{name}.png",
            characters,
            probabilities,
            scores.surest_errors(probabilities, characters.labels)[:96],
            f"{name}: the most confident errors",
        )
    thresholds = {name: round(value, 5) for name, value in calibration.thresholds.items()}
    write_json(METRICS / "transfer.json", {"thresholds": thresholds, "sets": sets})
    charts.transfer(
        METRICS / "transfer.png",
        sets,
        how.accepted_error,
        "Hands that were not trained on; dashed: stated error",
    )


@stage
def main() -> None:
    parameters = load()
    how = parameters.evaluate
    network.be_reproducible(parameters.seed, parameters.train)
    model = network.load(MODEL)
    source = dataset.load_json(SOURCE)
    own = source["source"]
    parts = {
        part: {own: dataset.load(SPLIT, part)} | labelled.load(part) | adaptation.load(part)
        for part in ("validation", "test")
    }
    said = {
        part: {
            name: transfer.Answers(network.logits(model, characters.images), characters.labels)
            for name, characters in sets.items()
        }
        for part, sets in parts.items()
    }
    calibration, calibrated_on = adaptation.calibrate(said["validation"], how)
    if adaptation.ARCHIVE not in calibrated_on:  # too few of its boxes: too few for cards, too
        said["validation"].pop(adaptation.ARCHIVE, None)
    temperature, threshold = calibration.temperature, calibration.threshold
    frequencies = dataset.load(SPLIT, "train").counts()
    read = {part: sets[own].probabilities(temperature) for part, sets in said.items()}
    headline = {
        part: scores.figures(read[part], sets[own].labels, frequencies, threshold, how)
        for part, sets in parts.items()
    }
    validation, test = (written(own, part, sets, temperature) for part, sets in said.items())
    cards = card_scores.measure(validation, test, parameters)
    predicted = read["test"].argmax(axis=1)
    recall = zip(CHARACTERS, scores.recall(predicted, parts["test"][own].labels), strict=True)
    told = {
        "temperature": round(temperature, 5),
        "review_threshold": round(threshold, 5),
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
    tell_characters(parts["test"][own], read["test"], threshold, how, parameters.seed)
    tell_sets(parts["test"], said["test"], calibration, how)


if __name__ == "__main__":
    main()
