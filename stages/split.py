"""Stage 3: train, validation and test, no image in two of them: exactly what the network is given.

Validation is taken from the training part, the same share of every class. Every image goes through
`boxes.normalise`, as every scan will. Labelled folders join later (`finetune.py`).
"""

from pathlib import Path

from vintraining.console import stage
from vintraining.data import dataset, handwriting
from vintraining.parameters import load

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from vinreader.image.boxes import normalise_batch
from vinreader.spec import CHARACTERS

CHARACTERS_FOLDER = Path("data/characters")
FOLDER = Path("data/split")
FIRST_WRITER = 500_000  # none of those whose writing may be the data (data.source: embedded)


def with_embedded(characters: dataset.Characters, share: float, seed: int) -> dataset.Characters:
    """The characters and so many of embedded handwriting, every class alike, that these make up
    `share` of all. They teach forms that EMNIST, written in the United States, lacks."""
    per_class = round(len(characters) * share / (1 - share) / len(CHARACTERS))
    if per_class == 0:
        return characters
    images, labels, _ = handwriting.write(
        per_class, writers=per_class, seed=seed, first_writer=FIRST_WRITER
    )
    return dataset.joined([characters, dataset.Characters(normalise_batch(images), labels)])


def divided(pool: dataset.Characters, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation, ascending; no writer in both where they are known."""
    folded = np.load(CHARACTERS_FOLDER / "train-folded.npy")
    rows = np.arange(len(pool))
    writers_file = CHARACTERS_FOLDER / "train-writers.npy"
    if writers_file.exists():
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
        train, validation = next(splitter.split(rows, groups=np.load(writers_file)))
        return np.sort(train), np.sort(validation)
    capitals = rows[~folded]
    scarce = np.bincount(pool.labels[capitals], minlength=len(CHARACTERS)) * share < 1
    if scarce.any():
        names = " ".join(np.array(list(CHARACTERS))[scarce])
        raise dataset.DataError(
            f"split.validation = {share}: not one validation character for {names}; raise it"
        )
    train, validation = train_test_split(
        capitals, test_size=share, stratify=pool.labels[capitals], random_state=seed
    )
    return np.sort(np.concatenate([train, rows[folded]])), np.sort(validation)


@stage
def main() -> None:
    parameters = load()
    how, seed = parameters.split, parameters.seed
    pool = dataset.load(CHARACTERS_FOLDER, "train")
    train, validation = divided(pool, how.validation, seed)
    if how.cap:
        rng = np.random.default_rng(seed)
        train = train[np.sort(dataset.some_of_each(pool.labels[train], how.cap, rng))]
    raw = {
        "train": pool[train],
        "validation": pool[validation],
        "test": dataset.load(CHARACTERS_FOLDER, "test"),
    }
    seen: set[bytes] = set()
    parts: dict[str, dataset.Characters] = {}
    for part, characters in raw.items():
        if not dataset.not_seen(characters.images, seen).all():
            raise dataset.DataError(f"{part}: an image stands in two sets; this is a bug")
        parts[part] = dataset.Characters(normalise_batch(characters.images), characters.labels)
    parts["train"] = with_embedded(parts["train"], how.embedded_share, seed)
    for part, characters in parts.items():
        dataset.save(FOLDER, part, characters)
        print(f"{part}: {len(characters):,} characters", flush=True)


if __name__ == "__main__":
    main()
