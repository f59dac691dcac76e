"""Every picture that a run or an evaluation writes: from arrays to a PNG.

The charts are drawn here, the pictures with faces in them in `pictures`; callers find both here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from emotorch.reports.canvas import (
    BLACK,
    BLUE,
    CHARACTER_EM,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    VERMILLION,
    new_figure,
    require,
    save,
    tidy,
    wrap,
)
from emotorch.reports.pictures import plot_prediction_sheet, plot_probabilities

__all__ = [
    "ConfusionPanel",
    "Curve",
    "history_figure",
    "plot_confusion_matrices",
    "plot_confusion_matrix",
    "plot_prediction_sheet",
    "plot_probabilities",
    "plot_training_history",
]

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


# --- Training history ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """What one set of images scored.

    Attributes:
        loss: (E,), one per epoch; NaN where unknown.
        accuracy: (E,), percent.
    """

    loss: npt.ArrayLike
    accuracy: npt.ArrayLike


# Fixed by name, so that a set looks the same in every run, whichever other sets are missing.
_CURVE_STYLES: dict[str, dict[str, str]] = {
    "Training": {"color": BLACK, "linestyle": "-", "marker": "o"},
    "FER validation": {"color": BLUE, "linestyle": "--", "marker": "s"},
    "CK+ validation": {"color": VERMILLION, "linestyle": "-.", "marker": "^"},
    "Combined validation": {"color": PURPLE, "linestyle": ":", "marker": "D"},
}
_OTHER_CURVE_STYLES = (
    {"color": GREEN, "linestyle": "--", "marker": "v"},
    {"color": ORANGE, "linestyle": "-.", "marker": "P"},
)


def plot_training_history(path: Path, history: Mapping[str, Curve], title: str, best_epoch: int | None) -> Path:
    """Draws loss and accuracy over the epochs.

    Args:
        path: The PNG to write.
        history: The curves by the name that the legend gives them: "Training", "FER validation", "CK+
            validation", "Combined validation", or another set's. What is missing is left out.
        title: Above both panels.
        best_epoch: The epoch whose weights were kept, counted from 1; None draws no line.
    """
    return save(history_figure(history, title, best_epoch), path)


def history_figure(history: Mapping[str, Curve], title: str, best_epoch: int | None) -> Figure:
    """Loss and accuracy over the epochs; see `plot_training_history`."""
    require(len(history) > 0, "a training history needs at least one curve")
    lengths = {np.size(values) for curve in history.values() for values in (curve.loss, curve.accuracy)}
    require(
        len(lengths) == 1 and 0 not in lengths,
        f"curves of {sorted(lengths)} epochs: all need the same, 1 or more",
    )
    epochs = lengths.pop()
    require(best_epoch is None or 1 <= best_epoch <= epochs, f"best epoch {best_epoch} is not in 1 to {epochs}")

    figure = new_figure(10, 4.4, title)
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    others = [name for name in history if name not in _CURVE_STYLES]
    for name, curve in history.items():
        style = _CURVE_STYLES.get(name) or _OTHER_CURVE_STYLES[others.index(name) % len(_OTHER_CURVE_STYLES)]
        for axes, values in ((loss_axes, curve.loss), (accuracy_axes, curve.accuracy)):
            # Hollow markers: sets that score the same (without CK+, FER and combined) both stay visible.
            axes.plot(
                range(1, epochs + 1),
                np.asarray(values, dtype=float),
                label=name,
                linewidth=1.8,
                markersize=5 if epochs <= 20 else 3.5,
                markerfacecolor="white",
                **style,
            )
    for axes, quantity in ((loss_axes, "Loss"), (accuracy_axes, "Accuracy (%)")):
        axes.set(xlabel="Epoch", ylabel=quantity, xlim=(0.5, epochs + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        tidy(axes)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GREY, linewidth=1.5, zorder=0)
            # Near an end the words stay inside the panel.
            place = (best_epoch - 0.5) / epochs
            side = "left" if place < 0.15 else "right" if place > 0.85 else "center"
            axes.annotate(
                f"best epoch: {best_epoch}",
                (best_epoch, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha=side,
                fontsize=9,
            )
    handles, names = loss_axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, handlelength=3.5)
    return figure
