"""Training characters as other hands would have written them.

A character is turned, slanted, stretched, bent, drawn thinner or thicker, faded and erased in
places; then it is fitted into the frame again, because the reader centres and scales whatever it
reads. A whole batch is one call of OpenCV's remap: the images stand above one another.
"""

from typing import Annotated

from vintraining.section import Number, Section, Share

import cv2
import numpy as np
from pydantic import Field

from vinreader.spec import SIDE

FRAME = round(24 / 28 * SIDE)  # pixels: the longer side of a normalised character
CENTRE = (SIDE - 1) / 2
INK = 96  # grey level from which a pixel counts as ink when the character is fitted again
BLOCK = min(1024, 32_767 // SIDE)  # images in one remap: OpenCV's limit is 32,767 rows
KNOTS = 4  # the elastic displacement is drawn on a grid of 4 x 4 knots and interpolated

_Y, _X = (grid.reshape(-1).astype(np.float32) for grid in np.mgrid[:SIDE, :SIDE])
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class Augmentation(Section):
    """How strong each change is, 0: none; params.yaml says of each what it is."""

    rotation: Annotated[Number, Field(ge=0, le=45)]
    shear: Annotated[Number, Field(ge=0, le=1)]
    scale: Annotated[Number, Field(ge=0, le=0.5)]
    shift: Annotated[Number, Field(ge=0, le=8)]
    elastic: Annotated[Number, Field(ge=0, le=8)]
    thickness: Share
    contrast: Annotated[Number, Field(ge=0, le=0.9)]
    erase: Share


def _bumps() -> np.ndarray:
    """Weight of each knot at each pixel: separable Gaussians, (KNOTS², SIDE²), columns sum to 1."""
    knots = np.linspace(0, SIDE - 1, KNOTS)
    spread = knots[1] * 0.6
    one = np.exp(-0.5 * ((np.arange(SIDE)[None] - knots[:, None]) / spread) ** 2)
    one /= one.sum(axis=0)
    bumps: np.ndarray = np.einsum("ay,bx->abyx", one, one).reshape(KNOTS**2, SIDE**2)
    return bumps.astype(np.float32)


_BUMPS = _bumps()
_BUMP_GAIN = 1 / np.sqrt((_BUMPS**2).sum(axis=0).mean())  # unit knots -> unit displacement


def _matrices(n: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Random rotation x shear x stretch, (n, 2, 2), acting on (x, y) about the centre."""
    angle = np.deg2rad(rng.uniform(-how.rotation, how.rotation, n))
    shear = rng.uniform(-how.shear, how.shear, n)
    width, height = np.exp(rng.uniform(-how.scale, how.scale, (2, n)))
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    slant = np.stack([np.stack([width, shear * height], -1), np.stack([0 * c, height], -1)], -2)
    matrices: np.ndarray = (rotation @ slant).astype(np.float32)
    return matrices


def _fitted(images: np.ndarray, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale (n,) and centre (n, 2) that bring the transformed ink into the frame again.

    The first and the last ink pixel of each row are enough: an affine map has its extremes there.
    """
    ink = images >= INK
    ink |= ~ink.any(axis=(1, 2), keepdims=True)
    first, last = ink.argmax(axis=2), SIDE - 1 - ink[:, :, ::-1].argmax(axis=2)
    columns = np.concatenate([first, last], axis=1).astype(np.float32) - CENTRE
    rows = np.broadcast_to(np.tile(np.arange(SIDE, dtype=np.float32), 2) - CENTRE, columns.shape)
    points = matrices @ np.stack([columns, rows], axis=1)  # (n, 2, 2 * SIDE)
    inked = np.tile(ink.any(axis=2), 2)[:, None, :]
    low = np.where(inked, points, np.inf).min(axis=2)
    high = np.where(inked, points, -np.inf).max(axis=2)
    return FRAME / ((high - low).max(axis=1) + 1), (low + high) / 2


def _warp(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    n = len(images)
    matrices = _matrices(n, how, rng)
    scale, centre = _fitted(images, matrices)
    shift = rng.uniform(-how.shift, how.shift, (n, 2, 1)).astype(np.float32)
    target = np.stack([_X, _Y])[None] - CENTRE - shift
    source = np.linalg.inv(matrices) @ (target / scale[:, None, None] + centre[:, :, None])
    knots = rng.standard_normal((n, 2, KNOTS**2)).astype(np.float32)
    source += CENTRE + how.elastic * _BUMP_GAIN * (knots @ _BUMPS)
    x, y = source[:, 0], source[:, 1]
    # What lies outside an image is paper, not the image above or below it in the stack.
    outside = (x < 0) | (y < 0) | (x > SIDE - 1) | (y > SIDE - 1)
    y = y + SIDE * np.arange(n, dtype=np.float32)[:, None]
    y[outside] = -10
    shape = (n * SIDE, SIDE)
    written = cv2.remap(
        images.reshape(shape),
        np.ascontiguousarray(x, np.float32).reshape(shape),
        y.astype(np.float32).reshape(shape),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).reshape(images.shape)
    written[:, (0, -1)] = 0  # so that a thicker pen does not reach into the next image either
    return written


def _thickness(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """A share of the characters blended with their thinner or their thicker selves."""
    n = len(images)
    stack = images.reshape(n * SIDE, SIDE)
    thinner, thicker = (f(stack, _CROSS).reshape(images.shape) for f in (cv2.erode, cv2.dilate))
    drawn = rng.uniform(-1, 1, n) * (rng.random(n) < how.thickness)
    # Strokes about 2 pixels wide vanish when eroded in full.
    amount = np.where(drawn < 0, 0.6 * drawn, drawn).astype(np.float32)[:, None, None]
    other = np.where(amount < 0, thinner, thicker)
    blended: np.ndarray = images + np.abs(amount) * (other.astype(np.float32) - images)
    return blended


def _erase(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> None:
    n = len(images)
    low = rng.integers(2, SIDE - 8, (2, n))
    size = rng.integers(3, 8, (2, n)) * (rng.random(n) < how.erase)
    span = np.arange(SIDE)
    inside = (span >= low[..., None]) & (span < (low + size)[..., None])  # (2, n, SIDE)
    images[inside[0][:, :, None] & inside[1][:, None, :]] = 0


def augment(images: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """The characters written otherwise.

    Args:
        images: uint8 (N, SIDE, SIDE), normalised characters.
        how: strengths; see params.yaml.
        rng: the only source of chance, so the same generator state gives the same result.

    Returns:
        float32 (N, SIDE, SIDE), 0 to 255.
    """
    if len(images) > BLOCK:
        return np.concatenate(
            [augment(images[:BLOCK], how, rng), augment(images[BLOCK:], how, rng)]
        )
    written = _thickness(_warp(images, how, rng), how, rng)
    written *= 1 - how.contrast * rng.random((len(images), 1, 1), np.float32)
    _erase(written, how, rng)
    return np.clip(written, 0, 255, out=written)


def cross_out(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A character that its writer struck out: with a cross, parallel lines or a scribble.

    Args:
        image: float32 (SIDE, SIDE), 0 to 255.

    Returns:
        float32 (SIDE, SIDE), the character under strokes that run across the whole frame.
    """
    # The strokes reach beyond the character, so the reader's frame leaves it less room.
    scale = rng.uniform(0.7, 1)
    smaller = np.array([[scale, 0, CENTRE * (1 - scale)], [0, scale, CENTRE * (1 - scale)]])
    crossed = cv2.warpAffine(image, smaller, (SIDE, SIDE), flags=cv2.INTER_AREA)
    low, high = 2.5, SIDE - 3.5
    kind = rng.integers(4)
    if kind == 0:
        strokes = [[(low, low), (high, high)], [(high, low), (low, high)]]
    elif kind == 1:  # lines across
        rows = CENTRE + np.linspace(-1, 1, rng.integers(2, 5)) * rng.uniform(1.5, 5)
        strokes = [[(low, row), (high, row)] for row in rows]
    elif kind == 2:  # hatching
        starts = np.linspace(low - 8, high - 4, rng.integers(3, 7))
        strokes = [[(start, high), (start + rng.uniform(8, 14), low)] for start in starts]
    else:  # a zigzag
        turns = np.linspace(low, high, rng.integers(7, 13))
        strokes = [[(turn, (low, high)[i % 2]) for i, turn in enumerate(turns)]]
    thickness = int(rng.integers(1, 4 if kind else 3))  # under a thick cross nothing is left to see
    for stroke in strokes:
        points = np.array(stroke) + rng.normal(0, 1.2, (len(stroke), 2))
        points = np.rint(points.clip(low, high) * 16).astype(np.int32)  # 4 bits of fraction
        cv2.polylines(crossed, [points], False, 255.0, thickness, cv2.LINE_AA, 4)
    if rng.random() < 0.25:  # as often across as down
        crossed = np.ascontiguousarray(crossed.T)
    return crossed
