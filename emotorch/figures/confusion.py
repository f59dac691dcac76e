"""Every picture that a run or an evaluation writes: from arrays to a PNG.

The charts are drawn here, the pictures with faces in them in `pictures`; callers find both here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from emotorch.figures.canvas import BLUE, CHARACTER_EM, GREEN, ORANGE, PALE, new_figure, require, save, tidy, wrap
from emotorch.metrics.confusion import ClassScore, class_scores

# --- Confusion matrices -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConfusionPanel:
    """One matrix of a figure; rows are the true classes, columns the predicted ones.

    Attributes:
        title: Which images it counts.
        proportions: (K, K), 0 to 1: shares of the row. NaN or zeros all along a row: a class without images.
        counts: (K, K) numbers of images, where they are known.
    """

    title: str
    proportions: npt.ArrayLike
    counts: npt.ArrayLike | None = None


def plot_confusion_matrix(
    path: Path,
    proportions: npt.ArrayLike,
    counts: npt.ArrayLike | None,
    labels: Sequence[str],
    title: str,
) -> Path:
    """Draws one confusion matrix; see `ConfusionPanel` for the arrays."""
    return save(_confusion_figure([ConfusionPanel("", proportions, counts)], labels, title), path)


def plot_confusion_matrices(
    path: Path,
    panels: Sequence[ConfusionPanel],
    labels: Sequence[str],
    title: str,
    note: str | None = None,
) -> Path:
    """Draws matrices side by side on one colour scale, with a footnote, say on a set that is missing."""
    return save(_confusion_figure(panels, labels, title, note), path)


def _confusion_figure(
    panels: Sequence[ConfusionPanel], labels: Sequence[str], title: str, note: str | None = None
) -> Figure:
    require(len(panels) > 0, "a confusion figure needs at least one matrix")
    longest = max(len(label) for label in labels)
    cell = max(0.85, longest * 10 * CHARACTER_EM / 72 + 0.15)
    side = cell * len(labels)
    width = len(panels) * (side + 0.1 * longest + 0.7) + 0.9
    figure = new_figure(width, side + 1.2 + (0.3 if note else 0), title, compress=True)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    images = [draw_confusion(axes, panel, labels) for axes, panel in zip(all_axes, panels, strict=True)]
    bar = figure.colorbar(images[0], ax=list(all_axes), pad=0.02)
    bar.set_label("Share of the true class (%)")
    bar.outline.set_visible(False)
    if note:
        figure.supxlabel(wrap(note, width, 9), fontsize=9, x=0.01, ha="left", parse_math=False)
    return figure


def draw_confusion(axes: Axes, panel: ConfusionPanel, labels: Sequence[str]) -> AxesImage:
    size = len(labels)
    proportions = np.asarray(panel.proportions, dtype=float)
    counts = None if panel.counts is None else np.asarray(panel.counts)
    for name, matrix in (("proportions", proportions), ("counts", proportions if counts is None else counts)):
        require(
            matrix.shape == (size, size),
            f"{name} of shape {matrix.shape} do not fit {size} labels: ({size}, {size}) is needed",
        )
    percent = 100 * np.nan_to_num(proportions)
    empty = (percent == 0).all(axis=1) if counts is None else counts.sum(axis=1) == 0
    colours = colormaps["Blues"].with_extremes(bad=PALE)
    image = axes.imshow(np.where(empty[:, None], np.nan, percent), cmap=colours, vmin=0, vmax=100)
    for row, column in np.ndindex(size, size):
        ink = _ink(image.to_rgba(percent[row, column]))
        share = "–" if empty[row] else f"{percent[row, column]:.1f}%"
        count = "" if counts is None or empty[row] else f"{counts[row, column]:,}"
        middle = row - 0.1 if count else row
        axes.text(column, middle, share, ha="center", va="center", fontsize=11, color=ink)
        axes.text(column, row + 0.2, count, ha="center", va="center", fontsize=8, color=ink)
    for corner in np.arange(size) - 0.46:
        outline = Rectangle((corner, corner), 0.92, 0.92, fill=False, edgecolor=ORANGE, linewidth=2)
        axes.add_patch(outline)
    row_labels = list(labels)
    if counts is not None:
        row_labels = [f"{label}\nn = {n:,}" for label, n in zip(labels, counts.sum(axis=1), strict=True)]
    axes.set_xticks(range(size), list(labels), parse_math=False)
    axes.set_yticks(range(size), row_labels, parse_math=False)
    axes.set_xlabel("Predicted", fontweight="bold")
    axes.set_ylabel("True", fontweight="bold")
    axes.set_title(panel.title, fontsize=11, parse_math=False)
    # White lines keep neighbouring cells of one colour apart.
    axes.set_xticks(np.arange(size - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(size - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


def _ink(rgba: npt.ArrayLike) -> str:
    """Black or white, whichever reads better on a colour (by the relative luminance of WCAG 2.2)."""
    luminance = np.dot(np.asarray(rgba)[:3] ** 2.2, (0.2126, 0.7152, 0.0722))
    return "white" if luminance < 0.18 else "black"


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
