"""Opening image files of any kind as grey pages.

Files come from scanners, phones and other people's programs: the content decides what a file is,
never its name, and whatever is wrong with it ends in `UnreadableImage` with a sentence for a clerk.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, ImageSequence, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 64_000_000  # of one page: two times an A4 sheet at 600 dpi, 64 MB as grey
MAX_PIXELS_OF_FILE = 2 * MAX_PIXELS
MAX_PAGES = 1000
DAMAGED = "the image is damaged or incomplete"

# Where Pillow finds EXIF notes in a PNG; looking for them takes as long as decoding a small one.
_NOTES = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
ROWS = 256  # of a deep image that are made grey at a time: as floats they take 8 bytes a pixel


class UnreadableImage(ValueError):
    """A file that cannot be read as an image; `str(error)` tells a clerk what is wrong with it."""


def open_pages(path):
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
        with warnings.catch_warnings():
            # Pillow warns about damage it can live with (odd EXIF, bad palette bytes). The pixels
            # decide; its size limit is replaced by our own, checked before anything is decoded.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
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


def _is_empty(path):
    if hasattr(path, "seek"):
        return path.seek(0, os.SEEK_END) == 0
    try:
        return Path(path).stat().st_size == 0
    except OSError:  # deleted since it was opened
        return False


def _too_large(most):
    return f"the image is larger than {most // 1_000_000} million pixels"


def _pages(image):
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


def _grey(page):
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


def _eight_bits(page):
    """Grey of 16 or 32 bits as uint8: the brightest 8 bits in use, so 12-bit data is not black."""
    grey = np.empty((page.height, page.width), np.uint8)
    top = max((rows.max(initial=0) for _, rows in _deep(page)), default=0)
    full = 1.0 if 0 < top <= 1 else 2.0 ** max(8, int(top).bit_length()) - 1
    for start, rows in _deep(page):
        grey[start : start + ROWS] = np.rint(rows * (255 / full))
    return grey


def _deep(page):
    """A page's values in pieces of `ROWS` rows: (first row, float64 (rows, width), 0 and more)."""
    for start in range(0, page.height, ROWS):
        rows = page.crop((0, start, page.width, min(start + ROWS, page.height)))
        yield start, np.nan_to_num(np.asarray(rows, np.float64)).clip(min=0)
