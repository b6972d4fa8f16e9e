"""Stage: the network, trained on for a while with hands that EMNIST lacks (labelled folders).

data/hands has their characters as the network sees them, by folder and part: only those of the
folders that `finetune.labelled` names are trained on, and of these the part for training.
models/finetuned.keras is the network that then reads, byte by byte the trained one where there is
no folder to train on.
"""

from pathlib import Path
from typing import Any

from vintraining import dataset, labelled
from vintraining.console import stage
from vintraining.parameters import load

from vinreader.files import write_bytes, write_json

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
    from vintraining import network

    shares = {}
    for name, own in sets.items():
        hits = network.logits(model, own.images).argmax(axis=1) == own.labels
        shares[name] = round(float(dataset.class_weights(own.labels) @ hits), 5)
    return shares


@stage
def main() -> None:
    parameters = load()
    how = parameters.finetune
    folders = labelled.read_all(labelled.FOLDER, how.labelled, seen())
    labelled.save(folders)
    for folder in folders:
        print(f"{labelled.FOLDER / folder.name}: {folder.told()}", flush=True)
    own = [
        (folder.parts["train"], how.labelled[folder.name].share)
        for folder in folders
        if "train" in folder.parts
    ]
    if not own:
        print("no labelled folder to train on: the network stays as it was trained")
        write_bytes(FINETUNED, TRAINED.read_bytes())
        write_json(METRICS, {"characters": 0})
        return
    from vintraining import learning, network  # TensorFlow, which without a folder is not needed

    network.be_reproducible(parameters.seed, parameters.train)
    model = network.load(TRAINED)
    validation = {"split": dataset.load(SPLIT, "validation")} | labelled.load("validation")
    before = right(model, validation)
    rest = (dataset.load(SPLIT, "train"), 1 - sum(share for _, share in own))
    rate = how.rate * parameters.train.learning_rate
    learning.train_on(model, [[*own, rest]], how.steps, rate, parameters.train, parameters.seed)
    network.save(model, FINETUNED)
    write_json(
        METRICS,
        {
            "characters": sum(len(characters) for characters, _ in own),
            "validation_before": before,
            "validation_balanced_accuracy": right(model, validation),
        },
    )


if __name__ == "__main__":
    main()
