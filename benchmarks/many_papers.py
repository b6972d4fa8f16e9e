"""Boxes of many kinds with the ink of their character known: what an ink network learns from.

`draw` makes one: a character on blank, ruled, squared, tinted or photographed paper, in a box of
any print, with what comes from elsewhere (neighbours' strokes, stamps, small print, dust), in
either polarity, 12 to 112 pixels a side. Everything follows from the numpy Generator passed in.
"""

from functools import cache

import project  # noqa: F401 (finds what is imported below)
from vintraining.data.handwriting import Writer, draw_strokes
from vintraining.drawing.paper import cloud, slope
from vintraining.model.augmentation import cross_out

import cv2
import numpy as np

from vinreader.spec import CHARACTERS

LEAST, MOST = 12, 112  # pixels of the longer side
DRAWN = 56  # smaller boxes are drawn at this size and then reduced
FINE = 4  # bits of fraction of the points of lines
FIRST_WRITER, WRITERS = 2_000_000, 400  # nobody reads these, or trains on them

Shape = tuple[int, int]


def some(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    return float(rng.uniform(low, high)) if rng.random() < share else 0.0


def draw(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """A box, uint8 (height, width); the ink of its character, uint8 of the same shape; its class.

    Args:
        images: uint8 (N, 28, 28), characters as the reading network sees them.
        labels: uint8 (N,), their classes.

    Returns:
        The class is -1 where the box is empty, blotted, or the character struck out.
    """
    kind = rng.choice(
        ["empty", "bare", "tight", "small", "boxed"], p=[0.06, 0.07, 0.17, 0.06, 0.64]
    )
    least = LEAST if rng.random() < 0.1 else 20
    size = int(np.exp(rng.uniform(np.log(least), np.log(MOST))))
    if kind == "bare":  # as EMNIST's files are: ink at full strength, no paper to speak of
        size = max(size, 24)
    patch, label = _patch(images, labels, rng)
    shape, place, scale = _layout(patch, kind, max(size, DRAWN), rng)
    ink = _placed(patch, scale, place, some(rng, 0.6, -10, 10), shape)
    if kind == "empty":
        ink[:], label = 0, -1
    if rng.random() < 0.008:  # a blot
        cv2.circle(ink, _somewhere(shape, rng), int(rng.uniform(0.2, 0.4) * min(shape)), 1.0, -1)
        label = -1
    if kind == "bare":
        contrast = 0.0
        light = np.full(shape, 255, np.float32) * (1 - ink * np.float32(rng.uniform(0.7, 1)))
    else:
        light, contrast = _scene(ink, images, labels, kind, rng)
    grey = _captured(light, size, contrast, rng)
    known = cv2.resize(ink, grey.shape[::-1], interpolation=cv2.INTER_AREA)
    if rng.random() < (0.5 if kind == "bare" else 0.1):
        grey = 255 - grey
    return grey, np.rint(255 * known).astype(np.uint8), label


@cache
def _written(number: int) -> tuple[Writer, list[list[np.ndarray]]]:
    """A writer and the strokes of all characters by their hand."""
    writer = Writer(1981, FIRST_WRITER + number)
    return writer, writer.strokes(CHARACTERS)


def _patch(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The ink of a character, cropped to it, float32 0 to 1, the longer side 128 pixels; its class
    or -1 if it is struck out."""
    if rng.random() < 0.4:  # a pen of any width
        writer, written = _written(int(rng.integers(WRITERS)))
        label = int(rng.integers(len(CHARACTERS)))
        strokes = written[label]
        points = np.concatenate(strokes)
        low, high = points.min(0), points.max(0)
        pen = float(np.exp(rng.uniform(np.log(3), np.log(26))))
        zoom = (124 - pen) / (high - low).max()
        canvas = np.zeros((160, 160), np.uint8)
        placed = [(stroke - (low + high) / 2) * zoom + 80 for stroke in strokes]
        draw_strokes(canvas, placed, np.full(len(placed), pen), writer)
        ink = canvas.astype(np.float32) / 255
    else:
        row = rng.integers(len(images))
        image, label = images[row].astype(np.float32), int(labels[row])
        if rng.random() < 0.06:
            image, label = cross_out(image, rng), -1
        large = cv2.resize(image, (140, 140), interpolation=cv2.INTER_CUBIC)
        # Half-ink is the stroke's edge; another level makes it thinner or thicker.
        level = np.float32(rng.choice([128.0, rng.uniform(60, 200)]))
        ink = np.clip((cv2.GaussianBlur(large, (0, 0), 1.5) - level) / 24 + 0.5, 0, 1)
    x, y, w, h = cv2.boundingRect((ink > 0.5).view(np.uint8))
    if max(w, h) < 20:
        return _patch(images, labels, rng)
    cut = ink[y : y + h, x : x + w]
    scale = 128 / max(w, h)
    return cv2.resize(cut, (max(2, round(w * scale)), max(2, round(h * scale)))), label


def _layout(
    patch: np.ndarray, kind: str, longer: int, rng: np.random.Generator
) -> tuple[Shape, np.ndarray, float]:
    """Shape of the box, middle (x, y) of its character, pixels of the box for one of the patch."""
    height, width = patch.shape
    if kind == "tight":  # cut out at the ink, or a little off, within it even
        room = rng.uniform(-0.02, 0.15, 4) if rng.random() < 0.7 else rng.uniform(-0.02, 0.4, 4)
        room = room * max(height, width)
        room[[0, 2]] += max(0, 0.25 * height - width) / 2
        room[[1, 3]] += max(0, 0.25 * width - height) / 2
        across, down = width + room[0] + room[2], height + room[1] + room[3]
        scale = longer / max(across, down)
        shape = max(8, round(down * scale)), max(8, round(across * scale))
        return shape, scale * np.array([room[0] + width / 2, room[1] + height / 2]), scale
    aspect = rng.uniform(0.6, 1.4)
    if kind == "bare":
        aspect = 1.0
    shape = round(longer * min(1, 1 / aspect)), round(longer * min(1, aspect))
    share = {"small": (0.16, 0.45), "bare": (0.7, 0.98)}.get(kind, (0.4, 0.92))
    scale = rng.uniform(*share) * min(shape[0] / height, shape[1] / width)
    free = np.array([shape[1] - scale * width, shape[0] - scale * height]) / 2
    off = rng.uniform(-1, 1, 2) * (0.2 if kind == "bare" or rng.random() < 0.5 else 1.0)
    return shape, np.array(shape[::-1]) / 2 + off * free, float(scale)


def _placed(
    patch: np.ndarray, scale: float, place: np.ndarray, angle: float, shape: Shape
) -> np.ndarray:
    height, width = patch.shape
    if scale < 0.7:  # warpAffine takes one point in each pixel
        patch = cv2.GaussianBlur(patch, (0, 0), 0.35 / scale)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += place - 0.5 - np.array([width - 1, height - 1]) / 2
    return cv2.warpAffine(patch, matrix, shape[::-1], flags=cv2.INTER_LINEAR)


def _scene(
    ink: np.ndarray, images: np.ndarray, labels: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Light from the paper with all that is on it, float32; grey levels of the ink on it."""
    shape = ink.shape
    photographed = rng.random() < (0.6 if kind == "tight" else 0.35)
    light = _photographed(shape, rng) if photographed else _scanned(shape, rng)
    if kind != "tight" or rng.random() < 0.15:
        for _ in range(int(rng.choice([1, 2], p=[0.85, 0.15]))):
            light *= 1 - _printed(ink, rng)
        if rng.random() < 0.2:
            light *= 1 - _foreign(shape, images, labels, rng)
    elif rng.random() < 0.12:
        light *= 1 - _foreign(shape, images, labels, rng)
    strength = rng.uniform(0.12, 0.7) if photographed else rng.uniform(0.2, 0.9)
    contrast = float(strength * np.median(light))
    pressed = ink
    if uneven := some(rng, 0.5, 0.1, 0.5):
        pressed = ink * np.clip(1 - uneven * (0.5 + cloud(rng, shape, rng.uniform(1, 12))), 0.3, 1)
    return light * (1 - np.float32(strength) * pressed.astype(np.float32)), contrast


def _scanned(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    light = np.full(shape, rng.uniform(150, 252), np.float32)
    if shade := some(rng, 0.4, 0, 35):
        turn = rng.uniform(0, 2 * np.pi)
        light += slope(shape, shade * np.cos(turn), shade * np.sin(turn))
    if stains := some(rng, 0.4, 0, 6):
        light += stains * cloud(rng, shape, rng.uniform(5, 16))
    if fibres := some(rng, 0.5, 0, 6):
        light += fibres * cloud(rng, shape, rng.uniform(0.6, 2))
    return np.clip(light, 20, 255).astype(np.float32)


def _photographed(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Paper under a lamp or in daylight: falling off, shadows with soft edges, wrinkles."""
    height, width = shape
    light = np.full(shape, rng.uniform(110, 240), np.float32)
    turn, fall = rng.uniform(0, 2 * np.pi), some(rng, 0.7, 0, 0.3)
    light *= 1 + slope(shape, fall * np.cos(turn), fall * np.sin(turn))
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    if corners := some(rng, 0.3, 0.05, 0.4):
        x, y = rng.uniform(-0.6, 0.6, 2)
        light *= 1 - corners * np.clip((across - x) ** 2 + (down - y) ** 2, 0, 2) / 2
    if shadow := some(rng, 0.35, 0.1, 0.55):
        turn, soft = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.6)
        edge = across * np.cos(turn) + down * np.sin(turn) - rng.uniform(-0.8, 0.8)
        edge = edge + 0.15 * np.sin(rng.uniform(1, 4) * across + rng.uniform(0, 6))
        light *= 1 - shadow * np.clip(edge / soft + 0.5, 0, 1)
    for low, high, most in ((0.6, 1.6, 0.04), (2, 6, 0.03), (8, 20, 0.08)):
        if strength := some(rng, 0.5, 0, most):
            light *= 1 + strength * cloud(rng, shape, rng.uniform(low, high))
    return np.clip(light, 40, 255).astype(np.float32)


def _captured(
    light: np.ndarray, size: int, contrast: float, rng: np.random.Generator
) -> np.ndarray:
    """The image a device makes of it, uint8, the longer side `size` pixels; contrast: of the ink,
    in grey levels, 0 for an image that never was on paper."""
    blur = some(rng, 0.7, 0.2, 1.0) if rng.random() < 0.9 else rng.uniform(1, 2.2)
    if blur:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    if size < max(light.shape):
        shape = [max(4, round(side * size / max(light.shape))) for side in light.shape[::-1]]
        light = cv2.resize(light, shape, interpolation=cv2.INTER_AREA)
    if contrast and rng.random() < 0.75:
        noise = min(0.3 * contrast, rng.uniform(0, 9) * rng.choice([1, 2], p=[0.9, 0.1]))
        light = light + rng.normal(0, noise, light.shape)
    grey = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    if contrast and rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        grey = cv2.imdecode(cv2.imencode(".jpg", grey, quality)[1], cv2.IMREAD_GRAYSCALE)
    return grey


def _somewhere(shape: Shape, rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(shape[1])), int(rng.integers(shape[0]))


class _Pen:
    """Print of one darkness on a canvas; points are x, y in pixels, thickness at least 0.3."""

    def __init__(self, shape: Shape):
        self.zoom = 2  # lines between the pixels
        self.canvas = np.zeros((shape[0] * self.zoom, shape[1] * self.zoom), np.uint8)
        self.shape = shape

    def line(self, start: np.ndarray, end: np.ndarray, thickness: float) -> None:
        ends = np.rint(np.stack([start, end]) * self.zoom * (1 << FINE)).astype(np.int32)
        width = max(1, round(thickness * self.zoom))
        cv2.polylines(self.canvas, [ends], False, 255, width, cv2.LINE_8, FINE)

    def ink(self) -> np.ndarray:
        small = cv2.resize(self.canvas, self.shape[::-1], interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / 255


def _printed(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of the light that print takes away, float32: a box, rules, squares, tint or nothing."""
    shape = ink.shape
    kind = rng.choice(["box", "rules", "squares", "tint", "none"], p=[0.66, 0.09, 0.06, 0.05, 0.14])
    pen = _Pen(shape)
    if kind == "tint":
        return _tint(shape, rng)
    if kind == "box":
        _box(pen, ink, rng)
    elif kind in ("rules", "squares"):
        _rules(pen, kind == "squares", rng)
    dark = rng.uniform(0.08, 0.5) if kind != "box" else rng.uniform(0.12, 0.9)
    printed = dark * pen.ink()
    if rng.random() < 0.3:
        printed *= np.clip(rng.uniform(0.2, 1.4) + 0.5 * cloud(rng, shape, rng.uniform(1, 4)), 0, 1)
    return printed.astype(np.float32)


def _tint(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """A form's coloured ground, in a part of the image or with a white box in it."""
    tint = np.zeros(shape, np.float32)
    (x0, x1), (y0, y1) = np.sort(rng.uniform(-0.3, 1.3, (2, 2)), axis=1)
    if rng.random() < 0.5:  # around a box
        (x0, y0), (x1, y1) = rng.uniform(0, 0.12, 2), rng.uniform(0.88, 1, 2)
    x0, x1 = (int(np.clip(x, 0, 1) * shape[1]) for x in (x0, x1))
    y0, y1 = (int(np.clip(y, 0, 1) * shape[0]) for y in (y0, y1))
    tint[y0:y1, x0:x1] = 1
    if rng.random() < 0.5:
        tint = 1 - tint
    if rng.random() < 0.3:  # dots of a printer's screen
        step = int(rng.integers(2, 5))
        tint[::step, ::step] *= 0.3
    return tint * np.float32(rng.uniform(0.05, 0.5))


def _box(pen: _Pen, ink: np.ndarray, rng: np.random.Generator) -> None:
    """A printed box: where it stands, of which sides, and what its lines are like."""
    height, width = pen.shape
    shorter = min(pen.shape)
    inset = rng.uniform(-0.01, 0.12, 4) * shorter
    crossed = rng.random() < 0.4
    x, y, w, h = cv2.boundingRect((ink > 0.5).astype(np.uint8))
    if crossed and w:  # the ink goes beyond some of the lines, or just touches them
        ends = np.array([x, y, width - x - w, height - y - h])
        for side in rng.permutation(4)[: rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])]:
            inset[side] = ends[side] + rng.uniform(-0.02, 0.16) * max(w, h)
    inset = np.minimum(inset, 0.42 * np.array([width, height, width, height]))
    left, top, right, bottom = inset * [1, 1, -1, -1] + [0, 0, width, height]
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    corners += rng.normal(0, some(rng, 0.4, 0, 0.012) * shorter, corners.shape)
    turn = np.radians(some(rng, 0.4, -4, 4))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    middle = np.array([width, height]) / 2
    corners = (corners - middle) @ rotation + middle
    style = rng.choice(["full", "dashes", "ticks", "comb"], p=[0.66, 0.12, 0.11, 0.11])
    drawn = rng.permutation(4)[: rng.choice([1, 2, 3, 4], p=[0.12, 0.18, 0.15, 0.55])]
    thick = shorter * np.exp(rng.uniform(np.log(0.008), np.log(0.07)))
    if rng.random() < 0.06:
        thick = shorter * rng.uniform(0.07, 0.13)
    if style == "comb":
        tooth = rng.uniform(0.15, 0.55)
        for low, high in ((3, 0), (2, 1)):
            pen.line(corners[low], corners[low] + tooth * (corners[high] - corners[low]), thick)
        runs = some(rng, 0.7, 0.2, 0.5) * (corners[2] - corners[3])
        return pen.line(corners[3] - runs, corners[2] + runs, thick)
    beyond = rng.random() < 0.3  # as where the neighbours' boxes follow
    double = some(rng, 0.15, 2 * thick, 2 * thick + 0.08 * shorter)
    for side in drawn if style == "full" else range(4):
        start, end = corners[side], corners[(side + 1) % 4]
        along = end - start
        if beyond and side % 2 == 0:
            start, end = start - 0.3 * along, end + 0.3 * along
        outwards = np.array([along[1], -along[0]]) / max(1e-6, np.hypot(*along))
        for away in (0, double) if double else (0,):
            _side(pen, start + away * outwards, end + away * outwards, thick, style, rng)


def _side(
    pen: _Pen,
    start: np.ndarray,
    end: np.ndarray,
    thick: float,
    style: str,
    rng: np.random.Generator,
) -> None:
    along = end - start
    if style == "dashes":
        stops = np.linspace(0, 1, 2 * int(rng.integers(3, 12)))
        pieces = list(zip(stops[:-1:2], stops[1::2], strict=True))
    elif style == "ticks":
        tick = rng.uniform(0.06, 0.3)
        pieces = [(0.0, tick), (1 - tick, 1.0)]
    else:
        pieces = [(0.0, 1.0)]
    for first, last in pieces:
        pen.line(start + first * along, start + last * along, thick)


def _rules(pen: _Pen, squared: bool, rng: np.random.Generator) -> None:
    height, width = pen.shape
    shorter = min(pen.shape)
    step, thick = shorter * rng.uniform(0.12, 0.8), shorter * rng.uniform(0.008, 0.03)
    lean = some(rng, 0.5, -0.05, 0.05)
    for y in np.arange(rng.uniform(0, step), height, step):
        pen.line(np.array([-5, y]), np.array([width + 5, y + lean * width]), thick)
    if squared:
        for x in np.arange(rng.uniform(0, step), width, step):
            pen.line(np.array([x, -5]), np.array([x - lean * height, height + 5]), thick)


def _foreign(
    shape: Shape, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share of the light taken away by what comes from elsewhere, float32."""
    kind = rng.choice(["neighbour", "stamp", "text", "dust"], p=[0.5, 0.15, 0.15, 0.2])
    height, width = shape
    if kind == "neighbour":  # its stroke comes in from the side
        patch, _ = _patch(images, labels, rng)
        scale = rng.uniform(0.5, 1) * height / max(patch.shape)
        reach = rng.uniform(0.02, 0.16) * width
        half = scale * patch.shape[1] / 2
        x = reach - half if rng.random() < 0.5 else width - reach + half
        place = np.array([x, height * rng.uniform(0.35, 0.65)])
        if rng.random() < 0.25:  # or from the line above or below
            half = scale * patch.shape[0] / 2
            y = reach - half if rng.random() < 0.5 else height - reach + half
            place = np.array([width * rng.uniform(0.1, 0.9), y])
        return np.float32(rng.uniform(0.2, 0.8)) * _placed(patch, scale, place, 0, shape)
    pen = _Pen(shape)
    fine = pen.canvas
    if kind == "stamp":
        centre = (rng.uniform(-1, 2, 2) * fine.shape[::-1]).astype(int).tolist()
        radius = int(rng.uniform(0.4, 1.6) * max(fine.shape))
        for inner in (0, int(0.06 * radius)):
            cv2.circle(fine, centre, radius - inner, 255, int(rng.integers(1, 6)))
    elif kind == "text":  # the box's number, or the form's words at its edge
        text = str(rng.integers(1, 99)) if rng.random() < 0.5 else "VIN No. Fahrgestell"
        edge = rng.choice([0.14, 0.99]) * fine.shape[0]
        x = int(rng.uniform(-0.4, 0.9) * fine.shape[1])
        cv2.putText(
            fine, text, (x, int(edge)), int(rng.integers(0, 5)), fine.shape[0] / 300, 255, 1
        )
    else:
        for _ in range(int(rng.integers(1, 6))):
            cv2.circle(fine, _somewhere(fine.shape, rng), int(rng.integers(1, 4)), 255, -1)
    return np.float32(rng.uniform(0.1, 0.7)) * pen.ink()
