"""Characters on paper and in printed boxes, as archives scan them: the one definition of paper.

Everything follows from the numpy Generator that is passed in; a disturbance that is off draws no
number from it, and the same one at another strength draws the same numbers.
"""

from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np

OFFSET = 0.06  # of the box: how far inside the image's edge a printed line may lie
PAPER = 215  # grey level of blank paper
INK = 160  # grey levels between paper and ink

Shape = tuple[int, int]  # height, width in pixels
Place = np.ndarray | tuple[float, float]  # x, y in pixels


@dataclass(frozen=True)
class Scan:
    """What a scan of one character is like; the defaults are a clean scan without printed lines.

    Lengths are pixels of the scan, in which a character of EMNIST is 24 * `scale` long.
    """

    scale: float = 2.0  # pixels of the scan for one of the character's image, > 0
    room: float = 1.25  # height of the box, in heights of the character's image, >= 1
    aspect: float = 1.0  # of the box, width to height, > 0
    shift: float = 0.0  # share of the free room by which the character may be off-centre, 0 to 1
    rotation: float = 0.0  # of paper, box and character, in degrees to either side
    border: float = 0.0  # thickness of the printed lines; 0: none
    sides: int = 0  # on how many sides of the box there are lines, 1 to 4; 0: on one to four
    touching: float | None = None  # so far the character reaches into a line; None: as it falls
    broken: float = 0.0  # share of the lines that is missing, 0 to below 1
    neighbours: float = 0.0  # share of the neighbouring boxes' width that was cut out, too, 0 to 1
    strokes: float = 0.0  # share of the box's width to which a neighbour's stroke reaches, 0 to 1
    ink: float = INK  # grey levels between paper and ink, 0 to `paper`
    paper: float = PAPER  # grey level of the paper, 0 to 255
    shading: float = 0.0  # grey levels by which the darker side is darker than the lighter one
    texture: float = 0.0  # standard deviation of the paper's fibres in grey levels
    noise: float = 0.0  # standard deviation of the scanner's noise in grey levels
    blur: float = 0.0  # standard deviation
    jpeg: int = 0  # quality 1 to 100 of the JPEG file it was; 0: it was none
    inverted: bool = False  # light ink on dark paper


def decent_scan(rng: np.random.Generator) -> Scan:
    """A `Scan` with several disturbances at once, none stronger than in a decent scan."""

    def some(share: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < share else 0.0

    scale = float(np.exp(rng.uniform(np.log(0.8), np.log(3))))
    return Scan(
        scale=scale,
        room=float(rng.uniform(1.05, 1.6)),
        aspect=float(rng.uniform(0.8, 1.15)),
        shift=float(rng.uniform(0, 1)),
        rotation=some(0.6, 0, 3),
        border=scale * some(0.6, 0.5, 2),
        broken=some(0.3, 0, 0.3),
        neighbours=some(0.15, 0, 0.1),
        strokes=some(0.15, 0, 0.06),
        ink=float(rng.uniform(60, 180)),
        paper=float(rng.uniform(190, 245)),
        shading=some(0.5, 0, 60),
        texture=some(0.5, 0, 5),
        noise=some(0.7, 0, 8),
        blur=scale * some(0.6, 0.1, 0.5),
        jpeg=round(some(0.4, 50, 95)),
        inverted=bool(rng.random() < 0.05),
    )


def scan(
    character: np.ndarray, how: Scan, rng: np.random.Generator, others: np.ndarray | None = None
) -> np.ndarray:
    """The scan of a character, uint8 (height, width), dark ink on light paper unless inverted.

    Args:
        character: uint8 (height, width), white ink on black, as EMNIST's.
        others: uint8 (N, height, width), N >= 1, among which neighbours are chosen; by default
            the character itself.
    """
    box = _Box(character.shape, how, rng)
    corner, lines = box.corner(), None
    box.turn_paper()
    if how.border:
        box.print_outline()
        if how.touching is not None:
            corner = box.touching(character, corner, how.touching)
        lines = box.lines()
    ink = box.placed(character, corner)
    for neighbour, place in box.neighbours(character[None] if others is None else others):
        ink = cv2.max(ink, box.placed(neighbour, place))
    light = _paper(how, box.shape, rng)
    if lines is not None:
        light *= 1 - np.float32(rng.uniform(0.45, 0.8)) * lines
    light *= 1 - np.float32(how.ink / how.paper / 255) * ink
    if how.scale < 1:
        small = tuple(max(1, round(side * how.scale)) for side in box.shape[::-1])
        light = cv2.resize(light, small, interpolation=cv2.INTER_AREA)
    image = exposed(rng, light, how.blur, how.noise)
    if how.jpeg:
        file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, how.jpeg])[1]
        image = np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE))
    return 255 - image if how.inverted else image


