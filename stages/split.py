"""Stage 3: train, validation and test, no image in two of them: exactly what the network is given.

Validation is taken from the training part, the same share of every class; the archive's test part
stays the test set. A share of embedded handwriting joins the training characters. Every image goes
through `boxes.normalise`, as every scan will.
"""

from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from vinreader.boxes import normalise_batch
from vinreader.spec import CHARACTERS
from vintraining import dataset, handwriting
from vintraining.console import stage
from vintraining.parameters import load

CHARACTERS_FOLDER = Path("data/characters")
FOLDER = Path("data/split")
FIRST_WRITER = 500_000  # none of those whose writing may be the data (data.source: embedded)


def capped(labels: np.ndarray, cap: int, generator: np.random.Generator) -> np.ndarray:
    """Row numbers, ascending, with at most `cap` of each class (0: all), drawn at random."""
    if cap == 0:
        return np.arange(len(labels))
    order = generator.permutation(len(labels))
    chosen = [order[labels[order] == index][:cap] for index in range(len(CHARACTERS))]
    return np.sort(np.concatenate(chosen))


def with_embedded(characters: dataset.Characters, share: float, seed: int) -> dataset.Characters:
    """The characters and so many of embedded handwriting, every class alike, that these make up
    `share` of all. They teach forms that EMNIST, written in the United States, lacks."""
    per_class = round(len(characters) * share / (1 - share) / len(CHARACTERS))
    if per_class == 0:
        return characters
    images, labels, _ = handwriting.write(
        per_class, writers=per_class, seed=seed, first_writer=FIRST_WRITER
    )
    return dataset.Characters(
        np.concatenate([characters.images, normalise_batch(images)]),
        np.concatenate([characters.labels, labels]),
    )


@stage
def main() -> None:
    parameters = load()
    share = parameters.split.validation
    pool = dataset.load(CHARACTERS_FOLDER, "train")
    folded = np.load(CHARACTERS_FOLDER / "train-folded.npy")
    rows = np.arange(len(pool))
    writers_file = CHARACTERS_FOLDER / "train-writers.npy"
    if writers_file.exists():  # then no writer may be in both
        writers = np.load(writers_file)
        splitter = GroupShuffleSplit(1, test_size=share, random_state=parameters.seed)
        train, validation = next(splitter.split(rows, groups=writers))
    else:
        capitals = rows[~folded]
        scarce = np.bincount(pool.labels[capitals], minlength=len(CHARACTERS)) * share < 1
        if scarce.any():
            names = " ".join(np.array(list(CHARACTERS))[scarce])
            raise dataset.DataError(
                f"split.validation = {share}: not one validation character for {names}; raise it"
            )
        train, validation = train_test_split(
            capitals,
            test_size=share,
            stratify=pool.labels[capitals],
            random_state=parameters.seed,
        )
        train = np.concatenate([train, rows[folded]])
    train.sort()
    validation.sort()
    train = train[
        capped(pool.labels[train], parameters.split.cap, np.random.default_rng(parameters.seed))
    ]
    parts = {
        "train": pool[train],
        "validation": pool[validation],
        "test": dataset.load(CHARACTERS_FOLDER, "test"),
    }
    seen: set[bytes] = set()
    for part, characters in parts.items():
        if not dataset.not_seen(characters.images, seen).all():
            raise dataset.DataError(f"{part}: an image stands in two sets; this is a bug")
        pixels = normalise_batch(characters.images)
        found = dataset.Characters(pixels, characters.labels)
        if part == "train":
            found = with_embedded(found, parameters.split.embedded_share, parameters.seed)
        dataset.save(FOLDER, part, found)
        print(f"{part}: {len(found):,} characters", flush=True)


if __name__ == "__main__":
    main()
