"""Batches: cards that an archive's clerks have checked, a folder of boxes each (`labelled.py`).

data/checked/<batch>/labels.csv has a row a box, `labelled.BATCH_COLUMNS`: the image as scanned and
its character, the card and the box's number on it, what had been read there and how surely, and
the `part` the card is in. That is decided by the SHA-256 of its images when it arrives and never
changes: `train` is learned from, `validation` chooses temperature and thresholds, `test` is only
measured on. The confirmed numbers of the cards for training stand in data/numbers/<batch>.csv,
`vin,batch`.

labels.csv is written last and at once; an image that it does not name counts for nothing.
"""

import csv
import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.hands.labelled import PARTS

import cv2

from vinreader.files import sha256, write_text
from vinreader.folders import Card, find_items
from vinreader.pipeline import Scan as Opened
from vinreader.pipeline import file_of, open_item
from vinreader.spec import BOXES, UserError
from vinreader.tables import printable, read_table

TEST, VALIDATION, TRAIN = PARTS
NO_READING = "-"


class BatchError(UserError):
    """Cards cannot be taken in; the text says which, why, and what to do."""


@dataclass(frozen=True)
class Scan:
    """A card's 17 boxes."""

    name: str
    paths: tuple[str, ...]  # in predictions.csv
    files: tuple[tuple[bytes, str], ...]  # bytes of each image, and the ending of a file with these

    @property
    def digest(self) -> str:
        """SHA-256 of the images, hexadecimal, 16 characters of it."""
        digests = (hashlib.sha256(content).digest() for content, _ in self.files)
        return sha256(b"".join(digests))[:16]


@dataclass(frozen=True)
class Checked:
    """What a batch says of a card."""

    name: str
    vin: str  # what a person confirmed, 17 characters
    read: str = NO_READING * BOXES  # what had been read box by box
    confidences: tuple[str, ...] = ("",) * BOXES  # how surely; empty where that is not known


@dataclass(frozen=True)
class Kept:
    """A card of a batch. digest: of its images."""

    checked: Checked
    digest: str
    files: tuple[str, ...]
    part: str


def part_of(digest: str, share: float) -> str:
    """The part of a card whose images have this digest: `share` of all cards are kept from
    training, half of these for validation and half for testing."""
    place = int(digest, 16) / 16 ** len(digest)
    return TEST if place < share / 2 else VALIDATION if place < share else TRAIN


def scans(folder: Path, wanted: set[str]) -> Iterator[Scan]:
    """The boxes of the cards of these names, as vins.csv has them, in a folder that was read.
    Raises: BatchError where one no longer has 17 readable boxes."""
    if not folder.is_dir():
        raise BatchError(f"{folder}: no such folder; name the one that was read")
    files = {file_of(name) for name in wanted}
    for item in find_items(folder):
        name = item.name if isinstance(item, Card) else item.relative_to(folder).as_posix()
        if printable(name) in files | wanted:
            for scan in open_item(item, folder):
                if scan.card in wanted:
                    yield _scan(scan, item)


def _scan(scan: Opened, item: Card | Path) -> Scan:
    """The boxes of a card as they are scanned; of a whole field, as they are cut for reading."""
    boxes = [box for box in scan.boxes if not isinstance(box, str)]
    if scan.message or len(boxes) != BOXES:
        unread = zip(scan.names, scan.boxes, strict=True)
        problems = [f"{name}: {why}" for name, why in unread if isinstance(why, str) and why]
        raise BatchError(
            f"card {scan.card}: {scan.message or '; '.join(problems)}; the folder has changed "
            "since it was checked, put its images back"
        )
    if isinstance(item, Card):
        files = tuple((path.read_bytes(), path.suffix.lower()) for path in item.images)
    else:
        files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in boxes)
    return Scan(scan.card, tuple(scan.names), files)


def read(folder: Path) -> dict[str, Kept]:
    """The cards of a batch by name, in its order; none where there is no such folder. Raises:
    DataError where labels.csv is no batch's, or rows are wrong."""
    if not folder.exists():
        return {}
    if not labelled.is_batch(folder):
        raise dataset.DataError(
            f"{folder} is there already and is no batch; choose another name with --batch"
        )
    labelled.read_rows(folder)  # refuses wrong ones
    cards: dict[str, list[dict[str, str]]] = {}
    for _, row in read_table(folder / "labels.csv", labelled.BATCH_COLUMNS):
        cards.setdefault(row["card"], []).append(row)
    return {name: _kept(folder, name, rows) for name, rows in cards.items()}


