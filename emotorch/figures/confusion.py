"""Pictures of confusion matrices, and of what they say of each class.

seaborn is imported where a picture is drawn: whatever only reads a run's tables starts a second earlier without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emotorch.figures.canvas import CHARACTER_EM, add_legend, new_figure, tidy, wrap
from emotorch.figures.colours import BLUE, GREEN, ORANGE, PALE
from emotorch.metrics.confusion import ClassScore, class_scores

_BAR_HEIGHT = 2.6  # inches
_BARS = {"precision": ("Precision", BLUE, ""), "recall": ("Recall", ORANGE, "//"), "f1": ("F1", GREEN, "..")}


@dataclass(frozen=True)
class ConfusionPanel:
    """One matrix of a figure; rows are the true classes, columns the predicted ones.

    Attributes:
        proportions: (K, K), 0 to 1, of the row. NaN or zeros all along a row: a class without images.
        counts: (K, K) numbers of images, where they are known.
    """

    title: str
    proportions: npt.ArrayLike
    counts: npt.ArrayLike | None = None


def confusion_figure(
    panels: Sequence[ConfusionPanel], labels: Sequence[str], title: str, note: str | None = None
) -> Figure:
    """Draws matrices side by side on one colour scale, with a footnote, say on a set that is missing."""
    side, column = _sizes(labels)
    width = len(panels) * column + 0.9
    figure = new_figure(width, side + 1.2 + (0.3 if note else 0), title, compress=True)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_matrix(axes, panel, labels)
    _add_scale(figure, all_axes)
    if note:
        figure.supxlabel(wrap(note, width, 9), fontsize=9, x=0.01, ha="left", parse_math=False)
    return figure


def scores_figure(panels: Sequence[ConfusionPanel], labels: Sequence[str], title: str) -> Figure:
    """Draws a column for each set, the scores of each class below its matrix; all panels have counts."""
    side, column = _sizes(labels)
    figure = new_figure(len(panels) * column + 0.9, side + _BAR_HEIGHT + 1.6, title)
    grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=(side, _BAR_HEIGHT))
    for (above, below), panel in zip(grid.T, panels, strict=True):
        _draw_matrix(above, panel, labels)
        above.set_title(wrap(panel.title, column, 11), fontsize=11, parse_math=False)
        _draw_scores(below, class_scores(np.asarray(panel.counts).tolist(), labels))
    _add_scale(figure, grid[0])
    grid[1, 0].set_ylabel("Percent")
    add_legend(figure, [grid[1, 0]], ncols=len(_BARS))
    return figure


def _sizes(labels: Sequence[str]) -> tuple[float, float]:
    """The side of a matrix, and the width of it with its labels, in inches."""
    longest = max(map(len, labels))
    side = len(labels) * max(0.95, longest * 10 * CHARACTER_EM / 72 + 0.15)
    return side, side + 0.1 * longest + 0.7


def _draw_matrix(axes: Axes, panel: ConfusionPanel, labels: Sequence[str]) -> None:
    import seaborn as sns

    size = len(labels)
    proportions = np.asarray(panel.proportions, dtype=float)
    counts = None if panel.counts is None else np.asarray(panel.counts)
    percent = 100 * np.nan_to_num(proportions)
    empty = (percent == 0).all(axis=1) if counts is None else counts.sum(axis=1) == 0
    cells = [[f"{value:.1f}%" for value in row] for row in percent]
    row_labels = list(labels)
    if counts is not None:
        cells = [
            [f"{cell}\n{count:,}" for cell, count in zip(*row, strict=True)] for row in zip(cells, counts, strict=True)
        ]
        row_labels = [f"{label}\nn = {n:,}" for label, n in zip(labels, counts.sum(axis=1), strict=True)]
    # White lines keep neighbouring cells of one colour apart.
    look: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 100, "square": True, "linewidths": 2, "cbar": False}
    words = {"annot": np.array(cells), "fmt": "", "annot_kws": {"fontsize": 10.5, "linespacing": 1.35}}
    sns.heatmap(percent, mask=np.broadcast_to(empty[:, None], (size, size)), ax=axes, **words, **look)
    axes.set_facecolor(PALE)
    for text in axes.texts:
        column, row = map(int, text.get_position())
        text.set_color(_ink(axes.collections[0].to_rgba(percent[row, column])))
    for column, row in product(range(size), np.flatnonzero(empty).tolist()):
        axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center")
    for corner in np.arange(size) + 0.04:
        axes.add_patch(Rectangle((corner, corner), 0.92, 0.92, fill=False, edgecolor=ORANGE, linewidth=2))
    middles = np.arange(size) + 0.5
    axes.set_xticks(middles, list(labels), rotation=0, parse_math=False)
    axes.set_yticks(middles, row_labels, rotation=0, va="center", parse_math=False)
    axes.set_xlabel("Predicted", fontweight="bold")
    axes.set_ylabel("True", fontweight="bold")
    axes.set_title(panel.title, fontsize=11, parse_math=False)
    axes.tick_params(length=0)


def _ink(rgba: npt.ArrayLike) -> str:
    """Black or white, whichever reads better on a colour, by the relative luminance of WCAG 2.2: seaborn's choice,
    white on middle tones, has less contrast."""
    luminance = np.dot(np.asarray(rgba)[:3] ** 2.2, (0.2126, 0.7152, 0.0722))
    return "white" if luminance < 0.18 else "black"


def _add_scale(figure: Figure, all_axes: npt.NDArray[np.object_]) -> None:
    """One for all matrices, right of them."""
    bar = figure.colorbar(all_axes[0].collections[0], ax=list(all_axes), pad=0.02)
    bar.set_label("Proportion of the true class (%)")
    bar.outline.set_visible(False)


def _draw_scores(axes: Axes, scores: Sequence[ClassScore]) -> None:
    width = 0.8 / len(_BARS)
    for place, (name, (label, colour, hatch)) in enumerate(_BARS.items()):
        values = [getattr(score, name) for score in scores]
        middles = np.arange(len(scores)) + (place - (len(_BARS) - 1) / 2) * width
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": label}
        bars = axes.bar(middles, np.nan_to_num(values), 0.9 * width, **look)
        texts = ["–" if np.isnan(value) else f"{value:.0f}" for value in values]
        axes.bar_label(bars, texts, padding=1, fontsize=7)
    axes.set_xticks(range(len(scores)), [score.label for score in scores], parse_math=False)
    # Room for the number above a full bar.
    axes.set(ylim=(0, 112), yticks=range(0, 101, 25))
    axes.tick_params(axis="x", length=0)
    tidy(axes)
