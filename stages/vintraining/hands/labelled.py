"""Characters that people have labelled: folders of box images that join the workflow.

data/labelled/<name>/labels.csv has the columns `file,character` and, where they are known, `writer`
and `card`; other columns are ignored. The images are those of single boxes as a scanner makes them,
named relative to the folder or to its images/, and go through `boxes.normalise` as all else does.
A folder that `finetune.labelled` names is trained on, any other is for testing only. What one
person wrote, and what stands on one card, is in one part only: otherwise a test would be of hands
that the network has seen. Batches that an archive has checked (`batches.py`) lie there too, and are
left to the stage that learns from them.
"""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.data import dataset
from vintraining.parameters import LabelledFolder

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vinreader.files import save_array, sha256, write_json
from vinreader.image.boxes import normalise
from vinreader.image.pages import UnreadableImage, open_pages
from vinreader.spec import CHARACTERS, INDEX, SIDE

FOLDER = Path("data/labelled")
HANDS = Path("data/hands")  # what has been read, as the network sees it
PARTS = ("test", "validation", "train")  # in the order in which an image finds its place
COLUMNS = ("file", "character")
OWNERS = ("writer", "card")  # columns whose rows stay together
BATCH_COLUMNS = (*COLUMNS, "card", "box", "part", "read", "confidence", "batch")
MOST_TOLD = 10  # wrong rows that a message names


@dataclass(frozen=True)
class Row:
    """One line of a labels.csv: the image, its class index, and the (kind, name) of its owners,
    the kind being an index of `OWNERS`; none where they are not known."""

    path: Path
    label: int
    owners: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Labelled:
    """One folder, read and divided.

    Attributes:
        name: of the folder.
        parts: characters as the network sees them, by part; `test` only when the folder is for
            testing only.
        groups: by part, the number of each character's group (writer, card or image), int32 (N,),
            within the part; where writers or cards are known, an index of `record`'s names.
        record: what metrics and model say of it: SHA-256, counts, what was left out and why.
    """

    name: str
    parts: dict[str, dataset.Characters]
    groups: dict[str, np.ndarray]
    record: dict[str, Any]

    def told(self) -> str:
        """One line for people: what is in which part, and what was left out."""
        parts = [f"{len(self.parts[part]):,} {part}" for part in PARTS if part in self.parts]
        left = [f"{n:,} {reason}" for reason, n in self.record["left_out"].items()]
        return ", ".join(parts) + (f"; left out: {', '.join(left)}" if left else "")


def is_batch(folder: Path) -> bool:
    """Whether a labelled folder is one that `vin-reader collect` has written."""
    try:
        with (folder / "labels.csv").open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n") == ",".join(BATCH_COLUMNS)
    except (OSError, UnicodeDecodeError):
        return False


def folders(root: Path) -> list[Path]:
    """Every labelled folder under `root` that is no batch, by name; none where there is no root."""
    found = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [folder for folder in found if not is_batch(folder)]


def read_rows(folder: Path) -> list[Row]:
    """The rows of a folder's labels.csv.

    Raises:
        DataError: the file is missing or no such table, or rows are wrong; the text names their
            lines and says what to do.
    """
    table = folder / "labels.csv"
    for place in (folder, folder / "images"):
        if place.is_symlink():  # DVC would not see what changes behind it
            raise dataset.DataError(
                f"{place} is a link, which DVC does not follow; copy the folder"
            )
    try:
        text = table.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise dataset.DataError(
            f"{table}: {reason}; a labelled folder holds this file, with the columns "
            f"{','.join(COLUMNS)}"
        ) from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or [])]:
        raise dataset.DataError(
            f"{table}: no column {' and '.join(missing)}; its first line is "
            f"{','.join(COLUMNS)} and, where known, {','.join(OWNERS)}, with commas between them"
        )
    rows: list[Row] = []
    line_of: dict[Path, int] = {}
    wrong: list[str] = []
    try:
        for entry in reader:
            row = _row(folder, entry, line_of, reader.line_num)
            if isinstance(row, Row):
                rows.append(row)
            else:
                wrong.append(f"  {table}, line {reader.line_num}: {row}")
    except csv.Error as error:
        wrong.append(f"  {table}, line {reader.line_num}: {error}; write it as CSV")
    if wrong:
        more = len(wrong) - MOST_TOLD
        raise dataset.DataError(
            f"{len(wrong)} wrong in {table}:\n"
            + "\n".join(wrong[:MOST_TOLD] + ([f"  and {more:,} more"] if more > 0 else []))
        )
    return rows


def _row(
    folder: Path, entry: dict[str, str | None], line_of: dict[Path, int], line: int
) -> Row | str:
    """The row, which `line_of` takes up, or what is wrong with it."""
    file, character = ((entry.get(column) or "").strip() for column in COLUMNS)
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
    owners = [(kind, (entry.get(name) or "").strip()) for kind, name in enumerate(OWNERS)]
    return Row(path, INDEX[character], tuple(owner for owner in owners if owner[1]))


