"""From files to rows: opening, normalising, reading and decoding, shared among processes."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vinreader import processes, review
from vinreader.debug import write_steps
from vinreader.folders import Card, is_wide
from vinreader.image.boxes import normalise_all, reduced
from vinreader.image.fields import FieldNotFound, find_boxes
from vinreader.image.pages import UnreadableImage, open_pages
from vinreader.litert import notes_held
from vinreader.number.known import Known
from vinreader.number.vin import Years
from vinreader.reader import CardReading, Reader, Reading
from vinreader.spec import BOXES
from vinreader.tables import Row, VinRow, ascii_code, cells, printable
from vinreader.template import Entry

TOGETHER = 128  # images that are read together, by one process
FEW = 4  # pieces that are read before other processes would have started

Images = list[np.ndarray]  # uint8 (height, width) each
OpenImage = Callable[[Path], Images]


@dataclass(frozen=True, slots=True)
class Result:
    """What was read of a card, of a page or of an image by itself.

    rows: of predictions.csv, one a box or page. vin_row: of vins.csv, and entry: for the review
    page; both None for a loose image. files: how many files it was read from, 0 for the second
    page of a file.
    """

    rows: list[Row]
    files: int
    vin_row: VinRow | None = None
    entry: Entry | None = None


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
            (reader.path, reader.threshold, reader.known, reader.years, root, rules, debug),
        )
        chunks_read = processes.in_order(_read, pieces, jobs, *begin)
    for results in chunks_read:
        yield from results


_read_chunk: Callable[[list[Card | Path]], list[Result]]


def _begin(
    model: Path,
    threshold: float,
    known: Known | None,
    years: Years | None,
    root: Path,
    rules: str,
    debug: Path | None,
) -> None:
    """Prepares a process for `_read`."""
    global _read_chunk
    with notes_held():
        reader = Reader(model, threshold, known=known, years=years)
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
    seen: list[Images] = []
    for item in items:
        for page, images in _open(item, root, open_image):
            pages.append(page)
            if debug:  # else they are dropped at once: a scan may have millions of pixels
                seen.append(images)
    scans = [box for page in pages for box in page.boxes if isinstance(box, _Scan)]
    boxes = normalise_all([scan.image for scan in scans])
    for index, scan in enumerate(scans):
        if scan.note:
            message = "; ".join(filter(None, (boxes[index].message, scan.note)))
            boxes[index] = replace(boxes[index], message=message)
    readings = iter(reader.read_boxes(boxes))
    read = [[b if isinstance(b, str) else next(readings) for b in page.boxes] for page in pages]
    complete = {}
    for index, page in enumerate(pages):
        if page.card and not page.message and len(_readings(read[index])) == BOXES:
            complete[index] = _readings(read[index])
    cards = dict(zip(complete, reader.decode(list(complete.values()), rules), strict=True))
    results = [_result(page, read[i], cards.get(i)) for i, page in enumerate(pages)]
    if debug:
        for result, images in zip(results, seen, strict=True):
            drawn = [row for row in result.rows if row.status != "error"]
            for row, image in zip(drawn, images, strict=True):
                write_steps(debug, image, row)
    return results


def _readings(read: list[Reading | str]) -> list[Reading]:
    return [reading for reading in read if isinstance(reading, Reading)]


@dataclass(frozen=True, slots=True)
class _Scan:
    """The image of a box, no larger than it is worked on; note: what is to be said of its file."""

    image: np.ndarray
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    """A card, or a page by itself: its boxes, each named; a text in place of a box says why it
    cannot be read.

    files: how many it was read from. card: its name, empty for a loose image. message: why the
    card cannot be read as a whole. pictures: of a card's boxes that could be opened, for the page.
    """

    names: list[str]
    boxes: list[_Scan | str]
    files: int
    card: str = ""
    message: str = ""
    pictures: list[str] = field(default_factory=list)


def _open(item: Card | Path, root: Path, open_image: OpenImage) -> Iterator[tuple[_Page, Images]]:
    """A card or the pages of an image, with the images of the boxes that could be opened."""
    if isinstance(item, Card):
        yield _open_card(item, root, open_image)
        return
    name = printable(item.relative_to(root).as_posix())
    try:
        images = open_image(item)
    except UnreadableImage as error:
        yield _Page([name], [str(error)], 1), []
        return
    for number, image in enumerate(images, start=1):
        place = f"{name}#page={number}" if len(images) > 1 else name
        files = 1 if number == 1 else 0
        if is_wide(*image.shape):
            yield _open_field(place, image, files)
        else:
            yield _Page([place], [_Scan(reduced(image))], files), [image]


def _open_field(name: str, image: np.ndarray, files: int) -> tuple[_Page, Images]:
    try:
        images = find_boxes(image)
    except FieldNotFound as error:
        return _Page([name], [str(error)], files, name, str(error)), []
    names = [f"{name}#box={number}" for number in range(1, BOXES + 1)]
    boxes: list[_Scan | str] = [_Scan(reduced(image)) for image in images]
    pictures = [review.picture(image) for image in images]
    return _Page(names, boxes, files, name, "", pictures), images


def _open_card(card: Card, root: Path, open_image: OpenImage) -> tuple[_Page, Images]:
    names: list[str] = []
    boxes: list[_Scan | str] = []
    images: Images = []
    for path in card.images:
        names.append(printable(path.relative_to(root).as_posix()))
        try:
            pages = open_image(path)
        except UnreadableImage as error:
            boxes.append(str(error))
        else:
            boxes.append(_Scan(reduced(pages[0]), _note_of(len(pages))))
            images.append(pages[0])
    pictures = [review.picture(image) for image in images]
    name = printable(card.name)
    return _Page(names, boxes, len(card.images), name, card.message, pictures), images


def _note_of(pages: int) -> str:
    """What is to be said of a box whose file has further pages: they are not further boxes."""
    return f"only the first of the file's {pages} pages is read" if pages > 1 else ""


def _result(page: _Page, read: list[Reading | str], reading: CardReading | None) -> Result:
    rows = [_row(name, box) for name, box in zip(page.names, read, strict=True)]
    if not page.card:
        return Result(rows, page.files)
    boxes = _readings(read)
    if reading:
        row = VinRow(page.card, **cells(reading, VinRow))
        shown, alternatives = reading.vin, reading.alternatives
    else:
        row = _row_of_incomplete(page, read)
        shown = "".join(box.character or "-" for box in boxes)
        alternatives = tuple(review.likeliest(box.probabilities) for box in boxes)
    confidences = [box.confidence for box in boxes]
    card = review.ReviewCard(page.pictures, shown, confidences, alternatives, row)
    return Result(rows, page.files, row, review.entry(card))


def _row_of_incomplete(page: _Page, read: list[Reading | str]) -> VinRow:
    """The row of a card that cannot be read as a whole: its boxes, and what is wrong with them."""
    raw = "".join("-" if isinstance(box, str) else box.character or "-" for box in read)
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
