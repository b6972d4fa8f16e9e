"""Stage: how well the network reads the test characters, and how far to trust its confidence.

Temperature and thresholds, models/calibration.json, are chosen on validation characters of all
sources, read as the exported network reads them (with 8-bit weights where `export.int8` is set);
the test characters are only measured. In every figure but `accuracy`, all classes count
alike, as in a VIN of any country. metrics/summary.json has the figures that people compare,
metrics/transfer.json EMNIST and every labelled folder side by side.
"""

from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.converting import to_litert
from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.model import network
from vintraining.parameters import Evaluate, load
from vintraining.scores import cards as card_scores
from vintraining.scores import charts, transfer, truth
from vintraining.scores import figures as scores

import numpy as np
import pandas as pd

from vinreader.files import write_csv, write_json
from vinreader.litert import LiteRT
from vinreader.number.vin import check_digit_status
from vinreader.spec import CHARACTERS

SOURCE = Path("data/raw/source.json")
SPLIT = Path("data/split")
MODEL = Path("models/finetuned.keras")
CALIBRATION = Path("models/calibration.json")
METRICS = Path("metrics")
PICTURES = METRICS / "pictures"  # hold test images: in DVC's cache, never in git

Sets = dict[str, dataset.Characters]  # by source
Said = dict[str, transfer.Answers]  # what the network said about the sets of a part, by name


def load_sets(source: str, part: str) -> Sets:
    """The characters of a part: of `source`, of every labelled folder, of all checked cards."""
    sets = {source: dataset.load(SPLIT, part)} | labelled.load(part)
    if part == "validation" and labelled.CHECKED in sets:
        cards = labelled.whole_cards(part)
        checked = hardly_mistyped(sets.pop(labelled.CHECKED), cards)
        sets |= {labelled.CHECKED: checked} if len(checked) else {}
    return sets


def hardly_mistyped(characters: dataset.Characters, cards: np.ndarray) -> dataset.Characters:
    """The boxes of whole cards, rows as of `labelled.whole_cards`, whose check digit is not wrong:
    a clerk's slip counts as an error of the reader, and the check digit tells ten of eleven."""
    vins = ["".join(CHARACTERS[c] for c in card) for card in characters.labels[cards]]
    fine = [check_digit_status(vin) != "wrong" for vin in vins]
    return characters[cards[np.array(fine, bool)].ravel()]


def written(source: str, part: str, said: Said, temperature: float) -> card_scores.Written:
    """What the cards of a part are written with: its characters, and the writers who wrote all
    digits of each labelled folder."""
    read = {name: (one.probabilities(temperature), one.labels) for name, one in said.items()}
    hands = {
        name: card_scores.by_writer(characters, labelled.load_groups(name, part))
        for name, characters in read.items()
        if name not in (source, labelled.CHECKED)
    }
    if labelled.CHECKED in read:  # all of its hands together: it is read as a whole
        hands[labelled.CHECKED] = [read[labelled.CHECKED]]
    return card_scores.Written(read[source], hands)


