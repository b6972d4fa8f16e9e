"""Fields of printed boxes composed from pictures of characters, and whether they are cut right."""

import cv2
import numpy as np


def compose(
    patches: list[np.ndarray],
    rng: np.random.Generator,
    height: int = 60,
    aspect: float = 0.8,
    gap: float = 0.0,
    line: int = 2,
    darkness: float = 110,
    broken: float = 0.0,
    missing_ends: tuple[bool, bool] = (False, False),
    size: float = 0.65,
    **scanned: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A printed field with one patch (dark on light, uint8) a box.

    Args:
        height: of a box in pixels; aspect: its width to its height; gap: of the box width.
        line, darkness: thickness and grey level of the printed lines; broken: share of them that
            is not there; missing_ends: whether the first and the last upright are not.
        size: of the characters, of the box height.
        scanned: `angle`, `perspective`, `noise` and `light` of `scan`.

    Returns:
        The grey image and the (boxes, 4, 2) corners of the boxes' printed outlines.
    """
    width = int(height * aspect)
    pitch = width + int(gap * width)
    margin = int(rng.uniform(0.25, 0.8) * height)
    across = margin * 2 + pitch * len(patches)
    drop = int(across * abs(np.tan(np.radians(scanned.get("angle", 0.0)))))
    drop += int(scanned.get("perspective", 0.0) * height * 2)
    high = height + 2 * margin + drop
    top = (high - height) // 2
    lefts = [margin + i * pitch for i in range(len(patches))]
    boxes = np.array([[left, top, left + width, top + height] for left in lefts])
    printed = print_lines((high, across), boxes, line, missing_ends)
    if broken:
        holes = rng.random((high // 6 + 1, across // 6 + 1)) < broken
        printed[np.kron(holes, np.ones((6, 6), bool))[:high, :across]] = 0
    image = 255.0 - (255 - darkness) * (printed / 255.0)
    for left, patch in zip(lefts, patches, strict=True):
        scale = min(size * height / patch.shape[0], 0.92 * width / patch.shape[1])
        patch = cv2.resize(patch, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = patch.shape
        x = left + (width - w) // 2 + int(rng.uniform(-0.05, 0.05) * width)
        y = top + (height - h) // 2 + int(rng.uniform(-0.1, 0.1) * height)
        region = image[y : y + h, x : x + w]
        np.minimum(region, patch, out=region)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    return scan(image, corners, height, rng, **scanned)


def print_lines(
    shape: tuple[int, int], boxes: np.ndarray, line: int, missing_ends: tuple[bool, bool]
) -> np.ndarray:
    """Ink, 0 or 255, of the outlines of boxes, int (N, 4): left, top, right, bottom."""
    printed = np.zeros(shape, np.uint8)
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        cv2.line(printed, (left, top), (right, top), 255, line)
        cv2.line(printed, (left, bottom), (right, bottom), 255, line)
        if i or not missing_ends[0]:
            cv2.line(printed, (left, top), (left, bottom), 255, line)
        if i < len(boxes) - 1 or not missing_ends[1]:
            cv2.line(printed, (right, top), (right, bottom), 255, line)
    return printed


def scan(
    image: np.ndarray,
    corners: np.ndarray,
    height: int,
    rng: np.random.Generator,
    angle: float = 0.0,
    perspective: float = 0.0,
    noise: float = 3.0,
    light: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
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


def cut_right(found: np.ndarray, true: np.ndarray) -> bool:
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
