"""What a file is, by its first bytes and never by its name, and whether it can be read here."""

import re
from importlib.util import find_spec
from typing import NamedTuple

START = 64  # first bytes of a file that `kind_of` looks at


class Kind(NamedTuple):
    """suffixes: of file names, lower case. start: pattern of the first bytes. needs, package: the
    extra that reads it, as module and for pip. instead: what to do with one that is never read."""

    suffixes: tuple[str, ...]
    start: bytes
    needs: str = ""
    package: str = ""
    instead: str = ""


_SAVE, _UNPACK = "save it as PNG or TIFF", "unpack it"
# Those that Pillow reads stand under Pillow's name, with the suffixes that it knows; asking Pillow
# itself takes a tenth of a second, which is longer than a card takes to read.
KINDS = {
    "PNG": Kind((".png", ".apng"), rb"\x89PNG\r\n"),
    "JPEG": Kind((".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
    "BMP": Kind((".bmp", ".dib"), rb"BM.{4}\0{4}"),
    "TIFF": Kind((".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
    "WEBP": Kind((".webp",), rb"RIFF.{4}WEBP"),
    "GIF": Kind((".gif",), rb"GIF8"),
    "JPEG2000": Kind(
        (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    ),
    # A family of containers that name their codec here or, in some files, a little later.
    "AVIF": Kind((".avif", ".avifs"), rb"\0\0\0[\x10-\xff]ftyp(?:avi[fs]|m[is]f1.*avi[fs])"),
    "HEIC": Kind(
        (".heic", ".heif", ".hif"),
        rb"\0\0\0[\x10-\xff]ftyp(?:he[iv][cmsx]|m[is]f1)",
        needs="pillow_heif",
        package="pillow-heif",
    ),
    "PDF": Kind((".pdf",), rb"%PDF-", needs="pypdfium2", package="pypdfium2"),
    "ZIP": Kind((), rb"PK\x03\x04", instead=_UNPACK),
    "RAR": Kind((), rb"Rar!\x1a\x07", instead=_UNPACK),
    "7Z": Kind((), rb"7z\xbc\xaf\x27\x1c", instead=_UNPACK),
    "GZIP": Kind((), rb"\x1f\x8b\x08", instead=_UNPACK),
    "DJVU": Kind((), rb"AT&TFORM", instead=_SAVE),
    "PSD": Kind((), rb"8BPS", instead=_SAVE),
}
PILLOW = tuple(name for name, kind in KINDS.items() if not (kind.needs or kind.instead))
_STARTS = re.compile(b"|".join(b"(%b)" % kind.start for kind in KINDS.values()), re.DOTALL)


def kind_of(start: bytes) -> str:
    """The kind of file, one of `KINDS`, that begins with these bytes; "" if none is known.

    Args:
        start: at least 12 bytes, or the whole of a shorter file; `START` tell AVIF and HEIC apart
            where both are possible.
    """
    found = _STARTS.match(start[:START])
    return list(KINDS)[found.lastindex - 1] if found and found.lastindex else ""


def why_not_read(kind: str) -> str:
    """Why files of a kind of `KINDS` are not read here, and what to do; "" if they are."""
    _, _, needs, package, instead = KINDS[kind]
    if needs and find_spec(needs) is None:
        instead = f"for that: pip install {package}"
    return f"{kind}: not read; {instead}" if instead else ""


SUFFIXES = frozenset(
    suffix for name, kind in KINDS.items() if not why_not_read(name) for suffix in kind.suffixes
)
