"""Real scans in printed boxes and in whole fields.

    python benchmarks/boxed_scans.py FOLDER      # a folder of scans with labels.csv

Reads each scan as it is and with printed lines around it (1 to 4 pixels thick, on one to four
sides, off-centre; then touching the ink), in boxes of which little is printed, and in boxes that
the ink goes beyond, and composes 500 fields of 17 boxes from the scans,
turned, broken and unevenly lit, and counts those that are cut into their 17 boxes.
"""

import argparse
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.hands import labelled

import cv2
import numpy as np
from composed import compose, cut_right

from vinreader.image import fields
from vinreader.image.boxes import normalise
from vinreader.image.pages import open_pages
from vinreader.reader import RELEASED, Reader
from vinreader.spec import BOXES, CHARACTERS, INDEX


def ink_extent(scan: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom (exclusive) of the dark ink."""
    threshold, _ = cv2.threshold(scan, 0, 255, cv2.THRESH_OTSU)
    x, y, width, height = cv2.boundingRect((scan <= threshold).view(np.uint8))
    return x, y, x + width, y + height


def boxed(scan: np.ndarray, rng: np.random.Generator, thickness: int, touching: bool) -> np.ndarray:
    """The scan with printed lines on one to four sides; touching: one of them meets the ink."""
    room = 4 + thickness + rng.integers(0, 1 + max(scan.shape) // 6, 4)  # left, top, right, bottom
    sides = rng.permutation(4)[: rng.integers(1, 5)]
    outer = rng.integers(0, 4, 4)  # how far inside the image's edge a line begins
    if touching:
        x0, y0, x1, y1 = np.where(np.arange(4) == sides[0], ink_extent(scan), (0, 0, None, None))
        scan = scan[y0:y1, x0:x1]
        room[sides[0]] = outer[sides[0]] + thickness
    # The paper goes on beyond the scan, its ink does not.
    left, top, right, bottom = map(int, room)
    paper = cv2.morphologyEx(scan, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    image = cv2.copyMakeBorder(paper, top, bottom, left, right, cv2.BORDER_REPLICATE)
    image[top : top + scan.shape[0], left : left + scan.shape[1]] = scan
    height, width = image.shape
    # Lines end at each other, and run on where the next one is missing.
    x0, y0, x1, y1 = np.where(np.isin(range(4), sides), outer, 0)
    down, across = slice(y0, height - y1), slice(x0, width - x1)
    near = [slice(first, first + thickness) for first in outer[:2]]
    far = [slice(s - o - thickness, s - o) for s, o in zip((width, height), outer[2:], strict=True)]
    lines = np.zeros(image.shape, np.float32)
    for side in sides:
        line = (*near, *far)[side]
        lines[(line, across) if side % 2 else (down, line)] = 1
    darkness = rng.uniform(0.45, 0.8) * cv2.GaussianBlur(lines, (3, 3), 0.5)
    return np.rint(image * (1 - darkness)).astype(np.uint8)


def with_lines(image: np.ndarray, lines, rng: np.random.Generator) -> np.ndarray:
    """The image with straight lines, each (x, y, x, y), of 1 to 2.5 pixels printed on it."""
    fine = 4  # in each direction, for lines between the pixels
    ink = np.zeros([fine * side for side in image.shape], np.float32)
    thickness = round(fine * rng.uniform(1, 2.5))
    for line in np.rint(fine * np.array(lines)).astype(int).tolist():
        cv2.line(ink, line[:2], line[2:], 1, thickness)
    ink = cv2.resize(ink, image.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.rint(image * (1 - rng.uniform(0.4, 0.8) * ink)).astype(np.uint8)


def with_paper(scan: np.ndarray, rng: np.random.Generator, share: tuple[float, float]):
    """The scan with more of its paper around it, each side so large a share of its longer side."""
    room = [int(max(scan.shape) * rng.uniform(*share)) for _ in range(4)]
    paper = cv2.morphologyEx(scan, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    image = cv2.GaussianBlur(cv2.copyMakeBorder(paper, *room, cv2.BORDER_REPLICATE), (9, 9), 0)
    image[room[0] : room[0] + scan.shape[0], room[2] : room[2] + scan.shape[1]] = scan
    return image


def little_printed(scan: np.ndarray, rng: np.random.Generator, kind: str) -> np.ndarray:
    """The scan in a box of dashes, of ticks at its corners, or between two teeth of a comb."""
    image = with_paper(scan, rng, (0.3, 0.5))
    height, width = image.shape
    inset = max(height, width) * rng.uniform(0.02, 0.06)
    right, bottom = width - 1 - inset, height - 1 - inset
    corners = np.array([(inset, inset), (right, inset), (right, bottom), (inset, bottom)])
    if kind == "comb":
        tooth = bottom - height * rng.uniform(0.2, 0.4)
        lines = [(x, tooth, x, bottom) for x in (inset, right)] + [(0, bottom, width, bottom)]
    else:
        lines, length = [], rng.uniform(3, 8) if kind == "dashes" else 0
        for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
            if kind == "dashes":
                stops = np.linspace(0, 1, 2 * max(2, int(np.abs(end - start).sum() / length / 2)))
                pieces = list(zip(stops[:-1:2], stops[1::2], strict=True))
            else:
                tick = rng.uniform(0.1, 0.25)
                pieces = [(0, tick), (1 - tick, 1)]
            lines += [(*start + (end - start) * a, *start + (end - start) * b) for a, b in pieces]
    return with_lines(image, lines, rng)


def beyond(scan: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """The scan, 64 pixels large, in a box of which it crosses one line by a share of its size."""
    scale = 64 / max(scan.shape)
    scan = cv2.resize(scan, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image = with_paper(scan, rng, (0.5, 0.5))
    extent = np.array(ink_extent(image))
    size = max(extent[2:] - extent[:2])
    room = size * rng.uniform(0.1, 0.3, 4)
    room[rng.integers(4)] = -share * size
    outwards = np.array([-1, -1, 1, 1])
    left, top, right, bottom = box = extent + outwards * room
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    lines = [(*corners[i - 1], *corners[i]) for i in range(4)]
    x0, y0, x1, y1 = np.rint(box + outwards * (2 + size * rng.uniform(0.02, 0.1, 4))).astype(int)
    return with_lines(image, lines, rng)[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1]


def share_right(reader: Reader, images: list[np.ndarray], labels: np.ndarray) -> float:
    pixels = np.stack([normalise(image).pixels for image in images])
    return float((reader.probabilities(pixels).argmax(axis=1) == labels).mean())


def field_of(scans, labels, rng) -> tuple[np.ndarray, np.ndarray]:
    """A field written with scans, and the corners of its boxes."""
    patches = []
    for character in rng.choice(list(CHARACTERS), BOXES):
        scan = scans[rng.choice(np.flatnonzero(labels == INDEX[character]))]
        left, top, right, bottom = ink_extent(scan)
        cut = scan[top:bottom, left:right]
        # Paper to white, so that a patch shows no edges on the card.
        patches.append(np.clip(cut * (255.0 / np.percentile(cut, 80)), 0, 255).astype(np.uint8))

    def some(share, low, high):
        return rng.uniform(low, high) if rng.random() < share else 0.0

    return compose(
        patches,
        rng,
        height=int(rng.integers(32, 100)),
        aspect=rng.uniform(0.6, 1.1),
        gap=some(0.3, 0.05, 0.35),
        line=int(rng.integers(1, 5)),
        darkness=rng.uniform(60, 180),
        broken=some(0.4, 0.05, 0.3),
        missing_ends=(rng.random() < 0.15, rng.random() < 0.15),
        angle=rng.uniform(-3, 3),
        perspective=some(0.4, 0.02, 0.15),
        noise=rng.uniform(1, 10),
        light=some(0.5, 0.1, 0.5),
        size=rng.uniform(0.45, 0.75),
    )


def is_cut_right(image: np.ndarray, corners: np.ndarray) -> bool:
    try:
        return cut_right(fields.locate_boxes(image), corners)
    except fields.FieldNotFound:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, help="folder with labels.csv (file,character)")
    parser.add_argument("--model", type=Path, default=RELEASED)
    parser.add_argument("--fields", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1981)
    options = parser.parse_args()
    reader = Reader(options.model)
    rows = labelled.read_rows(options.scans)
    paths, labels = [row.path for row in rows], np.array([row.label for row in rows])
    scans = [open_pages(path)[0] for path in paths]

    plain = share_right(reader, scans, labels)
    print(f"{len(scans)} scans as they are: {plain:.2%} right")
    for touching in (False, True):
        drops = []
        for thickness in range(1, 5):
            rng = np.random.default_rng([options.seed, thickness])
            images = [boxed(scan, rng, thickness, touching) for scan in scans]
            drops.append(100 * (plain - share_right(reader, images, labels)))
        print(
            f"printed lines of 1, 2, 3, 4 pixels, {'touching the ink' if touching else 'apart'}: "
            f"{', '.join(f'{drop:.1f}' for drop in drops)} points lower"
        )
    kinds = {kind: (little_printed, kind) for kind in ("dashes", "ticks", "comb")}
    kinds |= {f"crossed by {share:.0%}": (beyond, share) for share in (0.04, 0.08)}
    for name, (draw, kind) in kinds.items():
        rng = np.random.default_rng(options.seed)
        right = share_right(reader, [draw(scan, rng, kind) for scan in scans], labels)
        print(f"box of {name}:" if draw is little_printed else f"box {name}:", end=" ")
        print(f"{100 * (plain - right):.1f} points lower")
    rng = np.random.default_rng(options.seed)
    cut = sum(is_cut_right(*field_of(scans, labels, rng)) for _ in range(options.fields))
    print(f"{cut} of {options.fields} fields cut into their {BOXES} boxes")


if __name__ == "__main__":
    main()
