"""Characters that people have labelled: folders of box images from which `finetune` learns hands.

A folder holds labels.csv with the columns `file,character` and, where they are known, `writer` and
`card`; others are ignored. The images are those of single boxes as a scanner makes them, named
relative to the folder or to its images/.

data/labelled/<name> is trained on where `finetune.labelled` names it, else for testing only.
data/checked/<batch> are cards that an archive has checked (`batches.py`), each in the part that the
column `part` of its rows names; all batches together are one set, `CHECKED`. What one person wrote,
and what stands on one card, is in one part only: otherwise a test would be of hands that the
network has seen.
"""

import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.data import dataset
from vintraining.parameters import CheckedCards, Finetune, LabelledFolder

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vinreader.files import save_array, sha256, write_json
from vinreader.image.boxes import normalise
from vinreader.image.pages import UnreadableImage, open_pages
from vinreader.spec import BOXES, CHARACTERS, INDEX, SIDE
from vinreader.tables import TableError, read_table

FOLDER = Path("data/labelled")
BATCHES = Path("data/checked")
HANDS = Path("data/hands")  # what has been read, as the network sees it
CHECKED = "checked"  # what all batches together are called among the sets
PARTS = ("test", "validation", "train")  # in the order in which an image finds its place
COLUMNS = ("file", "character")
OWNERS = ("writer", "card")  # columns whose rows stay together
BATCH_COLUMNS = (*COLUMNS, "card", "box", "part", "read", "confidence", "batch")
MOST_TOLD = 10  # wrong rows that a message names


@dataclass(frozen=True)
class Row:
    """One line of a labels.csv."""

    path: Path  # of the image
    label: int  # index of its class
    owners: tuple[tuple[int, str], ...]  # index of `OWNERS`, and name, of those that are known
    part: str = ""  # of a batch's rows


def is_batch(folder: Path) -> bool:
    """Whether a folder is one that `vin-reader collect` has written."""
    try:
        with (folder / "labels.csv").open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n") == ",".join(BATCH_COLUMNS)
    except (OSError, UnicodeDecodeError):
        return False


def read_rows(folder: Path) -> list[Row]:
    """The rows of a folder's labels.csv.

    Raises: DataError where it is missing or no such table, or naming the lines that are wrong.
    """
    table = folder / "labels.csv"
    for place in (folder, folder / "images"):
        if place.is_symlink():
            raise dataset.DataError(
                f"{place} is a link, which DVC does not follow; copy the folder"
            )
    try:
        entries = read_table(table, COLUMNS)
    except OSError as error:
        raise dataset.DataError(
            f"{table}: {error.strerror}; a labelled folder holds this file, with the columns "
            f"{','.join(COLUMNS)}"
        ) from None
    except TableError as error:
        raise dataset.DataError(
            f"{error}. Where known, {','.join(OWNERS)} are further columns"
        ) from None
    line_of: dict[Path, int] = {}
    rows = [(line, _row(folder, entry, line_of, line)) for line, entry in entries]
    if wrong := [f"line {line}: {row}" for line, row in rows if isinstance(row, str)]:
        raise dataset.DataError(first_of(wrong, table))
    return [row for _, row in rows if isinstance(row, Row)]


def first_of(wrong: list[str], table: Path) -> str:
    """How many rows of a table are wrong, and the first of them."""
    told = [f"{len(wrong)} wrong in {table}:", *wrong[:MOST_TOLD]]
    if len(wrong) > MOST_TOLD:
        told.append(f"and {len(wrong) - MOST_TOLD:,} more")
    return "\n  ".join(told)


def _row(folder: Path, entry: dict[str, str], line_of: dict[Path, int], line: int) -> Row | str:
    """The row, which `line_of` takes up, or what is wrong with it."""
    file, character = (entry[column].strip() for column in COLUMNS)
    if character not in INDEX:
        return (
            f"character {character!r} is none of {CHARACTERS}; correct it, or take the row out "
            "(no VIN has I, O, Q; capitals only)"
        )
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        return f"file {file!r} is no path inside {folder}; put the image there"
    path = next((p for p in (folder / file, folder / "images" / file) if p.is_file()), None)
    if path is None:
        return f"no image {file} in {folder} or its images/; add it, or take the row out"
    if path in line_of:
        return f"{file} stands in line {line_of[path]} already; take one of them out"
    line_of[path] = line
    owners = [(kind, entry.get(name, "").strip()) for kind, name in enumerate(OWNERS)]
    known = tuple(owner for owner in owners if owner[1])
    return Row(path, INDEX[character], known, entry.get("part", "").strip())


