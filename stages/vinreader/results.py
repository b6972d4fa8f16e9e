"""What a folder of scans is read into: the rows of predictions.csv and vins.csv, and the page.

One definition of the columns, for every program that writes them.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinreader import vin
from vinreader.boxes import UnreadableImage, open_pages
from vinreader.fields import FieldNotFound, find_boxes
from vinreader.folders import BOXES, Card
from vinreader.reader import BATCH, Reader, Reading
from vinreader.review import ReviewCard

COLUMNS = (
    "path",
    "character",
    "ascii",
    "confidence",
    "runner_up",
    "runner_up_confidence",
    "status",
    "message",
)


@dataclass(frozen=True)
class Result:
    """What was read of one loose image or one card.

    rows: of predictions.csv, one an image or page. vin_row: of vins.csv, and card: for the review
    page; both None for a loose image. pages: the images of the rows, a text for an unreadable one.
    """

    rows: list[dict[str, str]]
    pages: list[np.ndarray | str]
    vin_row: dict[str, str] | None = None
    card: ReviewCard | None = None


def printable(path: str) -> str:
    """A path as text for a CSV cell that a spreadsheet does not take for a formula.

    `=x.png` becomes `./=x.png`, the same file; bytes that are no UTF-8 become `\\xNN`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"./{text}" if text[:1] in "=+-@\t\r\n" else text


@dataclass(frozen=True)
class _Opened:
    """An item's images, each named; a text in place of an image says why it cannot be read."""

    item: Card | Path
    names: list[str]
    pages: list[np.ndarray | str]
    message: str = ""


def _open(item: Card | Path, root: Path) -> _Opened:
    if isinstance(item, Card) and item.is_field:
        name = printable(item.images[0].relative_to(root).as_posix())
        try:
            boxes = find_boxes(open_pages(item.images[0])[0])
        except (UnreadableImage, FieldNotFound) as error:
            return _Opened(item, [name], [str(error)], str(error))
        return _Opened(item, [f"{name}#box={n}" for n in range(1, BOXES + 1)], list(boxes))
    names, pages = [], []
    for path in item.images if isinstance(item, Card) else [item]:
        name = printable(path.relative_to(root).as_posix())
        try:
            opened = open_pages(path)
        except UnreadableImage as error:
            opened = [str(error)]
        if isinstance(item, Card):
            opened = opened[:1]  # a further page of a box's file is not a further box
        many = len(opened) > 1
        names += [f"{name}#page={n}" if many else name for n in range(1, len(opened) + 1)]
        pages += opened
    return _Opened(item, names, pages, item.message if isinstance(item, Card) else "")


def read_items(
    reader: Reader, items: Iterable[Card | Path], root: Path, rules: str = "auto"
) -> Iterator[Result]:
    """Results of cards and loose images, in their order.

    Memory stays flat: a few hundred images are held at a time.

    Args:
        root: folder that paths in the results are relative to.
        rules: `auto`, or `none` to take every box of a card by itself.
    """
    pending: list[_Opened] = []
    for item in items:
        pending.append(_open(item, root))
        if sum(len(opened.pages) for opened in pending) >= BATCH:
            yield from _results(reader, pending, rules)
            pending = []
    yield from _results(reader, pending, rules)


def _results(reader: Reader, pending: list[_Opened], rules: str) -> Iterator[Result]:
    images = [page for o in pending for page in o.pages if not isinstance(page, str)]
    readings = iter(reader.read(images))
    for opened in pending:
        read = [p if isinstance(p, str) else next(readings) for p in opened.pages]
        rows = [row(name, reading) for name, reading in zip(opened.names, read, strict=True)]
        if isinstance(opened.item, Card):
            yield _card(opened, read, rows, rules, reader.card["vin_review_threshold"])
        else:
            yield Result(rows, opened.pages)


def _card(opened, read, rows, rules: str, thresholds: dict[str, float]) -> Result:
    name = printable(opened.item.name)
    boxes = [reading for reading in read if isinstance(reading, Reading)]
    images = [page for page in opened.pages if not isinstance(page, str)]
    problems = [opened.message] if opened.message else []
    for number, reading in enumerate(read, start=1):
        why = reading if isinstance(reading, str) else reading.message
        if why and why != opened.message:
            problems.append(f"box {number}: {why}")
    told = {"card": name, "status": "review"}
    told["raw"] = "".join("-" if isinstance(r, str) else r.character or "-" for r in read)
    reading = "".join(box.character or "-" for box in boxes)
    alternatives = [_likeliest(box.probabilities) for box in boxes]
    if len(boxes) == BOXES and not opened.message:
        with np.errstate(divide="ignore"):
            decoding = vin.decode(np.log(np.stack([b.probabilities for b in boxes])), rules)
        reading, alternatives = decoding.vin, decoding.alternatives
        told |= {
            "vin": decoding.vin,
            "confidence": f"{decoding.confidence:.4f}",
            "check_digit": decoding.check_digit,
            "region": decoding.region,
            "manufacturer": decoding.manufacturer,
            "model_year": decoding.model_year,
        }
        rule = "check_digit" if vin.check_digit_required(decoding.vin) else "no_check_digit"
        if decoding.confidence >= thresholds[rule] and not problems:
            told["status"] = "ok"
        problems += map(str, decoding.changed)
    told["message"] = "; ".join(problems)
    card = ReviewCard(
        name,
        images,
        reading,
        [box.confidence for box in boxes],
        [list(box) for box in alternatives],
        told,
        told["status"] != "ok",
    )
    return Result(rows, opened.pages, told, card)


def _likeliest(probabilities: np.ndarray) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")[:5]
    return [(vin.CHARACTERS[index], float(probabilities[index])) for index in order]


def row(name: str, reading: Reading | str) -> dict[str, str]:
    """The row of one image: its reading, or the text that says why there is none."""
    if isinstance(reading, str):
        return dict.fromkeys(COLUMNS, "") | {"path": name, "status": "error", "message": reading}
    return {
        "path": name,
        "character": reading.character,
        "ascii": ascii_code(reading.character),
        "confidence": f"{reading.confidence:.4f}",
        "runner_up": reading.runner_up,
        "runner_up_confidence": f"{reading.runner_up_confidence:.4f}",
        "status": reading.status,
        "message": reading.message,
    }


def ascii_code(character: str) -> str:
    """Three decimal digits, `065` for A; empty for no character."""
    return f"{ord(character):03d}" if character else ""
