"""Pictures of results: what a person would rather look at than read."""

from pathlib import Path

import matplotlib
import numpy as np

from vinreader.alphabet import CHARACTERS
from vinreader.files import replacing

matplotlib.use("Agg")
import matplotlib.pyplot as plt

matplotlib.rcParams.update({"font.family": "DejaVu Sans", "axes.grid": True, "grid.alpha": 0.3})


def _save(figure: plt.Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})
    plt.close(figure)


def characters(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    columns: int,
    title: str,
) -> None:
    """A grid of characters, each with what it is and what was read; wrong readings in red.

    Args:
        images: uint8 (N, 28, 28); labels: int (N,); probabilities: float (N, 33).
    """
    rows = max(1, -(-len(images) // columns))
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * 0.85, rows * 1.1 + 0.6), squeeze=False
    )
    figure.suptitle(title, fontsize=11)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, label, p in zip(axes.flat, images, labels, probabilities, strict=False):
        read = int(p.argmax())
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(
            f"{CHARACTERS[label]} → {CHARACTERS[read]}  {p[read]:.0%}",
            fontsize=7,
            color="black" if read == label else "crimson",
            pad=2,
        )
    figure.tight_layout()
    _save(figure, path)


def reliability(path: Path, rows: list[dict[str, float]], title: str) -> None:
    """Reliability diagram: accuracy against confidence, the share of characters behind it."""
    confidence, accuracy, share = (
        [row[k] for row in rows] for k in ("confidence", "accuracy", "share")
    )
    figure, axis = plt.subplots(figsize=(5, 5))
    axis.plot([0, 1], [0, 1], color="gray", linestyle="--", label="perfectly calibrated")
    axis.plot(confidence, accuracy, marker="o", label="accuracy")
    axis.bar(confidence, share, width=0.03, alpha=0.3, label="share of characters")
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axis.legend()
    figure.tight_layout()
    _save(figure, path)


def coverage(path: Path, accepted: np.ndarray, error: np.ndarray, mark: tuple, title: str) -> None:
    """Risk-coverage curve; `mark` is (accepted, error) at the review threshold."""
    figure, axis = plt.subplots(figsize=(6, 4))
    axis.plot(accepted, error, label="all thresholds")
    axis.plot(*mark, marker="o", color="crimson", linestyle="", label="review threshold")
    axis.set(
        xlabel="share of characters accepted",
        ylabel="share of wrong ones among them",
        xlim=(0, 1.01),
        ylim=(0, max(0.01, 1.05 * float(error.max()))),
        title=title,
    )
    axis.legend(loc="upper left")
    figure.tight_layout()
    _save(figure, path)
