"""Labelled characters on disk, between the stages.

A part (`train`, `validation`, `test`) of a folder is `<part>-images.npy`, uint8 (N, 28, 28),
upright, white ink (255) on black (0), and `<part>-labels.npy`, uint8 (N,), class indices of
`spec.CHARACTERS`. data/characters has the images as published, data/split as the network sees
them (`boxes.normalise`).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from vinreader.files import save_array
from vinreader.spec import CHARACTERS, INDEX, UserError


class DataError(UserError):
    """The characters cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Characters:
    """images: uint8 (N, 28, 28); labels: uint8 (N,); both in the same order."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> "Characters":
        return Characters(self.images[rows], self.labels[rows])

    def counts(self) -> np.ndarray:
        """Characters of each class, int (33,)."""
        return np.bincount(self.labels, minlength=len(CHARACTERS))


def joined(sets: list[Characters]) -> Characters:
    """All characters of at least one set, in order."""
    return Characters(
        np.concatenate([characters.images for characters in sets]),
        np.concatenate([characters.labels for characters in sets]),
    )


def save(folder: Path, part: str, characters: Characters) -> None:
    save_array(folder / f"{part}-images.npy", characters.images)
    save_array(folder / f"{part}-labels.npy", characters.labels)


def load(folder: Path, part: str) -> Characters:
    """One part of a folder.

    Raises:
        DataError: a file is missing or damaged; the text says which stage makes it.
    """
    arrays = []
    for kind in ("images", "labels"):
        path = folder / f"{part}-{kind}.npy"
        try:
            arrays.append(np.load(path, allow_pickle=False))
        except (OSError, ValueError, EOFError, MemoryError) as error:
            raise DataError(f"{path} cannot be read ({error}); run dvc repro") from None
    images, labels = arrays
    if len(images) != len(labels):
        raise DataError(f"{folder}: {part} has {len(images)} images, {len(labels)} labels")
    form = images.dtype, images.ndim, labels.dtype, labels.ndim
    square = images.shape[1:2] == images.shape[2:]
    known = labels.max(initial=0) < len(CHARACTERS)
    if form != (np.uint8, 3, np.uint8, 1) or not (square and known):
        raise DataError(f"{folder}: {part} holds no square images of characters; run dvc repro")
    return Characters(images, labels)


def load_json(path: Path) -> dict[str, Any]:
    """What an earlier stage has written.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); run dvc repro") from None
    return content


def classes_of(codes: np.ndarray, fold: str = "") -> np.ndarray:
    """Class index of each ASCII code, -1 where it is none of the 33; int16, the shape of `codes`.

    Args:
        codes: uint8 ASCII codes.
        fold: lowercase letters that count as their capital.
    """
    table = np.full(256, -1, np.int16)
    for character, index in INDEX.items():
        table[ord(character)] = index
    for letter in fold:
        table[ord(letter)] = INDEX[letter.upper()]
    classes: np.ndarray = table[codes]
    return classes


def not_seen(images: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Rows whose image is not in `seen` and stands for the first time; `seen` takes them up.

    Returns:
        bool (N,). Two images are the same when all their bytes are.
    """
    fresh = np.zeros(len(images), bool)
    for row, image in enumerate(images):
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            fresh[row] = True
    return fresh


def some_of_each(labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Rows, int (M,), of at most so many characters of each class, drawn at random."""
    order = rng.permutation(len(labels))
    return np.concatenate([order[labels[order] == c][:most] for c in range(len(CHARACTERS))])


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Weight of each character such that every class that occurs weighs the same; sum 1.

    Returns:
        float64 (N,).
    """
    weights: np.ndarray = compute_sample_weight("balanced", labels)
    return weights / len(labels)