def group_rows(rows: list[Row]) -> tuple[np.ndarray, list[str]]:
    """Which rows must stay together: those of one writer, and those of one card.

    Returns:
        The group of each row, int (N,), and what each group is called: its first writer, else its
        first card; '' for an image of which neither is known, a group by itself.
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
    """The part of each group; the groups stand in the order of their names' SHA-256.

    The first `how.test` groups are for testing, the next `how.validation` choose epoch, temperature
    and threshold, the others are trained on. So chance decides, the same everywhere, and not the
    order of the rows. An image by itself goes by its file.
    """
    if how.test + how.validation >= len(names):
        raise dataset.DataError(
            f"{folder} has {len(names)} writers, cards or images that can be kept apart; "
            f"{how.test} for testing and {how.validation} for validation leave none to train on: "
            f"lower them in finetune.labelled.{folder.name}"
        )
    first = np.unique(group, return_index=True)[1]
    digests = [
        sha256((name or rows[at].path.relative_to(folder).as_posix()).encode())
        for name, at in zip(names, first, strict=True)
    ]
    part = ["train"] * len(names)
    for place, at in enumerate(sorted(range(len(names)), key=digests.__getitem__)):
        if place < how.test + how.validation:
            part[at] = "test" if place < how.test else "validation"
    return part


def read_images(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """The images of rows, normalised.

    Returns:
        The rows that can be used, int (N,); their pixels, uint8 (N, 28, 28); why each other one
        cannot (`blank`, `unreadable`); SHA-256 of all files' bytes one after the other.
    """
    kept, left, pixels = [], [], []
    digest = hashlib.sha256()
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
            continue
        kept.append(at)
        pixels.append(box.pixels)
    stack = np.stack(pixels) if pixels else np.zeros((0, SIDE, SIDE), np.uint8)
    return np.array(kept, int), stack, left, digest.hexdigest()


def read_all(root: Path, trained_on: dict[str, LabelledFolder], seen: set[bytes]) -> list[Labelled]:
    """Every labelled folder under `root` that is no batch, by name; none when there is none.

    An image that stands in several sets stays in one: in the EMNIST part that has it, else in a
    test, else in validation.

    Args:
        root: usually `FOLDER`.
        trained_on: how to divide the folders that are for training; folders that are not there
            are no error.
        seen: digests of the characters that other sets have (`dataset.not_seen`); takes up these.

    Raises:
        DataError: a row is wrong, or too few writers to divide; the text says where and what to do.
    """
    drafts = [_Draft(folder, trained_on.get(folder.name)) for folder in folders(root)]
    for part in PARTS:
        for draft in drafts:
            draft.take(part, seen)
    return [draft.finished() for draft in drafts]


class _Draft:
    """A folder while its images find their places."""

    def __init__(self, folder: Path, how: LabelledFolder | None):
        self.folder = folder
        self.share = how.share if how else 0.0
        rows = read_rows(folder)
        group, self.names = group_rows(rows)
        part = divide(rows, group, self.names, how, folder) if how else ["test"] * len(self.names)
        self.rows = len(rows)
        kept, self.pixels, left, images = read_images(rows)
        self.left_out = Counter(left)
        self.labels = np.array([rows[at].label for at in kept], np.uint8)
        self.group = group[kept]
        self.part = np.array(part, object)[self.group]
        self.sha256 = {"labels.csv": sha256(folder / "labels.csv"), "images": images}
        self.parts: dict[str, dataset.Characters] = {}
        self.groups: dict[str, np.ndarray] = {}
        self.told: dict[str, dict[str, Any]] = {}

    def take(self, part: str, seen: set[bytes]) -> None:
        at = np.flatnonzero(self.part == part)
        fresh = at[dataset.not_seen(self.pixels[at], seen)]
        self.left_out["in another set"] += len(at) - len(fresh)
        if not len(fresh):
            return
        groups, number = np.unique(self.group[fresh], return_inverse=True)
        names = [self.names[group] for group in groups]
        self.parts[part] = dataset.Characters(self.pixels[fresh], self.labels[fresh])
        self.groups[part] = number.astype(np.int32)
        self.told[part] = {"images": len(fresh), "groups": len(groups)} | (
            {"names": names} if all(names) else {}
        )

    def finished(self) -> Labelled:
        record: dict[str, Any] = {
            "sha256": self.sha256,
            "rows": self.rows,
            "left_out": {reason: n for reason, n in sorted(self.left_out.items()) if n},
            "share": self.share,
            "parts": self.told,
        }
        return Labelled(self.folder.name, self.parts, self.groups, record)


def save(folders: list[Labelled]) -> None:
    """Writes data/hands: a folder by name, its parts as in `dataset.py`, and labelled.json."""
    for folder in folders:
        for part, characters in folder.parts.items():
            dataset.save(HANDS / folder.name, part, characters)
            save_array(HANDS / folder.name / f"{part}-groups.npy", folder.groups[part])
    write_json(HANDS / "labelled.json", {folder.name: folder.record for folder in folders})


def load_record() -> dict[str, Any]:
    """The `record` of every folder by name, empty when there was none.

    Raises:
        DataError: there is no such file; the text says which stage makes it.
    """
    return dataset.load_json(HANDS / "labelled.json")


def load(part: str) -> dict[str, dataset.Characters]:
    """One part of every labelled folder that has it, by name."""
    return {
        name: dataset.load(HANDS / name, part)
        for name, told in load_record().items()
        if part in told["parts"]
    }


def load_groups(name: str, part: str) -> np.ndarray:
    """int (N,): which writer (card, image) each of the characters of a folder's part is by."""
    groups: np.ndarray = np.load(HANDS / name / f"{part}-groups.npy")
    return groups


def replay(
    trained_on: dict[str, LabelledFolder], rest: dataset.Characters
) -> list[tuple[dataset.Characters, float]]:
    """What `finetune` trains on and `adapt` must not forget: characters and their shares, sum 1.

    Args:
        trained_on: `finetune.labelled`; a folder that is not there leaves its share to the rest.
        rest: what the stage `train` trained on.
    """
    own = [(hands, trained_on[name].share) for name, hands in load("train").items()]
    return [*own, (rest, 1 - sum(share for _, share in own))]
