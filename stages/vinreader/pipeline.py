"""The way of an image from its file to its row: opened, normalised, read, decoded.

What `folders.find_items` found becomes scans, a card or a page each (`open_item`). About 128 images
are read together, by one process (`read_chunk`); processes share such chunks (`read_items`).

`a.tif#page=2` is the second page of a file, and `a.png#box=5` the fifth box of a whole field. Where
both are, the page comes first.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from vinreader import processes, review
from vinreader.debug import write_steps
from vinreader.folders import Card, is_wide
from vinreader.image.boxes import normalise_all, reduced
from vinreader.image.fields import FieldNotFound, find_boxes
from vinreader.image.limits import MAX_PIXELS_OF_BOX, UnreadableImage
from vinreader.image.pages import open_pages
from vinreader.litert import notes_held
from vinreader.reader import CardReading, Reader, Reading
from vinreader.spec import BOXES
from vinreader.tables import Row, VinRow, cells, printable
from vinreader.template import Entry

TOGETHER = 128  # images that are read together, by one process
FEW = 4  # chunks that are read before other processes would have started

OpenImage = Callable[[Path, int | None], list[np.ndarray]]  # as `open_pages`
_WITHIN = re.compile(r"(#page=\d+)?(#box=\d+)?$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scan:
    """A card, or a page by itself, as it is opened.

    names: what its boxes are called in predictions.csv; "" for one that is missing. boxes: of each,
    uint8 (height, width), grey, as scanned; or why it cannot be read; or "" for one that is
    missing. notes: what is to be said of each box's file, or "". files: how many it was read from,
    0 for the second page of a file. card: its name, "" for a loose image. message: why the card
    cannot be read as a whole. source: the folder or file of a card's images.
    """

    names: list[str]
    boxes: list[np.ndarray | str]
    notes: list[str]
    files: int
    card: str = ""
    message: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What was read of a card, of a page or of an image by itself.

    rows: of predictions.csv, one a box or page. vin_row: of vins.csv, and entry: for the review
    page; both None for a loose image. files: how many files it was read from, 0 for the second
    page of a file. source: of a card, the folder or file of its images, "" where that is not known.
    confidence: of a card that nothing else sends to a person, else 0.
    """

    rows: list[Row]
    files: int
    vin_row: VinRow | None = None
    entry: Entry | None = None
    source: str = ""
    confidence: float = 0.0


