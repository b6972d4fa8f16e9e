"""The page on which a person checks the doubtful readings: one HTML file that needs nothing else.

The page itself comes from `template.py`; here the cards, as JSON, are put into it. The station
serves the same page without cards, which it asks for one by one.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Self

import cv2
import numpy as np

from vinreader.files import replacing
from vinreader.spec import CHARACTERS
from vinreader.tables import PAGE, VinRow
from vinreader.template import PICTURE, Entry, json_text, settings, template

BOX_PIXELS = 96  # longest side of a box image on the page
ALTERNATIVES = 4  # of a box, on the page
PART = 16  # cards of one script element: as many as the browser turns into text at once
IN_MEMORY = 8 << 20  # bytes of a page in the making that need no file
UNMARKED = 0.005  # chance that a box which is not marked is wrong, of a whole card at most


@dataclass(frozen=True, slots=True)
class ReviewCard:
    """A card (or a single loose box) as a person shall see it; doubtful unless its row is `ok`.

    boxes: `picture` of each, any number; "" for one that cannot be opened. reading: one character
    a box, - for none. confidences: of each, 0 to 1. alternatives: for each box (character,
    probability), best first. row: of vins.csv. problems: boxes, from 0, of which something is
    wrong besides what was read, as with a blot.
    """

    boxes: Sequence[str]
    reading: str
    confidences: Sequence[float]
    alternatives: Sequence[Sequence[tuple[str, float]]]
    row: VinRow
    problems: Collection[int] = ()


class Review:
    """The page in the making: cards are added one by one and kept on disk, however many.

    A context manager; nothing is written before `write`.
    """

    name = PAGE  # of the file

    def __init__(self) -> None:
        self.count = 0
        # By whether they are doubtful: the cards' lines, and their places.
        self._parts = {
            kind: SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed with this object)
            for kind in (True, False)
        }
        self._order: dict[bool, list[int]] = {True: [], False: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for part in self._parts.values():
            part.close()

    def add(self, entry: Entry) -> None:
        """Add the `Entry` of the next card in vins.csv."""
        self._parts[entry.doubtful].write(f"{entry.json}}}\n".encode())
        self._order[entry.doubtful].append(self.count)
        self.count += 1

    def write(
        self, path: Path, notes: Mapping[int, str] | None = None, blind: Collection[int] = ()
    ) -> None:
        """Write the page: the doubtful cards, those of `blind`, and the others, each kind in the
        order they were added.

        `notes` are added to messages, by the cards' places in vins.csv; the cards at the places
        `blind` are shown without what was read.

        The file is complete or not there at all. The same cards give the same bytes.
        Raises: OSError if the file cannot be written.
        """
        digest = hashlib.sha256()
        for line in self._lines(blind):
            digest.update(line)
        hidden = [place for place in self._order[False] if place in blind]
        shown = [place for place in self._order[False] if place not in blind]
        values = settings(digest.hexdigest()[:24], notes or {}) | {
            "cards": self.count,
            "doubtful": len(self._order[True]) + len(hidden),
            "order": self._order[True] + hidden + shown,
            "blind": sorted(blind),
            "part": PART,
        }
        head, between, tail = template(values)
        lines = self._lines(blind)
        parts = (_part(number, islice(lines, PART)) for number in range(-(-self.count // PART)))
        with replacing(path) as temporary, temporary.open("wb") as file:
            # The script runs as soon as the first cards are there; the browser reads on meanwhile.
            file.writelines(chain((head, next(parts, b""), between), parts, (tail,)))

    def _lines(self, blind: Collection[int]) -> Iterator[bytes]:
        yield from _lines(self._parts[True])
        for wanted in (True, False):
            for place, line in zip(self._order[False], _lines(self._parts[False]), strict=True):
                if (place in blind) is wanted:
                    yield line


def entry(card: ReviewCard) -> Entry:
    """A card as the page holds it.

    Raises: ValueError if a card's boxes, reading, confidences and alternatives differ in number.
    """
    name = card.row.card
    count = len(card.boxes)
    if not count == len(card.reading) == len(card.confidences) == len(card.alternatives):
        raise ValueError(f"card {name!r}: boxes, reading, confidences and alternatives differ")
    doubtful = card.row.status != "ok"
    shown = {
        "name": name,
        "reading": card.reading,
        "confidences": [round(float(confidence), 4) for confidence in card.confidences],
        "alternatives": [
            [[c, round(float(p), 4)] for c, p in box[:ALTERNATIVES]] for box in card.alternatives
        ],
        "row": card.row._asdict(),
        "doubtful": doubtful,
        "marked": marked(card),
        "boxes": card.boxes,
    }
    return Entry(doubtful, json_text(shown)[:-1])


def marked(card: ReviewCard) -> list[int]:
    """The boxes that a person has to look at, from 0: those with a problem, and the fewest beside
    which all others are right with a probability of 1 - `UNMARKED` (by the union bound). A
    doubtful card has at least one."""
    wrong = [
        1 - dict(likely).get(character, 0.0)
        for character, likely in zip(card.reading, card.alternatives, strict=True)
    ]
    left, chance = sorted(range(len(wrong)), key=lambda box: (wrong[box], -box)), 0.0
    least = card.row.status != "ok"
    while len(left) > least and (chance := chance + wrong[left[0]]) <= UNMARKED:
        left.pop(0)
    return sorted({*left, *card.problems})


def likeliest(probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The few most probable characters of a box as `ReviewCard.alternatives` has them."""
    order = np.argsort(-probabilities, kind="stable")[:ALTERNATIVES]
    return tuple((CHARACTERS[index], float(probabilities[index])) for index in order)


def _lines(file: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from file


def _part(number: int, lines: Iterable[bytes]) -> bytes:
    content = b"".join(lines).rstrip(b"\n")
    return b'<script type="application/jsonl" id="cards-%d">%b</script>\n' % (number, content)


def picture(box: np.ndarray) -> str:
    """A grey uint8 (height, width) image of a box as a small PNG in a data: URI."""
    if not box.size:
        box = np.full((1, 1), 255, np.uint8)
    scale = BOX_PIXELS / max(box.shape)
    if scale < 1:
        size = [max(round(pixels * scale), 1) for pixels in box.shape[::-1]]
        box = cv2.resize(box, size, interpolation=cv2.INTER_AREA)
    ok, png = cv2.imencode(".png", box, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise ValueError(f"a box image of shape {box.shape} cannot be written as PNG")
    return PICTURE + base64.b64encode(png.tobytes()).decode()
