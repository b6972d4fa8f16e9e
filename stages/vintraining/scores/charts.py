"""Pictures of results: what a person would rather look at than read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vintraining.data.dataset import Characters

import matplotlib
import numpy as np
import pandas as pd

from vinreader.files import replacing
from vinreader.spec import CHARACTERS

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

matplotlib.rcParams.update({"font.family": "DejaVu Sans", "axes.grid": True, "grid.alpha": 0.3})


def _save(figure: Figure, path: Path, pad: float | None = 1.08) -> None:
    """pad: about the figure, in font sizes; None where its places stay as they are."""
    if pad is not None:
        figure.tight_layout(pad=pad)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})
    plt.close(figure)


def _grid(lines: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches for pictures, and its places, (lines, columns), without axes."""
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def characters(
    path: Path, shown: Characters, probabilities: np.ndarray, rows: np.ndarray, title: str
) -> None:
    """A grid of characters, each with what it is and what was read; wrong readings in red.
    probabilities: float (N, 33), of all characters; rows: int (M,), which of them to draw."""
    columns = 12
    lines = max(1, -(-len(rows) // columns))
    figure, axes = _grid(lines, columns, (columns * 0.85, lines * 1.1 + 0.6))
    figure.suptitle(f"{title}: truth → reading, confidence", fontsize=11)
    for axis, row in zip(axes.flat, rows, strict=False):
        label, p = shown.labels[row], probabilities[row]
        read = int(p.argmax())
        axis.imshow(shown.images[row], cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(
            f"{CHARACTERS[label]} → {CHARACTERS[read]}  {p[read]:.0%}",
            fontsize=7,
            color="black" if read == label else "crimson",
            pad=2,
        )
    _save(figure, path)


def card(
    path: Path,
    boxes: Sequence[np.ndarray],
    pixels: np.ndarray,
    vin: str,
    confidences: Sequence[float],
    sure: Sequence[bool],
    title: str,
) -> None:
    """A card being read: its boxes, uint8 (height, width); what the network sees of them, uint8
    (17, 28, 28); what was read, green where that is sure, red where a person should look."""
    figure, axes = _grid(3, len(boxes), (len(boxes) * 0.66, 2.6))
    columns = zip(axes.T, boxes, pixels, vin, confidences, sure, strict=True)
    for (above, below, under), box, image, character, confidence, is_sure in columns:
        above.imshow(box, cmap="gray", vmin=0, vmax=255)
        below.imshow(image, cmap="gray", vmin=0, vmax=255)
        color = "seagreen" if is_sure else "crimson"
        text = {"ha": "center", "va": "center", "color": color}
        under.text(0.5, 0.65, character, fontsize=17, family="monospace", **text)
        under.text(0.5, 0.1, f"{confidence:.1%}", fontsize=7, **text)
    figure.suptitle(title, fontsize=9, y=0.09)
    figure.subplots_adjust(0.005, 0.13, 0.995, 0.99, wspace=0.06, hspace=0.06)
    _save(figure, path, None)


def reliability(path: Path, rows: list[dict[str, float]], title: str) -> None:
    """Reliability diagram: accuracy against confidence, the share of characters behind it."""
    table = pd.DataFrame(rows, columns=["confidence", "accuracy", "share"])
    figure, axis = plt.subplots(figsize=(5, 5))
    axis.plot([0, 1], [0, 1], color="gray", linestyle="--", label="perfectly calibrated")
    axis.plot(table["confidence"], table["accuracy"], marker="o", label="accuracy")
    axis.bar(
        table["confidence"], table["share"], width=0.03, alpha=0.3, label="share of characters"
    )
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axis.legend()
    _save(figure, path)


def coverage(
    path: Path, thresholds: np.ndarray, accepted: np.ndarray, error: np.ndarray, deployed: float
) -> None:
    """Risk-coverage curve, as `figures.coverage` gives it, with the deployed threshold on it."""
    at = max(0, int((thresholds >= deployed).sum()) - 1)
    figure, axis = plt.subplots(figsize=(6, 4))
    axis.plot(accepted, error, label="all thresholds")
    axis.plot(accepted[at], error[at], "o", color="crimson", label="review threshold")
    axis.set(
        xlabel="share of characters accepted",
        ylabel="share of wrong ones among them",
        xlim=(0, 1.01),
        ylim=(0, max(0.01, 1.05 * float(error.max()))),
        title="Test characters accepted, and errors among them",
    )
    axis.legend(loc="upper left")
    _save(figure, path)


def transfer(path: Path, sets: dict[str, dict[str, Any]], target: float) -> None:
    """Sets of characters side by side: how many are read right, accepted, and accepted wrongly.
    sets: by name, what `figures.figures` gives; target: the risk that acceptance promises."""
    panels = {
        "right among 33": "balanced_accuracy",
        "right, kind known": "kind_known",
        "accepted": "accepted",
        "wrong among accepted": "accepted_error",
    }
    places = np.arange(len(sets))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(11, 0.4 * len(sets) + 1.6), sharey=True, squeeze=False
    )
    figure.suptitle("Hands that were not trained on; dashed: target risk", fontsize=11)
    for axis, (name, key) in zip(axes.flat, panels.items(), strict=True):
        values = np.array([figures[key] for figures in sets.values()])
        if key == "accepted_error":
            ends = np.array([figures[f"{key}_95_percent_interval"] for figures in sets.values()])
            values[[not figures["accepted"] for figures in sets.values()]] = np.nan
            spread = np.abs(ends.T - values)
            axis.errorbar(values, places, xerr=spread, fmt="o", color="crimson", capsize=3)
            axis.axvline(target, color="gray", linestyle="--")
            axis.set_xlim(left=0)
        else:
            axis.barh(places, values, height=0.6, alpha=0.5)
            for place, value in zip(places, values, strict=True):
                axis.text(value, place, f"{value:.1%} ", fontsize=7, ha="right", va="center")
            low = float(values.min()) if key != "accepted" else 0.0
            axis.set_xlim(max(0.0, low - 0.1), 1)
        axis.set_title(name, fontsize=9)
        axis.set_yticks(places, list(sets), fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].invert_yaxis()
    _save(figure, path)


def audit(path: Path, found: dict[str, Any]) -> None:
    """Of each group of accepted cards the share found wrong and its bound, against the promise, by
    what `audit.report` gives; of makers the first 20 are shown."""
    groups = [("all", found["all"])]
    for kind, most in (("region", None), ("maker", 20), ("batch", None)):
        groups += [(f"{kind} {name}", told) for name, told in list(found[kind].items())[:most]]
    places = np.arange(len(groups))
    shares = [told["share_wrong"] or 0 for _, told in groups]
    bounds = [told["bound"] for _, told in groups]
    figure, axis = plt.subplots(figsize=(9, 0.3 * len(groups) + 1.4))
    colors = ["seagreen" if bound <= found["promised"] else "crimson" for bound in bounds]
    axis.hlines(places, shares, bounds, color=colors)
    axis.scatter(shares, places, color=colors, zorder=3, label="found wrong")
    axis.scatter(bounds, places, color=colors, marker="|", s=120, zorder=3, label="bound (95 %)")
    axis.axvline(found["promised"], color="gray", linestyle="--", label="promised")
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_xlim(-0.0005, 1)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    names = [f"{name} ({told['wrong']} of {told['checked']})" for name, told in groups]
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_title("Accepted cards that are wrong, checked blind", fontsize=11)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, path)


def robustness(path: Path, table: pd.DataFrame, target: float) -> None:
    """A small chart for each disturbance: accuracy against strength. table: `disturbances.measure`;
    strengths that are no longer decent are drawn hollow. target: points that may be lost, a band
    below the undisturbed accuracy."""
    plain = table["accuracy"].iloc[0]
    groups = list(table.iloc[1:].groupby("disturbance", sort=False))
    columns = 5
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * 2.4, rows * 2.1 + 0.5), sharey=True, squeeze=False
    )
    figure.suptitle(
        "Test characters right on disturbed scans; hollow: no longer a decent scan", fontsize=11
    )
    for axis in axes.flat[len(groups) :]:
        axis.axis("off")
    for axis, (name, group) in zip(axes.flat, groups, strict=False):
        places = np.arange(len(group))
        decent = group["decent"].to_numpy()
        axis.axhspan(plain - target / 100, plain, color="tab:green", alpha=0.3, linewidth=0)
        axis.plot(places, group["accuracy"], color="tab:blue", linewidth=1)
        for kind, face in ((decent, "tab:blue"), (~decent, "white")):
            shown = places[kind], group["accuracy"][kind], "o"
            axis.plot(*shown, markersize=5, color="tab:blue", markerfacecolor=face)
        axis.set_title(name, fontsize=9)
        axis.set_xticks(places, [f"{strength:g}" for strength in group["strength"]], fontsize=7)
        axis.set_xlim(-0.5, max(len(group) - 0.5, 1))
        axis.set_xlabel(group["unit"].iloc[0], fontsize=7)
        axis.tick_params(axis="y", labelsize=7)
    axes[0, 0].set_ylim(max(0.0, float(table["accuracy"].min()) - 0.02), 1.0)
    axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _save(figure, path)


