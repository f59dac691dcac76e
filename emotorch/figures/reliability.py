"""Reliability diagrams: accuracy against confidence, with the number of images in every bin."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.figures.canvas import new_figure, save, tidy
from emotorch.figures.colours import BLACK, BLUE, GREY, ORANGE
from emotorch.metrics.calibration import BINS, Bin, Calibration, Reliability
from emotorch.metrics.intervals import wilson_interval
from emotorch.tables import Table, write_table

_PANEL = 4.2  # inches


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
    figure = new_figure(_PANEL * len(panels) + 0.4, 5.6, title)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(3, 1.3))
    most = max(b.images for calibration in panels.values() for b in calibration.bins)
    for column, (name, calibration) in enumerate(panels.items()):
        _draw_gaps(grid[0, column], calibration, name)
        _draw_counts(grid[1, column], calibration.bins, most)
    grid[0, 0].set_ylabel("Accuracy (%)")
    grid[1, 0].set_ylabel("Images")
    return figure


def _draw_gaps(axes: Axes, calibration: Calibration, name: str) -> None:
    """The points' distance from the diagonal is the error; the bars are 95% intervals."""
    filled = [b for b in calibration.bins if b.images]
    confidence = np.array([100 * (b.confidence or 0.0) for b in filled])
    accuracy = np.array([100 * b.correct / b.images for b in filled])
    intervals = np.array([wilson_interval(b.correct, b.images) for b in filled])
    axes.plot((0, 100), (0, 100), color=GREY, linestyle="--", linewidth=1.5, label="perfect")
    axes.vlines(confidence, accuracy, confidence, color=ORANGE, linewidth=5, alpha=0.6, label="gap")
    spread = np.abs(intervals - accuracy[:, None]).T
    axes.errorbar(
        confidence, accuracy, spread, color=BLUE, marker="o", markersize=5, linewidth=1.5, capsize=2, label="measured"
    )
    axes.set(xlim=(0, 100), ylim=(0, 100))
    tidy(axes)
    chance = f"{calibration.by_chance:.1%} by chance"
    axes.set_title(f"{name}\nexpected error {calibration.ece:.1%} ({chance})", fontsize=11, parse_math=False)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _draw_counts(axes: Axes, bins: Sequence[Bin], most: int) -> None:
    middles = [50 * (b.low + b.high) for b in bins]
    bars = axes.bar(middles, [b.images for b in bins], width=90 / BINS, color=BLUE)
    labels = [f"{b.images:,}" if b.images else "" for b in bins]
    axes.bar_label(bars, labels, rotation=90, padding=2, fontsize=7, color=BLACK)
    # Room for the number above a full bar.
    axes.set(ylim=(0, 1.5 * most), xlim=(0, 100), xlabel="Confidence (%)")
    tidy(axes)
