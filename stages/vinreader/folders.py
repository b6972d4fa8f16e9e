"""What lies in a folder: cards of 17 boxes, and loose images of single boxes.

A card is
- an image much wider than high (`WIDE`): the whole field, to be cut into boxes;
- files `<card>_01` to `<card>_17` beside each other;
- a folder whose other images are 17, in natural order (9 before 10).

People miscount, so what is nearly a card is taken for one and reported, not read as loose images:
- `<card>_<number>` with 15 to 19 files, all numbered 0 to 19: a box is missing, too many or twice.
  25 files `0_01` to `0_25` are samples of one character, and stay loose;
- a folder below the one asked for with 15 to 19 images, or with images named by nothing but a
  number, 1 to 5 up to 1 to 20 (numbers from before 1981 have fewer than 17 characters).
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vinreader.vin import LENGTH as BOXES

NEARLY = range(BOXES - 2, BOXES + 3)  # counts that were meant as a card's
SHORTEST = 5  # characters of the shortest numbers from before 1981
WIDE = 4.0  # width / height; 17 boxes make 8 to 20, a single box hardly 2
IMAGE_SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"]
)
_SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")

_NUMBERED = re.compile(r"(.+)_(\d{1,3})", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"\d{1,3}", re.ASCII)


@dataclass(frozen=True)
class Card:
    """A card as it lies on disk.

    name: the folder, file name without box number, or wide image, relative to the folder asked
        for, with /.
    images: its files: one wide image, or the boxes in order.
    message: why it cannot be read as a whole, else "".
    """

    name: str
    images: tuple[Path, ...]
    message: str = ""

    @property
    def is_field(self):
        """True if its one image is the whole field, for `fields.find_boxes` to cut."""
        return len(self.images) == 1 and not self.message


def find_cards(folder):
    """Sort the images in a folder and all folders below it into cards and loose images.

    Links to folders are not followed. A folder that cannot be listed becomes a card without
    images, with the reason as its message.

    Returns: (list of `Card`, list of `Path` of loose images), both in natural order.
    Raises: OSError if `folder` itself cannot be listed.
    """
    root = Path(folder)
    cards: list[Card] = []
    loose: list[Path] = []
    waiting = [root]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as listing:
                entries = list(listing)
        except OSError as error:
            if here == root:
                raise
            reason = f"folder cannot be listed: {error.strerror}"
            cards.append(Card(here.relative_to(root).as_posix(), (), reason))
            continue
        waiting += [here / e.name for e in entries if e.is_dir(follow_symlinks=False)]
        images = [here / e.name for e in entries if _is_file(e) and looks_like_image(here / e.name)]
        _sort_images(root, here, sorted(images, key=natural_key), cards, loose)
    cards.sort(key=lambda card: natural_key(card.name))
    return cards, sorted(loose, key=natural_key)


def sort_file(path):
    """One image file by itself, as `find_cards` returns it: a wide one is a card."""
    return ([Card(path.name, (path,))], []) if _is_wide(path) else ([], [path])


def _is_file(entry):
    """True for a file, and for a link that leads nowhere or in a circle: its row says so."""
    return (entry.is_symlink() and not Path(entry.path).exists()) or entry.is_file()


def looks_like_image(path):
    """Whether a file is meant as an image: by its ending, or by how its content begins."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    webp = start[:4] == b"RIFF" and start[8:] == b"WEBP"
    bmp = start[:2] == b"BM" and start[6:10] == bytes(4)
    return webp or bmp or start.startswith(_SIGNATURES)


def natural_key(path):
    """Sorting key by which 9 comes before 10, in every part of a path."""
    parts = re.split(r"(\d+)", str(path).casefold(), flags=re.ASCII)
    return [(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)], str(path)


def _sort_images(root, here, images, cards, loose):
    """Add the images of one folder, in natural order, to `cards` and `loose`."""
    place = here.relative_to(root)
    groups: dict[str, list[tuple[int, Path]]] = {}
    others = []
    for path in images:
        numbered = _NUMBERED.fullmatch(path.stem)
        if _is_wide(path):
            cards.append(Card((place / path.name).as_posix(), (path,)))
        elif numbered:
            groups.setdefault(numbered[1], []).append((int(numbered[2]), path))
        else:
            others.append(path)
    for name, group in groups.items():
        group.sort(key=lambda member: member[0])
        numbers = [number for number, _ in group]
        paths = [path for _, path in group]
        if len(numbers) in NEARLY and numbers[-1] <= NEARLY[-1]:
            cards.append(Card((place / name).as_posix(), tuple(paths), _miscount(numbers)))
        else:
            others += paths
    others.sort(key=natural_key)
    card = _folder_card(root, here, others)
    if card:
        cards.append(card)
    else:
        loose += others


def _folder_card(root, here, images):
    """The card that a folder's images make together, or None if they are loose."""
    below = here != root
    name = here.relative_to(root).as_posix() if below else here.resolve().name
    numbers = [int(path.stem) for path in images if _NUMBER.fullmatch(path.stem)]
    if images and len(numbers) == len(images):
        first, last = min(numbers), max(numbers)
        is_count = len(set(numbers)) == last - first + 1 and first <= 1
        if len(images) in NEARLY or (below and is_count and SHORTEST <= last <= NEARLY[-1]):
            return Card(name, tuple(images), _miscount(numbers))
    elif len(images) == BOXES:
        return Card(name, tuple(images))
    elif below and len(images) in NEARLY:
        return Card(name, tuple(images), f"{len(images)} boxes, a card has {BOXES}")
    return None


def _miscount(numbers):
    """What is wrong with a card's box numbers (counted from 0 or from 1), or ""."""
    counts = Counter(numbers)
    start = 0 if 0 in counts else 1
    wanted = range(start, start + BOXES)
    problems = [
        ("duplicate box", sorted(n for n, count in counts.items() if count > 1)),
        ("missing box", [n for n in wanted if n not in counts]),
        ("unexpected box", sorted(n for n in counts if n not in wanted)),
    ]
    found = [f"{what} {', '.join(map(str, boxes))}" for what, boxes in problems if boxes]
    return f"{len(numbers)} boxes, a card has {BOXES}: {'; '.join(found)}" if found else ""


def _is_wide(path):
    """True for an image of a whole field. What cannot be opened is not: its reader will say why."""
    try:
        with Image.open(path) as image:
            return image.width >= WIDE * image.height
    except Exception:  # decoders raise all kinds of errors for broken files
        return False