def _kept(folder: Path, name: str, rows: list[dict[str, str]]) -> Kept:
    numbers = [row["box"] for row in rows]
    parts = {row["part"] for row in rows}
    if numbers != [str(n) for n in range(1, BOXES + 1)] or len(parts) != 1:
        raise dataset.DataError(
            f"{folder / 'labels.csv'}: card {name} has not its {BOXES} boxes in order and in one "
            "part; take its rows out and collect it again"
        )
    checked = Checked(
        name,
        "".join(row["character"] for row in rows),
        "".join(row["read"] or NO_READING for row in rows),
        tuple(row["confidence"] for row in rows),
    )
    files = tuple(row["file"] for row in rows)
    return Kept(checked, Path(files[0]).name.partition("-")[0], files, parts.pop())


class Batch:
    """A batch, data/checked/<batch>, in the making; share: of the cards kept from training. A
    context manager: nothing is changed before `write`, and what was put aside is gone at its end.
    """

    def __init__(self, folder: Path, share: float):
        self.folder, self.share = folder, share
        self.numbers = folder.parents[1] / "numbers" / f"{folder.name}.csv"  # for training
        self.cards = read(folder)  # by name
        self.changed: list[str] = []  # what speaks against taking cards in, a line each
        self.twice = 0  # scans that another card has, too
        self._of_digest = {kept.digest: name for name, kept in self.cards.items()}
        # On the same disk, but nowhere where a stage looks.
        self._aside = folder.parents[1] / f".collect-{folder.name}"

    def __enter__(self) -> Self:
        shutil.rmtree(self._aside, ignore_errors=True)  # a killed process has left it
        (self._aside / "images").mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)

    def add(self, checked: Checked, scan: Scan, replace: bool = False) -> None:
        """Takes a card in, or notes in `changed` what speaks against it."""
        digest = scan.digest
        part = part_of(digest, self.share)
        before = self.cards.get(checked.name)
        other = self._of_digest.get(digest, checked.name)
        if other != checked.name:
            self.twice += 1
            if (vin := self.cards[other].checked.vin) != checked.vin:
                self.changed.append(
                    f"card {checked.name} is the same scan as {other}, and was checked as "
                    f"{checked.vin}, the other as {vin}"
                )
            return
        if before and (before.digest, before.checked.vin) == (digest, checked.vin):
            return
        if before and not replace:
            what = f"was checked as {before.checked.vin}, now as {checked.vin}"
            if before.digest != digest:
                what = "its images are others than those that were taken in"
            self.changed.append(f"card {checked.name}: {what}")
            return
        files = tuple(f"images/{digest}-{n:02}{end}" for n, (_, end) in enumerate(scan.files, 1))
        for file, (content, _) in zip(files, scan.files, strict=True):
            (self._aside / file).write_bytes(content)
        self._of_digest[digest] = checked.name
        if before and before.digest == digest:
            part = before.part
        self.cards[checked.name] = Kept(checked, digest, files, part)

    def write(self) -> None:
        """Puts the batch in place; killed at any moment, it is the old one or the new one."""
        table = _table(self.folder.name, self.cards.values())
        if not self.folder.exists():
            write_text(self._aside / "labels.csv", table)
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._aside.rename(self.folder)
        elif table != (self.folder / "labels.csv").read_text("utf-8"):
            for path in (self._aside / "images").iterdir():
                path.replace(self.folder / "images" / path.name)
            write_text(self.folder / "labels.csv", table)
        named = {Path(file).name for kept in self.cards.values() for file in kept.files}
        for path in (self.folder / "images").iterdir():
            if path.name not in named:
                path.unlink()
        # What the cards kept from training say must stay unknown.
        vins = sorted({k.checked.vin for k in self.cards.values() if k.part == TRAIN})
        content = "vin,batch\n" + "".join(f"{vin},{self.folder.name}\n" for vin in vins)
        if not self.numbers.exists() or self.numbers.read_bytes() != content.encode():
            write_text(self.numbers, content)

    def counts(self) -> dict[str, int]:
        """Cards by part."""
        parts = [kept.part for kept in self.cards.values()]
        return {part: parts.count(part) for part in PARTS}


def _table(batch: str, cards: Iterable[Kept]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(labelled.BATCH_COLUMNS)
    for kept in sorted(cards, key=lambda kept: kept.checked.name):
        c = kept.checked
        boxes = zip(kept.files, c.vin, c.read, c.confidences, strict=True)
        for number, (file, character, was, confidence) in enumerate(boxes, start=1):
            was = "" if was == NO_READING else was
            writer.writerow([file, character, c.name, number, kept.part, was, confidence, batch])
    return text.getvalue()
