"""Opening image files of any kind as grey pages.

Files come from scanners, phones and other people's programs: the content decides what a file is,
never its name, and whatever is wrong with it ends in `UnreadableImage` with a sentence for a clerk.
"""

import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError


class Format(NamedTuple):
    """suffixes: of its files' names, in lower case. beginning: pattern of their first 12 bytes."""

    suffixes: tuple[str, ...]
    beginning: bytes


# By Pillow's name. Pillow itself knows the suffixes after a tenth of a second, which is longer
# than a card takes to read.
FORMATS = {
    "PNG": Format((".png", ".apng"), rb"\x89PNG\r\n"),
    "JPEG": Format((".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
    "BMP": Format((".bmp", ".dib"), rb"BM.{4}\0{4}"),
    "TIFF": Format((".tif", ".tiff"), rb"II\*\0|MM\0\*"),
    "WEBP": Format((".webp",), rb"RIFF.{4}WEBP"),
    "GIF": Format((".gif",), rb"GIF8"),
}
SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
_BEGINNINGS = re.compile(b"|".join(kind.beginning for kind in FORMATS.values()), re.DOTALL)
MAX_PIXELS = 64_000_000  # of one page: two times an A4 sheet at 600 dpi, 64 MB as grey
MAX_PIXELS_OF_FILE = 2 * MAX_PIXELS
MAX_PAGES = 1000
DAMAGED = "the image is damaged or incomplete"

# Where Pillow finds EXIF notes in a PNG; looking for them takes as long as decoding a small one.
_NOTES = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
# How a grey PNG of 8 bits begins; its largest that is worth a way of its own, in pixels and bytes.
_GREY_PNG = re.compile(
    rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR(?P<width>.{4})(?P<height>.{4})\x08\0{4}", re.DOTALL
)
_END = b"\0\0\0\0IEND\xaeB`\x82"
SMALL = 1 << 20
ROWS = 256  # of a deep image that are made grey at a time: as floats they take 8 bytes a pixel


class UnreadableImage(ValueError):
    """A file that cannot be read as an image; `str(error)` tells a clerk what is wrong with it."""


def begins_as_image(start: bytes) -> bool:
    """Whether a file whose first 12 bytes these are is of one of `FORMATS`."""
    return _BEGINNINGS.match(start) is not None


def open_pages(path: Path | IO[bytes]) -> list[np.ndarray]:
    """Read an image file.

    Args:
        path: file in one of `FORMATS`, recognised by its content, or such a file opened for
            reading bytes.

    Returns:
        One uint8 array (height, width) a page, 0 black to 255 white as scanned: rotated as its
        EXIF orientation says, transparency laid on white paper, colour and depth reduced to grey.

    Raises:
        UnreadableImage: missing, empty, damaged, not an image or larger than `MAX_PIXELS`.
    """
    try:
        plain = _plain_png(path)
        if plain is not None:
            return [plain]
        with warnings.catch_warnings():
            # Pillow warns about damage it can live with (odd EXIF, bad palette bytes). The pixels
            # decide; its size limit is replaced by our own, checked before anything is decoded.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=list(FORMATS)) as image:
                return [_grey(page) for page in _pages(image)]
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(
            "the file is empty"
            if _is_empty(path)
            else "not an image of a known kind, or damaged at its start"
        ) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(_too_large(MAX_PIXELS)) from None
    except FileNotFoundError:
        raise UnreadableImage("the file does not exist") from None
    except IsADirectoryError:
        raise UnreadableImage("this is a folder, not an image") from None
    except PermissionError:
        raise UnreadableImage("no permission to read the file") from None
    except MemoryError:
        raise UnreadableImage("the image needs more memory than there is") from None
    except OSError as error:  # of the disk or the network if it has a number, else of a decoder
        why = f"the file cannot be read: {error.strerror}" if error.errno else DAMAGED
        raise UnreadableImage(why) from None
    except Exception:
        # Decoders meet damaged bytes with whatever exception comes first (struct.error, KeyError,
        # SyntaxError, OverflowError ...); to the reader of the message they all mean one thing.
        raise UnreadableImage(DAMAGED) from None


def _plain_png(path: Path | IO[bytes]) -> np.ndarray | None:
    """The page of a small PNG that is grey, whole and sound, as nearly all boxes are; None of any
    other file. OpenCV takes a quarter of the time in which Pillow opens it, but it also takes
    damaged files for whole ones: everything is checked before."""
    with _opened(path) as file:
        content = file.read(33)
        found = _GREY_PNG.match(content)
        content += file.read(SMALL) if found else b""
        file.seek(0)
    if not found:
        return None
    width, height = (int.from_bytes(found[side]) for side in ("width", "height"))
    if not 0 < width * height <= SMALL:
        return None
    data, place = [], 8
    while content[place:] != _END:  # chunks: length and kind, data, checksum
        end = place + 12 + int.from_bytes(content[place : place + 4])
        begin, checksum = content[place : place + 8], int.from_bytes(content[end - 4 : end])
        if end > len(content) or zlib.crc32(content[place + 4 : end - 4]) != checksum:
            return None
        if begin[4:] == b"IDAT":
            data.append(content[place + 8 : end - 4])
        elif place > 8 and (data or begin != b"\0\0\0\x09pHYs"):  # dots per inch may be noted
            return None
        place = end
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(b"".join(data), height * (width + 1) + 1)
    except zlib.error:
        return None
    whole = inflate.eof and not inflate.unused_data and len(rows) == height * (width + 1)
    if not whole or max(rows[:: width + 1]) > 4:  # the kinds of rows there are
        return None
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def _opened(path: Any) -> AbstractContextManager[IO[bytes]]:
    """A file for reading; one that is open already stays so. A path may be a text, or any other
    kind that `Path` takes."""
    return nullcontext(path) if hasattr(path, "read") else Path(path).open("rb")


def _is_empty(path: Path | IO[bytes]) -> bool:
    if hasattr(path, "seek"):
        return path.seek(0, os.SEEK_END) == 0
    try:
        return Path(path).stat().st_size == 0
    except OSError:  # deleted since it was opened
        return False


def _too_large(most: int) -> str:
    return f"the image is larger than {most // 1_000_000} million pixels"


def _pages(image: Image.Image) -> Iterator[Image.Image]:
    pixels = 0
    # Most files hold one page, for which the iterator's seeking takes longer than decoding it.
    pages = ImageSequence.Iterator(image) if getattr(image, "is_animated", False) else [image]
    for number, page in enumerate(pages):
        if number == MAX_PAGES:
            raise UnreadableImage(f"the file has more than {MAX_PAGES} pages")
        # The decoder of WebP takes 16 bytes a pixel, the others at most 8.
        most = MAX_PIXELS // 2 if page.format == "WEBP" else MAX_PIXELS
        if page.width * page.height > most:
            raise UnreadableImage(_too_large(most))
        pixels += page.width * page.height
        if pixels > MAX_PIXELS_OF_FILE:
            raise UnreadableImage(
                f"the pages are together larger than {MAX_PIXELS_OF_FILE // 1_000_000} million "
                "pixels"
            )
        yield page


def _grey(page: Image.Image) -> np.ndarray:
    """One Pillow page as uint8 (height, width)."""
    page.load()  # notes may follow the pixels
    # A phone stores its pictures lying down and notes in EXIF how to turn them.
    noted = page.format != "PNG" or not _NOTES.isdisjoint(page.info)
    if noted and page.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied
        page = ImageOps.exif_transpose(page)
    if page.mode.startswith(("I", "F")):
        return _eight_bits(page)
    if page.has_transparency_data:
        page = page.convert("RGBA")
        paper = Image.new("L", page.size, "white")
        paper.paste(page.convert("L"), mask=page.getchannel("A"))
        page = paper
    return np.array(page if page.mode == "L" else page.convert("L"))


def _eight_bits(page: Image.Image) -> np.ndarray:
    """Grey of 16 or 32 bits as uint8: the brightest 8 bits in use, so 12-bit data is not black."""
    grey = np.empty((page.height, page.width), np.uint8)
    top = max((rows.max(initial=0) for _, rows in _deep(page)), default=0)
    full = 1.0 if 0 < top <= 1 else 2.0 ** max(8, int(top).bit_length()) - 1
    for start, rows in _deep(page):
        grey[start : start + ROWS] = np.rint(rows * (255 / full))
    return grey


def _deep(page: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """A page's values in pieces of `ROWS` rows: (first row, float64 (rows, width), 0 and more)."""
    for start in range(0, page.height, ROWS):
        rows = page.crop((0, start, page.width, min(start + ROWS, page.height)))
        yield start, np.nan_to_num(np.asarray(rows, np.float64)).clip(min=0)
