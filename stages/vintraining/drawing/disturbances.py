"""What disturbed scans cost: test characters on paper and in printed boxes, read as scans are.

Every one of `DISTURBANCES` at each of its strengths, the same characters every time. A drop is
against the same characters as they come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vintraining.console import progress
from vintraining.data import dataset, handwriting
from vintraining.drawing.paper import Scan, decent_scan, scan

import numpy as np
import pandas as pd

from vinreader.processes import cores, in_order
from vinreader.reader import Reader
from vinreader.spec import INDEX

TARGET = 1.0  # points that a disturbance may cost while the scan is a decent one
BATCH = 128  # scans that a process draws and reads at a time
PLAIN, MIXED = "none", "several at once"


@dataclass(frozen=True)
class Disturbance:
    """One thing that happens to scans."""

    unit: str  # of its strengths
    decent: tuple[float, ...]  # that a person would still call a decent scan, mildest first
    beyond: tuple[float, ...]  # stronger ones
    at: Callable[[float], Scan]  # of a strength


# What is decent follows from what the scans are for: office scanners at 150 to 600 dpi, boxes cut
# out by a person or a program, pens and soft pencils; a line of the form may be touched, not
# written over.
DISTURBANCES = {
    "border": Disturbance("pixels thick", (1, 2, 3, 4), (6,), lambda x: Scan(border=x)),
    "border on sides": Disturbance(
        "sides", (1, 2, 3, 4), (), lambda x: Scan(border=2, sides=round(x))
    ),
    "touched border": Disturbance("pixels", (0, 1), (2, 4), lambda x: Scan(border=2, touching=x)),
    "broken border": Disturbance(
        "share missing", (0.1, 0.3), (0.5, 0.7), lambda x: Scan(border=2, broken=x)
    ),
    "rotated box": Disturbance(
        "degrees", (1.5, 3), (5, 8), lambda x: Scan(border=2, sides=4, rotation=x)
    ),
    "wide cut": Disturbance(
        "share of the neighbouring boxes",
        (0.05, 0.1),
        (0.2, 0.3),
        lambda x: Scan(border=2, neighbours=x),
    ),
    "neighbours' strokes": Disturbance(
        "share of the width", (0.03, 0.06), (0.1, 0.15), lambda x: Scan(strokes=x)
    ),
    "off-centre": Disturbance("share of the room", (0.5, 1), (), lambda x: Scan(shift=x)),
    "large paper": Disturbance("times as high", (1.5, 2), (3, 4), lambda x: Scan(room=x, shift=1)),
    "scale": Disturbance("times", (1, 2, 4, 10), (0.75, 0.5), lambda x: Scan(scale=x)),
    "noise": Disturbance("grey levels", (5, 10), (20, 30), lambda x: Scan(noise=x)),
    "fibres": Disturbance("grey levels", (3, 6), (12,), lambda x: Scan(texture=x)),
    "blur": Disturbance("pixels", (0.5, 1), (2, 3), lambda x: Scan(blur=x)),
    "JPEG": Disturbance("quality", (75, 50), (30, 10), lambda x: Scan(jpeg=round(x))),
    "faint ink": Disturbance("grey levels", (100, 60), (40, 20), lambda x: Scan(ink=x)),
    "shading": Disturbance("grey levels", (30, 60), (100, 140), lambda x: Scan(shading=x)),
    "inverted": Disturbance("", (1,), (), lambda x: Scan(inverted=True)),
}


@dataclass(frozen=True)
class Case:
    """A row of the table. `how` is None where the character comes as it is or, when mixed, where
    every scan is another one of `decent_scan`."""

    disturbance: str
    strength: float
    unit: str
    decent: bool
    how: Scan | None

    def drawn(self, image: np.ndarray, rng: np.random.Generator, others: np.ndarray) -> np.ndarray:
        """What becomes of a character's image; see `paper.scan`."""
        how = decent_scan(rng) if self.disturbance == MIXED else self.how
        return scan(image, how, rng, others) if how else image


