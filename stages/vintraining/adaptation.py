"""What an archive's batches hold, as the network sees it, and how its cards set the thresholds.

data/archive has the characters of all batches together, a part as in `dataset.py`, and of the parts
kept from training the whole cards besides; archive.json says what each batch gave.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinreader.files import save_array, sha256, write_json
from vinreader.spec import BOXES, CHARACTERS
from vintraining import accepting, batches, dataset, labelled, scores, transfer
from vintraining.parameters import Evaluate

FOLDER = Path("data/archive")
ARCHIVE = "archive"  # what the batches are called among the origins of characters
KEPT = (batches.TEST, batches.VALIDATION)
PARTS = (*KEPT, batches.TRAIN, batches.FREE)  # in the order in which an image finds its place


@dataclass(frozen=True)
class Cards:
    """characters: of a part; boxes: int (M, 17), the rows of them that whole cards have; vins:
    the numbers of these cards."""

    characters: dataset.Characters
    boxes: np.ndarray
    vins: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """All batches: cards by part, parts without any left out; record: what each batch gave."""

    parts: dict[str, Cards]
    record: dict[str, Any]


def gather(root: Path) -> Archive:
    """The batches under `root`, usually `labelled.FOLDER`; an image that is in several parts stays
    in one: a test's, else validation's.

    Raises:
        DataError: a batch is damaged; the text says where and what to do.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    record: dict[str, Any] = {}
    images, labels, places = [], [], []
    for folder in filter(labelled.is_batch, folders):
        kept = list(batches.read(folder).values())
        rows = labelled.read_rows(folder)
        usable, pixels, left, digest = labelled.read_images(rows)
        images.append(pixels)
        labels.append(np.array([rows[at].label for at in usable], np.uint8))
        # Each card has its boxes in order, one card after the other.
        card, part = usable // BOXES, np.array([PARTS.index(k.part) for k in kept])
        places.append(np.stack([np.full(len(usable), len(record)), card, part[card]], axis=1))
        record[folder.name] = {
            "sha256": {"labels.csv": sha256(folder / "labels.csv"), "images": digest},
            "cards": dict(sorted(Counter(k.part for k in kept).items())),
            "left_out": dict(sorted(Counter(left).items())),
        }
    if not record:
        return Archive({}, {})
    everything = dataset.Characters(np.concatenate(images), np.concatenate(labels))
    return Archive(_divided(everything, np.concatenate(places)), record)


def _divided(everything: dataset.Characters, places: np.ndarray) -> dict[str, Cards]:
    """Cards by part; `places`: int (N, 3), batch, card and part of each character."""
    seen: set[bytes] = set()
    parts = {}
    for number, part in enumerate(PARTS):
        rows = np.flatnonzero(places[:, 2] == number)
        rows = rows[dataset.not_seen(everything.images[rows], seen)]
        if not len(rows):
            continue
        characters = everything[rows]
        _, first, count = np.unique(places[rows, :2], axis=0, return_index=True, return_counts=True)
        whole = first[count == BOXES]
        parts[part] = _cards(characters, whole[:, None] + np.arange(BOXES))
    return parts


def _cards(characters: dataset.Characters, boxes: np.ndarray) -> Cards:
    vins = ("".join(CHARACTERS[c] for c in row) for row in characters.labels[boxes])
    return Cards(characters, boxes, tuple(vins))


def save(archive: Archive) -> None:
    """Writes data/archive."""
    for part, cards in archive.parts.items():
        dataset.save(FOLDER, part, cards.characters)
        save_array(FOLDER / f"{part}-cards.npy", cards.boxes.astype(np.int32))
    parts = {
        part: {"boxes": len(cards.characters), "cards": len(cards.vins)}
        for part, cards in archive.parts.items()
    }
    write_json(FOLDER / "archive.json", {"batches": archive.record, "parts": parts})


def load_record() -> dict[str, Any]:
    """archive.json: `batches` by name, and boxes and whole cards of the `parts`; both empty where
    there is no batch.

    Raises:
        DataError: there is no such file; the text says which stage makes it.
    """
    path = FOLDER / "archive.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise dataset.DataError(f"{path} cannot be read ({error}); run dvc repro") from None
    return record


def load_cards(part: str) -> Cards | None:
    """A part of data/archive, or None where no batch has it."""
    if part not in load_record()["parts"]:
        return None
    return _cards(dataset.load(FOLDER, part), np.load(FOLDER / f"{part}-cards.npy"))


def load(part: str) -> dict[str, dataset.Characters]:
    """The characters of a part under the name `ARCHIVE`; nothing where no batch has it."""
    cards = load_cards(part)
    return {ARCHIVE: cards.characters} if cards else {}


def calibrate(
    validation: dict[str, transfer.Answers], how: Evaluate
) -> tuple[transfer.Calibration, dict[str, Any]]:
    """Temperature and threshold from the archive's own kept cards as soon as these are enough to
    show the stated error with the stated certainty; from all other origins until then.

    Returns:
        The calibration, and the record: the origins it is from, and how many characters of each.
    """
    others = {name: answers for name, answers in validation.items() if name != ARCHIVE}
    own = validation.get(ARCHIVE)
    if own is not None:
        count = len(own.labels)
        temperature = scores.temperature(own.logits, own.labels, np.full(count, 1 / count))
        probabilities = own.probabilities(temperature)
        wrong = probabilities.argmax(axis=1) != own.labels
        threshold = accepting.threshold(
            probabilities.max(axis=1), wrong, how.accepted_error, how.certainty
        )
        if threshold < accepting.NOTHING:
            return transfer.Calibration(temperature, {ARCHIVE: threshold}), {ARCHIVE: count}
    found = transfer.calibrate(others, how.accepted_error, how.certainty)
    return found, {name: len(answers.labels) for name, answers in others.items()}
