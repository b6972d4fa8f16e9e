"""Draws vehicle cards: the VIN field of 17 printed boxes, filled in by one of the embedded writers.

What is drawn follows from the seed. The writers write neatly; three cards of eight have a box that
a reader is right to doubt.
"""

from dataclasses import dataclass, replace

from vintraining.data.handwriting import Writer, draw_strokes
from vintraining.drawing.paper import blank_card, cloud, exposed
from vintraining.numbers.simulate import fresh

import cv2
import numpy as np

from vinreader.spec import BOXES

BOX_WIDTH, BOX_HEIGHT = 54, 70  # a printed box with its line, in pixels (about 200 dpi)
MARGIN = 16  # paper around the field
OVERSAMPLING = 2
FIRST_WRITER = 1_000_000  # writers of cards; nobody trains on so many others
BLOT = 23  # radius in pixels
SERIAL = 6  # characters at the end of a number that tell one vehicle from the next


@dataclass(frozen=True, slots=True)
class Sample:
    """What one of the sample cards shows: a made-up number, and the flaw of one of its boxes."""

    vin: str
    flaw: str = ""  # 'crossed out', 'U or V' or 'blot'; '' for a card without
    box: int = 0  # 1 to 17


# No vehicle is known to have one of these numbers. The check digit holds in those of North America;
# Fiat's have none, so nothing but the box itself tells what was crossed out.
SAMPLES = (
    Sample("1HGCP2F35BA052714"),
    Sample("3FAHP8JG1CR347162"),
    Sample("ZFA19900000217463", "crossed out", 13),
    Sample("2T1KR32EX5C460739"),
    Sample("5NPEB4AC2CH281306"),
    Sample("ZFA18800005U40217", "U or V", 12),
    Sample("1FTPX14598NB60835"),
    Sample("4T1BE46K97U613582", "blot", 14),
)


@dataclass(frozen=True)
class DrawnCard:
    """A card's VIN field: uint8 (height, width) grey images, dark ink on light paper."""

    vin: str  # the number written on it, 17 characters
    field: np.ndarray  # the whole field
    boxes: tuple[np.ndarray, ...]  # 17 cut out of it, with remains of the printed lines
    flaw: str = ""  # what makes a box doubtful, 'box 13 crossed out'; '' for a card without


def draw_cards(count: int, seed: int = 1981) -> list[DrawnCard]:
    """Draw `count` (>= 1) cards, each by another writer: the first eight show `SAMPLES`, the next
    ones the same with other serial numbers. Raises: ValueError."""
    if count < 1 or seed < 0:
        raise ValueError(f"count must be at least 1 and seed at least 0, not {count} and {seed}")
    return [draw_card(_sample(seed, number), seed, number) for number in range(count)]


def _sample(seed: int, number: int) -> Sample:
    sample = SAMPLES[number % len(SAMPLES)]
    if number < len(SAMPLES):
        return sample
    return replace(sample, vin=fresh(sample.vin, np.random.default_rng((seed, number)), SERIAL))


def draw_card(sample: Sample, seed: int = 1981, number: int = 0) -> DrawnCard:
    """Draw one card; cards of another number, >= 0, are by another writer on other paper.
    Raises: ValueError where the VIN has not 17 characters, KeyError for one that no VIN holds."""
    if len(sample.vin) != BOXES:
        raise ValueError(f"a VIN has {BOXES} characters, {sample.vin!r} has {len(sample.vin)}")
    writer = _neat(Writer(seed, FIRST_WRITER + number))
    rng = writer.rng
    shape = BOX_HEIGHT + 2 * MARGIN, BOXES * BOX_WIDTH + 2 * MARGIN
    light = blank_card(rng, shape)
    light *= 1 - rng.uniform(0.45, 0.75) * _printed_boxes(rng, shape)
    light *= 1 - rng.uniform(0.6, 0.85) * _handwriting(rng, shape, sample, writer)
    field = exposed(rng, light, blur=rng.uniform(0.4, 0.8), noise=rng.uniform(1, 4))
    flaw = f"box {sample.box} {sample.flaw}" if sample.flaw else ""
    return DrawnCard(sample.vin, field, tuple(_cut(rng, field, box) for box in range(BOXES)), flaw)