def all_cases() -> list[Case]:
    cases = [
        Case(name, strength, kind.unit, strength in kind.decent, kind.at(strength))
        for name, kind in DISTURBANCES.items()
        for strength in (*kind.decent, *kind.beyond)
    ]
    return [Case(PLAIN, 0, "", True, None), *cases, Case(MIXED, 1, "", True, None)]


class _Worker:
    """A process's reader and characters."""

    reader: Reader
    images: np.ndarray
    seed: int


def _start(model: Path, images: np.ndarray, seed: int) -> None:
    _Worker.reader, _Worker.images, _Worker.seed = Reader(model), images, seed


def _read(task: tuple[Case, int]) -> tuple[np.ndarray, np.ndarray]:
    """Classes read (-1: none) and which are for review, of a chunk of the characters."""
    case, first = task
    images = _Worker.images
    scans = [
        # The same generator for every case: a stronger disturbance is the same one, stronger.
        case.drawn(images[row], np.random.default_rng((_Worker.seed, row)), images)
        for row in range(first, min(first + BATCH, len(images)))
    ]
    readings = _Worker.reader.read(scans)
    read = np.array([INDEX.get(reading.character, -1) for reading in readings])
    return read, np.array([reading.status == "review" for reading in readings])


def measure(
    model: Path, characters: dataset.Characters, seed: int, processes: int | None = None
) -> pd.DataFrame:
    """The table: disturbance, strength, unit, decent, accuracy, drop in points, review.

    Args:
        characters: as published, white ink on black.
        processes: which share the work, by default one a core; the result does not depend on it.
    """
    cases = all_cases()
    tasks = [(case, first) for case in cases for first in range(0, len(characters), BATCH)]
    begin = _start, (model, characters.images, seed)
    done = in_order(_read, tasks, processes or cores(), *begin)
    done = progress(done, "robustness", len(tasks))
    read, review = (
        np.concatenate(part).reshape(len(cases), -1) for part in zip(*done, strict=True)
    )
    weights = dataset.class_weights(characters.labels)
    accuracy = (read == characters.labels) @ weights
    columns = ["disturbance", "strength", "unit", "decent"]
    return pd.DataFrame([vars(case) for case in cases], columns=columns).assign(
        accuracy=accuracy.round(5),
        drop=(100 * (accuracy[0] - accuracy)).round(3),
        review=(review @ weights).round(5),
    )


def summary(table: pd.DataFrame, characters: int, source: str) -> dict[str, Any]:
    """The headline figures; drops in points of the accuracy."""
    plain, mixed = table.iloc[0], table.iloc[-1]
    single = table.iloc[1:-1]
    decent = single[single["decent"]]
    worst = decent.loc[decent["drop"].idxmax()]
    return {
        "source": source,
        "characters": characters,
        "accuracy": float(plain["accuracy"]),
        "decent": {
            "worst_drop": float(worst["drop"]),
            "worst": f"{worst['disturbance']} {worst['strength']:g} {worst['unit']}".strip(),
            "mean_drop": round(float(decent["drop"].mean()), 3),
            "within_target": round(float((decent["drop"] <= TARGET).mean()), 4),
        },
        "mean_drop": round(float(single["drop"].mean()), 3),
        "several_at_once": {"accuracy": float(mixed["accuracy"]), "drop": float(mixed["drop"])},
    }


def examples(seed: int) -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """A row a disturbance: its name, and what each strength looks like, on handwriting that is
    the project's own."""
    images, _, _ = handwriting.write(1, writers=1, seed=seed, processes=1)
    rows: dict[str, list[tuple[str, np.ndarray]]] = {}
    for number, case in enumerate(all_cases()):
        rng = np.random.default_rng((seed, number))
        label = f"{case.strength:g}{'' if case.decent else ' *'}" if case.how else ""
        drawn = case.drawn(images[number % len(images)], rng, images)
        rows.setdefault(case.disturbance, []).append((label, drawn))
    for _ in range(4):
        how = decent_scan(rng)
        rows[MIXED].append(("", scan(images[rng.integers(len(images))], how, rng, images)))
    return list(rows.items())
