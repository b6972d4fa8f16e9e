"""The whole field on one wide image, cut into its 17 printed boxes.

The two long printed lines give the field's angle and perspective. On the straightened field the
printed uprights must stand like a comb: equally wide boxes, with or without gaps between them.
Combs of 14 to 20 boxes are compared, and 17 must win clearly. Whatever stays unclear raises
`FieldNotFound`: a wrong cut would be a wrong number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader.image.arrays import Grey, Mask
from vinreader.spec import BOXES

Floats = NDArray[Any]
Ints = NDArray[Any]
RowAndSlope = tuple[float, float]  # of a line: y at the left edge, rise over run

COUNTS = range(14, 21)  # numbers of boxes compared
WORKING_WIDTH = 1400  # pixels to which a field is scaled while its boxes are looked for
MAX_ANGLE = 4.0  # degrees; 3 are asked for
BOX_HEIGHT = 64  # pixels of a box's height on the straightened field
MARGIN = 8  # pixels kept above and below it
NEAR = BOX_HEIGHT // 20  # pixels between an upright and where a comb wants it
PLACES = 150  # of a comb, from where the long lines begin and end, that are compared in detail
CONTRASTS = 0.7, 0.4  # the printed lines may be as dark as the pen, or much paler
GAPS = np.arange(0, 0.41, 0.03)  # gap between boxes, as a share of the distance box to box

MOST_SHIFT = WORKING_WIDTH // 24  # rows by which a line at MAX_ANGLE is off at its ends, and more
BENDS = np.arange(-12, 13, 3)  # pixels by which perspective may shift the middle of a comb

# Of a comb's score: uprights where it wants them, the share of uprights that it explains, of the
# long lines that it spans, and that these begin and end with it.
HIT, USED, SPAN, END = 0.4, 0.3, 0.2, 0.1

# Shares from 0 to 1, chosen on composed fields: the clearest wrong cut had less.
MIN_SCORE = 0.45  # of the printed uprights and long lines where the comb wants them
MIN_LEAD = 0.05  # over the best comb with another number of boxes


class FieldNotFound(ValueError):
    """The image does not show 17 boxes clearly enough to cut it; the message says what it shows."""


def find_boxes(grey: Grey) -> list[Grey]:
    """Cut the image of a whole field into its boxes.

    Args:
        grey: (H, W) uint8, dark ink and dark printed lines on light paper, upright to within 3
            degrees, boxes side by side; at least about 15 pixels a box.

    Returns: 17 grey uint8 arrays from left to right: the inside of each box, straightened, in the
        image's own resolution.
    Raises: FieldNotFound.
    """
    boxes = []
    for corners in locate_boxes(grey):
        across, down = np.linalg.norm(corners[[1, 3]] - corners[0], axis=1)
        size = width, height = max(round(across), 1), max(round(down), 1)
        target = np.array([[0, 0], [width, 0], size, [0, height]], np.float32) - 0.5
        warp = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
        boxes.append(cv2.warpPerspective(grey, warp, size, borderMode=cv2.BORDER_REPLICATE))
    return boxes


def locate_boxes(grey: Grey) -> Floats:
    """(17, 4, 2) float corners (x, y) in pixels of the boxes' insides: top left, top right, bottom
    right, bottom left. Arguments and errors as for `find_boxes`."""
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise ValueError(f"expected a grey uint8 image, got {grey.dtype} {grey.shape}")
    height, width = grey.shape
    if width < BOXES * 10 or height < 10:
        raise FieldNotFound(f"{width} x {height} pixels are too few for {BOXES} boxes")
    if width < 3 * height:
        raise FieldNotFound("not a wide image of one row of boxes")
    scale = WORKING_WIDTH / width
    size = WORKING_WIDTH, max(round(height * scale), 1)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(grey, size, interpolation=interpolation)
    strips = [strip for ink in _inks(resized) for strip in _strips(ink)]
    if not strips:
        raise FieldNotFound("no two long printed lines found")
    best, least = None, MIN_SCORE
    for strip, warp in sorted(strips, key=lambda pair: -pair[0].rails.mean()):
        comb = _best_comb(strip, least)
        if comb:
            best, least = (comb, strip, warp), comb.score
    if best is None:
        raise FieldNotFound("no row of printed boxes found")
    comb, strip, warp = best
    if comb.count != BOXES:
        raise FieldNotFound(f"{comb.count} boxes found, a field has {BOXES}")
    if rival := _rival(strip, comb):
        raise FieldNotFound(f"{BOXES} or {rival} boxes: the printed lines are unclear")
    edges, inset = _fit(comb, strip.posts)
    corners = np.empty((BOXES, 4, 2))
    corners[:, [0, 3], 0], corners[:, [1, 2], 0] = edges[:, :1] + inset, edges[:, 1:] - inset
    corners[:, :2, 1], corners[:, 2:, 1] = MARGIN + inset, MARGIN + BOX_HEIGHT - inset
    back = np.linalg.inv(warp @ np.diag([scale, scale, 1.0]))
    located: Floats = cv2.perspectiveTransform(corners, back)
    return located


def _inks(grey: Grey) -> Iterator[Mask]:
    """Masks of what is darker than the paper around it, in uneven light too, one a contrast."""
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    side = max(grey.shape[0] // 5, 15) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    darkness = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, kernel)
    otsu, _ = cv2.threshold(darkness, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    grain = 2.5 * np.median(darkness)
    for contrast in CONTRASTS:
        ink: Mask = (darkness > max(contrast * otsu, grain, 12)).view(np.uint8)
        if ink.any():
            yield ink


def _strips(ink: Mask) -> Iterator[tuple["_Strip", Floats]]:
    """What lies between any two long lines, and the (3, 3) warp from the image to there."""
    rotation, rotated = _straighten(ink)
    for top, bottom in _line_pairs(rotated):
        warp, strip = _rectify(rotated, top, bottom)
        yield _Strip.of(strip), warp @ np.vstack([rotation, [0, 0, 1]])


@lru_cache(maxsize=8)  # two are asked for in every field
def _leanings(middle: float, reach: float, count: int) -> tuple[Floats, Ints]:
    """So many slopes about `middle`, and by how many rows each shifts the ink of a column about the
    middle of the field: (count, 2 * WORKING_WIDTH), in even rows and then in odd ones."""
    slopes = middle + np.linspace(-reach, reach, count)
    columns = np.arange(WORKING_WIDTH) - WORKING_WIDTH / 2
    rows = np.array([[128.0], [129.0]])  # halves are rounded to even rows
    shifts = np.rint(rows - slopes[:, None, None] * columns) - rows
    return slopes, shifts.reshape(count, -1).astype(np.intp)


def _straightest(
    x: Ints, y: Ints, height: int, leanings: tuple[Floats, Ints]
) -> tuple[float, Ints]:
    """The slope along which the ink lies in the fewest rows, and how much lies in each row then."""
    slopes, shifts = leanings
    places = y % 2 * WORKING_WIDTH + x
    space = height + 2 * MOST_SHIFT

    def profiles(shifts: Ints, some: Any) -> Ints:
        """Of slopes, by some of the ink: (slopes, rows)."""
        rows = shifts.take(places[some], axis=1)
        rows += y[some] + MOST_SHIFT
        rows += np.arange(len(shifts))[:, None] * space
        inked = np.bincount(rows.ravel(), minlength=len(shifts) * space).reshape(-1, space)
        return inked[:, MOST_SHIFT : MOST_SHIFT + height]

    # Few columns tell which slopes are worth comparing in all of them.
    sharpness = (profiles(shifts, x % 16 == 0) ** 2).sum(axis=1)
    likely = np.flatnonzero(sharpness >= 0.96 * sharpness.max())
    inked = profiles(shifts[likely], slice(None))
    best = int((inked**2).sum(axis=1).argmax())
    return float(slopes[likely[best]]), inked[best]


def _straighten(ink: Mask) -> tuple[Floats, Mask]:
    """The (2, 3) rotation that lays the long lines level, and the rotated mask."""
    height, width = ink.shape
    # only what is part of something longer than high: the lines, not the characters
    y, x = np.nonzero(cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, 15), np.uint8)))
    if not len(x):
        return np.eye(2, 3), ink
    slope, _ = _straightest(x, y, height, _leanings(0.0, np.tan(np.radians(MAX_ANGLE)), 81))
    slope, _ = _straightest(x, y, height, _leanings(slope, 0.002, 17))
    rotation = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(np.degrees(np.arctan(slope))), 1.0
    )
    spare = int(np.ceil(abs(slope) * width / 2)) + MARGIN  # a tilted field's corners stay inside
    rotation[1, 2] += spare
    return rotation, cv2.warpAffine(ink, rotation, (width, height + 2 * spare))


def _line_pairs(ink: Mask) -> list[tuple[RowAndSlope, RowAndSlope]]:
    """Candidates for the field's top and bottom line, each as (y at the left edge, slope)."""
    height, width = ink.shape
    level = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, 15), np.uint8))
    profile = cv2.blur(level.sum(axis=1).astype(np.float32)[:, None], (1, 5))[:, 0]
    rows: list[int] = []
    remaining = profile.copy()
    least, most = width / 45, width / 10  # a box's height
    near = int(least / 2)
    while len(rows) < 4 and remaining.max() > 0.08 * width:
        row = int(remaining.argmax())
        rows.append(row)
        remaining[max(row - near, 0) : row + near + 1] = 0
    rows.sort()
    lines = {}
    for row in rows:
        first = max(row - near, 0)
        y, x = np.nonzero(level[first : row + near + 1])
        slope, fitted = _straightest(x, y + first, height, _leanings(0.0, 0.012, 49))
        centre = np.average(np.arange(height), weights=fitted * (fitted > fitted.max() / 2))
        lines[row] = centre - slope * width / 2, slope
    return [(lines[a], lines[b]) for a in rows for b in rows if least <= b - a <= most]


