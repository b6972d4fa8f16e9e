"""Opening image files of any kind as grey pages.

Files come from scanners, phones and other people's programs: the content decides what a file is,
never its name, and whatever is wrong with it ends in `UnreadableImage` with a sentence for a clerk.
"""

import ctypes
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, _imaging

from vinreader.image import documents, limits
from vinreader.image.kinds import PILLOW, START, kind_of, why_not_read
from vinreader.image.limits import TimedFile, UnreadableImage, decoding

__all__ = ["UnreadableImage", "open_pages", "size_seen"]

ROWS = 256  # of an image that are made grey at a time: as floats they take 8 bytes a pixel
SECONDS_TO_OPEN = 2.0  # of the processor, in which a file must tell its size

# Where Pillow finds EXIF notes in a PNG; looking for them elsewhere means decoding it.
_NOTES = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
_NOTE = re.compile(rb"eXIf|(tEXt|zTXt|iTXt)(Raw profile type exif|XML:com\.adobe\.xmp)")
# Formats of which further images are previews, depths and gains of the first.
_SINGLE = {"MPO", "HEIF"}
_NEW_SUBFILE_TYPE = 254  # TIFF: of its bits 1 is set for a reduced image, 4 for a mask
_SIDEWAYS = 5, 6, 7, 8  # orientations in which EXIF has height and width exchanged


def open_pages(path: Path | str | IO[bytes], most: int | None = None) -> list[np.ndarray]:
    """Read an image file.

    Args:
        path: file of a kind that is read (`kinds.why_not_read`), recognised by its content, or such
            a file opened for reading bytes.
        most: pixels that a page may have, by default `limits.MAX_PIXELS`.

    Returns:
        One uint8 array (height, width) a page, 0 black to 255 white as scanned: rotated as its
        EXIF orientation says, transparency laid on white paper, colour and depth reduced to grey.
        Previews, gain maps and masks are no pages.

    Raises:
        UnreadableImage: missing, empty, damaged, no image, of a kind that is not read, or one that
            costs more to decode than `limits` allow.
    """
    most = most or limits.MAX_PIXELS
    with _opened(path) as file:
        kind = _kind(file)
        if kind == "PDF":
            return documents.pdf_pages(file, most)
        file, scans = _whole(file, kind)
        with _quiet():
            image = _image(TimedFile(file, limits.SECONDS), kind)
            return [_grey(page) for page in _decoded(image, most, scans)]


def size_seen(path: Path | IO[bytes]) -> tuple[int, int]:
    """(height, width) of an image file's first page as `open_pages` gives it: turned as its EXIF
    orientation says. Nothing is decoded, but a PNG that says so only after its pixels.

    Raises:
        UnreadableImage: as `open_pages`, as far as that shows without decoding.
    """
    with _opened(path) as file:
        kind = _kind(file)
        if kind == "PDF":
            return documents.pdf_size(file)
        if kind == "PNG" and (size := _size_of_png(file)):
            return size
        with _quiet():
            page = next(_pages(_image(TimedFile(file, SECONDS_TO_OPEN), kind)))
            if kind == "PNG" and _NOTES.isdisjoint(page.info):  # they follow the pixels
                limits.check_page(page, limits.MAX_PIXELS)
                with decoding():
                    page.load()
            with decoding():
                # Pillow itself turns the size of a TIFF that has the tag.
                turned = ExifTags.Base.Orientation in getattr(page, "tag_v2", {})
                if _orientation(page) in _SIDEWAYS and not turned:
                    return page.width, page.height
        return page.height, page.width


@contextmanager
def _opened(path: Any) -> Iterator[IO[bytes]]:
    """A file for reading; one that is open already stays so. What the disk, the network and the
    memory raise becomes `UnreadableImage`."""
    try:
        opened: AbstractContextManager[IO[bytes]]
        if hasattr(path, "read"):
            opened = nullcontext(path)
        elif isinstance(path, (str, os.PathLike)):
            opened = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
        else:  # of a file system of fsspec's
            opened = path.open("rb")
        with opened as file:
            yield file
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage("the file does not exist") from None
    except IsADirectoryError:
        raise UnreadableImage("this is a folder, not an image") from None
    except PermissionError:
        raise UnreadableImage("no permission to read the file") from None
    except MemoryError:
        raise UnreadableImage("the image needs more memory than there is") from None
    except OSError as error:
        raise UnreadableImage(f"the file cannot be read: {error.strerror or error}") from None


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file; a pipe that took its place is empty, and not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _quiet() -> AbstractContextManager[Any]:
    """Pillow warns about damage it can live with, and about sizes, for which we have limits."""
    return warnings.catch_warnings(action="ignore")


def _kind(file: IO[bytes]) -> str:
    """The kind of a file, "" if it is none that is known.

    Raises:
        UnreadableImage: empty, or a kind that is known and not read.
    """
    file.seek(0)
    start = file.read(START)
    if not start:
        raise UnreadableImage("the file is empty")
    kind = kind_of(start)
    if kind and (reason := why_not_read(kind)):
        raise UnreadableImage(reason)
    return kind


