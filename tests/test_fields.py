import cv2
import numpy as np
import pytest

from composed import compose, cut_right
from vinreader.image import fields

NUMBER = "1M8GDM9AXKP042788"


def drawn(character, rng):
    """A character as pen strokes: (h, w) uint8, dark on white."""
    patch = np.full((60, 50), 255, np.uint8)
    thickness = int(rng.integers(2, 5))
    cv2.putText(patch, character, (8, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 40, thickness)
    ys, xs = np.nonzero(patch < 255)
    return patch[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def card(rng, text=NUMBER, **disturbance):
    return compose([drawn(character, rng) for character in text], rng, **disturbance)


@pytest.mark.parametrize(
    "disturbance",
    [
        {},
        {"angle": 3.0},
        {"angle": -3.0},
        {"line": 6, "height": 70},
        {"broken": 0.3},
        {"missing_ends": (True, True)},
        {"gap": 0.15},
        {"gap": 0.35, "angle": 2.0},
        {"perspective": 0.15},
        {"light": 0.5},
        {"noise": 10.0},
        {"height": 30},
        {"height": 160, "line": 4},
        {"aspect": 0.6},
        {"aspect": 1.1},
        {"darkness": 190},
        {"angle": 2.5, "broken": 0.2, "missing_ends": (True, False), "gap": 0.1, "light": 0.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_cut_right(disturbance, seed):
    image, true = card(np.random.default_rng(seed), **disturbance)
    assert cut_right(fields.locate_boxes(image), true)


def test_boxes_come_as_images_of_their_characters():
    rng = np.random.default_rng(0)
    image, true = card(rng, angle=1.0, noise=0, size=0.45)
    boxes = fields.find_boxes(image)
    assert len(boxes) == 17
    for box, outline in zip(boxes, true, strict=True):
        assert box.dtype == np.uint8
        assert 0.6 < box.shape[1] / np.ptp(outline[:, 0]) <= 1
        assert box.min() < 90 < 180 < np.percentile(box, 75)
        rim = np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]])
        assert np.mean(rim < 150) < 0.1  # the printed lines are cut away


@pytest.mark.parametrize("count", [15, 16, 18, 19])
@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_other_numbers_of_boxes_are_refused(count, gap):
    for seed in range(3):
        image, _ = card(np.random.default_rng(seed), (NUMBER * 2)[:count], gap=gap, angle=1.0)
        with pytest.raises(fields.FieldNotFound, match="boxes"):
            fields.find_boxes(image)


def no_lines(rng):
    return card(rng, darkness=255)[0]


@pytest.mark.parametrize(
    "image",
    [
        np.full((80, 900), 230, np.uint8),
        np.zeros((80, 900), np.uint8),
        np.full((300, 300), 230, np.uint8),
        np.full((3, 900), 230, np.uint8),
        np.full((20, 100), 230, np.uint8),
        np.random.default_rng(0).integers(0, 256, (80, 900)).astype(np.uint8),
        no_lines(np.random.default_rng(0)),
    ],
    ids=["paper", "black", "square", "flat", "small", "noise", "no lines"],
)
def test_what_shows_no_field_is_refused(image):
    with pytest.raises(fields.FieldNotFound):
        fields.find_boxes(image)


@pytest.mark.parametrize("image", [np.zeros((80, 900)), np.zeros((80, 900, 3), np.uint8)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="grey uint8"):
        fields.find_boxes(image)


def test_half_a_field_is_refused():
    image, _ = card(np.random.default_rng(0))
    with pytest.raises(fields.FieldNotFound):
        fields.find_boxes(np.ascontiguousarray(image[:, : image.shape[1] // 2 + 100]))
