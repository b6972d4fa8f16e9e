"""The printed box around a character: its lines found and taken away, strokes left standing.

A line is looked for at each of the four sides by itself, in the outer third of the image, leaning a
little, with gaps. What makes it a printed line and not a stroke is the company it keeps: it runs
from edge to edge of the image, or from one printed line to another, or four of them make a box.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader.image.arrays import Flags, Grey, Mask, Stack, rectangles

# A printed line may lean up to 4 degrees, rise over run.
SLOPES = np.array([0, 0.012, -0.012, 0.025, -0.025, 0.037, -0.037, 0.05, -0.05, 0.065, -0.065])

DEPTH = 0.35  # share of the image in which a side's line is looked for
WHOLE = 0.5  # share of the image's width that a line inks at least
FULL = 0.7  # the same of one that is printed for certain
PIECES = 0.36  # the same of one that is broken, dashed, or drawn at the corners only
OUTER = 0.2  # share of the height, from the edge, in which a line is printed for certain
GAP = 0.12  # share of the width: a wider gap is no printer's
DOUBLE = 0.1  # share of the height: distance of the neighbour's line from the box's own
THICK = 0.2  # share of the height: what is thicker is no line
THIN = 0.08  # a broken line is told from strokes by being thinner than a pen's, too
ALONG = 0.25  # share of the width: ink touching a line for longer is a stroke along it
CORNER = 0.2  # share of the width: how far a corner reaches along its two lines
FAINT = 24  # of 255: ink of a printed line far paler than the pen


@dataclass(slots=True)
class Line:
    """A printed line as seen from its own side of the box (turned so that the side is up).

    At column x from `start` to `end` it covers the rows from `top` + `shift`[x] to
    `bottom` + `shift`[x], both included; `inked` tells in which columns its outside has ink, short
    gaps closed; `filled` how many columns have ink in each row searched, [] of a doubled line.
    """

    shift: NDArray[np.intp]
    inked: NDArray[np.bool_]
    top: int
    bottom: int
    start: int
    end: int
    whole: bool
    sharp: bool
    filled: list[int]

    def band(self, view: NDArray[Any], margin: int) -> tuple[NDArray[Any], Flags]:
        """The rows of a view in which the line lies with `margin` more rows above and below, and
        where in them it does, as a bool mask."""
        low, high = self.top - margin, self.bottom + margin
        lean = abs(int(self.shift[0]))
        first = max(low - lean, 0)
        part = view[first : high + lean + 1]
        rows = np.arange(first, first + len(part))[:, None] - self.shift
        band = (rows >= low) & (rows <= high)
        band[:, : self.start] = False
        band[:, self.end + 1 :] = False
        return part, band

    def beside(self, view: NDArray[Any]) -> NDArray[Any]:
        """What lies two pixels outside the line, two inside and three inside: (3, width) of
        (height, width)."""
        row = np.array([[self.top - 2], [self.bottom + 2], [self.bottom + 3]])
        rows = np.minimum(np.maximum(row + self.shift, 0), len(view) - 1)
        beside: NDArray[Any] = view[rows, np.arange(view.shape[1])]
        return beside


@dataclass(frozen=True, slots=True)
class Lines:
    """The printed lines found in a mask of `shape`, by their side: 0 top, 1 right, 2 bottom, 3
    left. `_turned` brings it up."""

    sides: dict[int, Line]
    shape: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.sides)

    @property
    def whole(self) -> bool:
        """Whether none of them is broken."""
        return all(line.whole for line in self.sides.values())

    @property
    def certain(self) -> bool:
        """Whether no strokes were taken for lines: these are full, at the edge, half of them
        sharp."""
        return 2 * sum(line.sharp for line in self.sides.values()) >= len(self.sides) and all(
            _share(line.inked) >= FULL and line.bottom < OUTER * self.shape[side % 2]
            for side, line in self.sides.items()
        )

    @property
    def closed(self) -> bool:
        """Whether there is one at each side of the box."""
        return len(self.sides) == 4

    @property
    def inset(self) -> bool:
        """Whether one of them keeps away from the image's edge."""
        return any(line.top > 0.1 * self.shape[side % 2] for side, line in self.sides.items())

    def met_by(self, ink: Flags) -> int:
        """How many of them have ink of a bool mask on them."""
        bands = (line.band(_turned(ink, side), 0) for side, line in self.sides.items())
        return sum(bool((part & band).any()) for part, band in bands)

    def erasable(self, mask: Mask) -> Flags:
        """Where the lines are, as a bool mask, except where a stroke meets them from inside."""
        erased = np.zeros(mask.shape, bool)
        bands = {side: line.band(_turned(erased, side), 1) for side, line in self.sides.items()}
        for part, band in bands.values():
            part[band] = True
        rest = cv2.subtract(mask, erased.view(np.uint8))
        for side, line in self.sides.items():
            view = _turned(rest, side)
            outside, touched, deeper = line.beside(view)
            if not cv2.hasNonZero(touched):
                continue
            crossed = touched & outside
            # A stroke along the line is as long as a pen is not wide; it keeps what it shares.
            length = np.ones((1, round(ALONG * len(touched))), np.uint8)
            along = cv2.morphologyEx((touched & deeper)[None], cv2.MORPH_OPEN, length)[0]
            thin = line.bottom - line.top < max(3, THIN * len(view))
            if thin and np.count_nonzero(along) < 0.85 * (line.end - line.start):
                crossed |= along
            part, band = bands[side]
            part[band & (crossed > 0)] = False
        return erased

    def crossings(self, writing: Mask) -> Flags:
        """Where strokes go through the lines, straight or aslant, as a bool mask.

        Args:
            writing: uint8 (height, width), 1 where there is ink beside the lines, however light.
        """
        found = np.zeros(writing.shape, bool)
        for side, line in self.sides.items():
            view = _turned(writing, side)
            outside, inside = line.beside(view)[:2, None]
            if not (cv2.hasNonZero(outside) and cv2.hasNonZero(inside)):
                continue
            # Within a line a stroke goes aside by no more than the line is thick, and a little.
            reach = line.bottom - line.top + 4
            near = np.ones((1, 2 * reach + 1), np.uint8)
            through = inside & cv2.dilate(outside, near) | outside & cv2.dilate(inside, near)
            through = cv2.morphologyEx(through, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8))[0]
            part, band = line.band(_turned(found, side), 1)
            part[band & (through > 0)] = True
        return found


