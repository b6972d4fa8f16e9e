"""Labelled boxes by writer, and whom of them a reader was not trained on."""

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.scores import accepting

import numpy as np

from vinreader.image.pages import open_pages
from vinreader.reader import Reader
from vinreader.spec import UserError


@dataclass(frozen=True)
class Box:
    """An image as a scanner makes it, uint8 (height, width); what is written; by whom, "" where
    the folder does not tell."""

    image: np.ndarray
    character: str
    writer: str


def held_out(reader: Reader, folder: str) -> set[str] | None:
    """The writers of a labelled folder that the reader's record names as tested on; None, so all,
    where the reader learned nothing from the folder."""
    parts = reader.description.get("labelled", {}).get(folder, {}).get("parts", {})
    return set(parts.get("test", {}).get("names", ())) if set(parts) - {"test"} else None


def read(folder: Path, writers: Collection[str] | None = None) -> list[Box]:
    """The boxes that labels.csv (`file,character` and, where it is known, `writer`) names.

    Args:
        writers: of whom, or of which laboratory: what stands before the first hyphen of a name; of
            all when not given.

    Raises:
        UserError: no labels.csv, or no box of these writers in it.
        UnreadableImage: an image that labels.csv names cannot be read.
    """
    try:
        with (folder / "labels.csv").open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{folder} is no labelled folder: {error.strerror}") from None
    found = []
    for row in rows:
        writer = row.get("writer") or ""
        if writers is None or {writer, writer.split("-")[0]} & set(writers):
            found.append(Box(open_pages(folder / row["file"])[0], row["character"], writer))
    if not found:
        raise UserError(f"{folder} has no box of {', '.join(sorted(writers or ()))}")
    return found


def share(writers: list[str], values: np.ndarray, of: np.ndarray) -> str:
    """The share of `values` among `of`, bool (N,) each, and its 95 % interval: by bootstrap over
    `writers` (N,), and never narrower than the exact one (Clopper and Pearson), which alone is
    taken where nobody wrote two, and without which there were none where nothing is wrong."""
    hits, every = int((values & of).sum()), max(int(of.sum()), 1)
    exact = accepting.interval(hits, every)
    low, high = accepting.over_clusters(exact, values & of, of, np.array(writers))
    return f"{hits / every:.1%} ({low:.1%} to {high:.1%})"
