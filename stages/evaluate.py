"""Stage: how well the network reads the test characters, and how far to trust its confidence.

Temperature and thresholds, models/calibration.json, are chosen on validation characters of all
sources, read as the exported network reads them (with 8-bit weights where `export.int8` is set);
the test characters are only measured. In every figure but `accuracy`, all classes count
alike, as in a VIN of any country. metrics/summary.json has the figures that people compare,
metrics/transfer.json EMNIST and every labelled folder side by side.
"""

from pathlib import Path

from vintraining.console import stage
from vintraining.converting import to_litert
from vintraining.data import dataset
from vintraining.model import network
from vintraining.parameters import load
from vintraining.scores import cards as card_scores
from vintraining.scores import charts, report, transfer

from vinreader.files import write_json
from vinreader.litert import LiteRT

SOURCE = Path("data/raw/source.json")
MODEL = Path("models/finetuned.keras")
CALIBRATION = Path("models/calibration.json")


@stage
def main() -> None:
    parameters = load()
    how = parameters.evaluate
    network.be_reproducible(parameters.seed, parameters.train)
    model = LiteRT(to_litert(network.load(MODEL), parameters.export.int8))
    source = dataset.load_json(SOURCE)
    own, name = source["source"], source["name"]
    sets = {part: transfer.load_sets(own, part) for part in ("validation", "test")}
    said = {
        part: {
            name: transfer.Answers(model.logits(characters.images), characters.labels)
            for name, characters in of_part.items()
        }
        for part, of_part in sets.items()
    }
    found = transfer.calibrate(said["validation"], how)
    read = {
        part: {name: answers.read(found.temperature) for name, answers in of_part.items()}
        for part, of_part in said.items()
    }
    validation, test = (card_scores.written(own, part, sets) for part, sets in read.items())
    cards = card_scores.measure(validation, test, parameters)
    thresholds = {
        risk: {"threshold": threshold, "vin_threshold": cards.by_risk[risk]}
        for risk, threshold in sorted(found.by_risk.items())
    }
    characters = {name: len(set_) for name, set_ in sets["validation"].items()}
    calibration = {
        "temperature": found.temperature,
        **thresholds[how.target_risk],
        "target_risk": how.target_risk,
        "by_risk": {f"{risk:g}": both for risk, both in thresholds.items()},
        "computed_on": {"characters": characters, "cards": cards.origins},
    }
    write_json(CALIBRATION, calibration)
    write_json(report.METRICS / "vins.json", cards.figures)
    picture = report.METRICS / "vin-reliability.png"
    charts.reliability(picture, cards.reliability, "Reliability of whole numbers")
    frequencies = dataset.load(transfer.SPLIT, "train").counts()
    of_source = {part: of_part[own] for part, of_part in read.items()}
    headline = report.characters(
        name, sets["test"][own], of_source, frequencies, found.threshold, parameters
    )
    table = report.sets(sets["test"], read["test"], found.threshold, parameters)
    del table[own]
    report.summary(name, headline, table, cards.figures["all"])


if __name__ == "__main__":
    main()
