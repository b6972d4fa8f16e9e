"""Arrays of images, and the rectangles around what is in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# What OpenCV returns is of any type to the type checker. Here both are uint8 (height, width).
Grey = NDArray[Any]  # 0 to 255
Mask = NDArray[Any]  # 0 or 1
Stack = NDArray[Any]  # (N, height, width): images of one size
Flags = NDArray[np.bool_]
Rectangles = tuple[NDArray[Any], ...]  # left, top, right, bottom (exclusive), int (N,) each

MIN_EXTENT = 0.12  # of an image's shorter side: what is smaller is dust, not a character


def rectangles(masks: Stack, full: float = 0.0) -> Rectangles:
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
