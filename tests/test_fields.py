"""Fields of printed boxes composed from strokes of a pen, and whether they are cut right."""

import cv2
import numpy as np
import pytest

from vinreader.image import fields

NUMBER = "1M8GDM9AXKP042788"


def drawn(character, rng):
    """A character as pen strokes: (h, w) uint8, dark on white."""
    patch = np.full((60, 50), 255, np.uint8)
    thickness = int(rng.integers(2, 5))
    cv2.putText(patch, character, (8, 48), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 40, thickness)
    ys, xs = np.nonzero(patch < 255)
    return patch[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def card(
    rng,
    text=NUMBER,
    height=60,
    aspect=0.8,
    gap=0.0,
    line=2,
    darkness=110,
    broken=0.0,
    missing_ends=(False, False),
    size=0.65,
    **scanned,
):
    """A printed field with one character a box, and the (boxes, 4, 2) corners of the boxes.

    Args:
        height: of a box in pixels; aspect: its width to its height; gap: of the box width.
        line, darkness: thickness and grey level of the printed lines; broken: share of them that
            is not there; missing_ends: whether the first and the last upright are not.
        size: of the characters, of the box height.
        scanned: `angle`, `perspective`, `noise` and `light` of `scan`.
    """
    width = int(height * aspect)
    pitch = width + int(gap * width)
    patches = [drawn(character, rng) for character in text]
    margin = int(rng.uniform(0.25, 0.8) * height)
    across = margin * 2 + pitch * len(patches)
    drop = int(across * abs(np.tan(np.radians(scanned.get("angle", 0.0)))))
    drop += int(scanned.get("perspective", 0.0) * height * 2)
    high = height + 2 * margin + drop
    top = (high - height) // 2
    bottom = top + height
    printed, image = np.zeros((high, across), np.uint8), np.full((high, across), 255.0)
    lefts = [margin + i * pitch for i in range(len(patches))]
    for i, left in enumerate(lefts):
        right = left + width
        cv2.line(printed, (left, top), (right, top), 255, line)
        cv2.line(printed, (left, bottom), (right, bottom), 255, line)
        if i or not missing_ends[0]:
            cv2.line(printed, (left, top), (left, bottom), 255, line)
        if i < len(lefts) - 1 or not missing_ends[1]:
            cv2.line(printed, (right, top), (right, bottom), 255, line)
    if broken:
        holes = rng.random((high // 6 + 1, across // 6 + 1)) < broken
        printed[np.kron(holes, np.ones((6, 6), bool))[:high, :across]] = 0
    image -= (255 - darkness) * (printed / 255.0)
    for left, patch in zip(lefts, patches, strict=True):
        scale = min(size * height / patch.shape[0], 0.92 * width / patch.shape[1])
        patch = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = patch.shape
        x = left + (width - w) // 2 + int(rng.uniform(-0.05, 0.05) * width)
        y = top + (height - h) // 2 + int(rng.uniform(-0.1, 0.1) * height)
        region = image[y : y + h, x : x + w]
        np.minimum(region, patch, out=region)
    boxes = np.array([[left, top, left + width, bottom] for left in lefts])
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    return scan(image, corners, height, rng, **scanned)


def scan(image, corners, height, rng, angle=0.0, perspective=0.0, noise=3.0, light=0.0):
    """The field as a scanner or a camera sees it, and the corners there.

    Args:
        height: of a box in pixels; angle: in degrees; perspective: how far the corners wander, of
            the box height; noise: in grey levels; light: how much darker one end is, 0 to 1.
    """
    high, across = image.shape
    image = image * (rng.uniform(0.8, 0.97) * np.linspace(1, 1 - light, across))
    turn = np.vstack([cv2.getRotationMatrix2D((across / 2, high / 2), angle, 1.0), [0, 0, 1]])
    frame = np.float32([[0, 0], [across, 0], [across, high], [0, high]])
    wander = rng.uniform(-1, 1, (4, 2)) * perspective * height
    warp = cv2.getPerspectiveTransform(frame, frame + np.float32(wander)) @ turn
    image = cv2.warpPerspective(image, warp, (across, high), borderMode=cv2.BORDER_REPLICATE)
    image = cv2.GaussianBlur(image, (3, 3), 0) + rng.normal(0, noise, image.shape)
    corners = cv2.perspectiveTransform(np.float64(corners), warp)
    return np.clip(image, 0, 255).astype(np.uint8), corners


def cut_right(found, true):
    """All boxes inside their printed outline, and at most three tenths smaller either way."""
    if len(found) != len(true):
        return False
    for inside, outline in zip(found, true, strict=True):
        overlap, _ = cv2.intersectConvexConvex(np.float32(inside), np.float32(outline))
        if overlap < 0.96 * cv2.contourArea(np.float32(inside)):
            return False
        sides = [np.linalg.norm(box[[1, 3]] - box[0], axis=1) for box in (inside, outline)]
        if np.any(sides[0] < 0.7 * sides[1]):
            return False
    return True


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


@pytest.mark.parametrize(
    "image",
    [
        np.full((80, 900), 230, np.uint8),
        np.zeros((80, 900), np.uint8),
        np.full((300, 300), 230, np.uint8),
        np.full((3, 900), 230, np.uint8),
        np.full((20, 100), 230, np.uint8),
        np.random.default_rng(0).integers(0, 256, (80, 900)).astype(np.uint8),
        card(np.random.default_rng(0), darkness=255)[0],
        card(np.random.default_rng(0))[0][:, :500],
    ],
    ids=["paper", "black", "square", "flat", "small", "noise", "no lines", "half a field"],
)
def test_what_shows_no_field_is_refused(image):
    with pytest.raises(fields.FieldNotFound):
        fields.find_boxes(np.ascontiguousarray(image))


@pytest.mark.parametrize("image", [np.zeros((80, 900)), np.zeros((80, 900, 3), np.uint8)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="grey uint8"):
        fields.find_boxes(image)
