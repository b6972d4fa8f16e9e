"""From files to rows: opening, normalising, reading and decoding, shared among processes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vinreader import processes, review
from vinreader.boxes import Box, normalise
from vinreader.debug import write_steps
from vinreader.fields import FieldNotFound, find_boxes
from vinreader.folders import BOXES, Card, is_wide
from vinreader.images import UnreadableImage, open_pages
from vinreader.known import Known
from vinreader.reader import CardReading, Reader, Reading
from vinreader.tables import VIN_COLUMNS, Row, ascii_code, printable

CHUNK = 128  # images that are read together, by one process
FEW = 4  # chunks that are read before other processes would have started


@dataclass(frozen=True, slots=True)
class Result:
    """What was read of one item of a folder.

    rows: of predictions.csv, one a box or page. vin_row: of vins.csv by column, and entry: for the
    review page; both None for a loose image. files: how many files it was read from.
    """

    rows: list[Row]
    files: int
    vin_row: dict[str, str] | None = None
    entry: review.Entry | None = None


def read_items(
    reader: Reader,
    items: Iterable[Card | Path],
    root: Path,
    rules: str = "auto",
    jobs: int | None = None,
    debug: Path | None = None,
) -> Iterator[Result]:
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
        begin = _begin, (reader.path, reader.threshold, reader.known, root, rules, debug)
        chunks_read = processes.in_order(_read, pieces, jobs, *begin)
    for results in chunks_read:
        yield from results


_read_chunk: Callable[[list[Card | Path]], list[Result]]


def _begin(model: Path, threshold: float, known: Known | None, *options) -> None:
    """Prepares a process for `_read`."""
    global _read_chunk
    reader = Reader(model, threshold, known=known)
    _read_chunk = lambda items: read_chunk(reader, items, *options)  # noqa: E731


def _read(items: list[Card | Path]) -> list[Result]:
    return _read_chunk(items)


def chunks(items: Iterable[Card | Path]) -> Iterator[list[Card | Path]]:
    """The items in lists of about `CHUNK` images, at least one item each."""
    chunk: list[Card | Path] = []
    images = 0
    for item in items:
        chunk.append(item)
        images += len(item.images) if isinstance(item, Card) else 1
        if images >= CHUNK:
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
    open_image: Callable[[Path], list[np.ndarray]] = open_pages,
) -> list[Result]:
    """Results of a few hundred items, in their order; arguments as for `read_items`."""
    opened, seen = [], []
    for item in items:
        one, images = _open(item, root, open_image)
        opened.append(one)
        if debug:  # else they are dropped at once: a scan may have millions of pixels
            seen.append(images)
    boxes = [box for one in opened for box in one.boxes if isinstance(box, Box)]
    readings = iter(reader.read_boxes(boxes))
    read = [[b if isinstance(b, str) else next(readings) for b in one.boxes] for one in opened]
    whole = {
        i: seventeen for i, one in enumerate(opened)
        if one.card and not one.message and len(seventeen := _readings(read[i])) == BOXES
    }  # fmt: skip
    cards = dict(zip(whole, reader.decode(list(whole.values()), rules), strict=True))
    results = [_result(one, read[i], cards.get(i)) for i, one in enumerate(opened)]
    if debug:
        for result, images in zip(results, seen, strict=True):
            shown = [row for row in result.rows if row.status != "error"]
            for row, image in zip(shown, images, strict=True):
                write_steps(debug, image, row)
    return results


def _readings(read: list[Reading | str]) -> list[Reading]:
    return [reading for reading in read if isinstance(reading, Reading)]


@dataclass(frozen=True, slots=True)
class _Opened:
    """An item's boxes, each named; a text in place of a box says why it cannot be read.

    card: its name, empty for a loose image. message: why the card cannot be read as a whole.
    pictures: of the boxes of a card that could be opened, for the page.
    """

    names: list[str]
    boxes: list[Box | str]
    files: int
    card: str = ""
    message: str = ""
    pictures: list[str] = field(default_factory=list)


def _open(item: Card | Path, root: Path, open_image) -> tuple[_Opened, list[np.ndarray]]:
    """An item's boxes, and the images of those that could be opened."""
    if isinstance(item, Card):
        return _open_card(item, root, open_image)
    name = printable(item.relative_to(root).as_posix())
    try:
        pages = open_image(item)
    except UnreadableImage as error:
        return _Opened([name], [str(error)], 1), []
    if is_wide(*pages[0].shape):
        return _open_field(name, pages[0])
    names = [f"{name}#page={n}" for n in range(1, len(pages) + 1)] if len(pages) > 1 else [name]
    return _Opened(names, [normalise(page) for page in pages], 1), pages


def _open_field(name: str, image: np.ndarray) -> tuple[_Opened, list[np.ndarray]]:
    try:
        images = find_boxes(image)
    except FieldNotFound as error:
        return _Opened([name], [str(error)], 1, name, str(error)), []
    names = [f"{name}#box={n}" for n in range(1, BOXES + 1)]
    boxes: list[Box | str] = [normalise(box) for box in images]
    return _Opened(names, boxes, 1, name, "", [review.picture(box) for box in images]), images


def _open_card(card: Card, root: Path, open_image) -> tuple[_Opened, list[np.ndarray]]:
    names, images = [], []
    boxes: list[Box | str] = []
    for path in card.images:
        names.append(printable(path.relative_to(root).as_posix()))
        try:
            image = open_image(path)[0]  # a further page of a box's file is not a further box
        except UnreadableImage as error:
            boxes.append(str(error))
        else:
            boxes.append(normalise(image))
            images.append(image)
    pictures = [review.picture(image) for image in images]
    name = printable(card.name)
    return _Opened(names, boxes, len(card.images), name, card.message, pictures), images


def _result(opened: _Opened, read: list[Reading | str], card: CardReading | None) -> Result:
    rows = [row(name, reading) for name, reading in zip(opened.names, read, strict=True)]
    if not opened.card:
        return Result(rows, opened.files)
    boxes = _readings(read)
    alternatives: Sequence[Sequence[tuple[str, float]]]
    told = {"card": opened.card}
    if card:
        told |= {column: getattr(card, column) for column in VIN_COLUMNS if column != "card"}
        told["confidence"] = f"{card.confidence:.4f}"
        reading, alternatives = card.vin, card.alternatives
    else:
        problems = [opened.message] if opened.message else []
        for number, one in enumerate(read, start=1):
            why = one if isinstance(one, str) else one.message
            if why and why != opened.message:
                problems.append(f"box {number}: {why}")
        told |= {
            "raw": "".join("-" if isinstance(r, str) else r.character or "-" for r in read),
            "status": "review",
            "message": "; ".join(problems),
        }
        reading = "".join(box.character or "-" for box in boxes)
        alternatives = [review.likeliest(box.probabilities) for box in boxes]
    entry = review.entry(
        review.ReviewCard(
            opened.card,
            opened.pictures,
            reading,
            [box.confidence for box in boxes],
            alternatives,
            told,
            told["status"] != "ok",
        )
    )
    return Result(rows, opened.files, told, entry)


def row(name: str, reading: Reading | str) -> Row:
    """The row of one image: its reading, or the text that says why there is none."""
    if isinstance(reading, str):
        return Row(name, "", "", "", "", "", "error", reading)
    return Row(
        name,
        reading.character,
        ascii_code(reading.character),
        f"{reading.confidence:.4f}",
        reading.runner_up,
        f"{reading.runner_up_confidence:.4f}",
        reading.status,
        reading.message,
    )
