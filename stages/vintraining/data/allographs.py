"""The forms (allographs) of the 33 characters, read from `handwriting.yaml` as a pen's strokes."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vinreader.spec import CHARACTERS

# Where people learned to write, and their share of all writers; the file of allographs names them.
SCHOOLS = {
    "american": 0.2,  # the Palmer and Zaner-Bloser methods and print
    "european": 0.35,  # Central Europe: the joined hand of German-speaking and neighbouring schools
    "soviet": 0.2,  # printed forms learned beside the Cyrillic hand
    "cyrillic": 0.25,  # the Cyrillic copybook hand of Russia and Ukraine; Latin letters after it
}

ALLOGRAPHS = Path(__file__).with_name("handwriting.yaml")

DENSITY = 4  # points drawn for each point in the file


@dataclass(frozen=True)
class Allograph:
    """One form of a character.

    paths: float64 (3, m, n): what to multiply the points with to get the m points of the pen's
    path, drawn with straight lines, as a smooth curve, and with corners cut. ends: float64 (n, n):
    times the points, a vector 10 long out of each stroke's two ends, zero at the other points.
    """

    name: str  # as in the file
    weights: tuple[float, ...]  # how common it is in each of `SCHOOLS`, >= 0
    points: np.ndarray  # float64 (n, 2), of all strokes, x to the right, y down, about 100 high
    paths: np.ndarray
    strokes: tuple[slice, ...]  # of the m points, for each stroke
    ends: np.ndarray
    stroke_of: np.ndarray  # int (n,), the number of the stroke each point belongs to


Allographs = dict[str, list[Allograph]]


@cache
def load(path: str | Path = ALLOGRAPHS) -> Allographs:
    """The forms of each of the 33 characters, at least one, from a file of allographs. Raises:
    ValueError, naming the character (and allograph) that is missing or not well written."""
    with Path(path).open(encoding="utf-8") as file:
        try:
            forms = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: {error}") from None
    if not isinstance(forms, dict):
        raise ValueError(f"{path}: expected a character, a colon and its allographs")
    if unknown := [key for key in forms if key not in tuple(CHARACTERS)]:
        raise ValueError(f"{path}: {unknown[0]!r} is not a VIN character (digits need quotes)")
    allographs = {}
    for character in CHARACTERS:
        try:
            allographs[character] = _allographs(forms.get(character))
        except ValueError as error:
            raise ValueError(f"{path}: character {character!r}: {error}") from None
    return allographs


def _allographs(entries: Any) -> list[Allograph]:
    """The forms of one character, from its entry of the file."""
    if not (isinstance(entries, list) and entries):
        raise ValueError(f"has no allograph, but {entries!r}; expected '- name: {{...}}' lines")
    forms = [_allograph(entry) for entry in entries]
    names = [form.name for form in forms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two allographs named {twice[0]!r}")
    for number, school in enumerate(SCHOOLS):
        if not any(form.weights[number] for form in forms):
            raise ValueError(f"no allograph with a weight in the {school} school")
    return forms


def _allograph(entry: Any) -> Allograph:
    try:
        ((name, form),) = entry.items()
        weight, strokes = form["weight"], form["strokes"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"expected '- name: {{weight: 1, strokes: [\"x,y x,y\", ...]}}', got {entry!r}"
        ) from None
    if not (isinstance(strokes, list) and strokes):
        raise ValueError(f"allograph {name!r} needs at least one stroke")
    try:
        weights = _weights(weight)
        drawn = [_stroke(text) for text in strokes]
    except ValueError as error:
        raise ValueError(f"allograph {name!r}: {error}") from None

    count = sum(len(points) for points, _ in drawn)
    length = sum(paths.shape[1] for _, paths in drawn)
    all_paths, ends = np.zeros((3, length, count)), np.zeros((count, count))
    slices, stroke_of, n, m = [], [], 0, 0
    for number, (points, paths) in enumerate(drawn):
        last_n, last_m = n + len(points), m + paths.shape[1]
        all_paths[:, m:last_m, n:last_n] = paths
        for end, neighbour in ((n, n + 1), (last_n - 1, last_n - 2)):
            reach = 10 / np.linalg.norm(points[end - n] - points[neighbour - n])
            ends[end, end], ends[end, neighbour] = reach, -reach
        slices.append(slice(m, last_m))
        stroke_of += [number] * len(points)
        n, m = last_n, last_m
    points = np.concatenate([points for points, _ in drawn])
    return Allograph(
        str(name), weights, points, all_paths, tuple(slices), ends, np.array(stroke_of)
    )


def _weights(weight: Any) -> tuple[float, ...]:
    """A number, or a mapping from schools to numbers -> the weight in each of `SCHOOLS`."""
    if not isinstance(weight, dict):
        weight = dict.fromkeys(SCHOOLS, weight)
    if unknown := [school for school in weight if school not in SCHOOLS]:
        raise ValueError(f"there is no school {unknown[0]!r}, only {', '.join(SCHOOLS)}")
    weights = list(weight.values())
    if not (weights and all(isinstance(w, int | float) and 0 < w < np.inf for w in weights)):
        raise ValueError(
            f"needs a weight above 0, or one for each school that has it, not {weight}"
        )
    return tuple(float(weight.get(school, 0)) for school in SCHOOLS)


def _stroke(text: Any) -> tuple[np.ndarray, np.ndarray]:
    """'x,y x,y! ...' -> its points (n, 2) and the matrices (3, m, n) of its path."""
    try:
        words = text.split()
        corner = tuple(word.endswith("!") for word in words)
        points = np.array([[float(v) for v in word.rstrip("!").split(",")] for word in words])
    except (AttributeError, ValueError):
        raise ValueError(f"cannot read the stroke {text!r}; write 'x,y x,y! x,y'") from None
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise ValueError(f"the stroke {text!r} needs at least two points x,y")
    if not (np.abs(points) <= 200).all():
        raise ValueError(f"the stroke {text!r} leaves the paper; a capital is 100 high")
    if (np.linalg.norm(np.diff(points, axis=0), axis=1) < 1).any():
        raise ValueError(f"the stroke {text!r} has the same point twice in a row")
    return points, _paths(corner)


@cache
def _paths(corner: tuple[bool, ...]) -> np.ndarray:
    """The matrices from a stroke's n points to its path, `Allograph.paths`. corner: whether the pen
    turns sharply at each."""
    count = len(corner)
    unit = np.eye(count)
    t = np.linspace(0, 1, DENSITY, endpoint=False)[:, None]
    between = [(1 - t) * unit[i] + t * unit[i + 1] for i in range(count - 1)]
    straight = np.concatenate([*between, unit[-1:]])
    # A hasty pen does not stop at corners and cuts them: each point of its path becomes the mean
    # of those around it.
    hasty = _spline((False,) * count)
    cut = hasty.copy()
    for i in range(len(cut)):
        reach = min(DENSITY // 2 + 1, i, len(cut) - 1 - i)
        cut[i] = hasty[i - reach : i + reach + 1].mean(axis=0)
    return np.stack([straight, _spline(corner), cut])


def _spline(corner: tuple[bool, ...]) -> np.ndarray:
    """The matrix (m, n) to a smooth curve through the points: Catmull-Rom's, for which a stroke
    ends and begins at a corner."""
    count = len(corner)
    unit = np.eye(count)
    into, out = np.zeros((count, count)), np.zeros((count, count))
    for i in range(count):
        before, after = max(i - 1, 0), min(i + 1, count - 1)
        if corner[i] or before == i or after == i:
            into[i], out[i] = unit[i] - unit[before], unit[after] - unit[i]
        else:
            into[i] = out[i] = (unit[after] - unit[before]) / 2
    t = np.linspace(0, 1, DENSITY, endpoint=False)[:, None]
    pieces = [
        (2 * t**3 - 3 * t**2 + 1) * unit[i]
        + (t**3 - 2 * t**2 + t) * out[i]
        + (3 * t**2 - 2 * t**3) * unit[i + 1]
        + (t**3 - t**2) * into[i + 1]
        for i in range(count - 1)
    ]
    return np.concatenate([*pieces, unit[-1:]])
