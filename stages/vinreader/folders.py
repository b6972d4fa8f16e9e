"""What lies in a folder: cards of 17 boxes, and images by themselves.

A card is
- files `<card>_01` to `<card>_17` beside each other;
- a folder whose other images are 17, in natural order (9 before 10);
- an image much wider than high (`is_wide`): the whole field. It is found among the images by
  themselves, and who opens it cuts it into boxes.

People miscount, so what is nearly a card is taken for one and reported, not read as loose images:
- `<card>_<number>` with 15 to 19 files, all numbered 0 to 19: a box is missing, too many or twice.
  25 files `0_01` to `0_25` are samples of one character, and stay loose;
- a folder below the one asked for with 15 to 19 images, or with images named by nothing but a
  number, 1 to 5 up to 1 to 20 (numbers from before 1981 have fewer than 17 characters).

An archive has millions of files: only the names of one folder are held at a time, and an image is
opened here only where its shape decides what the files around it are.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vinreader.image.pages import SUFFIXES, UnreadableImage, begins_as_image, size_seen
from vinreader.spec import BOXES

NEARLY = range(BOXES - 2, BOXES + 3)  # counts that were meant as a card's
SHORTEST = 5  # characters of the shortest numbers from before 1981
WIDE = 4.0  # width / height; 17 boxes make 8 to 20, a single box hardly 2
_NUMBERED = re.compile(r"(.+)_(\d{1,3})", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True)
class Card:
    """A card as it lies on disk.

    name: the folder, or file name without box number, relative to the folder asked for, with /.
    images: its files, the boxes in order.
    message: why it cannot be read as a whole, else "".
    """

    name: str
    images: tuple[Path, ...]
    message: str = ""


def find_items(folder: Path) -> Iterator[Card | Path]:
    """The cards and the images by themselves in a folder and all folders below it.

    In natural order of their names, folder by folder. Links to folders are not followed. A folder
    that cannot be listed becomes a card without images, with the reason as its message.

    Raises: OSError if `folder` itself cannot be listed.
    """
    waiting = [_items(folder, folder)]
    while waiting:
        item = next(waiting[-1], None)
        if item is None:
            waiting.pop()
        elif isinstance(item, _Subfolder):
            waiting.append(_items(folder, item.path))
        else:
            yield item


@dataclass(frozen=True)
class _Subfolder:
    path: Path


def _items(root: Path, here: Path) -> Iterator["Card | Path | _Subfolder"]:
    """The items of one folder, with a `_Subfolder` where that one's items belong."""
    try:
        images, subfolders = _list(here)
    except OSError as error:
        if here == root:
            raise
        reason = f"folder cannot be listed: {error.strerror}"
        yield Card(here.relative_to(root).as_posix(), (), reason)
        return
    loose, groups = _numbered_cards(root, here, images)
    card, loose = _folder_card(root, here, loose)
    if card:
        yield card
    # No name ends so: a group has its place where a file of its name would have it.
    entries = [*loose, *(f"{name}/" for name in subfolders), *(f"{name}\0" for name in groups)]
    # Of a hundred thousand names one text takes a fifth of the memory, here and, as long as this
    # one goes through them, in the processes that read.
    listing = "".join(f"{entry}/" for entry in natural(entries))
    del images, loose, subfolders, entries
    for match in re.finditer("([^/]+/?)/", listing):
        entry = match[1]
        if entry.endswith("/"):
            yield _Subfolder(here / entry[:-1])
        elif entry.endswith("\0"):
            yield groups[entry[:-1]]
        else:
            yield here / entry


def _list(here: Path) -> tuple[list[str], list[str]]:
    """Names of the images and of the folders in a folder."""
    images: list[str] = []
    subfolders: list[str] = []
    if not isinstance(here, Path):  # on a file system of fsspec's, in one request
        for entry in here.fs.ls(here.path, detail=True):
            name = entry["name"].rstrip("/").rpartition("/")[2]
            if entry["name"].strip("/") == here.path.strip("/"):
                continue  # stores of objects list a folder among its content
            if entry["type"] == "directory":
                subfolders.append(name)
            elif looks_like_image(here, name):
                images.append(name)
        return images, subfolders
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.name)
            elif _is_file(entry) and looks_like_image(here, entry.name):
                images.append(entry.name)
    return images, subfolders