def may_have_lines(inks: Stack, masks: Stack) -> Flags:
    """Cheap first, for every image of a stack: ink that reaches the image's edge, or goes into the
    corners of its rectangle, and even with faint ink reaches far enough to be anchored, or may be
    a box.

    Args:
        inks: uint8 (N, height, width), ink in full strength, 255, on paper, 0.
        masks: bool of the same shape, where there is ink to be followed.
    """
    height, width = masks.shape[1:]
    x, y = np.arange(width), np.arange(height)
    left, top, right, bottom = (side[:, None] for side in rectangles(masks))
    high, wide = (bottom - top) // 8 + 1, (right - left) // 8 + 1
    corners = np.zeros(len(masks), int)
    for band in ((y >= top) & (y < top + high), (y >= bottom - high) & (y < bottom)):
        inked = (masks & band[:, :, None]).any(1)
        corners += (inked & (x >= left) & (x < left + wide)).any(1)
        corners += (inked & (x >= right - wide) & (x < right)).any(1)
    slack = max(height, width) // 40
    may = _reach_edge(masks, slack) | (corners >= 3)
    faint = inks > FAINT
    return may & (_reach_edge(faint, slack + _leaning(max(height, width))) | _may_be_boxed(faint))


def _reach_edge(masks: Stack, slack: int) -> Flags:
    """Whether there is ink so many pixels from the image's edge, or none at all."""
    height, width = masks.shape[1:]
    left, top, right, bottom = rectangles(masks)
    near: Flags = np.minimum.reduce([left, top, width - right, height - bottom]) <= slack
    return near


def find_lines(ink: Grey, mask: Mask) -> Lines:
    """Lines of the box around a character, faint ones too where these are full: together they make
    it certain.

    Args:
        ink: uint8 (height, width), ink in full strength, 255, on paper, 0.
        mask: uint8 (height, width), 1 where there is ink to be followed.
    """
    lines = Lines(_search(mask), mask.shape)
    if lines.closed:
        return lines
    faint = (ink > FAINT).view(np.uint8)
    more = Lines(_search(faint, len(lines.sides) + 1), mask.shape)
    return more if len(more.sides) > len(lines.sides) and more.certain else lines


