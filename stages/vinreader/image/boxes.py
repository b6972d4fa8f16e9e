"""From the image of a printed box to the 28x28 image that EMNIST's authors would have made of it.

This is the single definition of what the network sees: the training images and the scans both
come through `normalise`. EMNIST was made from binary 128x128 images: blurred (sigma 1), cropped to
the ink, centred in a square with the aspect ratio kept and a 2-pixel border, and downsampled to
28x28 (Cohen et al., arXiv 1702.05373, section II). A scan differs in what comes before: paper of
uneven brightness, ink of any strength, either polarity, and the lines of the box it was cut from.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader import processes as pool
from vinreader.image.arrays import MIN_EXTENT, Flags, Grey, Stack, rectangles
from vinreader.image.ink import GREYS, even_pressure, find_ink, stretch
from vinreader.image.strokes import characters
from vinreader.spec import SIDE

WORK = 96  # longer side at which ink and lines are looked for: a stroke is 2 to 15 pixels wide
TOGETHER = 1 << 17  # pixels of the images that are worked on at once: they stay in the cache
CHANNELS = 128  # of an image that OpenCV's filters take
CANVAS = 4 * SIDE  # the character is drawn at this size, near EMNIST's 128, and then reduced
EXTENT = 23.6 / 28  # EMNIST's longer side between half-ink contours: median 23.6 of 28 pixels
MARGIN = 2  # pixels of soft edge around a character
BLOT = 0.49  # share of full ink in the 28x28 image; EMNIST's fullest of 8,000 has 0.48

# Steepens the edge of a stroke at the size of the canvas: half-ink stays where it was.
EDGE = ((GREYS - 127.5) * 2 + 127.5).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Box:
    """What was found in a box.

    Attributes:
        pixels: uint8 (28, 28), white ink on black as in EMNIST; all zero when blank.
        blank: nothing was written in the box.
        message: why the content is doubtful, '' when it is not: 'no ink', 'blot', 'ink left out'
            (beside the character, and it may be part of it).
    """

    pixels: Grey
    blank: bool
    message: str


def normalise(grey: Grey) -> Box:
    """`normalise_all` of one image."""
    return normalise_all([grey])[0]


def normalise_all(images: Iterable[Grey]) -> list[Box]:
    """Bring images of boxes to the form of EMNIST; those of one size are worked on together.

    Args:
        images: uint8 (height, width), dark ink on light paper or the other way round.

    Raises:
        ValueError: not a two-dimensional uint8 array with pixels.
    """
    works = [reduced(image) for image in images]
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, work in enumerate(works):
        alike.setdefault(work.shape, []).append(place)
    boxes: dict[int, Box] = {}
    for (height, width), places in alike.items():
        most = max(1, min(CHANNELS, TOGETHER // (height * width)))
        for some in (places[start : start + most] for start in range(0, len(places), most)):
            _, *written = _cleaned(np.stack([works[place] for place in some]))
            boxes.update(zip(some, _fit(*written), strict=True))
    return [boxes[place] for place in range(len(works))]


def steps(grey: Grey) -> list[tuple[str, Grey]]:
    """The images `normalise` goes through, for people: (name, uint8 array) in order."""
    work = reduced(grey)
    ink, written, doubtful = _cleaned(work[None])
    return [
        ("input", work),
        ("ink", ink[0]),
        ("lines removed", written[0]),
        ("final", _fit(written, doubtful)[0].pixels),
    ]


def normalise_batch(images: NDArray[np.uint8], processes: int | None = None) -> NDArray[np.uint8]:
    """Pixels, uint8 (N, 28, 28), of the normalised images of a stack, uint8 (N, height, width).

    processes: how many to share the work, by default one a processor for many images; the result
    does not depend on it.
    """
    processes = processes or pool.suggested(len(images))
    pieces = np.array_split(images, 8 * processes)
    return np.concatenate(list(pool.in_order(_pixels, pieces, processes)))


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    boxes = normalise_all(images)
    return np.array([box.pixels for box in boxes], np.uint8).reshape(-1, SIDE, SIDE)


def reduced(grey: Grey) -> Grey:
    """The image at the size at which `normalise` works: its longer side at most `WORK`. Raises: as
    that."""
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise ValueError(f"expected a uint8 (height, width) image, got {grey.dtype} {grey.shape}")
    longer = max(grey.shape)
    if longer <= WORK:
        return grey
    height, width = (max(1, round(side * WORK / longer)) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def _cleaned(works: Stack) -> tuple[Stack, Stack, Flags]:
    """Ink in full strength; what of it is the character, its pressure even; and whether more of it
    may be."""
    raw = find_ink(works)
    ink = stretch(raw)
    written, doubtful = characters(ink, raw)
    return ink, even_pressure(written), doubtful


def _fit(inks: Stack, doubtful: Flags) -> list[Box]:
    """The characters in the size, the place and the softness of EMNIST; `doubtful`: some of their
    ink may be left out."""
    canvas = np.zeros((len(inks), CANVAS, CANVAS), np.uint8)
    around = np.stack(rectangles(inks > 127), 1).tolist()
    blank = []
    for ink, page, (x, y, right, bottom) in zip(inks, canvas, around, strict=True):
        width, height = right - x, bottom - y
        blank.append(max(width, height) <= MIN_EXTENT * min(ink.shape))
        if blank[-1]:
            continue
        # Cut out with the soft edge of its strokes; the rest of the canvas stays paper.
        left, top = max(x - MARGIN, 0), max(y - MARGIN, 0)
        cut = ink[top : bottom + MARGIN, left : right + MARGIN]
        scale = CANVAS * EXTENT / max(width, height)
        place = [
            (CANVAS / 2 + scale * (start - middle), CANVAS / 2 + scale * (start + side - middle))
            for start, side, middle in (
                (top, cut.shape[0], y + height / 2),
                (left, cut.shape[1], x + width / 2),
            )
        ]
        (top, bottom), (left, right) = ((max(round(a), 0), min(round(b), CANVAS)) for a, b in place)
        cut = cv2.resize(cut, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        # EMNIST's strokes were binary at this size: level them, whatever the pen's pressure was.
        page[top:bottom, left:right] = cv2.LUT(cut, EDGE)
    size = SIDE, SIDE * len(inks)
    pixels = cv2.resize(canvas.reshape(-1, CANVAS), size, interpolation=cv2.INTER_AREA)
    pixels = pixels.reshape(-1, SIDE, SIDE)
    full = pixels.mean((1, 2)) > 255 * BLOT
    messages = np.select([blank, full, doubtful], ["no ink", "blot", "ink left out"], "").tolist()
    return [Box(*box) for box in zip(pixels, blank, messages, strict=True)]
