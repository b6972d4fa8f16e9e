"""Pictures of how a box was read, the answer to "why did it read that?"."""

from pathlib import Path

import cv2
import numpy as np

from vinreader.files import sha256, write_bytes
from vinreader.image.boxes import steps
from vinreader.tables import Row

TILE = 224  # pixels to which the longer side of each step is enlarged
GAP = 8
LONGEST_NAME = 200  # bytes; file systems have 255, of which a temporary file's ending needs some
LINE = 22  # pixels a line of text


def write_steps(folder: Path, grey: np.ndarray, row: Row) -> Path:
    """Write the steps of one box side by side, with its reading under them, as a PNG in `folder`,
    which is made if need be; gives the picture's path.

    grey: uint8 (height, width), the box's image. row: its row of predictions.csv, whose path names
    the picture: `a/b.png.png` for `a/b.png`, `a/b.tif#page=2.png` for `a/b.tif#page=2`, so two
    boxes never share one. Of a name too long for that the start and a digest are taken.
    """
    tiles = [_tile(step, image) for step, image in steps(grey)]
    reading = f"{row.character or '-'}  {row.confidence}"
    if row.runner_up:
        reading += f"  then {row.runner_up}  {row.runner_up_confidence}"
    status = ": ".join(filter(None, (row.status, row.message)))
    strip = np.hstack(tiles)
    foot = np.full((2 * LINE + GAP, strip.shape[1]), 255, np.uint8)
    for number, text in enumerate((reading, status), start=1):
        _write(foot, text, number * LINE)
    place, slash, name = row.path.rpartition("/")
    if len(name.encode()) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME // 4]}-{sha256(name.encode())[:16]}"
    path = folder / f"{place}{slash}{name}.png"
    write_bytes(path, cv2.imencode(".png", np.vstack([strip, foot]))[1].tobytes())
    return path


def _tile(name: str, image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = np.full((TILE + LINE + GAP, TILE + GAP), 255, np.uint8)
    enlarged = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    tile[LINE : LINE + size[1], : size[0]] = enlarged
    _write(tile, name, LINE - 7)
    return tile


def _write(image: np.ndarray, text: str, baseline: int) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, text, (4, baseline), font, 0.5, 0, 1, lineType=cv2.LINE_AA)