def _paper(how: Scan, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """The paper, float32 greys of `shape`."""
    light = np.full(shape, how.paper, np.float32)
    if how.shading:
        direction = rng.uniform(0, 2 * np.pi)
        across, down = how.shading / 2 * np.array([np.cos(direction), np.sin(direction)])
        light += slope(shape, across, down) - how.shading / 2
    if how.texture:
        light += how.texture * cloud(rng, shape, 1.2)
    return light


def blank_card(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Blank card, float64 greys of `shape`: yellowed, unevenly lit, with stains and fibres."""
    paper = rng.uniform(195, 235) + slope(shape, rng.normal(0, 6), rng.normal(0, 3))
    for size, strength in ((40, 3), (1.2, 2.5)):  # stains, fibres
        paper += strength * cloud(rng, shape, size)
    return paper


def slope(shape: Shape, across: float, down: float) -> np.ndarray:
    """Light that falls from one side, float of `shape`: 0 in the middle, +-`across` at the right
    and left edge, +-`down` at the bottom and top."""
    height, width = shape
    return np.asarray(
        across * np.linspace(-1, 1, width) + down * np.linspace(-1, 1, height)[:, None]
    )


def cloud(rng: np.random.Generator, shape: Shape, size: float) -> np.ndarray:
    """Smooth noise, float of `shape`, mean 0 and standard deviation 1; `size` pixels large."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), size)
    return np.asarray(noise / noise.std())


def exposed(rng: np.random.Generator, light: np.ndarray, blur: float, noise: float) -> np.ndarray:
    """What a scanner makes of `light`, float greys: blur and noise in pixels and grey levels."""
    if blur:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    if noise:
        light = light + rng.normal(0, noise, light.shape)
    return np.asarray(np.clip(np.rint(light), 0, 255).astype(np.uint8))


class _Box:
    """The paper about one box while it is drawn; places are x, y in pixels of it.

    grow: pixels for one of the character's image: a smaller scan is drawn full size and then
    reduced. size: height and width of the box; shape: of the paper, which shows `beyond` pixels of
    the boxes to either side. turn: of the paper, float (2, 3). outline: outer edges of the printed
    box, left, top, right, bottom; sides: bool (4,), which are drawn.
    """

    def __init__(self, character: Shape, how: Scan, rng: np.random.Generator):
        self.how, self.rng = how, rng
        self.grow = max(how.scale, 1.0)
        self.character = np.array(character) * self.grow
        height, width = self.character
        side = round(height * how.room)
        self.size = side, max(round(height * how.room * how.aspect), int(np.ceil(width)))
        self.beyond = round(how.neighbours * self.size[1])
        self.shape = side, self.size[1] + 2 * self.beyond
        self.turn: np.ndarray | None = None

    def corner(self) -> np.ndarray:
        """Where the top left of the character's image is."""
        how, free = self.how, (np.array(self.size) - self.character)[::-1] / 2
        corner = free + self.rng.uniform(-1, 1, 2) * how.shift * free if how.shift else free
        return np.asarray(np.rint(corner + np.array([self.beyond, 0])))

    def turn_paper(self) -> None:
        if self.how.rotation:
            angle = self.how.rotation * self.rng.choice((-1, 1))
            height, width = self.shape
            self.turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)

    def print_outline(self) -> None:
        rng, (height, width) = self.rng, self.size
        self.sides = np.zeros(4, bool)
        if self.how.neighbours:  # what separates the boxes is always there
            self.sides[[0, 2]] = True
        self.sides[rng.permutation(4)[: self.how.sides or rng.integers(1, 5)]] = True
        inset = rng.uniform(0, OFFSET, 4) * height * [1, 1, -1, -1]
        self.outline = np.array([0, 0, width, height]) + inset
        self.outline[[0, 2]] += self.beyond

    def touching(self, character: np.ndarray, corner: np.ndarray, reach: float) -> np.ndarray:
        """The corner at which the ink reaches so many pixels into one of the lines."""
        side = self.rng.choice(np.flatnonzero(self.sides))
        inward = 1 if side < 2 else -1
        line = self.outline[side] + inward * (self.how.border - reach)
        corner[side % 2] = line - self.grow * _extent(character)[side]
        return corner

    def lines(self) -> np.ndarray:
        """The printed lines, float32 of `shape`, 1 where they are."""
        left, top, right, bottom = self.outline
        # Lines end at each other, and run on where the next one is missing or the neighbour's
        # follow.
        ends = np.where(self.sides, self.outline, [-np.inf, -np.inf, np.inf, np.inf])
        across = (-np.inf, np.inf) if self.how.neighbours else ends[[0, 2]]
        thick = self.how.border
        bars = (
            (left, ends[1], left + thick, ends[3]),
            (across[0], top, across[1], top + thick),
            (right - thick, ends[1], right, ends[3]),
            (across[0], bottom - thick, across[1], bottom),
        )
        x = np.arange(self.shape[1], dtype=np.float32)
        y = np.arange(self.shape[0], dtype=np.float32)[:, None]
        if self.turn is not None:
            back = cv2.invertAffineTransform(self.turn).astype(np.float32)
            x, y = (row[0] * x + row[1] * y + row[2] for row in back)
        lines = np.zeros(self.shape, np.float32)
        for (x0, y0, x1, y1), drawn in zip(bars, self.sides, strict=True):
            if drawn:
                np.maximum(lines, _covered(x, x0, x1) * _covered(y, y0, y1), out=lines)
        if self.how.broken:
            wear = cloud(self.rng, self.shape, 3)
            lines *= np.clip(0.5 + 4 * (wear - NormalDist().inv_cdf(self.how.broken)), 0, 1)
        return lines

    def placed(self, character: np.ndarray, corner: Place) -> np.ndarray:
        """Ink of `shape`: the character's image, enlarged, with its top left at `corner`."""
        # Pixel centres: the middle of the first pixel comes to the middle of its enlarged one.
        matrix = np.array([[self.grow, 0, corner[0]], [0, self.grow, corner[1]]])
        matrix[:, 2] += (self.grow - 1) / 2
        if self.turn is not None:
            matrix = self.turn @ np.vstack([matrix, [0, 0, 1]])
        return cv2.warpAffine(character, matrix, self.shape[::-1], flags=cv2.INTER_LINEAR)

    def neighbours(self, others: np.ndarray) -> tuple[tuple[np.ndarray, Place], ...]:
        """Characters next to this one, some of `others`: image and corner of each."""
        how, rng, (box_height, box_width) = self.how, self.rng, self.size
        if not (how.neighbours or how.strokes):
            return ()
        height, width = np.array(others.shape[1:]) * self.grow
        left, right = others[rng.integers(len(others), size=2)]
        top = (box_height - height) / 2 + rng.uniform(-0.05, 0.05, 2) * box_height
        if how.neighbours:
            first = self.beyond - (box_width + width) / 2
            return (left, (first, top[0])), (right, (first + 2 * box_width, top[1]))
        reach = how.strokes * box_width
        if rng.integers(2):
            return ((left, (reach - self.grow * _extent(left)[2], top[0])),)
        return ((right, (box_width - reach - self.grow * _extent(right)[0], top[1])),)


def _extent(character: np.ndarray) -> np.ndarray:
    """left, top, right, bottom (exclusive) of the ink, float (4,)."""
    x, y, width, height = cv2.boundingRect((character > 127).view(np.uint8))
    return np.array([x, y, x + width, y + height], float)


def _covered(place: np.ndarray, first: float, last: float) -> np.ndarray:
    """Share of the pixels at `place` that lies between two edges, 0 to 1."""
    inside = np.minimum(place + 1 - np.float32(first), np.float32(last) - place)
    return np.clip(inside, 0, min(1, last - first))
