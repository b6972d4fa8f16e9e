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
A missing box keeps its place (`Card.gaps`), so that the others keep theirs.

An archive has millions of files: only the names of one folder are held at a time, and an image is
opened here only where its shape decides what the files around it are.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from vinreader.image.kinds import START, SUFFIXES, kind_of, why_not_read
from vinreader.image.pages import UnreadableImage, size_seen
from vinreader.spec import BOXES
from vinreader.tables import printable

NEARLY = range(BOXES - 2, BOXES + 3)  # counts that were meant as a card's
SHORTEST = 5  # characters of the shortest numbers from before 1981
WIDE = 4.0  # width / height; 17 boxes make 8 to 20, a single box hardly 2
_NUMBERED = re.compile(r"(.+)_(\d{1,3})", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_ENDING = re.compile(r"\.\w{1,8}")
_DIGITS = re.compile(r"(?=\d)0*(\d*)", re.ASCII)


@dataclass(frozen=True)
class Card:
    """A card as it lies on disk.

    name: the folder, or file name without box number, relative to the folder asked for, with /. No
        two cards of a folder asked for have the same.
    images: its files, the boxes in order.
    message: why it cannot be read as a whole, else "".
    gaps: places, from 0, among all its boxes at which one is missing.
    """

    name: str
    images: tuple[Path, ...]
    message: str = ""
    gaps: tuple[int, ...] = ()


@dataclass
class Found:
    """What lies in a folder and below it, as far as `find_items` has come.

    images: files by the ending of their names. aside: files that are not read, by the reason and by
    the folder, relative to the one asked for. unlisted: how many folders cannot be listed.
    """

    images: Counter[str] = field(default_factory=Counter)
    aside: dict[str, Counter[str]] = field(default_factory=dict)
    unlisted: int = 0


# What lies in a folder; a folder in it is the iterator of what lies there.
_Item: TypeAlias = "Card | Path | Iterator[_Item]"


def find_items(folder: Path, found: Found | None = None) -> Iterator[Card | Path]:
    """The cards and the images by themselves in a folder and all folders below it, in natural order
    of their names; `found` takes up what is there. Links to folders are not followed. A folder that
    cannot be listed becomes a card without images, with the reason as its message.

    Raises: OSError if `folder` itself cannot be listed.
    """
    found = found or Found()
    waiting: list[Iterator[_Item]] = [_items(folder, folder, found)]
    while waiting:
        item = next(waiting[-1], None)
        if item is None:
            waiting.pop()
        elif isinstance(item, Iterator):
            waiting.append(item)
        else:
            yield item


def _items(root: Path, here: Path, found: Found) -> "Iterator[_Item]":
    """The items of one folder, with those of a folder in it where they belong."""
    place = here.relative_to(root).as_posix()
    try:
        images, subfolders = _list(here, printable(place), found)
    except OSError as error:
        if here == root:
            raise
        found.unlisted += 1
        yield Card(place, (), f"folder cannot be listed: {error.strerror}")
        return
    loose, groups = _numbered_cards(root, here, images, {*images, *subfolders})
    card, loose = _folder_card(root, here, loose, subfolders)
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
            yield _items(root, here / entry[:-1], found)
        elif entry.endswith("\0"):
            yield groups[entry[:-1]]
        else:
            yield here / entry


def _list(here: Path, place: str, found: Found) -> tuple[list[str], list[str]]:
    """Names of the images and of the folders in a folder, which `found` calls `place`."""
    images: list[str] = []
    subfolders: list[str] = []
    for name, kind in _entries(here):
        if kind == "folder":
            subfolders.append(name)
        elif aside := _why_aside(here, name) if kind == "file" else kind:
            found.aside.setdefault(aside, Counter())[place] += 1
        else:
            images.append(name)
            found.images[_ending(name).removeprefix(".").upper()] += 1
    return images, subfolders


def _entries(here: Path) -> Iterator[tuple[str, str]]:
    """The name of everything in a folder, and what it is: `folder`, `file`, or why it is neither
    (a link to a folder, a pipe, a device)."""
    if not isinstance(here, Path):  # on a file system of fsspec's, in one request
        for entry in here.fs.ls(here.path, detail=True):
            # Stores of objects list a folder among its content.
            if entry["name"].strip("/") != here.path.strip("/"):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                yield name, "folder" if entry["type"] == "directory" else "file"
        return
    with os.scandir(here) as entries:
        for entry in entries:
            yield entry.name, _kind(entry)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry is. A link that leads nowhere, in a circle or where one may not look is a file:
    its row says so."""
    try:
        if entry.is_dir():
            return "link to a folder: not followed" if entry.is_symlink() else "folder"
        if entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):  # noqa: PTH110
            return "file"
    except OSError:
        return "file"
    return "no file"


def _why_aside(here: Path, name: str) -> str:
    """Why a file is not read, or "" for one that is meant as an image: by its ending, or by how its
    content begins."""
    ending = _ending(name)
    if ending in SUFFIXES:
        return ""
    try:
        with (here / name).open("rb") as file:
            kind = kind_of(file.read(START))
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    return why_not_read(kind) if kind else f"no image ({ending})" if ending else "no image"


def _ending(name: str) -> str:
    """The ending of a name as something to count by: "" for one that is no usual ending."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path takes 10 times as long)
    return suffix if _ENDING.fullmatch(suffix) else ""


def natural(names: Iterable[str]) -> list[str]:
    """Names sorted so that 9 comes before 10, in every part of them."""

    def key(name: str) -> str:  # a number is led by its length: text compares as numbers do
        return _DIGITS.sub(lambda m: f"\0{len(m[1]):03}{m[1]}", name.casefold())

    return sorted(sorted(names), key=key)


def _numbered_cards(
    root: Path, here: Path, names: list[str], taken: set[str]
) -> tuple[list[str], dict[str, Card]]:
    """Cards of files `<card>_<number>`: (the names that belong to none, cards by name).

    taken: names of all files and folders: what one of them has is no card's, which is then named
    by the whole name of its first file.
    """
    place = here.relative_to(root)
    loose: list[str] = []
    groups: dict[str, dict[str, int]] = {}  # box numbers by file, by card
    cards: dict[str, Card] = {}
    for name in names:
        if numbered := _NUMBERED.fullmatch(_stem(name)):
            groups.setdefault(numbered[1], {})[name] = int(numbered[2])
        else:
            loose.append(name)
    for card, numbers in groups.items():
        boxes = _boxes_of_group(here, numbers)
        if boxes:
            name = (place / (boxes[0] if card in taken else card)).as_posix()
            problems = _problems([numbers[box] for box in boxes])
            cards[card] = Card(name, tuple(here / box for box in boxes), *problems)
        loose += {*numbers} - {*boxes}
    return loose, cards


def _boxes_of_group(here: Path, numbers: dict[str, int]) -> list[str]:
    """The files of a group that are boxes, in their order, or nothing if it is no card."""
    boxes = []
    if len(numbers) >= NEARLY[0]:
        for name in sorted(numbers, key=lambda name: -numbers[name]):
            if not _is_wide_file(here / name):
                if numbers[name] > NEARLY[-1]:
                    return []
                boxes.append(name)
    in_order = sorted(natural(boxes), key=lambda name: numbers[name])
    return in_order if len(boxes) in NEARLY else []


def _folder_card(
    root: Path, here: Path, names: list[str], subfolders: list[str]
) -> tuple[Card | None, list[str]]:
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
    problems = _problems_of_folder([_stem(name) for name in boxes], here != root)
    if problems is None:
        return None, names
    name = here.relative_to(root).as_posix() if here != root else here.resolve().name
    if here == root and name in subfolders:
        name = f"../{name}"
    card = Card(name, tuple(here / box for box in boxes), *problems)
    return card, list({*names} - {*boxes})


def _problems_of_folder(stems: list[str], below: bool) -> tuple[str, tuple[int, ...]] | None:
    """`message` and `gaps` of the card of a folder's images, None if it is no card."""
    if stems and all(map(_NUMBER.fullmatch, stems)):
        numbers = sorted(map(int, stems))
        first, last = numbers[0], numbers[-1]
        is_count = len(set(numbers)) == last - first + 1 and first <= 1
        if len(stems) in NEARLY or (below and is_count and SHORTEST <= last <= NEARLY[-1]):
            return _problems(numbers)
    elif len(stems) == BOXES:
        return "", ()
    elif below and len(stems) in NEARLY:
        # Of boxes without numbers nobody can tell which is missing: those at the end.
        return f"{len(stems)} boxes, a card has {BOXES}", tuple(range(len(stems), BOXES))
    return None


def _problems(numbers: list[int]) -> tuple[str, tuple[int, ...]]:
    """`message` and `gaps` of a card whose boxes have these numbers, counted from 0 or from 1."""
    counts = Counter(numbers)
    start = 0 if 0 in counts else 1
    wanted = range(start, start + BOXES)
    missing = [n for n in wanted if n not in counts]
    problems = [
        ("duplicate box", sorted(n for n, count in counts.items() if count > 1)),
        ("missing box", missing),
        ("unexpected box", sorted(n for n in counts if n not in wanted)),
    ]
    said = "; ".join(f"{what} {', '.join(map(str, boxes))}" for what, boxes in problems if boxes)
    gaps = (at for at, n in enumerate(sorted([*numbers, *missing])) if n in missing)
    return said and f"{len(numbers)} boxes, a card has {BOXES}: {said}", tuple(gaps)


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
