"""Opening image files of any kind as grey pages.

Files come from scanners, phones and other people's programs: the content decides what a file is,
never its name, and whatever is wrong with it ends in `UnreadableImage` with a sentence for a clerk.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 64_000_000  # of one page: two times an A4 sheet at 600 dpi, 64 MB as grey
MAX_PAGES = 1000


class UnreadableImage(ValueError):
    """A file that cannot be read as an image; `str(error)` tells a clerk what is wrong with it."""


def open_pages(path):
    """Read an image file.

    Args:
        path: file in one of `FORMATS`, recognised by its content.

    Returns:
        One uint8 array (height, width) a page, 0 black to 255 white as scanned: rotated as its
        EXIF orientation says, transparency laid on white paper, colour and depth reduced to grey.

    Raises:
        UnreadableImage: missing, empty, damaged, not an image or larger than `MAX_PIXELS`.
    """
    try:
        if Path(path).stat().st_size == 0:
            raise UnreadableImage("the file is empty")
        with warnings.catch_warnings():
            # Pillow warns about damage it can live with (odd EXIF, bad palette bytes). The pixels
            # decide; its size limit is replaced by our own, checked before anything is decoded.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return [_grey(page) for page in _pages(image)]
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image of a known kind, or damaged at its start") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(_too_large()) from None
    except FileNotFoundError:
        raise UnreadableImage("the file does not exist") from None
    except IsADirectoryError:
        raise UnreadableImage("this is a folder, not an image") from None
    except PermissionError:
        raise UnreadableImage("no permission to read the file") from None
    except MemoryError:
        raise UnreadableImage("the image needs more memory than there is") from None
    except Exception:
        # Decoders meet damaged bytes with whatever exception comes first (struct.error, KeyError,
        # SyntaxError, OverflowError ...); to the reader of the message they all mean one thing.
        raise UnreadableImage("the image is damaged or incomplete") from None


def _too_large():
    return f"the image is larger than {MAX_PIXELS // 1_000_000} million pixels"


def _pages(image):
    for number, page in enumerate(ImageSequence.Iterator(image)):
        if number == MAX_PAGES:
            raise UnreadableImage(f"the file has more than {MAX_PAGES} pages")
        if page.width * page.height > MAX_PIXELS:
            raise UnreadableImage(_too_large())
        yield page


def _grey(page):
    """One Pillow page as uint8 (height, width)."""
    # A phone stores its pictures lying down and notes in EXIF how to turn them.
    page = ImageOps.exif_transpose(page)
    if page.mode.startswith(("I", "F")):
        return _eight_bits(np.asarray(page))
    if page.has_transparency_data:
        page = page.convert("RGBA")
        paper = Image.new("RGBA", page.size, "white")
        page = Image.alpha_composite(paper, page)
    return np.array(page.convert("L"))


def _eight_bits(deep):
    """Grey of 16 or 32 bits as uint8: the brightest 8 bits in use, so 12-bit data is not black."""
    deep = np.nan_to_num(np.asarray(deep, np.float64)).clip(min=0)
    top = deep.max(initial=0)
    full = 1.0 if 0 < top <= 1 else 2.0 ** max(8, int(top).bit_length()) - 1
    return np.rint(deep * (255 / full)).astype(np.uint8)
