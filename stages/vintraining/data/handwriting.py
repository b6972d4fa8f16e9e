"""The embedded handwriting: a model of how people write the 33 characters, without any image.

`allographs.py` reads the forms (allographs) of each character as strokes. A `Writer` is sampled
once (school, slant, width, roundness, pen, tremor, favourite allographs, habits) and then writes
any character any number of times, each time a little differently. Everything a writer does follows
from `(seed, number)`, so the images depend neither on the number of processes nor on other writers.

The school a writer went to decides which forms go together: whoever begins the 1 with a long
upstroke bars the 7 and the Z.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path

from vintraining.console import progress
from vintraining.data.allographs import SCHOOLS, Allograph, Allographs, load

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vinreader import processes as pool
from vinreader.files import write_bytes
from vinreader.spec import CHARACTERS, INDEX, SIDE

BORROWED = 0.1  # share of a writer's forms that are as common as among writers of all schools

FINE_PENS = 0.3  # share of writers who write with one

# A writer's measures are in pixels of EMNIST's images; the finished ones are `SIDE` pixels a side.
EMNIST_SIDE, EXTENT = 28, 24  # an image, and the longer side of the character within it
OVERSAMPLING = 3
CANVAS = EMNIST_SIDE * OVERSAMPLING  # pixels a side of what a character is drawn on
FRACTION_BITS = 4  # cv2 takes coordinates in sixteenths of a pixel
MOST_INK = 0.52  # of the rectangle around a character
RUN = 4  # drawn points between two changes of the pen's pressure
WRITERS_PER_TASK = 8
PAGE = 99  # characters written in one go, at most
NAME_WIDTH, GAP = 92, 6  # of the sheet: room for a school's name, and above and below its rows
PAPER_GRAIN = 4 * PAGE * CANVAS  # rows of grain, in pixels of the canvas


class Writer:
    """A person's handwriting.

    Args:
        seed, number: >= 0, of the whole population, and of the writer within it.
        allographs: the forms to choose from; those of the project unless given.
        school: one of `SCHOOLS`; unless given, drawn by their shares. Nothing but the choice of
            forms depends on it.

    Raises: ValueError where there is no such school.
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
        return np.asarray(weights @ shares)

    def _choose(self, indices: np.ndarray) -> np.ndarray:
        """A form for each index of a character, as often as the weights say: its number, int."""
        first, last = self.first[indices], self.first[indices + 1]
        low, high = self.cumulative[first], self.cumulative[last]
        at = low + self.rng.random(len(indices)) * (high - low)
        # Rounding may bring a choice to the very end, where the next character's forms begin.
        numbers = np.searchsorted(self.cumulative, at, side="right")
        return np.asarray(np.minimum(numbers, last) - 1)

    def strokes(self, text: str) -> list[list[np.ndarray]]:
        """The strokes of at least one character: for each a list of float64 (m, 2) arrays, a pen's
        path each, x to the right, y down, in hundredths of a capital's height, about its middle.
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
        low, high = np.minimum.reduceat(path, starts), np.maximum.reduceat(path, starts)
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
        return np.asarray(np.einsum("nk,nkc->nc", path, (shear @ rotation)[of]))

    def write(self, text: str) -> np.ndarray:
        """Images of 1 to `PAGE` characters, uint8 (len(text), SIDE, SIDE), white ink on black, as
        EMNIST's: the longer side about 24 / 28 of the image, centred, soft edges.

        Raises: ValueError where there are fewer or more.
        """
        if not 0 < len(text) <= PAGE:
            raise ValueError(f"a page holds 1 to {PAGE} characters, not {len(text)}")
        pens = self.pen * np.exp(self.rng.normal(0, 0.10, len(text)))
        strokes, pens = _fit(self.strokes(text), pens)
        # The characters stand above one another, so that each step is one call for all of them.
        canvas = np.zeros((len(text) * CANVAS, CANVAS), np.uint8)
        draw_strokes(canvas, strokes, pens * OVERSAMPLING, self)
        return _ink(canvas, self)


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
    """All strokes as on the canvas of `Writer.write`, each character's ink filling its extent, and
    the width of the pen to write each stroke with, in pixels.

    Args:
        characters: a list of strokes each; pens: width of each one's pen in pixels, float (k,).
    """
    strokes = [stroke for character in characters for stroke in character]
    path = np.concatenate(strokes)
    pieces = [len(character) for character in characters]
    lengths = [sum(map(len, character)) for character in characters]
    starts = np.cumsum([0, *lengths[:-1]])
    low, high = np.minimum.reduceat(path, starts), np.maximum.reduceat(path, starts)
    size = high - low
    longer = size.max(axis=1)
    # With a blunt pen people write larger, lest the ink fill the character.
    ink = np.add.reduceat(np.hypot(*np.diff(path, axis=0, append=path[-1:]).T), starts)
    scale = EXTENT / longer
    room = np.maximum(size, longer[:, None] / 2).prod(axis=1)
    pens = np.minimum(pens, MOST_INK * scale * room / ink)
    scale = OVERSAMPLING * (EXTENT - pens) / longer
    middle = np.full((len(pens), 2), (CANVAS - 1) / 2)
    middle[:, 1] += CANVAS * np.arange(len(pens))
    of = np.repeat(np.arange(len(pens)), lengths)
    path = (path - ((low + high) / 2)[of]) * scale[of, None] + middle[of]
    return np.split(path, np.cumsum([len(s) for s in strokes[:-1]])), np.repeat(pens, pieces)


@cache
def _grain() -> np.ndarray:
    """Paper's grain, uint8 (PAPER_GRAIN, CANVAS), mean 128: ink spreads along it."""
    noise = np.random.default_rng(0).normal(0, 1, (PAPER_GRAIN, CANVAS))
    cloud = cv2.GaussianBlur(noise, (0, 0), 2.2, borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.clip(128 + 50 * cloud / np.std(cloud), 0, 255).astype(np.uint8))


