"""Which ink of a box is its character: not the printed box, neighbours' strokes, or dust."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinreader.image.arrays import MIN_EXTENT, Flags, Grey, Mask, Stack
from vinreader.image.ink import TRACE, stretch, trace, without
from vinreader.image.lines import Lines, find_lines, may_have_lines

# Of a mask: their labels (height, width), 0 the paper; x, y, width, height, area: int (N, 5).
Components = tuple[NDArray[Any], NDArray[Any]]

CRUMBS = 32  # part of the image's longer side that lies between two crumbs of a stroke at most
SCRAP = 0.3  # of the image's height or width: what is lower or narrower is no character by itself
RING = 0.2  # of the image's height or width, along its edge: where a box is
CORNER = 0.35  # of both: where the corners of a box are
MAX_PIECES = 8  # a broken E has 4, a broken box around it a few more
BAR = 0.4  # of the character's width and ink: a stroke above it as large may be its bar
STEM = 0.7  # of the character's size: a stroke as tall may be its second stem
LEFT_OUT = 0.1  # of the character's ink: as much that may be its own is worth a person's look


def characters(inks: Stack, raws: Stack) -> tuple[Stack, Flags]:
    """The ink of each image that is its character's, and whether so much other ink was left out,
    not all of it certainly printed, that it may be the character's, too.

    Args:
        inks: uint8 (N, height, width), ink in full strength, 255, on paper, 0.
        raws: of the same shape, by how many grey levels ink differs from the paper.
    """
    masks = inks > TRACE
    written = inks.copy()
    doubtful = np.zeros(len(inks), bool)
    lined = may_have_lines(inks, masks)
    cluttered = lined.copy()
    if not lined.all():
        cluttered[~lined] = ~_alone(masks[~lined])
    for index in np.flatnonzero(cluttered & inks.any((1, 2))):
        written[index], doubtful[index] = _remove_lines(
            inks[index], raws[index], bool(lined[index])
        )
    return written, doubtful


def _alone(masks: Stack) -> Flags:
    """Whether a mask shows one component, well inside the image, and nothing else."""
    count, height, width = masks.shape
    # All at once: one below the other, an empty row between them.
    column = np.zeros((count, height + 1, width), np.uint8)
    column[:, :height] = masks
    x, y, w, h, _ = _components(column.reshape(-1, width))[1].T
    image, y = np.divmod(y, height + 1)
    inside = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    inside &= np.maximum(w, h) > MIN_EXTENT * min(height, width)
    alone: Flags = np.bincount(image, minlength=count) == 1
    alone &= np.bincount(image[inside], minlength=count) == 1
    return alone


def _remove_lines(ink: Grey, raw: Grey, may_be_lined: bool) -> tuple[Grey, bool]:
    """Ink in full strength, stretched from `raw`, without box, neighbours' strokes and dust; and
    whether some of it was left out without being certain print."""
    mask = trace(ink)
    doubtful, components = False, None
    lined = np.zeros(mask.shape, bool)
    if may_be_lined and (lines := find_lines(ink, mask)):
        erased = lines.erasable(mask)
        rest = without(raw, erased)
        beside = trace(rest)
        pieces = _components(beside)
        if not _was_the_character(beside, pieces, lines):
            gone = np.count_nonzero(mask & erased)
            ink, mask, components = rest, beside, pieces
            doubtful = not (lines.certain or lines.closed) and gone >= LEFT_OUT * mask.sum()
            if lines.certain:
                # A light hand's strokes through a dark line are seen beside it, in their levels.
                through = lines.crossings(mask)
                lined = erased & ~through
                if through.any():
                    ink = without(raw, lined)
                    mask = trace(ink)
                    components = _components(mask)
    components = components or _components(mask)
    remains = _remains_of_box(components, lined)
    if remains.any():
        remains = cv2.dilate(remains, np.ones((3, 3), np.uint8)) > 0
        rest = without(raw, lined | remains)
        if rest.any():
            ink, mask = rest, trace(rest)
            components = _components(mask)
    character = _character(mask, components)
    if character is mask:
        return ink, doubtful
    doubtful |= _is_left_out(components, character)
    return stretch((ink * character)[None])[0], doubtful


def _is_left_out(components: Components, character: Mask) -> bool:
    """Whether a component that is none of the character's may be a stroke of it: it is as large,
    reaches out of the fifth of the image in which boxes and neighbours lie, and is no frame."""
    labels, figures = components
    height, width = labels.shape
    x, y, w, h, area = figures.T
    dropped = np.bincount(labels[character > 0], minlength=len(figures) + 1)[1:] == 0
    dropped &= area >= LEFT_OUT * max(character.sum(), 1)
    dropped &= np.minimum(x + w, width - x) > RING * width
    dropped &= np.minimum(y + h, height - y) > RING * height
    return bool(dropped.any() and (dropped & ~_is_frame(components)).any())


def _was_the_character(rest: Mask, components: Components, lines: Lines) -> bool:
    """Whether what was taken for lines left but a scrap, `rest`: an S has four such sides, a B
    also."""
    if not rest.any():
        return False
    rest = _character(rest, components)
    x, y, width, height = cv2.boundingRect(rest)
    if height >= SCRAP * len(rest):
        return False
    if not lines.whole or not height:
        return not lines.whole
    # An empty box may have dust in it, but what reaches from a line into the middle is a stroke, as
    # in a B. If it meets one line only and these lie at the image's edge, or if it is as wide as a
    # small character, it is one that touches its box.
    down, across = (y + height / 2) / rest.shape[0], (x + width / 2) / rest.shape[1]
    met = lines.met_by(cv2.dilate(rest, np.ones((5, 5), np.uint8)) > 0)
    narrow = width < SCRAP * rest.shape[1] and lines.inset
    return max(abs(down - 0.5), abs(across - 0.5)) < 0.25 and met >= (1 if narrow else 2)


def _components(mask: Mask) -> Components:
    # The algorithm OpenCV would choose finds the same in three times as long.
    labels, figures = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask, 8, cv2.CV_32S, cv2.CCL_GRANA
    )[1:3]
    return labels, figures[1:]


def _shown(components: Components, some: Flags) -> Mask:
    """The mask of some of the components, bool (N,)."""
    shown: Mask = np.append(False, some).view(np.uint8)[components[0]]
    return shown


def _character(mask: Mask, components: Components) -> Mask:
    """The components of a mask that make the character."""
    figures = components[1]
    if not len(figures):
        return mask
    height, width = mask.shape
    if len(figures) == 1:  # most characters are one piece, well inside
        x, y, w, h, _ = figures[0].tolist()
        inside = x > 0 and y > 0 and x + w < width and y + h < height
        if inside and max(w, h) > MIN_EXTENT * min(height, width):
            return mask
    x, y, w, h, area = figures.T
    right, bottom = x + w, y + h
    at_edge = (x == 0) | (y == 0) | (right == width) | (bottom == height)
    # What hangs at the image's edge and stays in the outer fifth comes from outside the box.
    outer = (right <= width / 5) | (x >= 0.8 * width) | (bottom <= height / 5) | (y >= 0.8 * height)
    foreign = (at_edge & outer) | _is_frame(components)
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
    # The crumbs of a dry or thinly scanned stroke: one lies where the other ends.
    crumbs = ~foreign & ~at_edge & ~keep
    while (
        crumbs.any() and (met := crumbs & _met(components, keep, max(mask.shape) // CRUMBS)).any()
    ):
        keep |= met
        crumbs &= ~met
    return mask if keep.all() else _shown(components, keep)


def _met(components: Components, some: Flags, reach: int) -> Flags:
    """Which components come as near to some of them as `reach` pixels."""
    around = cv2.dilate(_shown(components, some), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    return np.bincount(components[0][around], minlength=len(some) + 1)[1:] > 0


def _is_frame(components: Components) -> Flags:
    """Which components go around another one, leaving their own middle to it."""
    labels, figures = components
    x, y, w, h, _ = figures.T
    frame = np.zeros(len(figures), bool)
    for outer in np.flatnonzero((w >= 0.5 * labels.shape[1]) & (h >= 0.5 * labels.shape[0])):
        left, top, wide, high, _ = figures[outer]
        inside = (x > left) & (y > top) & (x + w < left + wide) & (y + h < top + high)
        rows = slice(top + high // 4, top + high * 3 // 4)
        middle = labels[rows, left + wide // 4 : left + wide * 3 // 4]
        around = (h[inside] >= 0.3 * high).any()
        frame[outer] = around and (middle == outer + 1).mean() < 0.02
    return frame


def _remains_of_box(components: Components, lined: NDArray[np.bool_]) -> Mask:
    """Mask of components that are left of a printed box: at the image's edge, around something.

    Dashes, ticks at the corners, a line's pieces: none is a line by itself. Where printed lines
    have been taken away (`lined`, bool), two short pieces that met them are enough, as between the
    boxes of a comb.
    """
    labels, figures = components
    if len(figures) < 2:
        return np.zeros(labels.shape, np.uint8)
    height, width = labels.shape
    x, y, w, h, _ = figures.T
    # How far each component reaches from the left, the top, the right and the bottom.
    reach = np.stack([(x + w) / width, (y + h) / height, 1 - x / width, 1 - y / height])
    near = reach <= CORNER
    corner = (near[0] | near[2]) & (near[1] | near[3])
    beside = (reach <= RING) | (near & corner)
    ring = beside.any(0)
    inside = ~ring & (np.maximum(w, h) > MIN_EXTENT * min(height, width))
    if np.count_nonzero(ring) < 4 or not beside.any(1).all() or not inside.any():
        met = np.zeros(len(figures) + 1, bool)
        met[labels[cv2.dilate(lined.view(np.uint8), np.ones((5, 5), np.uint8)) > 0]] = True
        ring &= met[1:] & (np.maximum(w / width, h / height) <= 0.5)
        ring &= beside[:, ring].any(1).sum() >= 2
    return _shown(components, ring)
