"""Draws vehicle cards: the VIN field of 17 printed boxes, filled in by one of the embedded writers.

For examples and for tests of everything that reads cards. What is drawn follows from the seed.
"""

import json
from collections import deque
from dataclasses import dataclass
from itertools import cycle, islice

import cv2
import numpy as np

from vinreader import numbers
from vinreader.reader import RELEASED
from vinreader.spec import BOXES
from vintraining.handwriting import Writer, draw_strokes
from vintraining.paper import blank_card, cloud, exposed
from vintraining.simulate import drawn, group

BOX_WIDTH, BOX_HEIGHT = 54, 70  # a printed box with its line, in pixels (about 200 dpi)
MARGIN = 16  # paper around the field
OVERSAMPLING = 2
FIRST_WRITER = 1_000_000  # writers of cards; nobody trains on so many others


@dataclass(frozen=True)
class Card:
    """A card's VIN field.

    Attributes:
        vin: the number written on it, 17 characters.
        field: uint8 (height, width) grey image of the whole field, dark ink on light paper.
        boxes: 17 uint8 (height, width) images cut out of it, with remains of the printed lines.
    """

    vin: str
    field: np.ndarray
    boxes: tuple


def draw_cards(count, seed=1981):
    """Draw `count` (>= 1) cards, each by another writer; every second is a North American one.

    Returns:
        List of `Card`. The first cards of a longer list are those of a shorter one.

    Raises:
        ValueError: count or seed out of range.
    """
    if count < 1 or seed < 0:
        raise ValueError(f"count must be at least 1 and seed at least 0, not {count} and {seed}")
    vins = islice(_numbers(seed), count)
    return [draw_card(vin, seed, number) for number, vin in enumerate(vins)]


def _numbers(seed):
    """Numbers drawn from the released statistics, every second a North American one."""
    prior = numbers.build(json.loads(RELEASED.with_name(numbers.FILE).read_text("utf-8")))
    rng = np.random.default_rng(seed)
    waiting: dict[bool, deque[str]] = {True: deque(), False: deque()}
    for american in cycle((True, False)):
        while not waiting[american]:
            (vin,) = drawn(prior, 1, rng)
            waiting[group(vin) == "north_america"].append(vin)
        yield waiting[american].popleft()


def draw_card(vin, seed=1981, number=0):
    """Draw one card.

    Args:
        vin: 17 VIN characters; the check digit is the caller's business.
        seed: integer >= 0.
        number: integer >= 0; cards of another number are by another writer on other paper.

    Raises:
        ValueError: not 17 characters.
        KeyError: a character which no VIN holds.
    """
    if len(vin) != BOXES:
        raise ValueError(f"a VIN has {BOXES} characters, {vin!r} has {len(vin)}")
    writer = Writer(seed, FIRST_WRITER + number)
    rng = writer.rng
    shape = BOX_HEIGHT + 2 * MARGIN, BOXES * BOX_WIDTH + 2 * MARGIN
    light = blank_card(rng, shape)
    light *= 1 - rng.uniform(0.45, 0.75) * _printed_boxes(rng, shape)
    light *= 1 - rng.uniform(0.6, 0.85) * _handwriting(rng, shape, vin, writer)
    field = exposed(rng, light, blur=rng.uniform(0.4, 0.8), noise=rng.uniform(1, 4))
    return Card(vin, field, tuple(_cut(rng, field, box) for box in range(BOXES)))


def _printed_boxes(rng, shape):
    """The printed lines, float64 0 to 1: a comb of 17 boxes, not quite straight on the scan."""
    lines = np.zeros(shape, np.uint8)
    thickness = int(rng.integers(1, 4))
    bottom, right = MARGIN + BOX_HEIGHT, MARGIN + BOXES * BOX_WIDTH
    cv2.rectangle(lines, (MARGIN, MARGIN), (right, bottom), 255, thickness)
    for x in range(MARGIN + BOX_WIDTH, right, BOX_WIDTH):
        cv2.line(lines, (x, MARGIN), (x, bottom), 255, thickness)
    middle = (shape[1] / 2, shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, rng.normal(0, 0.12), 1)
    worn = np.clip(1.1 + 0.25 * cloud(rng, shape, 3), 0, 1)
    return cv2.warpAffine(lines, turn, shape[::-1]) / 255 * worn


def _handwriting(rng, shape, vin, writer):
    """The characters, float64 0 to 1: each about the middle of its box."""
    canvas = np.zeros((shape[0] * OVERSAMPLING, shape[1] * OVERSAMPLING), np.uint8)
    capital = BOX_HEIGHT * rng.uniform(0.5, 0.72)
    pen = max(1.6, writer.pen / 24 * capital * 0.8)
    room = np.array([BOX_WIDTH, BOX_HEIGHT]) * 0.86 - pen
    for box, strokes in enumerate(writer.strokes(vin)):
        path = np.concatenate(strokes)
        low, high = path.min(axis=0), path.max(axis=0)
        scale = min(capital / 100 * np.exp(rng.normal(0, 0.06)), *(room / (high - low)))
        middle = np.array([MARGIN + (box + 0.5) * BOX_WIDTH, MARGIN + BOX_HEIGHT / 2])
        middle += rng.normal(0, 2, 2)
        placed = [
            ((stroke - (low + high) / 2) * scale + middle) * OVERSAMPLING for stroke in strokes
        ]
        draw_strokes(canvas, placed, np.full(len(placed), pen * OVERSAMPLING), writer)
    return cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / 255


def _cut(rng, field, box):
    """Cut out a box as a clerk's tool does: a little off, so that printed lines remain."""
    top, bottom, left, right = rng.integers(-2, 4, 4)
    x, y = MARGIN + box * BOX_WIDTH, MARGIN
    return field[y - top : y + BOX_HEIGHT + bottom, x - left : x + BOX_WIDTH + right].copy()
