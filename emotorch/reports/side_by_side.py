"""Several sets of images in one picture: their confusion matrices, and below each precision, recall and F1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.analysis.metrics import ClassScore, class_scores
from emotorch.reports.canvas import BLUE, CHARACTER_EM, GREEN, ORANGE, new_figure, require, save, tidy, wrap
from emotorch.reports.figures import ConfusionPanel, draw_confusion

_BAR_HEIGHT = 2.6  # inches
_BARS = (("precision", BLUE, ""), ("recall", ORANGE, "//"), ("f1", GREEN, ".."))
_NAMES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


def plot_side_by_side(path: Path, panels: Sequence[ConfusionPanel], labels: Sequence[str], title: str) -> Path:
    """Draws a column for each set; all panels have counts."""
    return save(_figure(panels, labels, title), path)


def _figure(panels: Sequence[ConfusionPanel], labels: Sequence[str], title: str) -> Figure:
    require(len(panels) > 0, "a picture of sets needs at least one")
    longest = max(map(len, labels))
    cell = max(0.95, longest * 10 * CHARACTER_EM / 72 + 0.15)
    side = cell * len(labels)
    column = side + 0.1 * longest + 0.7
    figure = new_figure(len(panels) * column + 0.9, side + _BAR_HEIGHT + 1.6, title)
    grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=(side, _BAR_HEIGHT))
    for (above, below), panel in zip(grid.T, panels, strict=True):
        image = draw_confusion(above, panel, labels)
        above.set_title(wrap(panel.title, column, 11), fontsize=11, parse_math=False)
        counts = np.asarray(panel.counts)
        _draw_scores(below, class_scores(counts.tolist(), labels))
    bar = figure.colorbar(image, ax=list(grid[0]), pad=0.02)
    bar.set_label("Share of the true class (%)")
    bar.outline.set_visible(False)
    grid[1, 0].set_ylabel("Percent")
    handles, names = grid[1, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(_BARS), frameon=False)
    return figure


def _draw_scores(axes: Axes, scores: Sequence[ClassScore]) -> None:
    width = 0.8 / len(_BARS)
    for place, (name, colour, hatch) in enumerate(_BARS):
        values = [getattr(score, name) for score in scores]
        middles = np.arange(len(scores)) + (place - (len(_BARS) - 1) / 2) * width
        bars = axes.bar(
            middles,
            np.nan_to_num(values),
            0.9 * width,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=_NAMES[name],
        )
        texts = ["–" if np.isnan(value) else f"{value:.0f}" for value in values]
        axes.bar_label(bars, texts, padding=1, fontsize=7)
    axes.set_xticks(range(len(scores)), [score.label for score in scores], parse_math=False)
    # Room for the number above a full bar.
    axes.set(ylim=(0, 112), yticks=range(0, 101, 25))
    axes.tick_params(axis="x", length=0)
    tidy(axes)
