"""Cards and pages as they are opened: which image is which box, and what each is called.

`a.tif#page=2` is the second page of a file, and `a.png#box=5` the fifth box of a whole field. Where
both are, the page comes first.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinreader.folders import Card, is_wide
from vinreader.image.fields import FieldNotFound, find_boxes
from vinreader.image.limits import MAX_PIXELS_OF_BOX, UnreadableImage
from vinreader.image.pages import open_pages
from vinreader.spec import BOXES
from vinreader.tables import printable

OpenImage = Callable[[Path, int | None], list[np.ndarray]]  # as `open_pages`
_WITHIN = re.compile(r"(#page=\d+)?(#box=\d+)?$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scan:
    """A card, or a page by itself, as it is opened.

    Attributes:
        names: what its boxes are called in predictions.csv; "" for one that is missing.
        boxes: of each, uint8 (height, width), grey, as scanned; or why it cannot be read; or "" for
            one that is missing.
        notes: what is to be said of each box's file, or "".
        files: how many it was read from, 0 for the second page of a file.
        card: its name, "" for a loose image. message: why the card cannot be read as a whole.
        source: the folder or file of a card's images.
    """

    names: list[str]
    boxes: list[np.ndarray | str]
    notes: list[str]
    files: int
    card: str = ""
    message: str = ""
    source: str = ""


def page_of(name: str, page: int, pages: int) -> str:
    """The name of a file's page, counted from 1."""
    return f"{name}#page={page}" if pages > 1 else name


def box_of(name: str, box: int) -> str:
    """The name of a field's box, counted from 1."""
    return f"{name}#box={box}"


def file_of(name: str) -> str:
    """The name of the file that a page or box is in."""
    return _WITHIN.sub("", name, count=1)


def open_item(item: Card | Path, root: Path, open_image: OpenImage = open_pages) -> Iterator[Scan]:
    """A card, or the pages of an image: of a whole field its boxes.

    Args:
        item: of `find_items`. root: the folder that names are relative to.
        open_image: gives the pages of a file.
    """
    if isinstance(item, Card):
        yield _open_card(item, root, open_image)
        return
    name = printable(item.relative_to(root).as_posix())
    try:
        images = open_image(item, None)
    except UnreadableImage as error:
        yield Scan([name], [str(error)], [""], 1)
        return
    for number, image in enumerate(images, start=1):
        place = page_of(name, number, len(images))
        files = 1 if number == 1 else 0
        if is_wide(*image.shape):
            yield _open_field(place, image, files, str(item))
        else:
            yield Scan([place], [image], [""], files)


def _open_field(name: str, image: np.ndarray, files: int, source: str) -> Scan:
    try:
        boxes = find_boxes(image)
    except FieldNotFound as error:
        return Scan([name], [str(error)], [""], files, name, str(error), source)
    names = [box_of(name, number) for number in range(1, BOXES + 1)]
    return Scan(names, [*boxes], [""] * BOXES, files, name, "", source)


def _open_card(card: Card, root: Path, open_image: OpenImage) -> Scan:
    names = [printable(path.relative_to(root).as_posix()) for path in card.images]
    boxes: list[np.ndarray | str] = []
    notes: list[str] = []
    for path in card.images:
        note = ""
        try:
            first, *others = open_image(path, MAX_PIXELS_OF_BOX)
            boxes.append(first)
            if others:  # they are not further boxes
                note = f"only the first of the file's {1 + len(others)} pages is read"
        except UnreadableImage as error:
            boxes.append(str(error))
        notes.append(note)
    for at in card.gaps:
        names.insert(at, "")
        boxes.insert(at, "")
        notes.insert(at, "")
    source = str(card.images[0]) if card.images else ""
    if card.images and root / card.name == card.images[0].parent:
        source = str(root / card.name)
    files, name = len(card.images), printable(card.name)
    return Scan(names, boxes, notes, files, name, card.message, source)
