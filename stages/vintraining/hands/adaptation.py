"""What an archive's batches hold, as the network sees it, and how its cards set the thresholds.

data/archive has the characters of all batches together, a part as in `dataset.py`, and of the parts
kept from training the whole cards besides; archive.json says what each batch gave.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.data import dataset
from vintraining.parameters import Evaluate
from vintraining.scores import accepting, transfer
from vintraining.scores import figures as scores

import numpy as np

from vinreader.files import save_array, write_json
from vinreader.number.vin import check_digit_status
from vinreader.spec import CHARACTERS

FOLDER = Path("data/archive")
ARCHIVE = "archive"  # what the batches are called among the origins of characters
VOUCHED = 1 / 3  # share of the kept cards whose check digit holds, from which only these choose
TRAIN, VALIDATION, TEST = "train", "validation", "test"
FREE = "free"  # cards for training that nobody checked, as their number is certain
PARTS = (TEST, VALIDATION, TRAIN, FREE)  # in the order in which an image finds its place


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


def cards_of(characters: dataset.Characters, boxes: np.ndarray) -> Cards:
    """Characters of a part, and which of them are whole cards: int (M, 17), rows."""
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
    return dataset.load_json(FOLDER / "archive.json")


def load_cards(part: str) -> Cards | None:
    """A part of data/archive, or None where no batch has it."""
    if part not in load_record()["parts"]:
        return None
    return cards_of(dataset.load(FOLDER, part), np.load(FOLDER / f"{part}-cards.npy"))


def load(part: str) -> dict[str, dataset.Characters]:
    """The characters of a part under the name `ARCHIVE`; nothing where no batch has it. Of those
    for validation only the `trusted` ones."""
    cards = load_cards(part)
    if not cards:
        return {}
    return {ARCHIVE: trusted(cards) if part == VALIDATION else cards.characters}


def trusted(cards: Cards) -> dataset.Characters:
    """The boxes of whole cards whose number a clerk has hardly mistyped.

    A slip of the clerk counts as an error of the reader, and one in 300 boxes is nearly all that a
    promise of 0.5 % allows. The check digit tells ten slips of eleven, and whether it stands on a
    card has nothing to do with how well the card is read. So only cards choose whose check digit
    holds; where makers use it too seldom (`VOUCHED`), all but those whose number must have it and
    does not.
    """
    status = np.array([check_digit_status(vin) for vin in cards.vins], str)
    vouched = status == "ok"
    chosen = vouched if vouched.sum() >= VOUCHED * len(status) else status != "wrong"
    return cards.characters[cards.boxes[chosen].ravel()]


def calibrate(
    validation: dict[str, transfer.Answers], how: Evaluate
) -> tuple[transfer.Calibration, dict[str, Any]]:
    """Temperature and threshold from the archive's own kept cards as soon as these are enough to
    show the stated error with the stated certainty. Until then from all origins together, of which
    the archive is one as soon as its cards can show that it is kept as likely as not.

    Returns:
        The calibration, and the record: the origins it is from, and how many characters of each.
    """
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
        if count < accepting.least(how.accepted_error, transfer.EVEN):
            validation = {name: said for name, said in validation.items() if name != ARCHIVE}
    found = transfer.calibrate(validation, how.accepted_error, how.certainty, how.margin)
    return found, {name: len(answers.labels) for name, answers in validation.items()}
