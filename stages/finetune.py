"""Stage: the network, trained on for a while: with characters as they are, and with hands that
EMNIST lacks: labelled folders, and cards that the archive has checked.

data/hands has these as the network sees them, by folder and part; only the parts for training of
the folders that `finetune.labelled` names, and of checked cards, are trained on.
"""

import sys
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


def recalls(model: Any, sets: dict[str, dataset.Characters]) -> dict[str, float]:
    """Share of each set that a Keras network reads right, all classes alike."""
    found = {}
    for name, of in sets.items():
        right = network.logits(model, of.images).argmax(axis=1) == of.labels
        found[name] = round(float(dataset.class_weights(of.labels) @ right), 5)
    return found


@stage
def main() -> None:
    parameters = load()
    how = parameters.finetune
    folders = labelled.read_all(how, seen())
    if missing := sorted(how.labelled.keys() - {folder.name for folder in folders}):
        print(
            f"WARNING: {labelled.FOLDER} lacks {', '.join(missing)}, named in finetune.labelled;\n"
            "WARNING: the network learns without, and will not be released",
            file=sys.stderr,
        )
    labelled.save(folders)
    print("\n".join(map(str, folders)), flush=True)
    network.be_reproducible(parameters.seed, parameters.train)
    model = network.load(TRAINED)
    validation = {"split": dataset.load(SPLIT, "validation")} | labelled.load("validation")
    before = recalls(model, validation)
    hands = labelled.load("train")
    checked = hands.pop(labelled.CHECKED, None)
    sources = learning.mixture(dataset.load(SPLIT, "train"), hands, checked, parameters.train, how)
    learning.finetune(model, sources, parameters)
    network.save(model, FINETUNED)
    told = {
        "missing": missing,
        "characters": sum(map(len, hands.values())),
        "checked_boxes": len(checked) if checked else 0,
        "validation_before": before,
        "validation_balanced_accuracy": recalls(model, validation),
    }
    write_json(METRICS, told)


if __name__ == "__main__":
    main()