def open_item(item: Card | Path, root: Path, open_image: OpenImage = open_pages) -> Iterator[Scan]:
    """A card, or the pages of an image: of a whole field its boxes.

    item: of `find_items`. root: the folder that names are relative to.
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
        place = f"{name}#page={number}" if len(images) > 1 else name
        files = 1 if number == 1 else 0
        if not is_wide(*image.shape):
            yield Scan([place], [image], [""], files)
            continue
        try:
            boxes = find_boxes(image)
        except FieldNotFound as error:
            yield Scan([place], [str(error)], [""], files, place, str(error), str(item))
            continue
        names = [f"{place}#box={box}" for box in range(1, BOXES + 1)]
        yield Scan(names, [*boxes], [""] * BOXES, files, place, "", str(item))


def _open_card(card: Card, root: Path, open_image: OpenImage) -> Scan:
    names = [printable(path.relative_to(root).as_posix()) for path in card.images]
    boxes: list[np.ndarray | str] = []
    notes = [""] * len(names)
    for at, path in enumerate(card.images):
        try:
            first, *others = open_image(path, MAX_PIXELS_OF_BOX)
            boxes.append(first)
            if others:  # they are not further boxes
                notes[at] = f"only the first of the file's {1 + len(others)} pages is read"
        except UnreadableImage as error:
            boxes.append(str(error))
    for at in card.gaps:
        for column in (names, boxes, notes):
            column.insert(at, "")
    source = ""
    if card.images:
        folder = card.images[0].parent
        source = str(folder if root / card.name == folder else card.images[0])
    name = printable(card.name)
    return Scan(names, boxes, notes, len(card.images), name, card.message, source)


def file_of(name: str) -> str:
    """The name of the file that a page or box is in."""
    return _WITHIN.sub("", name, count=1)


def read_items(
    reader: Reader,
    items: Iterable[Card | Path],
    root: Path,
    rules: str = "auto",
    jobs: int | None = None,
    debug: Path | None = None,
) -> Generator[Result, None, None]:
    """Results of what `find_items` found, in its order, the same for any number of jobs; each
    process holds some hundred images at a time.

    Args:
        root: folder that paths in the results are relative to.
        rules: `auto`, or `none` to take every box of a card by itself.
        jobs: processes that read where there is enough for more than one; by default one a core.
        debug: folder for a picture of each box: how it was read.

    Raises:
        UserError: a process was ended from outside.
    """
    pieces = chunks(items)
    first = list(islice(pieces, FEW + 1))
    pieces = chain(first, pieces)
    jobs = jobs or processes.cores()
    read = partial(read_chunk, root=root, rules=rules, debug=debug)
    chunks_read: Iterator[list[Result]]
    if jobs == 1 or len(first) <= FEW:
        chunks_read = (read(reader, piece) for piece in pieces)
    else:
        chunks_read = processes.in_order(_read, pieces, jobs, _begin, (reader.settings, read))
    for results in chunks_read:
        yield from results


_reader_reads: Callable[[list[Card | Path]], list[Result]]  # in a process that shares the work


def _begin(settings: dict[str, Any], read: Callable[..., list[Result]]) -> None:
    """Prepares a process for `_read`."""
    global _reader_reads
    with notes_held():
        _reader_reads = partial(read, Reader(**settings))


def _read(items: list[Card | Path]) -> list[Result]:
    return _reader_reads(items)


def chunks(items: Iterable[Card | Path]) -> Iterator[list[Card | Path]]:
    """The items in lists of about `TOGETHER` images, at least one item each."""
    chunk: list[Card | Path] = []
    images = 0
    for item in items:
        chunk.append(item)
        images += len(item.images) if isinstance(item, Card) else 1
        if images >= TOGETHER:
            yield chunk
            chunk, images = [], 0
    if chunk:
        yield chunk


def read_chunk(
    reader: Reader,
    items: Iterable[Card | Path],
    root: Path,
    rules: str = "auto",
    debug: Path | None = None,
    open_image: OpenImage = open_pages,
) -> list[Result]:
    """Results of a few hundred items, in their order, one a card or page.

    Arguments as for `read_items`; open_image: gives the pages of a file.
    """
    scans: list[Scan] = []
    pictures: list[list[str]] = []  # of a card's boxes for the page, "" for one without an image
    originals: list[np.ndarray] = []
    for scan in chain.from_iterable(open_item(item, root, open_image) for item in items):
        shown = scan.boxes if scan.card else []
        pictures.append(["" if isinstance(box, str) else review.picture(box) for box in shown])
        if debug:  # else they are dropped at once: a scan may have millions of pixels
            originals += [box for box in scan.boxes if not isinstance(box, str)]
        boxes = [box if isinstance(box, str) else reduced(box) for box in scan.boxes]
        scans.append(replace(scan, boxes=boxes))
    read = _read_scans(reader, scans)
    whole = {}
    for place, (scan, readings) in enumerate(zip(scans, read, strict=True)):
        found = [reading for reading in readings if isinstance(reading, Reading)]
        if scan.card and not scan.message and len(found) == BOXES:
            whole[place] = found
    cards = dict(zip(whole, reader.decode(list(whole.values()), rules), strict=True))
    results = [
        _result(*page, cards.get(place))
        for place, page in enumerate(zip(scans, pictures, read, strict=True))
    ]
    if debug:
        rows = (row for result in results for row in result.rows if row.status != "error")
        for row, image in zip(rows, originals, strict=True):
            write_steps(debug, image, row)
    return results


def _read_scans(reader: Reader, scans: list[Scan]) -> list[list[Reading | str]]:
    """Of each scan the readings of its boxes, or why there is none."""
    opened = [
        (box, note)
        for scan in scans
        for box, note in zip(scan.boxes, scan.notes, strict=True)
        if not isinstance(box, str)
    ]
    boxes = [
        replace(box, message="; ".join(filter(None, (box.message, note)))) if note else box
        for box, (_, note) in zip(normalise_all([box for box, _ in opened]), opened, strict=True)
    ]
    readings = iter(reader.read_boxes(boxes))
    return [[b if isinstance(b, str) else next(readings) for b in scan.boxes] for scan in scans]


def _result(
    scan: Scan, pictures: list[str], read: list[Reading | str], reading: CardReading | None
) -> Result:
    rows = [_row(name, box) for name, box in zip(scan.names, read, strict=True) if name]
    if not scan.card:
        return Result(rows, scan.files)
    # What stands in no box is shown to nobody, whatever the rules make of it: a person types it.
    shown = raw = "".join("-" if isinstance(box, str) else box.character or "-" for box in read)
    if reading:
        row = VinRow(scan.card, **cells(reading, VinRow))
        pairs = zip(raw, reading.vin, strict=True)
        shown = "".join(one if one == "-" else decoded for one, decoded in pairs)
        alternatives = reading.alternatives
    else:
        row = _row_of_incomplete(scan, read, raw)
        alternatives = tuple(
            () if isinstance(box, str) else review.likeliest(box.probabilities) for box in read
        )
    card = review.ReviewCard(
        pictures,
        shown,
        [0.0 if isinstance(box, str) else box.confidence for box in read],
        [() if one == "-" else likely for one, likely in zip(raw, alternatives, strict=True)],
        row,
        [at for at, box in enumerate(read) if isinstance(box, str) or box.message],
    )
    sure = reading.confidence if reading and not reading.has_problems else 0.0
    return Result(rows, scan.files, row, review.entry(card), scan.source, sure)


def _row_of_incomplete(scan: Scan, read: list[Reading | str], raw: str) -> VinRow:
    """The row of a card that cannot be read as a whole: its boxes, and what is wrong with them."""
    problems = [scan.message] if scan.message else []
    for number, box in enumerate(read, start=1):
        problem = box if isinstance(box, str) else box.message
        if problem and problem != scan.message:
            problems.append(f"box {number}: {problem}")
    return VinRow(scan.card, raw=raw, status="review", message="; ".join(problems))


def _row(name: str, reading: Reading | str) -> Row:
    """The row of one image: its reading, or the text that says why there is none."""
    if isinstance(reading, str):
        return Row(name, status="error", message=reading)
    code = f"{ord(reading.character):03d}" if reading.character else ""
    return Row(name, ascii=code, **cells(reading, Row))
