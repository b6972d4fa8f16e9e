"""Pages of a PDF as grey images, and HEIC as a format of Pillow's: with the extra `documents`."""

import math
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import islice
from typing import IO, Any

import numpy as np

from vinreader.image import limits
from vinreader.image.limits import UnreadableImage, decoding

DPI = 300  # at which a page is drawn that is no scan
MAX_DPI = 600
IMAGES = 100  # of a page that are looked at
LARGE = 0.25  # of the page: an image that is smaller is not its scan
POINTS = 72  # an inch


@cache
def register_heic() -> None:
    """Let Pillow open HEIC: the picture itself, without thumbnails and depths."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def pdf_size(file: IO[bytes]) -> tuple[int, int]:
    """(height, width) of the first page as `pdf_pages` draws it. Raises: as that."""
    for page in _pages(file):
        return _scale_and_size(page)[1]
    raise UnreadableImage(limits.DAMAGED)


def pdf_pages(file: IO[bytes], most: int) -> list[np.ndarray]:
    """The pages of a PDF, each drawn at the resolution of its scan.

    Args:
        file: opened for reading bytes.
        most: pixels of a page.

    Returns:
        One uint8 array (height, width) a page, 0 black to 255 white.

    Raises:
        UnreadableImage: damaged, protected, or larger than the limits.
    """
    drawn: list[np.ndarray] = []
    pixels = 0
    for page in _pages(file):
        scale, (height, width) = _scale_and_size(page)
        if height * width > most:
            raise UnreadableImage(limits.too_large(most))
        pixels += height * width
        limits.check_file(len(drawn) + 1, pixels)
        with decoding(), closing(page.render(scale=scale, grayscale=True)) as bitmap:
            drawn.append(bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy())
    return drawn


def _pages(file: IO[bytes]) -> Iterator[Any]:
    import pypdfium2

    content = limits.content_of(file)
    with decoding():
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
                raise UnreadableImage("the PDF is protected by a password") from None
            raise
    with closing(document):
        for number in range(len(document)):
            with decoding():
                page = document[number]
            with closing(page):
                yield page


def _scale_and_size(page: Any) -> tuple[float, tuple[int, int]]:
    """Pixels a point: those of the finest large image on a page, which is its scan; and
    (height, width) in such pixels."""
    import pypdfium2

    finest = 0.0
    with decoding():
        width, height = page.get_size()
        images = page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
        for image in islice(images, IMAGES):
            left, bottom, right, top = image.get_bounds()
            across, down = image.get_px_size()
            if (right - left) * (top - bottom) >= LARGE * width * height:
                # A scan may lie sideways in its page.
                finest = max(finest, max(across, down) / max(right - left, top - bottom))
    scale = min(finest or DPI / POINTS, MAX_DPI / POINTS)
    return scale, (math.ceil(height * scale), math.ceil(width * scale))
