"""Training time to the accuracy of the students' recipe, and how fast training is fed.

    dvc repro && python benchmarks/compare_training.py

The recipe: grey levels divided by 255, two convolution-and-pooling pairs, three dense layers, Adam,
early stopping. It trains on the characters as published (data/characters) until it stops by itself;
ours trains for one epoch on a share of data/split, chosen by chance: it learns more from each
character, and from so many as much as the recipe from all. Both are measured on the same
validation characters. Measuring counts for ours alone.

Then the characters a second that training takes, that its batches bring, and that the embedded
handwriting is drawn at. Writes benchmarks/results.md.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.console import stage
from vintraining.data import dataset, handwriting
from vintraining.model import network
from vintraining.parameters import Parameters, load

import keras
import numpy as np
from keras import layers
from results import write
from sklearn.model_selection import train_test_split

from vinreader.spec import CHARACTERS, UserError

PATIENCE = 3  # epochs without a smaller validation loss until the recipe stops
SPLIT = Path("data/split")
BATCHES = 100  # that the feed is timed on
PER_CLASS = 500  # characters that the handwriting is timed on


@dataclass
class Epoch:
    """The recipe after an epoch: seconds of training so far, loss and mean recall on validation."""

    seconds: float
    loss: float
    recall: float


def students_recipe(train: dataset.Characters, validation: dataset.Characters) -> list[Epoch]:
    recipe = keras.Sequential(
        [
            layers.Input((*train.images.shape[1:], 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(128, activation="relu"),
            layers.Dense(len(CHARACTERS), activation="softmax"),
        ]
    )
    recipe.compile("adam", "sparse_categorical_crossentropy")
    epochs: list[Epoch] = []
    seconds = 0.0
    while not stopped([epoch.loss for epoch in epochs]):
        start = time.perf_counter()
        recipe.fit(train.images[..., None], train.labels, batch_size=128, verbose=0)
        seconds += time.perf_counter() - start
        loss = recipe.evaluate(validation.images[..., None], validation.labels, verbose=0)
        right = network.logits(recipe, validation.images).argmax(axis=1) == validation.labels
        recall = float(dataset.class_weights(validation.labels) @ right)
        epochs.append(Epoch(seconds, loss, recall))
        print(f"  {seconds:6.0f} s: {recall:.2%}", flush=True)
    return epochs


def stopped(losses: list[float]) -> bool:
    return len(losses) > PATIENCE and min(losses[-PATIENCE:]) > min(losses[:-PATIENCE])


def published(
    validation: dataset.Characters, parameters: Parameters
) -> tuple[dataset.Characters, dataset.Characters]:
    """The characters as published, divided as data/split is."""
    pool = dataset.load(Path("data/characters"), "train")
    rows = train_test_split(
        np.arange(len(pool)),
        test_size=parameters.split.validation,
        stratify=pool.labels,
        random_state=parameters.seed,
    )
    train, held = (pool[np.sort(part)] for part in rows)
    if not np.array_equal(held.labels, validation.labels):
        raise UserError("split.cap must be 0 and filter.fold empty")
    return train, held


def one_epoch(
    characters: dataset.Characters, validation: dataset.Characters, parameters: Parameters
) -> tuple[float, float]:
    """Ours: its mean recall on validation, and the wall-clock seconds of training."""
    how = parameters.train.model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as folder:
        history, start = Path(folder, "history.csv"), time.perf_counter()
        _, summary = network.fit(characters, validation, how, parameters.seed, history, verbose=0)
        return summary["validation_balanced_accuracy"], time.perf_counter() - start


def feed(characters: dataset.Characters, parameters: Parameters) -> dict[str, float]:
    """Characters a second that batches bring, and that the embedded handwriting is drawn at."""
    batches = network.TrainingBatches(characters, parameters.train, parameters.seed)
    count, start = min(BATCHES, len(batches)), time.perf_counter()
    made = sum(len(batches[at][0]) for at in range(count))
    between = time.perf_counter()
    drawn, _, _ = handwriting.write(PER_CLASS, writers=PER_CLASS, progress=False)
    return {
        "batches of training, made by one thread": made / (between - start),
        "embedded handwriting, drawn": len(drawn) / (time.perf_counter() - between),
    }


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.3, help="of the characters, for ours")
    options = parser.parse_args()
    parameters = load()
    network.be_reproducible(parameters.seed, parameters.train)
    validation, characters = (dataset.load(SPLIT, part) for part in ("validation", "train"))
    train, held = published(validation, parameters)
    print(f"The students' recipe, {len(train):,} characters an epoch:")
    recipe = students_recipe(train, held)
    best = max(recipe, key=lambda epoch: epoch.recall)
    order = np.random.default_rng(parameters.seed).permutation(len(characters))
    shown = characters[np.sort(order[: round(options.share * len(characters))])]
    print(f"Ours, one epoch of {len(shown):,} characters:")
    reached, seconds = one_epoch(shown, validation, parameters)
    print(f"  {seconds:6.0f} s: {reached:.2%}")
    rows = [
        ("", "ours", "beside", "ratio"),
        (
            "training until the students' recipe's best mean recall, beside the recipe",
            f"{seconds:.0f} s, {reached:.2%}",
            f"{best.seconds:.0f} s, {best.recall:.2%}",
            f"{seconds / best.seconds:.2f}" if reached >= best.recall else "not reached",
        ),
    ]
    rate = len(shown) / seconds
    for what, fed in feed(shown, parameters).items():
        what = f"characters a second: {what}, beside what training takes"
        rows.append((what, f"{fed:,.0f}", f"{rate:,.0f}", f"{fed / rate:.1f}"))
    note = f"Ours: one epoch of {len(shown):,} characters; the recipe: epochs of {len(train):,}."
    write("Training, measured", ("tensorflow", "keras", "numpy"), rows, note)


if __name__ == "__main__":
    main()