def _is_file(entry: os.DirEntry[str]) -> bool:
    """True for a file, and for a link that leads nowhere or in a circle: its row says so."""
    return (entry.is_symlink() and not Path(entry.path).exists()) or entry.is_file()


def looks_like_image(here: Path, name: str) -> bool:
    """Whether a file is meant as an image: by its ending, or by how its content begins."""
    if os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 (Path takes 10 times as long)
        return True
    try:
        with (here / name).open("rb") as file:
            return begins_as_image(file.read(12))
    except OSError:
        return False


def natural(names: Iterable[str]) -> list[str]:
    """Names sorted so that 9 comes before 10, in every part of them."""
    return sorted(sorted(names), key=_natural_key)


def _natural_key(name: str) -> str:
    # A number is led by its length, so that text compares as numbers do.
    return _DIGITS.sub(lambda m: f"\0{len(m[0].lstrip('0')):03}{m[0].lstrip('0')}", name.casefold())


def _numbered_cards(root: Path, here: Path, names: list[str]) -> tuple[list[str], dict[str, Card]]:
    """Cards of files `<card>_<number>`: (the names that belong to none, cards by name)."""
    place = here.relative_to(root)
    loose: list[str] = []
    groups: dict[str, list[tuple[int, str]]] = {}
    cards: dict[str, Card] = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(_stem(name))
        if numbered:
            groups.setdefault(numbered[1], []).append((int(numbered[2]), name))
        else:
            loose.append(name)
    for card, group in groups.items():
        boxes = _boxes_of_group(here, group)
        if boxes:
            paths = tuple(here / name for _, name in boxes)
            numbers = [number for number, _ in boxes]
            cards[card] = Card((place / card).as_posix(), paths, _miscount(numbers))
        loose += {name for _, name in group} - {name for _, name in boxes}
    return loose, cards


def _boxes_of_group(here: Path, group: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The (number, name) of a group's boxes in order, or nothing if it is no card."""
    if len(group) < NEARLY[0]:
        return []
    if any(n > NEARLY[-1] and not _is_wide_file(here / name) for n, name in group):
        return []
    place = {name: index for index, name in enumerate(natural(name for _, name in group))}
    boxes = [(n, name) for n, name in group if n <= NEARLY[-1] and not _is_wide_file(here / name)]
    return sorted(boxes, key=lambda box: (box[0], place[box[1]])) if len(boxes) in NEARLY else []


def _folder_card(root: Path, here: Path, names: list[str]) -> tuple[Card | None, list[str]]:
    """The card that a folder's images make together, or None, and the names that stay loose."""
    if len(names) < SHORTEST:
        return None, names
    boxes = []
    strange = False  # a name that is no box number, or not one of a card's
    for name in natural(names):
        if not _is_wide_file(here / name):
            boxes.append(name)
            strange |= not _NUMBER.fullmatch(_stem(name)) or int(_stem(name)) > NEARLY[-1]
            if strange and len(boxes) > NEARLY[-1]:
                return None, names
    message = _message_of_folder([_stem(name) for name in boxes], here != root)
    if message is None:
        return None, names
    name = here.relative_to(root).as_posix() if here != root else here.resolve().name
    card = Card(name, tuple(here / box for box in boxes), message)
    return card, list({*names} - {*boxes})


def _message_of_folder(stems: list[str], below: bool) -> str | None:
    """What is wrong with the card of a folder's images, "" for nothing, None if it is no card."""
    numbers = [int(stem) for stem in stems if _NUMBER.fullmatch(stem)]
    if stems and len(numbers) == len(stems):
        first, last = min(numbers), max(numbers)
        is_count = len(set(numbers)) == last - first + 1 and first <= 1
        if len(stems) in NEARLY or (below and is_count and SHORTEST <= last <= NEARLY[-1]):
            return _miscount(numbers)
    elif len(stems) == BOXES:
        return ""
    elif below and len(stems) in NEARLY:
        return f"{len(stems)} boxes, a card has {BOXES}"
    return None


def _miscount(numbers: list[int]) -> str:
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


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 (Path takes 10 times as long)


def is_wide(height: int, width: int) -> bool:
    """Whether an image shows a whole field rather than one box."""
    return width >= WIDE * height


def _is_wide_file(path: Path) -> bool:
    """What cannot be opened is not wide: its reader will say why."""
    try:
        return is_wide(*size_seen(path))
    except UnreadableImage:
        return False
