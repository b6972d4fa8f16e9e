"""A program that uses vinreader finds everything of its own as it was."""

from vintraining.drawing.cards import draw_cards

import cv2
import pytest

from conftest import run_code, save_card

HOST = """
import contextlib, os, sys, threading
from pathlib import Path

import cv2
import numpy as np

cv2.setNumThreads(3)
large = np.random.default_rng(0).integers(0, 256, (3000, 3000)).astype(np.uint8)
cv2.GaussianBlur(large, (0, 0), 9)  # OpenCV's threads live from now on
environment = dict(os.environ)
screen = os.fstat(2)

from vinreader import Reader, find_boxes, open_pages
from vinreader import cluster, command, debug, pipeline, reading
from vinreader.folders import find_items

root = Path(sys.argv[1])
reader = Reader()
card = reader.read_card([open_pages(path)[0] for path in sorted(root.glob("card-1/*.png"))])
assert len(card.vin) == 17
assert len(reader.read_card(find_boxes(open_pages(root / "field.png")[0])).vin) == 17
alone = list(pipeline.read_items(reader, find_items(root), root, jobs=1))
shared = list(pipeline.read_items(reader, find_items(root), root, jobs=2))
assert alone == shared and len(alone) == 62

assert cv2.getNumThreads() == 3
assert dict(os.environ) == environment
assert threading.active_count() == 1
assert os.path.samestat(os.fstat(2), screen)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """60 cards, enough to be shared among processes, and a whole field."""
    root = tmp_path_factory.mktemp("images")
    (card,) = draw_cards(1, seed=3)
    cv2.imwrite(str(root / "field.png"), card.field)
    for number in range(1, 61):
        save_card(root / f"card-{number}", card)
    (root / "card-1.txt").write_text("no image")
    (root / "loose.png").hardlink_to(root / "card-1/01.png")
    return root


def test_opencv_environment_and_output_are_left_alone(images):
    result = run_code(HOST, images)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    # LiteRT's own note, of which nothing in Python can keep it.
    notes = [line for line in result.stderr.splitlines() if not line.startswith("INFO: ")]
    assert notes == []
