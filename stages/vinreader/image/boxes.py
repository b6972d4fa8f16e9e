"""From the image of a printed box to the 28x28 image that EMNIST's authors would have made of it.

This is the single definition of what the network sees: the training images and the scans both
come through `normalise`. EMNIST was made from binary 128x128 images: blurred (sigma 1), cropped to
the ink, centred in a square with the aspect ratio kept and a 2-pixel border, and downsampled to
28x28 (Cohen et al., arXiv 1702.05373, section II). A scan differs in what comes before: paper of
uneven brightness, ink of any strength, either polarity, and the lines of the box it was cut from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader import processes as pool
from vinreader.image.lines import (
    Line,
    are_certain,
    crossings,
    erasable,
    find_lines,
    leaning,
    may_be_boxed,
    turned,
)
from vinreader.spec import SIDE

# What OpenCV returns is of any type to the type checker. Here both are uint8 (height, width).
Grey = NDArray[Any]  # 0 to 255
Mask = NDArray[Any]  # 0 or 1
Stack = NDArray[Any]  # (N, height, width): images of one size
Flags = NDArray[np.bool_]
Rectangles = tuple[NDArray[Any], ...]  # left, top, right, bottom (exclusive), int (N,) each
# As OpenCV gives them: how many, their labels (height, width), a row of figures each, centres.
Components = tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]

WORK = 96  # longer side at which ink and lines are looked for: a stroke is 2 to 15 pixels wide
TOGETHER = 1 << 17  # pixels of the images that are worked on at once: they stay in the cache
CHANNELS = 128  # of an image that OpenCV's filters take
CANVAS = 4 * SIDE  # the character is drawn at this size, near EMNIST's 128, and then reduced
EXTENT = 23.6 / 28  # EMNIST's longer side between half-ink contours: median 23.6 of 28 pixels
MIN_SIDE = 4  # pixels; in a narrower strip no stroke can be told from its surroundings
MIN_CONTRAST = 12  # grey levels between ink and paper; below it a scanner's noise looks like ink
MIN_SIGNAL = 3  # and in standard deviations of the paper's noise
MIN_LEAD = 3.7  # and of all that varies in the paper: stains, texture
SMOOTH = 8  # standard deviations of the noise: weaker ink is smoothed before it is judged
MIN_EXTENT = 0.12  # of the image's shorter side: what is smaller is dust, not a character
CRUMBS = 32  # part of the image's longer side that lies between two crumbs of a stroke at most
SCRAP = 0.3  # of the image's height or width: what is lower or narrower is no character by itself
RING = 0.2  # of the image's height or width, along its edge: where a box is
CORNER = 0.35  # of both: where the corners of a box are
CLEARLY = 2.0  # times as wide: what is narrower is ink, whatever lies at the edge
FRAME = 0.35  # of the image's height or width: how far inside its edges a frame ends
MAX_PIECES = 8  # a broken E has 4, a broken box around it a few more
BAR = 0.4  # of the character's width and ink: a stroke above it as large may be its bar
STEM = 0.7  # of the character's size: a stroke as tall may be its second stem
MARGIN = 2  # pixels of soft edge around a character
FAINTEST = 128  # of 255: a stroke this much weaker than the strongest one is still a stroke
FAINT_LINE = 24  # of 255: ink of a printed line far paler than the pen
TRACE = 64  # of 255: ink this strong is followed when lines and strokes are told apart

BLOT = 0.49  # share of full ink in the 28x28 image; EMNIST's fullest of 8,000 has 0.48

# Steepens the edge of a stroke at the size of the canvas: half-ink stays where it was.
GREYS = np.arange(256)
EDGE = ((GREYS - 127.5) * 2 + 127.5).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Box:
    """What was found in a box.

    Attributes:
        pixels: uint8 (28, 28), white ink on black as in EMNIST; all zero when blank.
        blank: nothing was written in the box.
        message: why the content is doubtful, '' when it is not: 'no ink', 'blot'.
    """

    pixels: Grey
    blank: bool
    message: str


def normalise(grey: Grey) -> Box:
    """Bring the image of a box to the form of EMNIST.

    Args:
        grey: uint8 (height, width), dark ink on light paper or the other way round.

    Returns:
        A `Box`.

    Raises:
        ValueError: not a two-dimensional uint8 array with pixels.
    """
    return normalise_all([grey])[0]


def normalise_all(images: Sequence[Grey]) -> list[Box]:
    """`normalise` of every image, in their order; those of one size are worked on together."""
    works = [reduced(image) for image in images]
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, work in enumerate(works):
        alike.setdefault(work.shape, []).append(place)
    boxes: dict[int, Box] = {}
    for (height, width), places in alike.items():
        most = max(1, min(CHANNELS, TOGETHER // (height * width)))
        for some in (places[start : start + most] for start in range(0, len(places), most)):
            _, kept = _cleaned(np.stack([works[place] for place in some]))
            boxes.update(zip(some, _fit(kept), strict=True))
    return [boxes[place] for place in range(len(works))]


def steps(grey: Grey) -> list[tuple[str, Grey]]:
    """The images `normalise` goes through, for people: (name, uint8 array) in order."""
    work = reduced(grey)
    ink, kept = _cleaned(work[None])
    return [
        ("input", work),
        ("ink", ink[0]),
        ("lines removed", kept[0]),
        ("final", _fit(kept)[0].pixels),
    ]


def normalise_batch(images: NDArray[np.uint8], processes: int | None = None) -> NDArray[np.uint8]:
    """`normalise` of every image of a stack.

    Args:
        images: uint8 (N, height, width).
        processes: how many to share the work, by default one a processor for many images;
            the result does not depend on it.

    Returns:
        uint8 (N, 28, 28).
    """
    processes = processes or pool.suggested(len(images))
    if processes == 1:
        return _pixels(images)
    pieces = np.array_split(images, 8 * processes)
    return np.concatenate(list(pool.in_order(_pixels, pieces, processes)))


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = [box.pixels for box in normalise_all(list(images))]
    return np.stack(pixels) if pixels else np.empty((0, SIDE, SIDE), np.uint8)


def reduced(grey: Grey) -> Grey:
    """The image at the size at which `normalise` works: its longer side at most `WORK`.

    Raises:
        ValueError: as `normalise`.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise ValueError(f"expected a uint8 (height, width) image, got {grey.dtype} {grey.shape}")
    longer = max(grey.shape)
    if longer <= WORK:
        return grey
    height, width = (max(1, round(side * WORK / longer)) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


def _cleaned(works: Stack) -> tuple[Stack, Stack]:
    """Ink in full strength, and what of it is the character."""
    raw = _find_ink(works)
    ink = _stretch(raw)
    mask = ink > TRACE
    kept = ink.copy()
    lined = _may_have_lines(ink, mask)
    for index in np.flatnonzero((lined | ~_alone(mask)) & ink.any((1, 2))):
        kept[index] = _remove_lines(ink[index], raw[index], bool(lined[index]))
    return ink, _even_pressure(kept)


def _filtered(images: Stack, *filters: Callable[[Any], Any]) -> Stack:
    """The images after OpenCV's filters, which take all of them at once as one image's channels."""
    channels = np.ascontiguousarray(images.transpose(1, 2, 0))
    result = channels
    for apply in filters:
        result = apply(result).reshape(channels.shape)
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def _find_ink(works: Stack) -> Stack:
    """Ink as uint8 of the same shape: by how many grey levels it differs from the paper."""
    even = _lit_evenly(works)
    light = np.where(_are_light_on_dark(even)[:, None, None], even, ~even)
    return light - np.minimum(light, _paper(light))


def _paper(light: Stack) -> Stack:
    """What remains when everything narrower than half the box is taken away."""
    longer = max(light.shape[1:])
    kernel = np.ones((longer // 2 | 1,) * 2, np.uint8)
    return _filtered(
        light,
        lambda image: cv2.blur(image, (3, 3)),
        lambda image: cv2.morphologyEx(image, cv2.MORPH_OPEN, kernel),
        lambda image: cv2.blur(image, (longer // 4 | 1,) * 2),
    )


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
    height, width = work.shape
    values = work[::step, ::step].ravel().astype(np.float64)
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    points = np.stack(np.broadcast_arrays(down[::step], across[::step], 1.0)).reshape(3, -1)
    paper = np.ones(values.size, bool)
    for _ in range(4):
        on_paper = points * paper
        tilt = np.linalg.lstsq(on_paper @ points.T, on_paper @ values, rcond=None)[0]
        # Ink is far from the plane, whichever its side: leave it out of the next fit.
        off = np.abs(values - tilt @ points)
        paper = off <= off.std()
    # A plane that does not explain most of the differences is not a shadow.
    if _median(off) > 0.5 * spread:
        return work
    level: Grey = np.rint(work - tilt[0] * down - tilt[1] * across).clip(0, 255).astype(np.uint8)
    return level


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
    left, top, right, bottom = inside = _rectangles(paper, 0.9)
    framed = (right - left) * (bottom - top) >= 0.3 * size
    sure = (_edge(paper) >= 0.9) & (~framed | (_edge(paper, inside) >= 0.2))
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


def _rectangles(masks: Stack, full: float = 0.0) -> Rectangles:
    """The rectangles around what is 1 in masks; `full`: around rows and columns of which less than
    this share is 1, instead. All 0 where nothing is."""
    sides: list[NDArray[Any]] = []
    for axis in (1, 2):
        if full:
            found = masks.sum(axis, dtype=np.int32) < full * masks.shape[axis]
        else:
            found = masks.any(axis)
        stop = np.where(found.any(1), found.shape[1] - found[:, ::-1].argmax(1), 0)
        sides += found.argmax(1), stop
    left, right, top, bottom = sides
    some = (right > 0) & (bottom > 0)
    return left * some, top * some, right * some, bottom * some


def _edge(masks: Stack, inside: Rectangles | None = None) -> NDArray[Any]:
    """Share of the pixels along the four sides of masks, or of rectangles inside them, that are 1,
    each side as important."""
    count, height, width = masks.shape
    if inside is None:
        sides = masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]
        shares: NDArray[Any] = sum(side.mean(1) for side in sides) / 4
        return shares
    left, top, right, bottom = inside
    x, y, every = np.arange(width), np.arange(height), np.arange(count)
    columns = (x >= left[:, None]) & (x < right[:, None])
    rows = (y >= top[:, None]) & (y < bottom[:, None])
    across, down = np.maximum(right - left, 1), np.maximum(bottom - top, 1)
    shares = (
        (masks[every, top] & columns).sum(1) / across
        + (masks[every, bottom - 1] & columns).sum(1) / across
        + (masks[every, :, left] & rows).sum(1) / down
        + (masks[every, :, right - 1] & rows).sum(1) / down
    ) / 4
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
    detail -= _filtered(detail, lambda image: cv2.blur(image, around))
    light: Flags = (detail * detail * detail).reshape(len(greys), -1).sum(1) > 0
    return light


def _widest(mask: Mask) -> float:
    """Radius of the largest disc that fits into the mask."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def _stretch(inks: Stack) -> Stack:
    """Ink in full strength: paper with its noise 0, the middle of strokes 255; all 0 if blank."""
    if min(inks.shape[1:]) < MIN_SIDE:
        return np.zeros_like(inks)
    # Standard deviation of the paper's noise, from how neighbours differ: half of all neighbours
    # lie on paper, whatever the strokes and shadows do.
    after, before = inks[:, :, 1:], inks[:, :, :-1]
    grain = np.maximum(after, before) - np.minimum(after, before)
    noise = 1.05 * _level_of(_below(grain), 0.5 * grain[0].size)
    middle, spread, high = _levels(inks)
    faint = (noise > 0) & (high - middle < SMOOTH * noise)
    if faint.any():
        smooth = _filtered(inks[faint], lambda image: cv2.GaussianBlur(image, (5, 5), 1))
        inks = inks.copy()
        inks[faint] = smooth
        noise[faint] *= 0.28  # what this blur leaves of it
        middle[faint], spread[faint], high[faint] = _levels(smooth)
    least = np.maximum(np.maximum(MIN_CONTRAST, MIN_SIGNAL * noise), MIN_LEAD * spread)
    low = middle + 1.5 * noise
    # Tables of grey levels that bring `low` to 0 and `high` to 255.
    steep = 255 / np.where(high - middle >= least, high - low, np.inf)
    tables = ((GREYS - low[:, None]) * steep[:, None]).clip(0, 255).astype(np.uint8)
    return tables.ravel()[inks + 256 * np.arange(len(inks))[:, None, None]]


def _otsu(images: Stack) -> NDArray[Any]:
    """The grey level that best divides each image's dark from its light."""
    found = [cv2.threshold(image, 0, 1, cv2.THRESH_OTSU)[0] for image in images]
    return np.array(found, np.uint8)


def _below(images: Stack) -> NDArray[Any]:
    """How many pixels of each image are at or under each grey level: int (N, 256)."""
    levels = images.reshape(len(images), -1) + 256 * np.arange(len(images))[:, None]
    counts = np.bincount(levels.ravel(), minlength=256 * len(images))
    return counts.reshape(-1, 256).cumsum(1)


def _level_of(below: NDArray[Any], pixels: Any) -> NDArray[Any]:
    """The first level at or under which so many pixels of each image lie."""
    levels: NDArray[Any] = (below < np.reshape(pixels, (-1, 1))).sum(1)
    return levels


def _levels(inks: Stack) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Grey level of the paper, its spread about that, and the level of the strokes."""
    below = _below(inks)
    paper = below[np.arange(len(inks)), _otsu(inks)]
    strokes = below[:, -1] - paper
    least, middle, most, high = (
        _level_of(below, pixels) * (strokes > 0)
        for pixels in (0.16 * paper, 0.5 * paper, 0.84 * paper, paper + 0.6 * strokes)
    )
    return middle, (most - least) / 2, high


def _alone(masks: Stack) -> Flags:
    """Whether a mask shows one component, well inside the image, and nothing else."""
    count, height, width = masks.shape
    # All at once: one below the other, an empty row between them.
    column = np.zeros((count, height + 1, width), np.uint8)
    column[:, :height] = masks
    x, y, w, h, _ = cv2.connectedComponentsWithStats(column.reshape(-1, width))[2][1:].T
    image, y = np.divmod(y, height + 1)
    inside = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    inside &= np.maximum(w, h) > MIN_EXTENT * min(height, width)
    components, fitting = (
        np.bincount(places, minlength=count) for places in (image, image[inside])
    )
    alone: Flags = (components == 1) & (fitting == 1)
    return alone


def _may_have_lines(inks: Stack, masks: Stack) -> Flags:
    """Cheap first: ink that reaches the image's edge, or goes into the corners of its rectangle,
    and even with faint ink reaches far enough to be anchored, or may be a box."""
    height, width = masks.shape[1:]
    x, y = np.arange(width), np.arange(height)
    left, top, right, bottom = (side[:, None] for side in _rectangles(masks))
    high, wide = (bottom - top) // 8 + 1, (right - left) // 8 + 1
    corners = np.zeros(len(masks), int)
    for band in ((y >= top) & (y < top + high), (y >= bottom - high) & (y < bottom)):
        inked = (masks & band[:, :, None]).any(1)
        corners += (inked & (x >= left) & (x < left + wide)).any(1)
        corners += (inked & (x >= right - wide) & (x < right)).any(1)
    slack = max(height, width) // 40
    may = _reach_edge(masks, slack) | (corners >= 3)
    faint = inks > FAINT_LINE
    return may & (_reach_edge(faint, slack + leaning(max(height, width))) | may_be_boxed(faint))


def _reach_edge(masks: Stack, slack: int) -> Flags:
    """Whether there is ink so many pixels from the image's edge, or none at all."""
    height, width = masks.shape[1:]
    left, top, right, bottom = _rectangles(masks)
    nearest = np.minimum.reduce([left, top, width - right, height - bottom])
    near: Flags = nearest <= slack
    return near


def _remove_lines(ink: Grey, raw: Grey, may_be_lined: bool) -> Grey:
    """Ink in full strength, stretched from `raw`, without box, neighbours' strokes and dust."""
    mask = _trace(ink)
    lines = _find_lines(ink, mask) if may_be_lined else {}
    lined = np.zeros(mask.shape, bool)
    if lines:
        erased = erasable(mask, lines)
        rest = _without(raw, erased)
        if not _was_the_character(_trace(rest), lines):
            ink, mask = rest, _trace(rest)
            if are_certain(lines, mask.shape):
                # A light hand's strokes through a dark line are seen beside it, in their levels.
                through = crossings(mask, lines)
                lined = erased & ~through
                if through.any():
                    ink = _without(raw, lined)
                    mask = _trace(ink)
    components = _components(mask)
    remains = _remains_of_box(components, lined)
    if remains.any():
        remains = cv2.dilate(remains, np.ones((3, 3), np.uint8)) > 0
        rest = _without(raw, lined | remains)
        if rest.any():
            ink, mask = rest, _trace(rest)
            components = _components(mask)
    character = _character(mask, components)
    return ink if character is mask else _stretch((ink * character)[None])[0]


def _find_lines(ink: Grey, mask: Mask) -> dict[int, Line]:
    """Lines of the box, faint ones too where these are full: together they make it certain."""
    lines = find_lines(mask)
    if len(lines) == 4:
        return lines
    faint = (ink > FAINT_LINE).view(np.uint8)
    more = find_lines(faint)
    return more if len(more) > len(lines) and are_certain(more, faint.shape) else lines


def _without(raw: Grey, printed: NDArray[np.bool_]) -> Grey:
    """Ink in full strength without what is printed, which may have been darker than the writing.

    What is left has levels of its own.
    """
    paper = _levels(raw[None])[0].astype(np.uint8)
    left: Grey = _stretch(np.where(printed, np.minimum(raw, paper), raw)[None])[0]
    return left


def _was_the_character(rest: Mask, lines: dict[int, Line]) -> bool:
    """Whether what was taken for lines left but a scrap: an S has four such sides, a B also.

    Args:
        rest: mask of what is left; lines: what was taken away, by side.
    """
    if not rest.any():
        return False
    rest = _character(rest, _components(rest))
    x, y, width, height = cv2.boundingRect(rest)
    if height >= SCRAP * len(rest):
        return False
    whole = all(line.whole for line in lines.values())
    if not whole or not height:
        return not whole
    # An empty box may have dust in it, but what reaches from a line into the middle is a stroke, as
    # in a B. If it meets one line only and these lie at the image's edge, or if it is as wide as a
    # small character, it is one that touches its box.
    down, across = (y + height / 2) / rest.shape[0], (x + width / 2) / rest.shape[1]
    near = cv2.dilate(rest, np.ones((5, 5), np.uint8)) > 0
    views = [(turned(near, side), line) for side, line in lines.items()]
    met = sum(bool((view & line.band(view.shape, 0)).any()) for view, line in views)
    narrow = width < SCRAP * rest.shape[1] and any(line.top > 0.1 * len(v) for v, line in views)
    return max(abs(down - 0.5), abs(across - 0.5)) < 0.25 and met >= (1 if narrow else 2)


def _components(mask: Mask) -> Components:
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
    return count, labels, stats, centres


def _even_pressure(inks: Stack) -> Stack:
    """Bring strokes of a light hand up to the strength of the others."""
    around = (max(inks.shape[1:]) // 5 | 1,) * 2
    strongest = _filtered(
        inks,
        lambda image: cv2.dilate(image, np.ones(around, np.uint8)),
        lambda image: cv2.blur(image, around),
    )
    even = cv2.divide(inks, np.maximum(strongest, FAINTEST), scale=255)
    return even.reshape(inks.shape)  # OpenCV drops a width of 1


def _trace(ink: Grey) -> Mask:
    return (ink > TRACE).view(np.uint8)


def _character(mask: Mask, components: Components) -> Mask:
    """The components of a mask that make the character."""
    count, labels, stats, _ = components
    if count < 2:
        return mask
    height, width = mask.shape
    if count == 2:  # most characters are one piece, well inside
        x, y, w, h, _ = stats[1].tolist()
        inside = x > 0 and y > 0 and x + w < width and y + h < height
        if inside and max(w, h) > MIN_EXTENT * min(height, width):
            return mask
    x, y, w, h, area = stats[1:].T
    right, bottom = x + w, y + h
    at_edge = (x == 0) | (y == 0) | (right == width) | (bottom == height)
    # What hangs at the image's edge and stays in the outer fifth comes from outside the box.
    outer = (right <= width / 5) | (x >= 0.8 * width) | (bottom <= height / 5) | (y >= 0.8 * height)
    foreign = (at_edge & outer) | _is_frame(labels, stats[1:])
    large = ~foreign & (np.maximum(w, h) > MIN_EXTENT * min(height, width))
    if not large.any():
        return np.zeros_like(mask)
    main = int(np.argmax(area * large * np.where(at_edge, 0.4, 1)))
    # Paper texture comes in many pieces, of which none is the character.
    pieces = ~foreign & (area >= 0.1 * area[main])
    if pieces.sum() > MAX_PIECES:
        return np.zeros_like(mask)
    # Dots and short strokes near the character belong to it.
    keep = ~foreign & (area >= 0.03 * area[main])
    # What keeps away from it comes from elsewhere: a broken line, a neighbour, a stain.
    gap = np.maximum.reduce([x - right[main], x[main] - right, y - bottom[main], y[main] - bottom])
    apart = gap > 0.12 * max(w[main], h[main])
    if np.count_nonzero(apart & pieces) == 1:
        # One piece alone, beside it, as tall: the other stem of an H whose bar does not reach it;
        # or above it, as wide: the bar of a 5.
        size = max(w[main], h[main])
        beside = np.minimum(bottom, bottom[main]) - np.maximum(y, y[main])
        stem = (beside >= STEM * size) & (h <= 1.2 * h[main])
        above = np.minimum(right, right[main]) - np.maximum(x, x[main])
        bar = (above >= BAR * w[main]) & (w <= 2 * w[main]) & (area >= BAR * area[main])
        bar &= bottom <= y[main] + h[main] / 4
        apart &= at_edge | ~(stem | bar) | (gap > 0.4 * size)
    keep &= ~apart
    table = np.zeros(count, np.uint8)
    table[1:] = keep
    if not keep.all():
        _mend(table, labels, ~foreign & ~at_edge)
    return mask if table[1:].all() else table[labels]


def _mend(kept: Mask, labels: NDArray[np.int32], own: NDArray[np.bool_]) -> None:
    """Keep the crumbs of a dry or thinly scanned stroke: one lies where the other ends.

    Args:
        kept: which components, the paper first, are kept: 1, else 0; the crumbs become 1.
        own: which components may be the character's.
    """
    reach = max(labels.shape) // CRUMBS
    if not reach:
        return
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    while True:
        met = np.bincount(labels[cv2.dilate(kept[labels], kernel) > 0], minlength=len(kept)) > 0
        met[1:] &= own
        met[0] = False
        if not (met & (kept == 0)).any():
            return
        kept[met] = 1


def _is_frame(labels: NDArray[np.int32], stats: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which components go around another one, leaving their own middle to it."""
    x, y, w, h, _ = stats.T
    frame = np.zeros(len(stats), bool)
    for outer in np.flatnonzero((w >= 0.5 * labels.shape[1]) & (h >= 0.5 * labels.shape[0])):
        left, top, wide, high, _ = stats[outer]
        inside = (x > left) & (y > top) & (x + w < left + wide) & (y + h < top + high)
        middle = labels[top + high // 4 : top + high * 3 // 4][
            :, left + wide // 4 : left + wide * 3 // 4
        ]
        around = (h[inside] >= 0.3 * high).any()
        frame[outer] = around and (middle == outer + 1).mean() < 0.02
    return frame


def _remains_of_box(components: Components, lined: NDArray[np.bool_]) -> Mask:
    """Mask of components that are left of a printed box: at the image's edge, around something.

    Dashes, ticks at the corners, a line's pieces: none is a line by itself. Where printed lines
    have been taken away (`lined`, bool), two short pieces that met them are enough, as between the
    boxes of a comb.
    """
    count, labels, stats, _ = components
    table = np.zeros(count, np.uint8)
    if count < 3:
        return table[labels]
    height, width = labels.shape
    x, y, w, h, _ = stats[1:].T
    # How far each component reaches from the left, the top, the right and the bottom.
    reach = np.stack([(x + w) / width, (y + h) / height, 1 - x / width, 1 - y / height])
    near = reach <= CORNER
    corner = (near[0] | near[2]) & (near[1] | near[3])
    beside = (reach <= RING) | (near & corner)
    ring = beside.any(0)
    inside = ~ring & (np.maximum(w, h) > MIN_EXTENT * min(height, width))
    if np.count_nonzero(ring) < 4 or not beside.any(1).all() or not inside.any():
        met = np.zeros(count, bool)
        met[labels[cv2.dilate(lined.view(np.uint8), np.ones((5, 5), np.uint8)) > 0]] = True
        ring &= met[1:] & (np.maximum(w / width, h / height) <= 0.5)
        if beside[:, ring].any(1).sum() < 2:
            return table[labels]
    table[1:] = ring
    return table[labels]


def _fit(inks: Stack) -> list[Box]:
    """The characters in the size, the place and the softness of EMNIST."""
    canvas = np.zeros((len(inks), CANVAS, CANVAS), np.uint8)
    rectangles = np.stack(_rectangles(inks > 127), 1).tolist()
    blank = []
    for ink, page, (x, y, right, bottom) in zip(inks, canvas, rectangles, strict=True):
        width, height = right - x, bottom - y
        blank.append(max(width, height) <= MIN_EXTENT * min(ink.shape))
        if blank[-1]:
            continue
        # Cut out with the soft edge of its strokes; the rest of the canvas stays paper.
        left, top = max(x - MARGIN, 0), max(y - MARGIN, 0)
        cut = ink[top : bottom + MARGIN, left : right + MARGIN]
        scale = CANVAS * EXTENT / max(width, height)
        place = [
            (CANVAS / 2 + scale * (start - middle), CANVAS / 2 + scale * (start + side - middle))
            for start, side, middle in (
                (top, cut.shape[0], y + height / 2),
                (left, cut.shape[1], x + width / 2),
            )
        ]
        (top, bottom), (left, right) = ((max(round(a), 0), min(round(b), CANVAS)) for a, b in place)
        cut = cv2.resize(cut, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        # EMNIST's strokes were binary at this size: level them, whatever the pen's pressure was.
        page[top:bottom, left:right] = cv2.LUT(cut, EDGE)
    size = SIDE, SIDE * len(inks)
    pixels = cv2.resize(canvas.reshape(-1, CANVAS), size, interpolation=cv2.INTER_AREA)
    pixels = pixels.reshape(-1, SIDE, SIDE)
    full = pixels.mean((1, 2)) > 255 * BLOT
    return [
        Box(image, empty, "no ink" if empty else "blot" if blot else "")
        for image, empty, blot in zip(pixels, blank, full.tolist(), strict=True)
    ]