def _neat(writer: Writer) -> Writer:
    """The writer on a good day: upright, even, with a pen of medium width."""
    writer.slant *= 0.25
    writer.width = float(np.clip(writer.width, 0.9, 1.2))
    writer.haste *= 0.4
    writer.pen = float(np.clip(writer.pen, 2.2, 3.0))
    writer.tremor *= 0.4
    writer.carelessness *= 0.25
    writer.overshoot *= 0.3
    writer.habits *= 0.2
    return writer


def _printed_boxes(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """The printed lines, float of `shape`, 0 to 1: a comb of 17 boxes, a little askew."""
    lines = np.zeros(shape, np.uint8)
    thickness = int(rng.integers(1, 4))
    bottom, right = MARGIN + BOX_HEIGHT, MARGIN + BOXES * BOX_WIDTH
    cv2.rectangle(lines, (MARGIN, MARGIN), (right, bottom), 255, thickness)
    for x in range(MARGIN + BOX_WIDTH, right, BOX_WIDTH):
        cv2.line(lines, (x, MARGIN), (x, bottom), 255, thickness)
    middle = (shape[1] / 2, shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, rng.normal(0, 0.12), 1)
    worn = np.clip(1.1 + 0.25 * cloud(rng, shape, 3), 0, 1)
    return np.asarray(cv2.warpAffine(lines, turn, shape[::-1]) / 255 * worn)


def _handwriting(
    rng: np.random.Generator, shape: tuple[int, int], sample: Sample, writer: Writer
) -> np.ndarray:
    """The characters, float of `shape`, 0 to 1: each about the middle of its box."""
    canvas = np.zeros((shape[0] * OVERSAMPLING, shape[1] * OVERSAMPLING), np.uint8)
    capital = BOX_HEIGHT * rng.uniform(0.5, 0.72)
    pen = max(1.6, writer.pen / 24 * capital * 0.8)
    room = np.array([BOX_WIDTH, BOX_HEIGHT]) * 0.86 - pen
    for box, strokes in enumerate(writer.strokes(sample.vin), start=1):
        flawed = sample.flaw if box == sample.box else ""
        if flawed:
            strokes = _flawed(flawed, strokes)
        path = np.concatenate(strokes)
        low, high = path.min(axis=0), path.max(axis=0)
        scale = min(capital / 100 * np.exp(rng.normal(0, 0.06)), *(room / (high - low)))
        middle = np.array([MARGIN + (box - 0.5) * BOX_WIDTH, MARGIN + BOX_HEIGHT / 2])
        middle += rng.normal(0, 2, 2)
        placed = [
            ((stroke - (low + high) / 2) * scale + middle) * OVERSAMPLING for stroke in strokes
        ]
        draw_strokes(canvas, placed, np.full(len(placed), pen * OVERSAMPLING), writer)
        if flawed == "blot":
            x, y = (OVERSAMPLING * middle).astype(int).tolist()
            cv2.circle(canvas, (x, y), BLOT * OVERSAMPLING, 255, -1)
    return np.asarray(cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / 255.0)


def _flawed(flaw: str, strokes: list[np.ndarray]) -> list[np.ndarray]:
    """A character's strokes, float (points, 2), as the flaw has them; see `Writer.strokes`."""
    if flaw == "crossed out":
        across = np.array([-34.0, 34, -34, 34, -34])
        return [*strokes, np.stack([across, np.linspace(-48, 48, 5)], axis=1)]
    if flaw == "U or V":
        return [np.array([(-38.0, -50), (-17, 34), (-6, 48), (6, 48), (17, 34), (38, -50)])]
    return strokes


def _cut(rng: np.random.Generator, field: np.ndarray, box: int) -> np.ndarray:
    """Cut out a box as a clerk's tool does: a little off, so that printed lines remain."""
    top, bottom, left, right = rng.integers(-2, 4, 4)
    x, y = MARGIN + box * BOX_WIDTH, MARGIN
    return field[y - top : y + BOX_HEIGHT + bottom, x - left : x + BOX_WIDTH + right].copy()
