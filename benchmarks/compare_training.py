"""Training time to the accuracy of the students' recipe: the recipe and ours, one after the other.

    dvc repro && python benchmarks/compare_training.py

The recipe: grey levels divided by 255, two convolution-and-pooling pairs, three dense layers, Adam,
early stopping. It trains on the characters as published (data/characters) until it stops by itself;
ours trains for one epoch on a share of data/split, chosen by chance: it learns more from each
character, and from so many as much as the recipe from all. Both are measured on the same
validation characters. The recipe's clock stops while it is measured, ours does not. Writes
benchmarks/results.md.
"""

import argparse
import tempfile
import time
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.data import dataset
from vintraining.model import network
from vintraining.parameters import Parameters, load

import keras
import numpy as np
from keras import layers
from results import write
from sklearn.model_selection import train_test_split

from vinreader.spec import CHARACTERS

PATIENCE = 3  # epochs without a smaller validation loss until the recipe stops


class Clock(keras.callbacks.Callback):
    """Wall-clock seconds of training alone at the end of each epoch, and the accuracy reached."""

    def __init__(self, validation: dataset.Characters):
        super().__init__()
        self.validation, self.seconds, self.reached = validation, 0.0, []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds += time.perf_counter() - self.start

    def on_epoch_end(self, epoch, logs=None):
        predicted = network.logits(self.model, self.validation.images).argmax(axis=1)
        right = predicted == self.validation.labels
        self.reached.append(float(dataset.class_weights(self.validation.labels) @ right))
        print(f"  {self.seconds:6.0f} s: {self.reached[-1]:.2%}", flush=True)


def students_recipe(train: dataset.Characters, validation: dataset.Characters) -> Clock:
    recipe = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
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
    clock = Clock(validation)
    recipe.fit(
        train.images[..., None],
        train.labels,
        batch_size=128,
        epochs=30,
        verbose=0,
        validation_data=(validation.images[..., None], validation.labels),
        callbacks=[clock, keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE)],
    )
    return clock


def published(validation: dataset.Characters) -> tuple[dataset.Characters, dataset.Characters]:
    """The characters as published, divided as data/split is."""
    parameters = load()
    pool = dataset.load(Path("data/characters"), "train")
    rows = train_test_split(
        np.arange(len(pool)),
        test_size=parameters.split.validation,
        stratify=pool.labels,
        random_state=parameters.seed,
    )
    train, held = (pool[np.sort(part)] for part in rows)
    if not np.array_equal(held.labels, validation.labels):
        raise SystemExit("compare_training.py needs split.cap = 0 and filter.fold = ''")
    return train, held


def one_epoch(count: int, parameters: Parameters) -> tuple[keras.Model, float, float]:
    """Ours trained for one epoch on `count` characters of data/split, chosen by chance.

    Returns:
        The network, its mean recall on validation, and the wall-clock seconds of training.
    """
    characters = dataset.load(Path("data/split"), "train")
    order = np.random.default_rng(parameters.seed).permutation(len(characters))
    characters = characters[np.sort(order[:count])]
    validation = dataset.load(Path("data/split"), "validation")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trained, summary = network.fit(
            characters,
            validation,
            parameters.train.model_copy(update={"epochs": 1}),
            parameters.seed,
            Path(folder, "history.csv"),
            verbose=0,
        )
        seconds = time.perf_counter() - start
    return trained, summary["validation_balanced_accuracy"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.3, help="of the characters, for ours")
    options = parser.parse_args()
    parameters = load()
    network.be_reproducible(parameters.seed, parameters.train)
    validation = dataset.load(Path("data/split"), "validation")
    train, held = published(validation)
    print(f"The students' recipe, {len(train):,} characters an epoch:")
    recipe = students_recipe(train, held)
    best = max(recipe.reached[: max(1, len(recipe.reached) - PATIENCE)])
    count = round(options.share * len(dataset.load(Path("data/split"), "train")))
    print(f"Ours, one epoch of {count:,} characters:")
    _, reached, seconds = one_epoch(count, parameters)
    print(f"  {seconds:6.0f} s: {reached:.2%}")
    taken = recipe.seconds * (recipe.reached.index(best) + 1) / len(recipe.reached)
    row = (
        "training until the recipe's best mean recall on validation, and the mean recall reached",
        f"{seconds:.0f} s, {reached:.2%}",
        f"{taken:.0f} s, {best:.2%}",
        f"{seconds / taken:.2f}" if reached >= best else "not reached",
    )
    write(
        "Training, measured",
        ("tensorflow", "keras", "numpy"),
        [("", "ours", "the students' recipe", "ratio"), row],
        f"Ours: one epoch of {count:,} characters; the recipe: epochs of {len(train):,}.",
    )


if __name__ == "__main__":
    main()