def _whole(file: IO[bytes], kind: str) -> tuple[IO[bytes], int]:
    """A file whose decoder reads all of it, once it is known not to be too long; scans of a JPEG,
    else 1."""
    if kind not in ("JPEG", "WEBP", "AVIF", "HEIC"):
        return file, 1
    content = limits.content_of(file)
    return io.BytesIO(content), limits.scans_of(content) if kind == "JPEG" else 1


def _image(file: Any, kind: str) -> Image.Image:
    """The file as an image of Pillow's, not decoded yet.

    It is opened as a file, never by its name: by name Pillow maps uncompressed TIFF into memory,
    and takes one that is to be turned for as wide as it is seen.
    """
    formats = list(PILLOW)
    if kind == "HEIC":
        documents.register_heic()
        formats = ["HEIF"]
    elif kind == "TIFF":
        _silence_libtiff()
    with decoding():
        return Image.open(file, formats=formats)


@cache
def _silence_libtiff() -> None:
    """Else it writes on standard error what it thinks of damaged files, and Pillow does for want of
    a handler."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(AttributeError, OSError):  # where libtiff is a hidden part of Pillow's library
        library = ctypes.CDLL(_imaging.__file__)
        for handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


def _pages(image: Image.Image) -> Iterator[Image.Image]:
    """The image at each of its pages in turn; at the first image of all if none is a page."""
    # Most files hold one page, for which seeking takes longer than decoding it.
    with decoding():
        single = image.format in _SINGLE or not getattr(image, "is_animated", False)
    if single:
        yield image
        return
    found = False
    for number in range(limits.MAX_PAGES + 1):
        with decoding():
            try:
                image.seek(number)
            except EOFError:
                break
            is_page = not getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE, 0) & (1 | 4)
        if is_page:
            found = True
            yield image
    if not found:
        with decoding():
            image.seek(0)
        yield image


def _decoded(image: Image.Image, most: int, scans: int) -> Iterator[Image.Image]:
    """The pages with their pixels, as they are seen."""
    pixels = 0
    for number, page in enumerate(_pages(image), start=1):
        limits.check_page(page, most, scans)
        pixels += page.width * page.height
        limits.check_file(number, pixels)
        with decoding():
            page.load()  # notes may follow the pixels
            # A phone stores its pictures lying down and notes in EXIF how to turn them.
            turned = _orientation(page) != 1
            seen = ImageOps.exif_transpose(page) if turned else page  # which would copy it
        yield seen


def _orientation(page: Image.Image) -> int:
    """EXIF's, 1 to 8. Pillow decodes a PNG to look for it, unless it stands before the pixels."""
    if page.format == "PNG" and _NOTES.isdisjoint(page.info):
        return 1
    return int(page.getexif().get(ExifTags.Base.Orientation, 1))


def _size_of_png(file: IO[bytes]) -> tuple[int, int] | None:
    """(height, width) of a PNG without notes how to turn it; Pillow takes ten times as long."""
    file.seek(16)
    width, height = int.from_bytes(file.read(4)), int.from_bytes(file.read(4))
    file.seek(8)
    while len(chunk := file.read(32)) >= 12:  # length, kind, and how its content begins
        if _NOTE.match(chunk, 4):
            return None
        file.seek(int.from_bytes(chunk[:4]) + 12 - len(chunk), os.SEEK_CUR)
    return height, width


def _grey(page: Image.Image) -> np.ndarray:
    """One Pillow page as uint8 (height, width)."""
    if page.mode.startswith(("I", "F")):
        return _eight_bits(page)
    if page.mode == "L" and not page.has_transparency_data:
        return np.array(page)
    return _filled(page, lambda rows: np.asarray(_grey_band(rows)))


def _grey_band(page: Image.Image) -> Image.Image:
    """A page of any mode but deep grey, as one of mode L."""
    with decoding():  # palettes may be damaged
        if page.mode == "LAB":
            return page.getchannel("L")
        if page.mode == "La":  # which Pillow turns into nothing but this
            page = page.convert("LA")
        if not page.has_transparency_data:
            return page.convert("L")
        page = page.convert("RGBA")
        paper = Image.new("L", page.size, "white")
        paper.paste(page.convert("L"), mask=page.getchannel("A"))
        return paper


def _eight_bits(page: Image.Image) -> np.ndarray:
    """Grey of 16 or 32 bits as uint8: the brightest 8 bits in use, so 12-bit data is not black."""

    def values(rows: Image.Image) -> np.ndarray:
        return np.nan_to_num(np.asarray(rows, np.float64)).clip(0, 2.0**32 - 1)

    top = max((values(rows).max(initial=0) for _, rows in _bands(page)), default=0)
    full = 1.0 if 0 < top <= 1 else 2.0 ** max(8, int(top).bit_length()) - 1
    return _filled(page, lambda rows: np.rint(values(rows) * (255 / full)))


def _filled(page: Image.Image, grey: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """uint8 (height, width): what `grey` makes of each band of a page."""
    filled = np.empty((page.height, page.width), np.uint8)
    for rows, band in _bands(page):
        filled[rows] = grey(band)
    return filled


def _bands(page: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """A page in pieces of `ROWS` rows: which rows, and the piece."""
    for start in range(0, page.height, ROWS):
        stop = min(start + ROWS, page.height)
        yield slice(start, stop), page.crop((0, start, page.width, stop))
