"""Reliability diagrams: accuracy against confidence, with the number of images in every bin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.figures.canvas import add_legend, new_figure, save, tidy
from emotorch.figures.colours import BLACK, BLUE, GREY, ORANGE, SKY
from emotorch.metrics.calibration import BINS, Bin, Calibration, Reliability
from emotorch.metrics.intervals import proportion
from emotorch.tables import Table, write_table

_PANEL = 4.2  # inches
# Of fewer images an accuracy says next to nothing: their bins are drawn apart from the curve.
_FEW = 10


def write_reliability(folder: Path, name: str, reliability: Reliability, title: str) -> None:
    """Writes `reliability_<name>.png` and its bins as `reliability_<name>.csv`."""
    save(reliability_figure(reliability, title), folder / f"reliability_{name}.png")
    write_table(folder / f"reliability_{name}.csv", _bins_table(reliability))


def _bins_table(reliability: Reliability) -> Table:
    import pandas as pd

    rows = [
        {
            "calibration": panel,
            "confidence_above": b.low,
            "confidence_to": b.high,
            "images": b.images,
            "correct": b.correct,
            "mean_confidence": b.confidence,
            "accuracy": b.correct / b.images if b.images else None,
        }
        for panel, calibration in _panels(reliability).items()
        for b in calibration.bins
    ]
    floats = ("confidence_above", "confidence_to", "mean_confidence", "accuracy")
    return Table(pd.DataFrame(rows).astype(dict.fromkeys(floats, float)), dict.fromkeys(floats, "{:.4f}"))


def _panels(reliability: Reliability) -> dict[str, Calibration]:
    panels = {"as trained": reliability.before}
    if reliability.temperature != 1.0:
        panels[f"at its temperature {reliability.temperature:.4g}"] = reliability.after
    if reliability.crossed is not None:
        panels["cross-fitted on halves"] = reliability.crossed
    return panels


def reliability_figure(reliability: Reliability, title: str) -> Figure:
    """Draws a panel for each: as trained, at the model's temperature, cross-fitted; what there is of them."""
    panels = _panels(reliability)
    figure = new_figure(_PANEL * len(panels) + 0.4, 6.0, title)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(3, 1.3))
    most = max(b.images for calibration in panels.values() for b in calibration.bins)
    for column, (name, calibration) in enumerate(panels.items()):
        _draw_gaps(grid[0, column], calibration, name)
        _draw_counts(grid[1, column], calibration.bins, most)
    add_legend(figure, grid[0], ncols=min(4, 2 * len(panels)), fontsize=9)
    grid[0, 0].set_ylabel("Accuracy (%)")
    grid[1, 0].set_ylabel("Images")
    return figure


def _draw_gaps(axes: Axes, calibration: Calibration, name: str) -> None:
    """The points' distance from the diagonal is the error. The curve has gaps where bins have few images or none."""
    confidence = np.array([np.nan if b.confidence is None else 100 * b.confidence for b in calibration.bins])
    measured = [proportion(b.correct, b.images) for b in calibration.bins]
    accuracy, low, high = np.array([(found.value, found.low, found.high) for found in measured]).T
    images = np.array([b.images for b in calibration.bins])
    enough, few = images >= _FEW, (images > 0) & (images < _FEW)
    axes.plot((0, 100), (0, 100), color=GREY, linestyle="--", linewidth=1.5, label="perfect")
    gaps = confidence[enough], accuracy[enough], confidence[enough]
    axes.vlines(*gaps, color=ORANGE, linewidth=5, alpha=0.6, label="gap")
    curve = np.where(enough, accuracy, np.nan)
    look: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5, "linewidth": 1.5, "capsize": 2}
    axes.errorbar(confidence, curve, (curve - low, high - curve), label="accuracy, 95% interval", **look)
    axes.vlines(confidence[few], low[few], high[few], color=SKY, linewidth=1)
    if few.any():
        said = f"bin of fewer than {_FEW} images"
        axes.plot(confidence[few], accuracy[few], "o", color=BLUE, mfc="white", markersize=5, clip_on=False, label=said)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    tidy(axes)
    chance = f"{calibration.by_chance:.1%} by chance"
    axes.set_title(f"{name}\nexpected error {calibration.ece:.1%} ({chance})", fontsize=11, parse_math=False)


def _draw_counts(axes: Axes, bins: Sequence[Bin], most: int) -> None:
    middles = [50 * (b.low + b.high) for b in bins]
    bars = axes.bar(middles, [b.images for b in bins], width=90 / BINS, color=BLUE)
    labels = [f"{b.images:,}" if b.images else "" for b in bins]
    axes.bar_label(bars, labels, rotation=90, padding=2, fontsize=7, color=BLACK)
    # Room for the number above a full bar.
    axes.set(ylim=(0, 1.5 * most), xlim=(0, 100), xlabel="Confidence (%)")
    tidy(axes)
