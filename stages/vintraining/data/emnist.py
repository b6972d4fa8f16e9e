"""EMNIST as NIST publishes it: the archive's members, their checksums, and the IDX format.

G. Cohen et al., "EMNIST: an extension of MNIST to handwritten letters" (arXiv 1702.05373).
The archive is a ZIP of gzip-compressed IDX files (http://yann.lecun.com/exdb/mnist describes IDX).
"""

import gzip
import io
import math
import struct
import zlib

import numpy as np

from vinreader.spec import UserError

SIDE = 28
DIGITS_AND_CAPITALS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The classes of each split in label order. `balanced` has no c i j k l m o p s u v w x y z:
# NIST counts those lowercase letters as their capitals.
CLASSES = {
    "balanced": DIGITS_AND_CAPITALS + "abdefghnqrt",
    "byclass": DIGITS_AND_CAPITALS + "abcdefghijklmnopqrstuvwxyz",
}
PARTS = ("train", "test")
MOST_BYTES = 1 << 30  # of an unpacked member: two times the largest one, byclass train images

# SHA-256 of the .gz members in NIST's archive.
_SUMS = """\
74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4  balanced-train-images-idx3
b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed  balanced-train-labels-idx1
117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db  balanced-test-images-idx3
a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd  balanced-test-labels-idx1
9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0  byclass-train-images-idx3
f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa  byclass-train-labels-idx1
5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd  byclass-test-images-idx3
501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a  byclass-test-labels-idx1
"""
OFFICIAL_SHA256 = {
    f"emnist-{name}-ubyte.gz": digest for digest, name in map(str.split, _SUMS.splitlines())
}


class EmnistError(UserError):
    """The data is not what NIST's layout says; the text names the file and what is wrong."""


def images_member(split: str, part: str) -> str:
    return f"emnist-{split}-{part}-images-idx3-ubyte.gz"


def labels_member(split: str, part: str) -> str:
    return f"emnist-{split}-{part}-labels-idx1-ubyte.gz"


def mapping_member(split: str) -> str:
    return f"emnist-{split}-mapping.txt"


def members(split: str) -> list[str]:
    """The four members that hold a split, in the order of NIST's archive."""
    return [name(split, part) for part in PARTS for name in (images_member, labels_member)]


def mapping_text(split: str) -> str:
    """The split's mapping file, a line `<label> <ASCII>` a class (for sources that lack it)."""
    return "".join(f"{label} {ord(c)}\n" for label, c in enumerate(CLASSES[split]))


def parse_mapping(text: str, name: str = "mapping") -> dict[int, int]:
    """Label -> ASCII code, 0 to 255, from the text of a mapping file. Raises: EmnistError."""
    mapping: dict[int, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, code = map(int, line.split()[:2])
        except ValueError:
            raise EmnistError(f"{name}, line {number}: not '<label> <ASCII>': {line!r}") from None
        if not (0 <= label <= 255 and 0 <= code <= 255):
            raise EmnistError(f"{name}, line {number}: not from 0 to 255: {line!r}")
        if label in mapping:
            raise EmnistError(f"{name}, line {number}: label {label} stands twice")
        mapping[label] = code
    if not mapping:
        raise EmnistError(f"{name}: empty")
    return mapping


def decode_idx(data: bytes, name: str = "IDX data") -> np.ndarray:
    """uint8 (N,) of labels, or (N, 28, 28) of images, from a gzip-compressed IDX file.

    Raises: EmnistError where it is damaged, no IDX of bytes, longer or shorter than its header
        says, or larger than `MOST_BYTES`.
    """
    file = gzip.GzipFile(fileobj=io.BytesIO(data))
    try:
        start = file.read(4)
        if len(start) < 4 or start[:3] != b"\x00\x00\x08" or not 1 <= start[3] <= 3:
            raise EmnistError(f"{name}: not an IDX file of bytes (starts with {start.hex()})")
        sizes = file.read(4 * start[3])
        if len(sizes) < 4 * start[3]:
            raise EmnistError(f"{name}: ends within its header")
        shape = struct.unpack(f">{start[3]}I", sizes)
        expected = math.prod(shape)
        if expected > MOST_BYTES:
            raise EmnistError(f"{name}: header says {expected:,} bytes, more than EMNIST has")
        # No more is unpacked than the header promises, however much a hostile file holds.
        pixels = file.read(expected)
        if len(pixels) < expected or file.read(1):
            found = "more" if len(pixels) == expected else f"{len(pixels):,}"
            raise EmnistError(f"{name}: {found} bytes of data, header says {expected:,}")
    except (OSError, EOFError, zlib.error) as error:
        raise EmnistError(f"{name}: damaged gzip data ({error})") from None
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def encode_idx(array: np.ndarray) -> bytes:
    """The gzip-compressed IDX file of a uint8 array; the same array gives the same bytes."""
    header = struct.pack(f">xxBB{array.ndim}I", 8, array.ndim, *array.shape)  # 8: unsigned bytes
    data = header + np.ascontiguousarray(array, np.uint8).tobytes()
    return gzip.compress(data, compresslevel=6, mtime=0)


def turned(images: np.ndarray) -> np.ndarray:
    """Stored orientation <-> upright, a view: NIST stores each (N, 28, 28) image transposed."""
    return images.transpose(0, 2, 1)