def scans(path: Path, rows: list[tuple[str, list[tuple[str, np.ndarray]]]], title: str) -> None:
    """rows: the name of each and its (label, uint8 (height, width) grey image) pairs, of different
    sizes."""
    columns = max(len(images) for _, images in rows)
    lines = -(-len(rows) // 2)  # two disturbances beside each other
    figure, axes = _grid(lines, 2 * columns + 2, (columns * 1.6 + 3, lines * 0.95 + 0.5))
    figure.suptitle(title, fontsize=11)
    for number, (name, images) in enumerate(rows):
        half, line = divmod(number, lines)
        place, *others = axes[line, half * (columns + 1) : (half + 1) * (columns + 1)]
        place.text(1, 0.5, name, fontsize=7, ha="right", va="center", transform=place.transAxes)
        for axis, (label, image) in zip(others, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(label, fontsize=7, pad=2)
    _save(figure, path, 0.3)


def bits(path: Path, bits: np.ndarray) -> None:
    """Bars of the mean bits that each character of a number has, float (N, 17), by position."""
    figure, axis = plt.subplots(figsize=(7, 3.5))
    means = bits.mean(axis=0) if len(bits) else np.zeros(bits.shape[1])
    places = np.arange(1, len(means) + 1)
    axis.bar(places, means)
    axis.axhline(np.log2(len(CHARACTERS)), color="gray", linestyle="--", label="nothing known")
    axis.axhline(np.log2(10), color="gray", linestyle=":", label="a digit, nothing known")
    axis.set(
        xlabel="position",
        ylabel="bits",
        title=f"What a held-out number does not tell beforehand: {means.sum():.1f} bits",
    )
    axis.set_xticks(places)
    axis.legend(loc="lower right", fontsize=8)
    _save(figure, path)