def _rectify(ink: Mask, top: RowAndSlope, bottom: RowAndSlope) -> tuple[Floats, Mask]:
    """The (3, 3) warp that makes the strip between two lines a rectangle, and the warped mask."""
    width = ink.shape[1]
    (top_left, top_slope), (bottom_left, bottom_slope) = top, bottom
    corners = [
        [0, top_left],
        [width, top_left + top_slope * width],
        [width, bottom_left + bottom_slope * width],
        [0, bottom_left],
    ]
    mean_height = (corners[3][1] - corners[0][1] + corners[2][1] - corners[1][1]) / 2
    across = round(width * BOX_HEIGHT / mean_height)
    low = MARGIN + BOX_HEIGHT
    target = [[0, MARGIN], [across, MARGIN], [across, low], [0, low]]
    warp = cv2.getPerspectiveTransform(np.array(corners, np.float32), np.array(target, np.float32))
    return warp, cv2.warpPerspective(ink, warp, (across, low + MARGIN))


@dataclass(slots=True)
class _Comb:
    """A row of equal boxes laid on the straightened field, and how well it fits."""

    score: float
    count: int
    left: float
    right: float
    gap: float
    bend: float = 0.0


@dataclass(frozen=True, slots=True)
class _Strip:
    """What a straightened field shows in each column, from 0 to 1: `posts`, how surely there is a
    printed upright; `near`, the surest within reach; `explained`, the share of all posts within
    reach; `rails`, how surely the two long lines run there."""

    posts: Floats
    near: Floats
    explained: Floats
    rails: Floats

    @classmethod
    def of(cls, strip: Mask) -> "_Strip":
        """Of the mask between two long lines."""
        inside = strip[MARGIN : MARGIN + BOX_HEIGHT]
        upright = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((9, 1), np.uint8))
        upright = cv2.morphologyEx(upright, cv2.MORPH_OPEN, np.ones((13, 1), np.uint8))
        thick = cv2.dilate(upright, np.ones((1, 3), np.uint8))  # leaning a little is still upright
        posts = thick.mean(axis=0)
        # Strokes of characters stand upright too, but seldom over the whole height ...
        posts = np.clip((posts - 0.4) / 0.4, 0, 1)
        ends = np.concatenate([thick[3:11], thick[-11:-3]]).mean(axis=0)
        posts *= np.clip(ends / 0.6, 0, 1)  # ... and seldom so near the lines.
        both = [strip[MARGIN - 3 : MARGIN + 4], strip[-MARGIN - 3 : -MARGIN + 4]]
        rails = np.mean([rail.max(axis=0) for rail in both], axis=0)
        rails = cv2.blur(rails[None], (BOX_HEIGHT // 4, 1))[0]
        reach = 2 * NEAR + 1
        near = cv2.dilate(posts[None], np.ones((1, reach)))[0]
        explained = cv2.blur(posts[None], (reach, 1), borderType=cv2.BORDER_CONSTANT)[0] * reach
        return cls(posts, near, explained / (posts.sum() + 1e-9), rails)


def _best_comb(strip: _Strip, least: float) -> _Comb | None:
    """The best of the combs of all `COUNTS`, gaps and places whose score is above `least`."""
    best = None
    for count in sorted(COUNTS, key=lambda count: count != BOXES):  # likeliest first: fewer follow
        if comb := _place(strip, count, least):
            best, least = comb, comb.score
    return best


def _rival(strip: _Strip, best: _Comb) -> int:
    """The number of boxes of the best other comb, if `best` leads by less than `MIN_LEAD`; 0."""
    others = (_place(strip, n, best.score - MIN_LEAD) for n in COUNTS if n != best.count)
    return max(((comb.score, comb.count) for comb in others if comb), default=(0.0, 0))[1]


def _place(strip: _Strip, count: int, least: float) -> _Comb | None:
    """The best comb of `count` boxes whose score is above `least`."""
    # However well the uprights fit, they add no more than `HIT` and `USED`.
    left, right, outer = _likely_places(strip.rails, count, least - HIT - USED)
    best = None
    for gap in GAPS:
        possible = np.count_nonzero(outer > least - HIT - USED)  # the best places come first
        if not possible:
            break
        left, right, outer = left[:possible], right[:possible], outer[:possible]
        share, weights = _uprights(count, gap)
        at = np.rint(left[:, None] + (right - left)[:, None] * share).astype(np.intp)
        hit = strip.near.take(at, mode="clip") @ weights
        score = HIT * hit + outer - 0.01 * (gap > 0)  # a needless gap explains no more
        good = np.flatnonzero(score > least - USED)
        if not good.size:
            continue
        used = np.minimum(strip.explained.take(at[good], mode="clip").sum(axis=1), 1)
        score = score[good] + USED * used
        winner = int(score.argmax())
        if score[winner] > least:
            place = good[winner]
            least = float(score[winner])
            best = _Comb(least, count, left[place], right[place], gap)
    return best


def _likely_places(rails: Floats, count: int, least: float) -> tuple[Floats, Floats, Floats]:
    """Where a comb of `count` boxes may begin and end, `NEAR` pixels between two beginnings, and
    the part of its score that the long lines give: the best `PLACES` in which this is above
    `least`, none without such lines."""
    width = len(rails)
    # The long lines say roughly where the field begins and ends.
    present = np.flatnonzero(rails > 0.4)
    if not len(present):
        return (np.empty(0),) * 3
    rough_left, rough_right = present[0], present[-1]
    slack = int(0.8 * (rough_right - rough_left) / count)
    covered = np.concatenate([[0], np.cumsum(rails)])
    # Cheap first: no comb spans more than all that is there, in fewer columns than these.
    most = covered[-1] / max(rough_right - rough_left - 2 * slack, 1)
    if SPAN * min(most, 1) + 2 * END <= least:
        return (np.empty(0),) * 3
    lefts = np.arange(max(rough_left - slack, -4), rough_left + slack + 1, NEAR)
    rights = np.arange(rough_right - slack, min(rough_right + slack, width + 3) + 1, NEAR)
    left, right = (a.ravel() for a in np.meshgrid(lefts, rights))

    def share(start: Floats, stop: Floats) -> Floats:
        """Share of the way from `start` to `stop` along which there is a long line."""
        first, last = (np.rint(x).astype(np.intp) for x in (start, stop))
        ink = covered.take(last, mode="clip") - covered.take(first, mode="clip")
        lined: Floats = ink / (stop - start)
        return lined

    # Share of the comb that has long lines, and of the long lines that the comb spans ...
    within = share(left, right)
    span = SPAN * np.minimum(within, within * (right - left) / (covered[-1] + 1e-9))
    possible = (right - left > count * BOX_HEIGHT / 4) & (span + 2 * END > least)
    left, right, span = left[possible], right[possible], span[possible]
    # ... which run through the outermost boxes and not on to one more.
    pitch = (right - left) / count
    end = np.minimum(
        share(left, left + 0.6 * pitch), 1 - share(left - 0.7 * pitch, left - 0.1 * pitch)
    ) + np.minimum(
        share(right - 0.6 * pitch, right), 1 - share(right + 0.1 * pitch, right + 0.7 * pitch)
    )
    outer = span + END * end
    likely = np.argsort(-outer, kind="stable")[: min(PLACES, np.count_nonzero(outer > least))]
    return left[likely], right[likely], outer[likely]


def _sharpen(comb: _Comb, posts: Floats) -> None:
    """Set place, gap and bend anew, where the comb meets the uprights' middles and not only comes
    near: bent by perspective, and with a smaller gap than theirs, it may come near all of them."""
    sharp = cv2.blur(posts[None], (3, 1))[0]
    near = np.arange(-NEAR, NEAR + 1)
    left, right, bend = (
        side.reshape(-1, 1) for side in np.meshgrid(comb.left + near, comb.right + near, BENDS)
    )
    best = -np.inf
    for gap in GAPS:
        at = np.rint(_edges(left, right, comb.count, gap, bend)).astype(np.intp)
        score = sharp.take(at, mode="clip").mean(axis=1) - 0.01 * (gap > 0)  # as compared before
        winner = int(score.argmax())
        if score[winner] > best:
            best = score[winner]
            comb.gap, comb.bend = gap, bend[winner, 0]
            comb.left, comb.right = left[winner, 0], right[winner, 0]


def _edges(left: Any, right: Any, count: int, gap: float, bend: Any) -> Floats:
    """Left and right edge of every box, (..., 2 * count), of combs of which perspective has shifted
    the middle by `bend` pixels; left, right, bend: numbers, or (..., 1)."""
    share, bent = _shares(count, gap)
    edges: Floats = left + (right - left) * share + bend * bent
    return edges


@lru_cache(maxsize=512)
def _uprights(count: int, gap: float) -> tuple[Floats, Floats]:
    """Where a comb has uprights, as shares of it, and how much each counts, together 1."""
    share, _ = _shares(count, gap)
    if not gap:
        share = share[[0, *range(1, 2 * count, 2)]]  # neighbours share one
    weights = np.ones(len(share))
    weights[[0, -1]] = 0.5  # the outer lines are often missing
    return share, weights / weights.sum()


@lru_cache(maxsize=512)
def _shares(count: int, gap: float) -> tuple[Floats, Floats]:
    """Where the edges are, as shares of the comb, and how far its bend shifts each."""
    starts = np.arange(count)
    share = np.stack([starts, starts + 1 - gap], axis=1).ravel() / (count - gap)
    return share, 4 * share * (1 - share)


def _fit(comb: _Comb, posts: Floats) -> tuple[Floats, float]:
    """(count, 2), left and right edge of every box, and half a line's width."""
    _sharpen(comb, posts)
    pitch = (comb.right - comb.left) / (comb.count - comb.gap)
    width = (1 - comb.gap) * pitch
    edges = _edges(comb.left, comb.right, comb.count, comb.gap, comb.bend)
    reach = max(int(0.12 * pitch), 2)
    if comb.gap:
        reach = max(min(reach, int(0.45 * comb.gap * pitch)), 2)
    columns = np.arange(len(posts))
    shifts, known = np.zeros(edges.size), np.zeros(edges.size)
    for i, edge in enumerate(edges):
        window = np.abs(columns - edge) <= reach
        weight = posts[window].sum()
        if weight > 0.5:
            shifts[i] = np.average(columns[window], weights=posts[window]) - edge
            known[i] = 1
    # Perspective shifts the uprights smoothly: a parabola, which also serves the missing ones. Gaps
    # that are wider or narrower than the comb's shift left and right sides against each other.
    if known.sum() >= 6:
        x = edges / len(posts)
        sides = np.tile([-1.0, 1.0], comb.count) * (comb.gap > 0)
        terms = np.stack([x**2, x, np.ones_like(x), sides], axis=1)
        trend = np.linalg.lstsq(terms * known[:, None], shifts * known, rcond=None)[0]
        edges = edges + terms @ trend
    runs = (posts.astype(np.float32) > 0.5).astype(np.float32)
    lines = max(np.count_nonzero(np.diff(runs) > 0), 1)
    return edges.reshape(-1, 2), min(runs.sum() / lines / 2 + 0.5, 0.12 * width)
