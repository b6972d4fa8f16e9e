"""Stage 3: train, validation and test, no image in two of them, as the network sees them.

Validation is taken from the training part, the same share of every class; the archive's test part
stays the test set. Every image goes through `boxes.normalise`, as every scan will.
"""

from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from vinreader import dataset
from vinreader.alphabet import CHARACTERS
from vinreader.boxes import normalise_batch
from vinreader.console import stage
from vinreader.parameters import load

CHARACTERS_FOLDER = Path("data/characters")
FOLDER = Path("data/split")


def capped(labels: np.ndarray, cap: int, generator: np.random.Generator) -> np.ndarray:
    """Row numbers, ascending, with at most `cap` of each class (0: all), drawn at random."""
    if cap == 0:
        return np.arange(len(labels))
    order = generator.permutation(len(labels))
    chosen = [order[labels[order] == index][:cap] for index in range(len(CHARACTERS))]
    return np.sort(np.concatenate(chosen))


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
        dataset.save(FOLDER, part, dataset.Characters(pixels, characters.labels))
        print(f"{part}: {len(characters):,} characters", flush=True)


if __name__ == "__main__":
    main()
