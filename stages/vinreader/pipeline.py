"""From files to rows: opening, normalising, reading and decoding, shared among processes."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from vinreader import processes, review
from vinreader.debug import write_steps
from vinreader.folders import Card
from vinreader.image.boxes import normalise_all, reduced
from vinreader.image.pages import open_pages
from vinreader.litert import notes_held
from vinreader.reader import CardReading, Reader, Reading
from vinreader.scans import OpenImage, Scan, open_item
from vinreader.spec import BOXES
from vinreader.tables import Row, VinRow, ascii_code, cells
from vinreader.template import Entry

TOGETHER = 128  # images that are read together, by one process
FEW = 4  # pieces that are read before other processes would have started


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


def read_items(
    reader: Reader,
    items: Iterable[Card | Path],
    root: Path,
    rules: str = "auto",
    jobs: int | None = None,
    debug: Path | None = None,
) -> Generator[Result, None, None]:
    """Results of what `find_items` found, in its order, the same for any number of jobs.

    Memory stays flat: some hundred images are held at a time by each process.

    Args:
        root: folder that paths in the results are relative to.
        rules: `auto`, or `none` to take every box of a card by itself.
        jobs: processes that read if there are enough images for more than one; by default as
            many as there are cores.
        debug: folder for a picture of each box: how it was read.

    Raises:
        UserError: a process was ended from outside.
    """
    pieces = chunks(items)
    first = list(islice(pieces, FEW + 1))
    pieces = chain(first, pieces)
    jobs = jobs or processes.cores()
    chunks_read: Iterator[list[Result]]
    if jobs == 1 or len(first) <= FEW:
        chunks_read = (read_chunk(reader, piece, root, rules, debug) for piece in pieces)
    else:
        begin = (
            _begin,
            (reader.settings, root, rules, debug),
        )
        chunks_read = processes.in_order(_read, pieces, jobs, *begin)
    for results in chunks_read:
        yield from results


_read_chunk: Callable[[list[Card | Path]], list[Result]]


def _begin(
    settings: dict[str, Any],
    root: Path,
    rules: str,
    debug: Path | None,
) -> None:
    """Prepares a process for `_read`."""
    global _read_chunk
    with notes_held():
        reader = Reader(**settings)
    _read_chunk = lambda items: read_chunk(reader, items, root, rules, debug)  # noqa: E731


def _read(items: list[Card | Path]) -> list[Result]:
    return _read_chunk(items)


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
    pages: list[_Page] = []
    seen: list[np.ndarray] = []
    for item in items:
        for scan in open_item(item, root, open_image):
            pages.append(_page(scan))
            if debug:  # else they are dropped at once: a scan may have millions of pixels
                seen += [box for box in scan.boxes if not isinstance(box, str)]
    notes, images = [], []
    for page in pages:
        for box, note in zip(page.boxes, page.notes, strict=True):
            if not isinstance(box, str):
                images.append(box)
                notes.append(note)
    boxes = [
        replace(box, message="; ".join((box.message, note)).strip("; ")) if note else box
        for box, note in zip(normalise_all(images), notes, strict=True)
    ]
    readings = iter(reader.read_boxes(boxes))
    read = [[b if isinstance(b, str) else next(readings) for b in page.boxes] for page in pages]
    complete = {}
    for index, page in enumerate(pages):
        if page.card and not page.message and len(_readings(read[index])) == BOXES:
            complete[index] = _readings(read[index])
    cards = dict(zip(complete, reader.decode(list(complete.values()), rules), strict=True))
    results = [_result(page, read[i], cards.get(i)) for i, page in enumerate(pages)]
    if debug:
        rows = (row for result in results for row in result.rows if row.status != "error")
        for row, image in zip(rows, seen, strict=True):
            write_steps(debug, image, row)
    return results


def _readings(read: list[Reading | str]) -> list[Reading]:
    return [reading for reading in read if isinstance(reading, Reading)]


@dataclass(frozen=True, slots=True)
class _Page(Scan):
    """A scan whose boxes are no larger than they are worked on. pictures: of a card's boxes for the
    page, "" for one that cannot be opened."""

    pictures: list[str] = field(default_factory=list)


def _page(scan: Scan) -> _Page:
    boxes = [box if isinstance(box, str) else reduced(box) for box in scan.boxes]
    pictures = []
    if scan.card:
        pictures = ["" if isinstance(box, str) else review.picture(box) for box in scan.boxes]
    fields = {name: getattr(scan, name) for name in Scan.__slots__} | {"boxes": boxes}
    return _Page(**fields, pictures=pictures)


def _result(page: _Page, read: list[Reading | str], reading: CardReading | None) -> Result:
    rows = [_row(name, box) for name, box in zip(page.names, read, strict=True) if name]
    if not page.card:
        return Result(rows, page.files)
    # What stands in no box is shown to nobody, whatever the rules make of it: a person types it.
    shown = raw = "".join("-" if isinstance(box, str) else box.character or "-" for box in read)
    if reading:
        row = VinRow(page.card, **cells(reading, VinRow))
        pairs = zip(raw, reading.vin, strict=True)
        shown = "".join(one if one == "-" else decoded for one, decoded in pairs)
        alternatives = reading.alternatives
    else:
        row = _row_of_incomplete(page, read, raw)
        alternatives = tuple(
            () if isinstance(box, str) else review.likeliest(box.probabilities) for box in read
        )
    card = review.ReviewCard(
        page.pictures,
        shown,
        [0.0 if isinstance(box, str) else box.confidence for box in read],
        [() if one == "-" else likely for one, likely in zip(raw, alternatives, strict=True)],
        row,
        [at for at, box in enumerate(read) if isinstance(box, str) or box.message],
    )
    sure = reading.confidence if reading and not reading.has_problems else 0.0
    return Result(rows, page.files, row, review.entry(card), page.source, sure)


def _row_of_incomplete(page: _Page, read: list[Reading | str], raw: str) -> VinRow:
    """The row of a card that cannot be read as a whole: its boxes, and what is wrong with them."""
    problems = [page.message] if page.message else []
    for number, box in enumerate(read, start=1):
        problem = box if isinstance(box, str) else box.message
        if problem and problem != page.message:
            problems.append(f"box {number}: {problem}")
    return VinRow(page.card, raw=raw, status="review", message="; ".join(problems))


def _row(name: str, reading: Reading | str) -> Row:
    """The row of one image: its reading, or the text that says why there is none."""
    if isinstance(reading, str):
        return Row(name, status="error", message=reading)
    return Row(name, ascii=ascii_code(reading.character), **cells(reading, Row))
