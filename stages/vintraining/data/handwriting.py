"""The embedded handwriting: a model of how people write the 33 characters, without any image.

`handwriting.yaml` holds the forms (allographs) of each character as strokes. A `Writer` is sampled
once (school, slant, width, roundness, pen, tremor, favourite allographs, habits) and then writes
any character any number of times, each time a little differently. Everything a writer does follows
from `(seed, number)`, so the images depend neither on the number of processes nor on other writers.

The school a writer went to decides which forms go together: whoever begins the 1 with a long
upstroke bars the 7 and the Z.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import ArrayLike
from tqdm import tqdm

from vinreader import processes as pool
from vinreader.files import write_bytes
from vinreader.spec import CHARACTERS, INDEX, SIDE

# Where people learned to write, and their share of all writers; the file of allographs names them.
SCHOOLS = {
    "american": 0.2,  # the Palmer and Zaner-Bloser methods and print
    "european": 0.35,  # Central Europe: the joined hand of German-speaking and neighbouring schools
    "soviet": 0.2,  # printed forms learned beside the Cyrillic hand
    "cyrillic": 0.25,  # the Cyrillic copybook hand of Russia and Ukraine; Latin letters after it
}
BORROWED = 0.1  # share of a writer's forms that are as common as among writers of all schools

FINE_PENS = 0.3  # share of writers who write with one

ALLOGRAPHS = Path(__file__).with_name("handwriting.yaml")

EXTENT = 24  # the longer side of a character within it, as in EMNIST
OVERSAMPLING = 3
FRACTION_BITS = 4  # cv2 takes coordinates in sixteenths of a pixel
MOST_INK = 0.52  # of the rectangle around a character
DENSITY = 4  # points drawn for each point in the file
RUN = 4  # drawn points between two changes of the pen's pressure
WRITERS_PER_TASK = 8
PAGE = 99  # characters written in one go, at most
NAME_WIDTH, GAP = 92, 6  # of the sheet: room for a school's name, and above and below its rows
PAPER_GRAIN = 4 * PAGE * SIDE * OVERSAMPLING  # rows of grain, in pixels of the canvas


@dataclass(frozen=True)
class Allograph:
    """One form of a character.

    Attributes:
        name: as in the file.
        weights: how common it is among the character's allographs in each of `SCHOOLS`, >= 0.
        points: float64 (n, 2), the points of all strokes, x to the right, y down, about 100 high.
        paths: float64 (3, m, n): what to multiply the points with to get the m points of the pen's
            path, drawn with straight lines, as a smooth curve, and with corners cut.
        strokes: the slice of the m points that belongs to each stroke.
        ends: float64 (n, n): times the points, a vector 10 long out of each stroke's two ends,
            zero at the other points.
        stroke_of: int (n,), the number of the stroke each point belongs to.
    """

    name: str
    weights: tuple[float, ...]
    points: np.ndarray
    paths: np.ndarray
    strokes: tuple[slice, ...]
    ends: np.ndarray
    stroke_of: np.ndarray


Allographs = dict[str, list[Allograph]]


@cache
def load(path: str | Path = ALLOGRAPHS) -> Allographs:
    """Read a file of allographs.

    Returns:
        Dictionary: each of the 33 characters -> non-empty list of `Allograph`.

    Raises:
        ValueError: naming the character (and allograph) that is missing or not well written.
    """
    with Path(path).open(encoding="utf-8") as file:
        try:
            forms = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: {error}") from None
    if not isinstance(forms, dict):
        raise ValueError(f"{path}: expected a character, a colon and its allographs")
    unknown = [key for key in forms if key not in tuple(CHARACTERS)]
    if unknown:
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
    twice = [name for name in names if names.count(name) > 1]
    if twice:
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
    unknown = [school for school in weight if school not in SCHOOLS]
    if unknown:
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
    """The matrices (3, m, n) from a stroke's n points to its path; see `Allograph.paths`.

    `corner` says of each point whether the pen turns sharply there.
    """
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
    """The matrix (m, n) to a smooth curve through the points: Catmull-Rom's.

    The tangent at a point is parallel to the line between its neighbours; at a corner the curve
    arrives and leaves as if the stroke ended and began there.
    """
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


class Writer:
    """A person's handwriting.

    Args:
        seed: integer >= 0 of the whole population.
        number: integer >= 0, which writer of the population.
        allographs: the forms to choose from; those of the project unless given.
        school: one of `SCHOOLS`; unless given, drawn by their shares. Nothing but the choice of
            forms depends on it.

    Raises:
        ValueError: there is no such school.
    """

    def __init__(
        self,
        seed: int,
        number: int,
        allographs: Allographs | None = None,
        school: str | None = None,
    ) -> None:
        self.rng = rng = np.random.default_rng((seed, number))
        drawn = str(rng.choice(list(SCHOOLS), p=list(SCHOOLS.values())))
        self.school = drawn if school is None else school
        if self.school not in SCHOOLS:
            raise ValueError(f"there is no school {school!r}, only {', '.join(SCHOOLS)}")
        self.slant = float(np.clip(rng.normal(0.15, 0.26), -0.4, 0.9))
        self.width = float(np.exp(rng.normal(0.10, 0.25)))
        self.haste = float(rng.uniform())  # 0 stops at every point, 1 cuts every corner
        blunt = np.clip(np.exp(rng.normal(0.95, 0.45)), 1.3, 5.5)
        fine = rng.uniform(0.8, 1.4)  # a ballpoint pen that fills a large box
        self.pen = float(fine if rng.random() < FINE_PENS else blunt)  # width, pixels
        self.pressure = float(rng.uniform(0, 0.22))  # how much the pen's width varies in a stroke
        self.tremor = float(rng.exponential(0.5))
        self.carelessness = float(rng.uniform(0.7, 1.5))  # how unlike its characters are
        self.overshoot = float(rng.normal(0, 0.35))
        self.bleed = float(rng.uniform(0, 0.7))  # roughness of the ink's edge
        self.softness = float(rng.uniform(0.2, 0.75))  # blur, pixels
        # The lasting part of how the writer bends the plane; see `_paths`.
        self.habits = rng.normal(0, 0.10, (len(CHARACTERS), 3, 2))
        forms = [(allographs or load())[character] for character in CHARACTERS]
        self.forms = [form for allographs in forms for form in allographs]
        self.first = np.cumsum([0, *map(len, forms)])  # of each character's forms
        weights = self._commonness()
        self.cumulative = np.cumsum([0, *weights])
        # Two times in three the favourite form, else any.
        favourites = self._choose(np.arange(len(CHARACTERS)))
        weights[favourites] += 2 * np.add.reduceat(weights, self.first[:-1])
        self.cumulative = np.cumsum([0, *weights])

    def _commonness(self) -> np.ndarray:
        """How common each form is with this writer, float64 (forms,)."""
        weights = np.array([form.weights for form in self.forms])
        sums = np.add.reduceat(weights, self.first[:-1]).repeat(np.diff(self.first), axis=0)
        weights /= np.where(sums > 0, sums, 1)
        shares = BORROWED * np.array(list(SCHOOLS.values()))
        shares[list(SCHOOLS).index(self.school)] += 1 - BORROWED
        common: np.ndarray = weights @ shares
        return common

    def _choose(self, indices: np.ndarray) -> np.ndarray:
        """A form for each index of a character, as often as the weights say: its number, int."""
        first, last = self.first[indices], self.first[indices + 1]
        low, high = self.cumulative[first], self.cumulative[last]
        at = low + self.rng.random(len(indices)) * (high - low)
        # Rounding may bring a choice to the very end, where the next character's forms begin.
        numbers = np.searchsorted(self.cumulative, at, side="right")
        chosen: np.ndarray = np.minimum(numbers, last) - 1
        return chosen

    def strokes(self, text: str) -> list[list[np.ndarray]]:
        """Write characters.

        Args:
            text: characters of the alphabet, at least one.

        Returns:
            For each character a list of float64 (m, 2) arrays, a pen's path each: x to the right,
            y down, in hundredths of a capital's height, about its middle.
        """
        indices = np.array([INDEX[character] for character in text])
        forms = [self.forms[number] for number in self._choose(indices)]
        lengths = np.array([form.paths.shape[1] for form in forms])
        starts = np.cumsum([0, *lengths[:-1]])
        path = self._bent(self._traced(forms, starts, lengths), starts, lengths, indices)
        return [
            [path[start + stroke.start : start + stroke.stop] for stroke in form.strokes]
            for form, start in zip(forms, starts, strict=True)
        ]

    def _traced(
        self, forms: list[Allograph], starts: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """The pen's path through forms, float64 (n, 2), each off its points a little.

        Each form's part of the path begins at `starts` and is `lengths` long, int (forms,).
        """
        rng, careless = self.rng, self.carelessness
        points = np.concatenate([form.points for form in forms])
        points += rng.normal(0, 2.6 * careless, points.shape)
        pieces = [len(form.strokes) for form in forms]
        moved = rng.normal(0, 1.8 * careless, (sum(pieces), 2))
        own_moves = np.cumsum([0, *pieces[:-1]]).repeat([len(form.points) for form in forms])
        points += moved[own_moves + np.concatenate([form.stroke_of for form in forms])]
        reach = rng.normal(self.overshoot, 0.5, (len(points), 1))
        stiff = rng.uniform(0, 0.35, len(forms)) * (1 - self.haste)
        hasty = rng.uniform(0, 1, len(forms)) * self.haste
        mixtures = np.stack([stiff, 1 - stiff - hasty, hasty], axis=1)

        path, n = np.empty((sum(lengths), 2)), 0
        for form, mixture, start, length in zip(forms, mixtures, starts, lengths, strict=True):
            count = len(form.points)
            own = points[n : n + count]
            own += reach[n : n + count] * (form.ends @ own)
            mixed = (mixture @ form.paths.reshape(3, -1)).reshape(length, count)
            np.matmul(mixed, own, out=path[start : start + length])
            n += count
        return path

    def _bent(
        self, path: np.ndarray, starts: np.ndarray, lengths: np.ndarray, indices: np.ndarray
    ) -> np.ndarray:
        """The path as the hand moves over the paper, each character's part about its middle.

        The hand does not move evenly: the plane is bent a little (x², xy, y²).
        """
        rng, careless, count = self.rng, self.carelessness, len(indices)
        low, high = _extremes(path, starts)
        bends = self.habits[indices] + rng.normal(0, 0.05 * careless, (count, 3, 2))
        # Upper parts go to the right.
        width = self.width * np.exp(rng.normal(0, 0.10, count))
        slant = self.slant + rng.normal(0, 0.06, count)
        turn = rng.normal(0, 0.06, count)
        shear = _matrices(width, 0, -slant, 1)
        rotation = _matrices(np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn))
        of = np.repeat(np.arange(count), lengths)
        x, y = ((path - (low + high)[of] / 2) / 50).T
        path = 50 * np.stack([x, y], 1)
        path += 50 * np.einsum("nk,nkc->nc", np.stack([x * x, x * y, y * y], 1), bends[of])
        shaking = rng.normal(0, self.tremor, (len(path) // 2 + 2, 2)).repeat(2, 0)
        path += (shaking[: len(path)] + shaking[1 : len(path) + 1]) / 2
        bent: np.ndarray = np.einsum("nk,nkc->nc", path, (shear @ rotation)[of])
        return bent

    def write(self, text: str) -> np.ndarray:
        """Write characters as images.

        Args:
            text: characters of the alphabet, at least one and at most `PAGE`.

        Returns:
            uint8 (len(text), 28, 28), white ink on black, as EMNIST's: the longer side about 24
            pixels, centred, soft edges.
        """
        if not 0 < len(text) <= PAGE:
            raise ValueError(f"a page holds 1 to {PAGE} characters, not {len(text)}")
        pens = self.pen * np.exp(self.rng.normal(0, 0.10, len(text)))
        strokes, pens = _fit(self.strokes(text), pens)
        # The characters stand above one another, so that each step is one call for all of them.
        canvas = np.zeros((len(text) * SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), np.uint8)
        draw_strokes(canvas, strokes, pens * OVERSAMPLING, self)
        return _ink(canvas, self)


def _extremes(path: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x and y, float (k, 2) each, of the parts of a path that start there."""
    return np.minimum.reduceat(path, starts), np.maximum.reduceat(path, starts)