def _ink(canvas: np.ndarray, writer: Writer) -> np.ndarray:
    """What the pen left on the paper, seen by a scanner: uint8 (k, SIDE, SIDE)."""
    rng, height = writer.rng, len(canvas)
    start = rng.integers(0, PAPER_GRAIN - height)
    soak = 3 if writer.pen < 1.4 else 5  # there is less ink to spread where the pen is fine
    soaked = cv2.blur(canvas, (soak, soak))
    grain = _grain()[start : start + height]
    soaked = cv2.addWeighted(soaked, 1, grain, writer.bleed, -128 * writer.bleed)
    ink = cv2.threshold(soaked, 127, 255, cv2.THRESH_BINARY)[1]
    softness = writer.softness * np.exp(rng.normal(0, 0.15))
    softness *= SIDE / EMNIST_SIDE
    ink = cv2.resize(ink, (SIDE, height // CANVAS * SIDE), interpolation=cv2.INTER_AREA)
    ink = cv2.GaussianBlur(ink, (5, 5), softness).reshape(-1, SIDE, SIDE)
    # A scanner stretches the contrast: thin and blurred strokes come out white, too.
    brightest = ink.max(axis=(1, 2)).astype(np.float32)
    gain = 255 / np.maximum(1, brightest) * rng.uniform(0.97, 1.15, len(ink)).astype(np.float32)
    return np.asarray(np.minimum(np.rint(ink * gain[:, None, None]), 255).astype(np.uint8))


def write(
    per_class: int = 600,
    writers: int = 300,
    seed: int = 1981,
    first_writer: int = 0,
    processes: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let writers write all 33 characters.

    Args:
        per_class: images of each character, >= 1.
        writers: how many writers share them, as evenly as it goes, >= 1.
        seed: >= 0; the same seed gives the same bytes on any number of processes.
        first_writer: number of the first writer; populations whose numbers do not overlap
            share no writer, as training, validation and test must not.
        processes: how many to share the work, by default one a processor for many characters.

    Returns:
        images: uint8 (33 * per_class, SIDE, SIDE), upright, white ink on black, as EMNIST's.
        labels: uint8 (33 * per_class,), index into `spec.CHARACTERS`.
        writers: int32 (33 * per_class,), the writer's number; rows are ordered by writer.

    Raises:
        ValueError: a number out of its range, or a broken file of allographs.
    """
    if min(per_class, writers) < 1 or min(seed, first_writer) < 0:
        raise ValueError("per_class and writers must be at least 1, seed and first_writer 0")
    load()  # a broken file is reported here, once
    pages = [per_class // writers + (number < per_class % writers) for number in range(writers)]
    tasks = [(seed, first_writer + number, share) for number, share in enumerate(pages) if share]
    batches = [tasks[i : i + WRITERS_PER_TASK] for i in range(0, len(tasks), WRITERS_PER_TASK)]
    _grain()  # made once, before there are several processes
    processes = processes or pool.suggested(per_class * len(CHARACTERS))
    written = pool.in_order(_write_batch, batches, processes)
    written = progress(written, "groups of writers", len(batches))
    labels = np.tile(np.arange(len(CHARACTERS), dtype=np.uint8), per_class)
    numbers = [number for _, number, share in tasks for _ in range(share * len(CHARACTERS))]
    return np.concatenate(list(written)), labels, np.array(numbers, np.int32)


def _write_batch(tasks: list[tuple[int, int, int]]) -> np.ndarray:
    """Images of some (seed, number, pages), a page holding each of the 33 characters once."""
    images = []
    for seed, number, pages in tasks:
        writer = Writer(seed, number)
        images += [writer.write(CHARACTERS) for _ in range(pages)]
    return np.concatenate(images)


def sheet(path: str | Path, writers: int = 6, seed: int = 1981) -> None:
    """Saves a PNG of handwriting, dark ink on white: a row a writer, a column a character.

    So many writers, >= 1, of each school, whose name stands before their rows.
    """
    height, width = writers * SIDE, len(CHARACTERS) * SIDE
    bands = []
    for place, school in enumerate(SCHOOLS):
        numbers = range(place * writers, (place + 1) * writers)
        rows = [Writer(seed, number, school=school).write(CHARACTERS) for number in numbers]
        ink = np.stack(rows).transpose(0, 2, 1, 3).reshape(height, width)
        name = np.zeros((height, NAME_WIDTH), np.uint8)
        cv2.putText(
            name, school, (6, height // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA
        )
        bands.append(np.pad(np.hstack([name, ink]), ((GAP, GAP), (0, 0))))
    write_bytes(Path(path), cv2.imencode(".png", 255 - np.concatenate(bands))[1].tobytes())
