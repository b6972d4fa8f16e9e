"""What decoding may cost: a file is refused before it takes more time or memory than that."""

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 64_000_000  # of one page: two times an A4 sheet at 600 dpi, 64 MB as grey
MAX_PIXELS_OF_FILE = 2 * MAX_PIXELS
MAX_PIXELS_OF_BOX = MAX_PIXELS // 4  # of a box with 16 others in memory: as a phone takes pictures
MAX_SIDE = 65_500  # pixels, as of JPEG; for every row Pillow holds two pointers
MAX_PAGES = 1000
MAX_BYTES = 1 << 28  # of a file that its decoder reads as a whole
MAX_PASSES = 5 * MAX_PIXELS  # pixels times scans of a JPEG, which has 10 as a rule if several
SECONDS = 20.0  # of the processor, for a file; the largest sound ones take a quarter of it
# How many times as much memory a pixel takes while it is decoded as with the other decoders.
COSTS = {"WEBP": 3, "AVIF": 2, "HEIF": 2, "JPEG2000": 4}
RUN_LENGTH_COST = 128  # of BMP: Pillow decodes it in Python, 4 microseconds a pixel
FILLING = 1 << 16  # bytes that mean nothing, one after the other, in a JPEG

DAMAGED = "the image is damaged or incomplete"
UNKNOWN = "not an image of a known kind, or damaged at its start"

# A JPEG's markers; not the zeros that follow an 0xFF of its data, nor its restarts, nor filling.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


class UnreadableImage(ValueError):
    """A file that cannot be read as an image; `str(error)` tells a clerk what is wrong with it."""


@contextmanager
def decoding() -> Iterator[None]:
    """Around a decoder's work on a file's bytes, and nothing else: damage raises any exception.
    All become `UnreadableImage`, but those of the disk, the network and the memory."""
    try:
        yield
    except (UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(UNKNOWN) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(too_large(MAX_PIXELS)) from None
    except Exception as error:
        # An invalid argument is a place in the file that damage points to.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UnreadableImage(DAMAGED) from None


class TimedFile:
    """A file opened for reading bytes that can be read for `seconds` of the processor: decoders
    ask for one piece after the other. After that, reading raises `UnreadableImage`."""

    def __init__(self, file: IO[bytes], seconds: float):
        self._file = file
        self._end = time.thread_time() + seconds

    def read(self, size: int = -1) -> bytes:
        if time.thread_time() > self._end:
            raise UnreadableImage("decoding the image takes too long")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def too_large(most: int) -> str:
    return f"the image is larger than {most / 1e6:.3g} million pixels"


def content_of(file: IO[bytes]) -> bytes:
    """All of a file. Raises UnreadableImage if it is longer than `MAX_BYTES`."""
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise UnreadableImage(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
    file.seek(0)
    return file.read()


def check_file(pages: int, pixels: float) -> None:
    """Raises UnreadableImage for a file with so many pages, or so many pixels on all of them."""
    if pages > MAX_PAGES:
        raise UnreadableImage(f"the file has more than {MAX_PAGES} pages")
    if pixels > MAX_PIXELS_OF_FILE:
        raise UnreadableImage(
            f"the pages are together larger than {MAX_PIXELS_OF_FILE // 1_000_000} million pixels"
        )


def check_page(page: Image.Image, most: int, scans: int = 1) -> None:
    """Raises UnreadableImage for an image, not decoded yet, that would cost too much.

    Args:
        most: pixels it may have.
        scans: passes that its decoder makes over it; more than 1 take twice the memory.
    """
    cost = 2 if scans > 1 else COSTS.get(page.format or "", 1)
    if page.format == "BMP" and page.info.get("compression") in (1, 2):
        cost = RUN_LENGTH_COST
    pixels, most = page.width * page.height, min(most, MAX_PIXELS // cost)
    if pixels > most:
        raise UnreadableImage(too_large(most))
    if max(page.size) > MAX_SIDE:
        raise UnreadableImage(f"the image is more than {MAX_SIDE:,} pixels long")
    if pixels * scans > MAX_PASSES:
        raise UnreadableImage(f"the image is stored in {scans:,} scans, too many for its size")
    if page.format == "TIFF":
        with decoding():
            tags = page.tag_v2  # type: ignore[attr-defined]
            tile = tags.get(322, 0) * tags.get(323, 0)  # TileWidth, TileLength
            if tile > max(4 * pixels, 1 << 20):
                raise UnreadableImage(DAMAGED)


def scans_of(jpeg: bytes) -> int:
    """How many scans a JPEG is stored in: passes over all of its pixels.

    Raises:
        UnreadableImage: much of it means nothing, which decoders search for long.
    """
    filled = b"\xff" * FILLING in jpeg
    scans, place = 0, 2
    while not filled and (found := _MARKER.search(jpeg, place)):
        if found[1][0] == _END_OF_IMAGE:
            break
        filled = not scans and found.start() - place > FILLING
        scans += found[1][0] == _START_OF_SCAN
        place = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2])
    if filled:
        raise UnreadableImage(DAMAGED)
    return max(scans, 1)