def _matrices(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> np.ndarray:
    """(k, 2, 2) of rows (a, b), (c, d), numbers or (k,) each."""
    values = np.stack(np.broadcast_arrays(a, b, c, d), -1)
    return values.reshape(*values.shape[:-1], 2, 2)


def draw_strokes(
    canvas: np.ndarray, strokes: list[np.ndarray], pens: np.ndarray, writer: Writer
) -> None:
    """Draw pen paths into `canvas` (uint8, in place) in white, as `writer` presses the pen.

    Args:
        strokes: float (m, 2) arrays, x and y in pixels of the canvas.
        pens: the pen's mean width in pixels in each of the strokes, float (len(strokes),).
    """
    runs = [-(-(len(stroke) - 1) // RUN) for stroke in strokes]
    press = np.convolve(writer.rng.normal(0, 1, sum(runs) + 2), np.ones(3) / np.sqrt(3), "valid")
    widths = np.repeat(pens, runs) * (1 + writer.pressure * np.clip(press, -1.5, 1.5))
    widths = iter(np.maximum(1, np.rint(widths)).astype(int).tolist())
    path = np.rint(np.concatenate(strokes) * (1 << FRACTION_BITS)).astype(np.int32)
    lines, begin = defaultdict(list), 0
    for stroke in strokes:
        end = begin + len(stroke)
        for first in range(begin, end - 1, RUN):
            lines[next(widths)].append(path[first : min(first + RUN + 1, end)])
        begin = end
    for width, paths in lines.items():
        cv2.polylines(canvas, paths, False, 255, width, cv2.LINE_8, FRACTION_BITS)


def _fit(
    characters: list[list[np.ndarray]], pens: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Strokes as on the canvas of `Writer.write`, each character's ink filling its extent.

    Args:
        characters: a list of strokes each.
        pens: width of the pen each character is written with, in pixels, float (k,).

    Returns:
        List of all strokes, and the pen to write each with, in pixels, float (len(strokes),).
    """
    strokes = [stroke for character in characters for stroke in character]
    path = np.concatenate(strokes)
    pieces = [len(character) for character in characters]
    lengths = [sum(map(len, character)) for character in characters]
    starts = np.cumsum([0, *lengths[:-1]])
    low, high = _extremes(path, starts)
    size = high - low
    longer = size.max(axis=1)
    # With a blunt pen people write larger, lest the ink fill the character.
    ink = np.add.reduceat(np.hypot(*np.diff(path, axis=0, append=path[-1:]).T), starts)
    scale = EXTENT / longer
    room = np.maximum(size, longer[:, None] / 2).prod(axis=1)
    pens = np.minimum(pens, MOST_INK * scale * room / ink)
    scale = OVERSAMPLING * (EXTENT - pens) / longer
    middle = np.full((len(pens), 2), (SIDE * OVERSAMPLING - 1) / 2)
    middle[:, 1] += SIDE * OVERSAMPLING * np.arange(len(pens))
    of = np.repeat(np.arange(len(pens)), lengths)
    path = (path - ((low + high) / 2)[of]) * scale[of, None] + middle[of]
    return np.split(path, np.cumsum([len(s) for s in strokes[:-1]])), np.repeat(pens, pieces)


@cache
def _grain() -> np.ndarray:
    """Paper's grain, uint8 (PAPER_GRAIN, a canvas' width), mean 128: ink spreads along it."""
    noise = np.random.default_rng(0).normal(0, 1, (PAPER_GRAIN, SIDE * OVERSAMPLING))
    cloud = cv2.GaussianBlur(noise, (0, 0), 2.2, borderType=cv2.BORDER_REFLECT)
    grain: np.ndarray = np.clip(128 + 50 * cloud / np.std(cloud), 0, 255).astype(np.uint8)
    return grain


def _ink(canvas: np.ndarray, writer: Writer) -> np.ndarray:
    """What the pen left on the paper, seen by a scanner: uint8 (k, 28, 28)."""
    rng, height = writer.rng, len(canvas)
    start = rng.integers(0, PAPER_GRAIN - height)
    soak = 3 if writer.pen < 1.4 else 5  # there is less ink to spread where the pen is fine
    soaked = cv2.blur(canvas, (soak, soak))
    grain = _grain()[start : start + height]
    soaked = cv2.addWeighted(soaked, 1, grain, writer.bleed, -128 * writer.bleed)
    ink = cv2.threshold(soaked, 127, 255, cv2.THRESH_BINARY)[1]
    softness = writer.softness * np.exp(rng.normal(0, 0.15))
    ink = cv2.resize(ink, (SIDE, height // OVERSAMPLING), interpolation=cv2.INTER_AREA)
    ink = cv2.GaussianBlur(ink, (5, 5), softness).reshape(-1, SIDE, SIDE)
    # A scanner stretches the contrast: thin and blurred strokes come out white, too.
    brightest = ink.max(axis=(1, 2)).astype(np.float32)
    gain = 255 / np.maximum(1, brightest) * rng.uniform(0.97, 1.15, len(ink)).astype(np.float32)
    seen: np.ndarray = np.minimum(np.rint(ink * gain[:, None, None]), 255).astype(np.uint8)
    return seen


def write(
    per_class: int = 600,
    writers: int = 300,
    seed: int = 1981,
    first_writer: int = 0,
    progress: bool = True,
    processes: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let writers write all 33 characters.

    Args:
        per_class: images of each character, >= 1.
        writers: how many writers share them, as evenly as it goes, >= 1.
        seed: integer >= 0; the same seed gives the same bytes on any number of processes.
        first_writer: number of the first writer; populations whose numbers do not overlap
            share no writer, as training, validation and test must not.
        progress: show a bar on standard error when that is a terminal.
        processes: how many to share the work, by default one a processor for many characters.

    Returns:
        images: uint8 (33 * per_class, 28, 28), upright, white ink on black, as EMNIST's.
        labels: uint8 (33 * per_class,), index into `spec.CHARACTERS`.
        writers: int32 (33 * per_class,), the writer's number; rows are ordered by writer.

    Raises:
        ValueError: a number out of its range, or a broken file of allographs.
    """
    if min(per_class, writers) < 1 or min(seed, first_writer) < 0:
        raise ValueError("per_class and writers must be at least 1, seed and first_writer 0")
    load()  # a broken file is reported here, once
    pages, more = divmod(per_class, writers)
    tasks = [
        (seed, first_writer + number, pages + (number < more))
        for number in range(writers)
        if pages or number < more
    ]
    processes = processes or pool.suggested(per_class * len(CHARACTERS))
    batches = [tasks[i : i + WRITERS_PER_TASK] for i in range(0, len(tasks), WRITERS_PER_TASK)]
    hidden = not (progress and sys.stderr.isatty())
    bar = tqdm(total=len(CHARACTERS) * per_class, desc="handwriting", disable=hidden)
    _grain()  # made once, before there are several processes
    written = []
    with bar:
        for images in pool.in_order(_write_batch, batches, processes):
            written.append(images)
            bar.update(len(images))
    labels = np.tile(np.arange(len(CHARACTERS), dtype=np.uint8), per_class)
    numbers = [number for _, number, share in tasks for _ in range(share * len(CHARACTERS))]
    return np.concatenate(written), labels, np.array(numbers, np.int32)


def _write_batch(tasks: list[tuple[int, int, int]]) -> np.ndarray:
    """Images of some (seed, number, pages), a page holding each of the 33 characters once."""
    images = []
    for seed, number, pages in tasks:
        writer = Writer(seed, number)
        images += [writer.write(CHARACTERS) for _ in range(pages)]
    return np.concatenate(images)


def sheet(path: str | Path, writers: int = 6, seed: int = 1981) -> None:
    """Save a picture of handwriting, dark ink on white: a row a writer, a column a character.

    Args:
        path: of the PNG file.
        writers: how many of each school, >= 1; the school's name stands before their rows.
        seed: integer >= 0.

    Raises:
        OSError: the picture cannot be written.
    """
    height, width = writers * SIDE, len(CHARACTERS) * SIDE
    bands = []
    for place, school in enumerate(SCHOOLS):
        numbers = range(place * writers, (place + 1) * writers)
        rows = [Writer(seed, number, school=school).write(CHARACTERS) for number in numbers]
        ink = np.stack(rows).transpose(0, 2, 1, 3).reshape(height, width)
        name = np.zeros((height, NAME_WIDTH), np.uint8)
        middle = (6, height // 2 + 5)
        cv2.putText(name, school, middle, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
        bands.append(np.pad(np.hstack([name, ink]), ((GAP, GAP), (0, 0))))
    done, png = cv2.imencode(".png", 255 - np.concatenate(bands))
    if not done:
        raise OSError(f"cannot encode {path}")
    write_bytes(Path(path), png.tobytes())
