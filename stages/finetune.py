"""Stage: the network, trained on for a while: with characters as they are, and with hands that
EMNIST lacks (labelled folders).

data/hands has these as the network sees them, by folder and part: only those of the folders that
`finetune.labelled` names are trained on, and of these the part for training. models/finetuned.keras
is the network that then reads.
"""

from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.data import dataset
from vintraining.hands import labelled, learning
from vintraining.model import network
from vintraining.parameters import load

from vinreader.files import write_json

TRAINED = Path("models/vin-reader.keras")
FINETUNED = Path("models/finetuned.keras")
SPLIT = Path("data/split")
METRICS = Path("metrics/finetune.json")


def seen() -> set[bytes]:
    """Digests of the characters of data/split: an image that stands in both is left where it is."""
    digests: set[bytes] = set()
    for part in ("train", "validation", "test"):
        dataset.not_seen(dataset.load(SPLIT, part).images, digests)
    return digests


def right(model: Any, sets: dict[str, dataset.Characters]) -> dict[str, float]:
    """Share of each set that a Keras network reads right, all classes alike."""
    shares = {}
    for name, own in sets.items():
        hits = network.logits(model, own.images).argmax(axis=1) == own.labels
        shares[name] = round(float(dataset.class_weights(own.labels) @ hits), 5)
    return shares


@stage
def main() -> None:
    parameters = load()
    trained_on = parameters.finetune.labelled
    folders = labelled.read_all(labelled.FOLDER, trained_on, seen())
    labelled.save(folders)
    for folder in folders:
        print(f"{labelled.FOLDER / folder.name}: {folder.told()}", flush=True)
    network.be_reproducible(parameters.seed, parameters.train)
    model = network.load(TRAINED)
    validation = {"split": dataset.load(SPLIT, "validation")} | labelled.load("validation")
    before = right(model, validation)
    shown = labelled.replay(trained_on, dataset.load(SPLIT, "train"))
    learning.finetune(model, shown, parameters)
    network.save(model, FINETUNED)
    write_json(
        METRICS,
        {
            "characters": sum(map(len, labelled.load("train").values())),
            "validation_before": before,
            "validation_balanced_accuracy": right(model, validation),
        },
    )


if __name__ == "__main__":
    main()
