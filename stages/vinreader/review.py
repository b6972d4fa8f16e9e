"""The page on which a person checks the doubtful readings: one HTML file that needs nothing else.

The page itself is `review.html`; here the cards are put into it as JSON. Nothing from a card
becomes markup: the JSON cannot end its script element, and the page only sets text.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from vinreader import vin
from vinreader.alphabet import CHARACTERS
from vinreader.files import write_text

COLUMNS = (
    "card",
    "vin",
    "raw",
    "confidence",
    "check_digit",
    "status",
    "region",
    "manufacturer",
    "model_year",
    "message",
)
BOX_PIXELS = 64  # longest side of a box image on the page
ALTERNATIVES = 4  # of a box, on the page
DOUBTFUL_BOX = 0.95  # confidence under which a box is marked


@dataclass(frozen=True)
class ReviewCard:
    """A card (or a single loose box) as a person shall see it.

    name: what it is called in vins.csv. boxes: grey uint8 images, any number.
    reading: one character a box. confidences: of each, 0 to 1. alternatives: for each box
    (character, probability), best first. row: its vins.csv columns (`COLUMNS`) by name.
    doubtful: whether a person has to look at it.
    """

    name: str
    boxes: list[np.ndarray]
    reading: str
    confidences: list[float]
    alternatives: list[list[tuple[str, float]]]
    row: Mapping[str, object]
    doubtful: bool


def write_review(path, cards):
    """Write the page for `ReviewCard`s, the doubtful ones first, each kind in the given order.

    The file is complete or not there at all. The same cards give the same bytes.
    Raises: ValueError if a card's boxes, reading, confidences and alternatives differ in number;
    OSError if the file cannot be written.
    """
    shown = [_shown(card) | {"order": order} for order, card in enumerate(cards)]
    shown.sort(key=lambda card: not card["doubtful"])
    content = _json(shown)
    data = {
        "key": hashlib.sha256(content.encode()).hexdigest()[:24],
        "columns": COLUMNS,
        "characters": CHARACTERS,
        "values": vin.VALUES,
        "weights": vin.WEIGHTS,
        "required": vin.CHECK_DIGIT_REQUIRED,
        "years": vin.MODEL_YEARS,
        "yearMakers": vin.MODEL_YEAR_MAKERS,
        "makers": vin.makers(),
        "regions": vin.regions(),
        "doubtfulBox": DOUBTFUL_BOX,
    }
    page = resources.files("vinreader").joinpath("review.html").read_text("utf-8")
    head, tail = page.split("{{cards}}")  # only the template is searched, never a card's text
    write_text(Path(path), head.replace("{{settings}}", _json(data)) + content + tail)


def _shown(card):
    count = len(card.boxes)
    if not count == len(card.reading) == len(card.confidences) == len(card.alternatives):
        raise ValueError(f"card {card.name!r}: boxes, reading, confidences and alternatives differ")
    return {
        "name": card.name,
        "boxes": [_data_uri(box) for box in card.boxes],
        "reading": card.reading,
        "confidences": [round(float(confidence), 4) for confidence in card.confidences],
        "alternatives": [
            [[c, round(float(p), 4)] for c, p in box[:ALTERNATIVES]] for box in card.alternatives
        ],
        "row": {"card": card.name, "vin": card.reading}
        | {column: str(card.row[column]) for column in COLUMNS if column in card.row},
        "doubtful": bool(card.doubtful),
    }


def _data_uri(box):
    if not box.size:
        box = np.full((1, 1), 255, np.uint8)
    scale = BOX_PIXELS / max(box.shape)
    if scale < 1:
        size = [max(round(side * scale), 1) for side in box.shape[::-1]]
        box = cv2.resize(box, size, interpolation=cv2.INTER_AREA)
    ok, png = cv2.imencode(".png", box, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise ValueError(f"a box image of shape {box.shape} cannot be written as PNG")
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()


def _json(content):
    """JSON that may stand in a script element: no <, and so no </script> and no comment."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c")
