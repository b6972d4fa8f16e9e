"""Ink told from paper: of any strength, in uneven light, dark on light or light on dark."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader.image.arrays import Flags, Grey, Mask, Stack, rectangles

MIN_SIDE = 4  # pixels; in a narrower strip no stroke can be told from its surroundings
MIN_CONTRAST = 12  # grey levels between ink and paper; below it a scanner's noise looks like ink
MIN_SIGNAL = 3  # and in standard deviations of the paper's noise
MIN_LEAD = 3.7  # and of all that varies in the paper: stains, texture
SMOOTH = 8  # standard deviations of the noise: weaker ink is smoothed before it is judged
CLEARLY = 2.0  # times as wide: what is narrower is ink, whatever lies at the edge
FRAME = 0.35  # of the image's height or width: how far inside its edges a frame ends
FAINTEST = 128  # of 255: a stroke this much weaker than the strongest one is still a stroke
TRACE = 64  # of 255: ink this strong is followed when lines and strokes are told apart
GREYS = np.arange(256)


def find_ink(works: Stack) -> Stack:
    """Ink as uint8 of the same shape: by how many grey levels it differs from the paper."""
    even = _lit_evenly(works)
    light = np.where(_are_light_on_dark(even)[:, None, None], even, ~even)
    # Paper is what remains when everything narrower than half the box is taken away.
    longer = max(light.shape[1:])
    kernel = np.ones((longer // 2 | 1,) * 2, np.uint8)
    paper = filtered(
        light,
        lambda image: cv2.blur(image, (3, 3)),
        lambda image: cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel),
        lambda image: cv2.blur(image, (longer // 4 | 1,) * 2),
    )
    return light - np.minimum(light, paper)


def _lit_evenly(works: Stack) -> Stack:
    """Take a slope of brightness away, as a shadow leaves it."""
    step = max(1, max(works.shape[1:]) // 20)  # a sample is enough to lay a plane through
    values = works[:, ::step, ::step].reshape(len(works), -1).astype(np.float32)
    spread = _median(np.abs(values - _median(values)[:, None]))
    sloping = np.flatnonzero(spread > 4)
    if not sloping.size:
        return works
    even = works.copy()
    for index in sloping:
        even[index] = _levelled(works[index], step, float(spread[index]))
    return even


def _levelled(work: Grey, step: int, spread: float) -> Grey:
    """Without the slope of the plane through the paper, whose grey levels differ by `spread`."""
    values = work[::step, ::step].ravel().astype(np.float64)
    down, across, points = _plane(*work.shape, step)
    on_paper = points
    for _ in range(4):
        # OpenCV solves three equations, and finds a deviation, in a sixth of numpy's time.
        tilt = cv2.solve(on_paper @ points.T, on_paper @ values[:, None], flags=cv2.DECOMP_SVD)[1]
        # Ink is far from the plane, whichever its side: leave it out of the next fit.
        off = np.abs(values - tilt[:, 0] @ points)
        on_paper = points * (off <= cv2.meanStdDev(off)[1][0])
    # A plane that does not explain most of the differences is not a shadow.
    if _median(off) > 0.5 * spread:
        return work
    level: Grey = cv2.subtract(work, tilt[0] * down + tilt[1] * across, dtype=cv2.CV_8U)
    return level


@lru_cache(maxsize=64)
def _plane(height: int, width: int, step: int) -> tuple[NDArray[Any], ...]:
    """Of an image: its rows and columns from -1 to 1, and the two of each sample with a 1."""
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    points = np.stack(np.broadcast_arrays(down[::step], across[::step], 1.0)).reshape(3, -1)
    return down, across, points


def _median(values: NDArray[Any]) -> NDArray[Any]:
    """As np.median along the last axis, without its checks, which take most of the time."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1]
    median: NDArray[Any] = (ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2
    return median


def _are_light_on_dark(works: Stack) -> Flags:
    """Which of the two is ink: the rarer one, standing out from its surroundings.

    A frame of ink along the image's edge can make ink the commoner one. So where the edge does
    not look like paper, or all of it is a frame around something else, the inside decides.
    """
    size = works[0].size
    bright = works > _otsu(works)[:, None, None]
    light_ink = _stand_out_light(works)
    paper = bright ^ light_ink[:, None, None]
    left, top, right, bottom = rectangles(paper, 0.9)
    framed = (right - left) * (bottom - top) >= 0.3 * size
    sure = _edge(paper) >= 0.9
    for index in np.flatnonzero(sure & framed):
        inside = paper[index, top[index] : bottom[index], left[index] : right[index]]
        sure[index] = _edge(inside[None])[0] >= 0.2
    for index in np.flatnonzero(~sure):
        light_ink[index] = _is_lighter_narrower(works[index], bright[index].view(np.uint8))
    return light_ink


def _is_lighter_narrower(work: Grey, bright: Mask) -> bool:
    """Strokes are narrow, paper is wide: whether what is bright is ink then."""
    dark = 1 - bright
    of_light, of_dark = _widest(bright), _widest(dark)
    narrow, wide = sorted((of_light, of_dark))
    # A blunt pen's strokes and blots are as wide as the paper around them; a frame is not.
    if wide < CLEARLY * narrow and _frames(dark) != _frames(bright):
        return _frames(bright)
    if wide >= 1.2 * narrow:
        return of_light < of_dark
    height, width = work.shape
    centre = work[height // 5 : height - height // 5, width // 5 : width - width // 5]
    return bool(_stand_out_light(centre[None])[0])


def _edge(masks: Stack) -> NDArray[Any]:
    """Share of the pixels along the four sides of masks that are 1, each side as important."""
    sides = masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]
    shares: NDArray[Any] = sum(side.sum(1) / side.shape[1] for side in sides) / 4
    return shares


def _frames(mask: Mask) -> bool:
    """Whether there is a frame at the four sides of a mask, and something else along its inside."""
    height, width = mask.shape
    rows = np.flatnonzero(mask.sum(1) >= 0.8 * width)
    columns = np.flatnonzero(mask.sum(0) >= 0.8 * height)
    top, bottom = rows[rows < FRAME * height], rows[rows >= (1 - FRAME) * height]
    left, right = columns[columns < FRAME * width], columns[columns >= (1 - FRAME) * width]
    if not (top.size and bottom.size and left.size and right.size):
        return False
    # A frame that leans a little does not end in one row.
    inside = mask[top[-1] + 3 : bottom[0] - 2, left[-1] + 3 : right[0] - 2]
    return inside.size >= 0.15 * mask.size and _edge(inside[None])[0] < 0.2


def _stand_out_light(greys: Stack) -> Flags:
    """Skewness of the detail: few light points among many darker ones make it positive."""
    detail = greys.astype(np.float32)
    around = (max(greys.shape[1:]) | 1,) * 2
    detail -= filtered(detail, lambda image: cv2.blur(image, around))
    light: Flags = (detail * detail * detail).reshape(len(greys), -1).sum(1) > 0
    return light


def _widest(mask: Mask) -> float:
    """Radius of the largest disc that fits into the mask."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def stretch(inks: Stack) -> Stack:
    """Ink in full strength: paper with its noise 0, the middle of strokes 255; all 0 if blank."""
    if min(inks.shape[1:]) < MIN_SIDE:
        return np.zeros_like(inks)
    # Standard deviation of the paper's noise, from how neighbours differ: half of all neighbours
    # lie on paper, whatever the strokes and shadows do.
    grain = cv2.absdiff(inks[:, :, 1:], inks[:, :, :-1])
    noise = 1.05 * (_below(grain) < 0.5 * grain[0].size).sum(1)
    middle, spread, high = _levels(inks)
    faint = (noise > 0) & (high - middle < SMOOTH * noise)
    if faint.any():
        smooth = filtered(inks[faint], lambda image: cv2.GaussianBlur(image, (5, 5), 1))
        inks = inks.copy()
        inks[faint] = smooth
        noise[faint] *= 0.28  # what this blur leaves of it
        middle[faint], spread[faint], high[faint] = _levels(smooth)
    least = np.maximum(np.maximum(MIN_CONTRAST, MIN_SIGNAL * noise), MIN_LEAD * spread)
    low = middle + 1.5 * noise
    # Tables of grey levels that bring `low` to 0 and `high` to 255.
    steep = 255 / np.where(high - middle >= least, high - low, np.inf)
    tables = ((GREYS - low[:, None]) * steep[:, None]).clip(0, 255).astype(np.uint8)
    return np.stack([cv2.LUT(ink, table) for ink, table in zip(inks, tables, strict=True)])


def _otsu(images: Stack) -> NDArray[Any]:
    """The grey level that best divides each image's dark from its light."""
    found = [cv2.threshold(image, 0, 1, cv2.THRESH_OTSU)[0] for image in images]
    return np.array(found, np.uint8)


def _below(images: Stack) -> NDArray[Any]:
    """How many pixels of each image are at or under each grey level: float (N, 256)."""
    counts = [cv2.calcHist([image], [0], None, [256], [0, 256]) for image in images]
    return np.reshape(counts, (-1, 256)).cumsum(1, np.float64)


def _levels(inks: Stack) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Grey level of the paper, its spread about that, and the level of the strokes."""
    below = _below(inks)
    paper = below[np.arange(len(inks)), _otsu(inks)]
    strokes = below[:, -1] - paper
    pixels = np.array([0.16 * paper, 0.5 * paper, 0.84 * paper, paper + 0.6 * strokes])
    # The first levels at or under which so many pixels of each image lie.
    least, middle, most, high = (below < pixels[:, :, None]).sum(2) * (strokes > 0)
    return middle, (most - least) / 2, high


def without(raw: Grey, printed: NDArray[np.bool_]) -> Grey:
    """Ink in full strength without what is printed: what is left has levels of its own."""
    left = raw.copy()
    np.minimum(left, _levels(raw[None])[0].astype(np.uint8), out=left, where=printed)
    stretched: Grey = stretch(left[None])[0]
    return stretched


def even_pressure(inks: Stack) -> Stack:
    """Bring strokes of a light hand up to the strength of the others."""
    around = (max(inks.shape[1:]) // 5 | 1,) * 2
    strongest = filtered(
        inks,
        lambda image: cv2.dilate(image, np.ones(around, np.uint8)),
        lambda image: cv2.blur(image, around),
    )
    even = cv2.divide(inks, np.maximum(strongest, FAINTEST), scale=255)
    return even.reshape(inks.shape)  # OpenCV drops a width of 1


def trace(ink: Grey) -> Mask:
    return (ink > TRACE).view(np.uint8)


def filtered(images: Stack, *filters: Callable[[Any], Any]) -> Stack:
    """The images after OpenCV's filters, which take all of them at once as one image's channels."""
    channels = np.ascontiguousarray(images.transpose(1, 2, 0))
    for apply in filters:
        channels = apply(channels).reshape(channels.shape)
    return np.ascontiguousarray(channels.transpose(2, 0, 1))