def write_characters(
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


def write_headline(
    source: str,
    read: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    threshold: float,
    how: Evaluate,
) -> dict[str, Any]:
    """metrics/evaluation.json: the figures of the source's validation and test characters.

    Returns: those of the test characters.
    """
    frequencies = dataset.load(SPLIT, "train").counts()
    found = {
        part: scores.figures(probabilities, labels[part], frequencies, threshold, how)
        for part, probabilities in read.items()
    }
    recalls = scores.recall(read["test"].argmax(axis=1), labels["test"])
    by_class = zip(CHARACTERS, recalls, strict=True)
    figures = {
        "validation": found["validation"],
        "recall": {character: round(float(share), 4) for character, share in by_class},
    }
    write_json(METRICS / "evaluation.json", {"source": source} | found["test"] | figures)
    return found["test"]


def write_sets(
    tests: Sets, said: Said, calibration: transfer.Calibration, how: Evaluate
) -> dict[str, Any]:
    """The table of all test sets, its plot, and of each set the most confident errors.

    Returns: the table, by name.
    """
    record = labelled.load_record()
    sets = {}
    for name, characters in tests.items():
        sets[name] = transfer.figures(said[name], calibration, how.bins)
        if (wrong := truth.is_wrong(characters.images)).any():
            clean = transfer.Answers(said[name].logits[~wrong], said[name].labels[~wrong])
            sets[name]["without_mislabelled"] = {"left_out": int(wrong.sum())} | transfer.figures(
                clean, calibration, how.bins
            )
        if folder := record.get(name):
            sets[name] |= {key: folder[key] for key in ("share", "rows", "sha256")}
            sets[name]["groups"] = {part: n["groups"] for part, n in folder["parts"].items()}
        probabilities = said[name].probabilities(calibration.temperature)
        charts.characters(
            PICTURES / f"wrong-{name}.png",
            characters,
            probabilities,
            scores.surest_errors(probabilities, characters.labels)[:96],
            f"{name}: the most confident errors",
        )
    write_json(METRICS / "transfer.json", {"threshold": calibration.threshold, "sets": sets})
    charts.transfer(
        METRICS / "transfer.png",
        sets,
        how.target_risk,
        "Hands that were not trained on; dashed: target risk",
    )
    return sets


def summary(
    source: str, headline: dict[str, Any], sets: dict[str, Any], cards: dict[str, Any]
) -> dict[str, Any]:
    """What people compare between runs: characters, the hands of labelled folders (their mean),
    whole cards."""
    found = {
        key: headline[key]
        for key in ("accuracy", "balanced_accuracy", "ece", "accepted", "accepted_error")
    }
    if sets:
        for key in ("balanced_accuracy", "kind_known", "accepted", "accepted_error"):
            found[f"hands_{key}"] = round(float(np.mean([one[key] for one in sets.values()])), 5)
    for key in ("raw_exact_match", "decoded_exact_match", "accepted", "accepted_error"):
        found[f"vin_{key}"] = cards[key]
    return found | {"source": source}


@stage
def main() -> None:
    parameters = load()
    how = parameters.evaluate
    network.be_reproducible(parameters.seed, parameters.train)
    model = LiteRT(to_litert(network.load(MODEL), parameters.export.int8))
    source = dataset.load_json(SOURCE)
    own = source["source"]
    parts = {part: load_sets(own, part) for part in ("validation", "test")}
    said = {
        part: {
            name: transfer.Answers(model.logits(characters.images), characters.labels)
            for name, characters in sets.items()
        }
        for part, sets in parts.items()
    }
    calibration = transfer.calibrate(said["validation"], how.target_risk, how.risks)
    temperature, threshold = calibration.temperature, calibration.threshold
    validation, test = (written(own, part, sets, temperature) for part, sets in said.items())
    cards = card_scores.measure(validation, test, parameters)
    characters = {name: len(answers.labels) for name, answers in said["validation"].items()}
    write_json(
        CALIBRATION,
        {
            "temperature": temperature,
            "threshold": threshold,
            "vin_threshold": cards.threshold,
            "target_risk": how.target_risk,
            "by_risk": {
                f"{risk:g}": {"threshold": threshold, "vin_threshold": cards.by_risk[risk]}
                for risk, threshold in sorted(calibration.by_risk.items())
            },
            "computed_on": {"characters": characters, "cards": cards.origins},
        },
    )
    read = {part: sets[own].probabilities(temperature) for part, sets in said.items()}
    labels = {part: sets[own].labels for part, sets in parts.items()}
    headline = write_headline(source["name"], read, labels, threshold, how)
    write_json(METRICS / "vins.json", cards.figures)
    charts.reliability(
        METRICS / "vin-reliability.png", cards.reliability(how.bins), "Reliability of whole numbers"
    )
    write_characters(parts["test"][own], read["test"], threshold, how, parameters.seed)
    sets = write_sets(parts["test"], said["test"], calibration, how)
    sets.pop(own)
    write_json(
        METRICS / "summary.json",
        summary(source["name"], headline, sets, cards.figures["all"]),
    )


if __name__ == "__main__":
    main()