def group_rows(rows: list[Row]) -> tuple[np.ndarray, list[str]]:
    """Which rows must stay together: those of one writer, and those of one card.

    Returns: the group of each row, int (N,), and what each group is called: its first writer, else
        its first card; '' for an image of which neither is known, a group by itself.
    """
    owners = sorted({owner for row in rows for owner in row.owners})
    node = {owner: len(rows) + at for at, owner in enumerate(owners)}
    edges = [(at, node[owner]) for at, row in enumerate(rows) for owner in row.owners]
    ends = np.array(edges, int).reshape(-1, 2).T
    size = len(rows) + len(owners)
    graph = coo_matrix((np.ones(len(edges)), (ends[0], ends[1])), (size, size))
    count, group = connected_components(graph, directed=False)
    names = [""] * count
    for owner in reversed(owners):  # the first one, a writer where one is known, has the last word
        names[group[node[owner]]] = owner[1]
    return group[: len(rows)], names


def divide(
    rows: list[Row], group: np.ndarray, names: list[str], how: LabelledFolder, folder: Path
) -> list[str]:
    """The part of each group. In the order of their names' SHA-256, the same chance everywhere,
    `how.test` of them are for testing and the next `how.validation` for validation; where these
    are texts, those whose names begin so. An image by itself goes by its file."""
    first = np.unique(group, return_index=True)[1]
    known = [
        name or rows[at].path.relative_to(folder).as_posix()
        for name, at in zip(names, first, strict=True)
    ]
    order = sorted(known, key=lambda name: sha256(name.encode()))
    part = dict.fromkeys(known, "train")
    for held, wanted in (("test", how.test), ("validation", how.validation)):
        free = [name for name in order if part[name] == "train"]
        if isinstance(wanted, int):
            taken = free[:wanted]
        else:
            taken = [name for name in free if name.startswith(tuple(wanted))]
        part |= dict.fromkeys(taken, held)
    if "train" not in part.values():
        raise dataset.DataError(
            f"{folder} has {len(names)} writers, cards or images that can be kept apart; "
            f"{how.test} for testing and {how.validation} for validation leave none to train on: "
            f"lower them in finetune.labelled.{folder.name}"
        )
    return [part[name] for name in known]