def _search(mask: Mask, least: int = 0) -> dict[int, Line]:
    """The lines around a character, by their side; {} as soon as there are fewer than `least`."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(mask)
    longer = max(height, width)
    # Away from the edge nothing but all four lines can anchor one of them.
    boxed_only = min(x, y, width - x - w, height - y - h) > longer // 40 + _leaning(longer)
    found: dict[int, Line] = {}
    for side in range(4):
        if line := _line_at_top(_turned(mask, side)):
            found[side] = line
        elif boxed_only or len(found) + 3 - side < least:
            return {}
    if _is_box(found, mask.shape):
        _set_apart(found.values())
        return found
    # Strokes can be straight and long too, but they end in the open: a printed line runs to the
    # edge of the image or meets another printed line. Lines that fail can fail others.
    found = {side: line for side, line in found.items() if line.whole}
    while failed := [side for side in found if not _is_anchored(found, side, mask.shape)]:
        for side in failed:
            del found[side]
    _set_apart(found.values())
    return found


def _leaning(width: int) -> int:
    """By how many rows a line may be off at the ends of so many columns."""
    return int(np.rint(SLOPES.max() * (width - 1) / 2))


def _may_be_boxed(masks: NDArray[Any]) -> Flags:
    """Cheap first: whether each side of masks, (N, height, width), has rows that a line, leaning
    as it may, could fill as far as a broken one does."""
    channels = np.ascontiguousarray(masks.transpose(1, 2, 0)).view(np.uint8)
    boxed = np.ones(len(masks), bool)
    for side in range(4):
        view = _turned(channels, side)
        height, width = view.shape[:2]
        reach = _leaning(width) + 1
        part = np.ascontiguousarray(view[: round(DEPTH * height) + reach])
        rows = cv2.dilate(part, np.ones((2 * reach + 1, 1), np.uint8)).reshape(part.shape)
        boxed &= rows.sum(1, dtype=np.int32).max(0) >= PIECES * width
    return boxed


@lru_cache(maxsize=512)
def _leanings(height: int, width: int) -> tuple[int, int, tuple[NDArray[np.intp], ...]]:
    """For a side of this size: depth searched, rows needed around it, and shifts. A leaning row is
    a few pieces of level ones: where the pieces of each slope begin, and as indices into a table
    of `width` + 1 columns where each begins and ends: (pieces, depth)."""
    depth = round(DEPTH * height)
    reach = int(SLOPES.max() * width / 2) + 1
    shifts = np.rint(SLOPES[:, None] * (np.arange(width) - (width - 1) / 2)).astype(np.intp)
    slopes, starts = np.nonzero(np.diff(shifts, axis=1, prepend=width))
    slope_starts = np.flatnonzero(starts == 0)
    stops = np.append(starts[1:], 0)
    stops[stops == 0] = width
    rows = (np.arange(depth) + shifts[slopes, starts][:, None] + reach) * (width + 1)
    return depth, reach, (shifts, slope_starts, rows + starts[:, None], rows + stops[:, None])


def _line_at_top(mask: Mask) -> Line | None:
    """The straightest, fullest line across the upper part of a mask, or None."""
    height, width = mask.shape
    depth, reach, (shifts, slope_starts, starts, stops) = _leanings(height, width)
    double = round(DOUBLE * height)
    if depth < 3:
        return None
    padded = np.zeros((depth + 2 * reach, width), np.uint8)
    part = mask[: depth + reach]
    padded[reach : reach + len(part)] = part
    above = cv2.integral(padded)
    before = above[1:] - above[:-1]  # ink of each row, left of each column
    sums = np.add.reduceat(before.take(stops) - before.take(starts), slope_starts)
    slope, fullest = divmod(int(sums.argmax()), depth)
    filled, shift = sums[slope].tolist(), shifts[slope]
    most = filled[fullest]
    if most < PIECES * width:
        return None
    # The neighbour's box has a line beside this one's.
    near = range(max(0, fullest - double), min(depth, fullest + double + 1))
    lines = [row for row in near if filled[row] >= 0.9 * most] if most >= 0.85 * width else []
    top, bottom = (lines[0], lines[-1]) if lines else (fullest, fullest)
    while top > 0 and filled[top - 1] >= 0.6 * most:
        top -= 1
    while bottom < depth - 1 and filled[bottom + 1] >= 0.6 * most:
        bottom += 1
    if bottom - top + 1 > max(2, THICK * height):
        return None
    # A rounded stroke is shorter at its outside; a line is not.
    row = (shift + reach) * width + np.arange(width)
    hits = padded.take(row + top * width) | padded.take(row + min(top + 1, bottom) * width)
    gap = max(2, round(GAP * width))
    inked = cv2.morphologyEx(hits[None], cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))[0]
    start, end = int(hits.argmax()), width - 1 - int(hits[::-1].argmax())
    whole = most >= WHOLE * width and _share(inked[start : end + 1]) >= 0.75
    # A stroke bends out of its rows, a line is as sharp at its last row as at its first.
    around = filled[max(0, top - 2) : max(0, top - 1)] + filled[bottom + 2 : bottom + 3]
    sharp = max(around, default=0) <= 0.4 * most
    doubled = any(filled[row] < 0.6 * most for row in range(top, bottom))
    return Line(shift, inked > 0, top, bottom, start, end, whole, sharp, [] if doubled else filled)


def _set_apart(lines: Collection[Line]) -> None:
    """Printed lines are of one thickness: what is thicker has a stroke lying along it.

    Except for rows that are inked from end to end, as no stroke along a line is: where the image
    was cut within some of the lines, these are thinner than the others.
    """
    single = [line for line in lines if line.filled]
    if len(single) < 3:
        return
    thickness = sorted(line.bottom - line.top for line in single)[(len(single) - 1) // 2]
    for line in single:
        tops = range(line.top, max(line.top, line.bottom - thickness) + 1)
        top = max(tops, key=lambda top: sum(line.filled[top : top + thickness + 1]))
        full = 0.95 * max(line.filled)
        bottom = min(line.bottom, top + thickness)
        while bottom < line.bottom and line.filled[bottom + 1] >= full:
            bottom += 1
        line.top, line.bottom = top, bottom


def _is_box(lines: dict[int, Line], shape: tuple[int, ...]) -> bool:
    """Whether the lines of four sides meet in corners, however broken; then fits their ends."""
    if len(lines) < 4:
        return False
    thickness = max(2, THIN * min(shape))
    if any(line.bottom - line.top >= thickness for line in lines.values()):
        return False
    if sum(line.sharp for line in lines.values()) < 3:
        return False
    good, ends = 0, {}
    for side, line in lines.items():
        width = len(line.inked)
        right, left = lines[(side + 1) % 4], lines[(side + 3) % 4]
        reach = round(CORNER * width)
        at = width - 1 - right.top
        height = len(right.inked)
        runs_on = left.end > height - line.top + reach // 2 or right.start < line.top - reach // 2
        if runs_on and line.top > 0.1 * height:
            return False
        good += (
            _share(line.inked[max(at - reach, 0) : at]) >= 0.5
            and _share(right.inked[line.top + 1 : line.top + 1 + reach]) >= 0.5
        )
        ends[side] = max(left.top - 1, 0), min(at + 1, width - 1)
    if good < 3:
        return False
    for side, line in lines.items():
        line.start, line.end = min(line.start, ends[side][0]), max(line.end, ends[side][1])
    return True


def _is_anchored(lines: dict[int, Line], side: int, shape: tuple[int, ...]) -> bool:
    """Both ends of a line are at the image's edge or make a square corner with another line."""
    line = lines[side]
    height, width = shape if side % 2 == 0 else shape[::-1]
    slack = width // 40 + abs(int(line.shift[0]))
    # Seen with this side up, the line at the right hand counts its columns downwards from the
    # top, the one at the left hand upwards from the bottom.
    left, right = lines.get((side + 3) % 4), lines.get((side + 1) % 4)
    passing = (left is not None and left.end > height - line.top + slack) or (
        right is not None and right.start < line.top - 1 - slack
    )
    # Between two lines that run on past it, a line well inside may be the stem of an E.
    if passing and line.top > 0.15 * height:
        return False
    return _ends_well(line.start, line.inked, left, height - 1 - line.top, slack) and _ends_well(
        width - 1 - line.end, line.inked[::-1], right, line.top, slack
    )


def _ends_well(start: int, inked: Flags, crossing: Line | None, column: int, slack: int) -> bool:
    if crossing is None:
        return start <= slack
    # A stroke near the crossing line is not yet one that comes out of it.
    outer, inner = (row + int(crossing.shift[column]) for row in (crossing.top, crossing.bottom))
    comes_out = bool(inked[inner + 2 : inner + 4 + slack].any())
    return comes_out and (start <= slack or abs(outer - start) <= slack + 1)


def _share(inked: NDArray[Any]) -> float:
    """Share of what is not 0, 0 of nothing; np.mean takes ten times as long for so few."""
    return np.count_nonzero(inked) / max(len(inked), 1)


def _turned(image: NDArray[Any], side: int) -> NDArray[Any]:
    """A view of an image with a side up, in a third of the time of `np.rot90`."""
    if side == 0:
        return image
    if side == 1:
        return image.swapaxes(0, 1)[::-1]
    return image[::-1, ::-1] if side == 2 else image[::-1].swapaxes(0, 1)