def read_images(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """The images of rows, normalised.

    Returns: the rows that can be used, int (N,); their pixels, uint8 (N, 28, 28); why each other
        one cannot (`blank`, `unreadable`); SHA-256 of all files' bytes one after the other.
    """
    pixels, left, digest = {}, [], hashlib.sha256()
    for at, row in enumerate(rows):
        content = row.path.read_bytes()
        digest.update(content)
        try:
            box = normalise(open_pages(io.BytesIO(content))[0])
        except UnreadableImage:
            left.append("unreadable")
            continue
        if box.blank:
            left.append("blank")
        else:
            pixels[at] = box.pixels
    stack = np.array([*pixels.values()], np.uint8).reshape(-1, SIDE, SIDE)
    return np.array([*pixels], int), stack, left, digest.hexdigest()


def read_all(
    how: Finetune, seen: set[bytes], root: Path = FOLDER, checked: Path = BATCHES
) -> list["Labelled"]:
    """Every labelled folder, then every batch of checked cards, by name.

    An image that stands in several sets stays in one: in the EMNIST part that has it, else in a
    test, else in validation.

    Args:
        seen: digests of the characters that other sets have (`dataset.not_seen`); takes up these.

    Raises: DataError where a row is wrong, there are too few writers to divide, or a folder lies
        in the wrong place.
    """
    labelled, batches = (  # glob would take a folder that cannot be listed for an empty one
        sorted(folder for folder in place.iterdir() if folder.is_dir()) if place.is_dir() else []
        for place in (root, checked)
    )
    if misplaced := [folder for folder in labelled if is_batch(folder)]:
        raise dataset.DataError(f"{misplaced[0]} holds checked cards: mv {misplaced[0]} {checked}/")
    names = [folder.name for folder in batches]
    if taken := [f for f in labelled if f.name in (*names, CHECKED)]:
        raise dataset.DataError(f"{taken[0]}: {checked} has this name, too; rename the folder")
    read = [Labelled(folder, how.labelled.get(folder.name)) for folder in labelled]
    read += [Labelled(folder, how.checked) for folder in batches]
    for part in PARTS:
        for folder in read:
            folder.take(part, seen)
    return read


def _parts_of_batch(folder: Path, rows: list[Row]) -> list[str]:
    """The part of each row, which it names."""
    if not is_batch(folder):
        raise dataset.DataError(
            f"{folder} is no batch of checked cards; a folder that people have labelled belongs "
            f"into {FOLDER}: mv {folder} {FOLDER}/"
        )
    parts = [row.part for row in rows]
    if strange := set(parts) - {*PARTS}:
        raise dataset.DataError(
            f"{folder / 'labels.csv'}: part {min(strange)!r} is none of {', '.join(PARTS)}; "
            "collect these cards again"
        )
    return parts


class Labelled:
    """One folder or batch, read; its images find their places part by part (`take`).

    parts: characters as the network sees them. groups: by part, the number of each character's
    group (writer, card or image), int32 (N,), an index of `record`'s names where it has them.
    record: SHA-256, counts, what was left out and why.
    """

    def __init__(self, folder: Path, how: LabelledFolder | CheckedCards | None):
        self.name = folder.name
        self.parts: dict[str, dataset.Characters] = {}
        self.groups: dict[str, np.ndarray] = {}
        rows = read_rows(folder)
        group, self._names = group_rows(rows)
        part = ["test"] * len(rows)
        if isinstance(how, LabelledFolder):
            part_of = divide(rows, group, self._names, how, folder)
            part = [part_of[at] for at in group]
        elif how:
            part = _parts_of_batch(folder, rows)
        usable, pixels, left, images = read_images(rows)
        labels = np.array([rows[at].label for at in usable], np.uint8)
        self._characters = dataset.Characters(pixels, labels)
        self._group, self._part = group[usable], np.array(part, str)[usable]
        self._left_out = Counter(left)
        self.record: dict[str, Any] = {
            "sha256": {"labels.csv": sha256(folder / "labels.csv"), "images": images},
            "rows": len(rows),
            "left_out": {},
            "share": how.share if how else 0.0,
            "parts": {},
        } | ({CHECKED: True} if isinstance(how, CheckedCards) else {})

    def take(self, part: str, seen: set[bytes]) -> None:
        """The part's images that are not in another set; `seen` takes them up."""
        at = np.flatnonzero(self._part == part)
        fresh = at[dataset.not_seen(self._characters.images[at], seen)]
        self._left_out["in another set"] += len(at) - len(fresh)
        self.record["left_out"] = dict(sorted((+self._left_out).items()))
        if not len(fresh):
            return
        groups, number = np.unique(self._group[fresh], return_inverse=True)
        names = [self._names[group] for group in groups]
        self.parts[part] = self._characters[fresh]
        self.groups[part] = number.astype(np.int32)
        counts = {"images": len(fresh), "groups": len(groups)}
        named = all(names) and CHECKED not in self.record
        self.record["parts"][part] = counts | ({"names": names} if named else {})

    def __str__(self) -> str:
        parts = [f"{len(self.parts[part]):,} {part}" for part in PARTS if part in self.parts]
        left = [f"{n:,} {reason}" for reason, n in self.record["left_out"].items()]
        told = f"{self.name}: {', '.join(parts)}"
        return f"{told}; left out: {', '.join(left)}" if left else told


def save(folders: list[Labelled]) -> None:
    """Writes data/hands: a folder by name, its parts as in `dataset.py`, and labelled.json."""
    for folder in folders:
        for part, characters in folder.parts.items():
            dataset.save(HANDS / folder.name, part, characters)
            save_array(HANDS / folder.name / f"{part}-groups.npy", folder.groups[part])
    write_json(HANDS / "labelled.json", {folder.name: folder.record for folder in folders})


def load_record() -> dict[str, Any]:
    """The `record` of every folder and batch by name. Raises: DataError."""
    return dataset.load_json(HANDS / "labelled.json")


def load(part: str) -> dict[str, dataset.Characters]:
    """A part of every labelled folder that has it, by name, and of all batches as `CHECKED`."""
    record = load_record()
    sets = {
        name: dataset.load(HANDS / name, part)
        for name, folder in record.items()
        if part in folder["parts"]
    }
    batches = [sets.pop(name) for name in list(sets) if CHECKED in record[name]]
    return sets | ({CHECKED: dataset.joined(batches)} if batches else {})


def load_groups(name: str, part: str) -> np.ndarray:
    """int (N,): which writer (card, image) each of the characters of a set's part is by."""
    numbers, first = [], 0
    for folder, record in load_record().items():
        if name in (folder, CHECKED if CHECKED in record else "") and part in record["parts"]:
            numbers.append(np.load(HANDS / folder / f"{part}-groups.npy") + first)
            first += record["parts"][part]["groups"]
    return np.concatenate(numbers)


def whole_cards(part: str) -> np.ndarray:
    """int (M, 17): the rows of `load(part)[CHECKED]` that whole cards have, box by box."""
    if CHECKED not in load(part):
        return np.zeros((0, BOXES), int)
    groups = load_groups(CHECKED, part)
    rows = np.argsort(groups, kind="stable")
    whole = np.bincount(groups)[groups[rows]] == BOXES
    cards: np.ndarray = rows[whole].reshape(-1, BOXES)
    return cards
