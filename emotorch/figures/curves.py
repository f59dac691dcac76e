"""Curves in small panels over one axis: a column for each condition, as many of them in a row as are legible."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotorch.figures.canvas import new_figure, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

_COLUMNS = 4
_COLOURS = (VERMILLION, PURPLE, GREEN, ORANGE, SKY, BLUE, BLACK)
_MARKERS = "os^DvPX"


@dataclass(frozen=True)
class Curve:
    """A line with its name in the legend.

    Attributes:
        label: For the legend.
        values: (X,) percent.
        colour: One of `canvas`.
        style: Matplotlib's line style.
        marker: Matplotlib's; none where it is empty.
        band: (X,) lower and upper end of a 95% interval.
    """

    label: str
    values: npt.ArrayLike
    colour: str
    style: str = "-"
    marker: str = ""
    band: tuple[npt.ArrayLike, npt.ArrayLike] | None = None


@dataclass(frozen=True)
class Panel:
    """Curves that share axes, and a level (its name and percent) to compare them with."""

    curves: Sequence[Curve]
    level: tuple[str, float] | None = None


def curves_figure(
    conditions: Mapping[str, Sequence[Panel]], x: Sequence[int], title: str, *, x_label: str, y_labels: Sequence[str]
) -> Figure:
    """Draws for each condition, under its name, its panels below each other: as many as there are y labels.

    The curves have their values at x, (X,). The legend is that of the first condition.
    """
    height = len(y_labels)
    bands = math.ceil(len(conditions) / _COLUMNS)
    figure = new_figure(11.5, 2.2 * height * bands + 1.2, title)
    grid = figure.subplots(height * bands, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for place, (name, panels) in enumerate(conditions.items()):
        top, column = height * (place // _COLUMNS), place % _COLUMNS
        grid[top, column].set_title(name, fontsize=11)
        for axes, panel in zip(grid[top : top + height, column], panels, strict=True):
            _draw(axes, panel, x)
            axes.set_xlabel(x_label, fontsize=8)
    for row, all_axes in enumerate(grid):
        all_axes[0].set_ylabel(y_labels[row % height])
    found = [axes.get_legend_handles_labels() for axes in grid[:height, 0]]
    entries = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9, handlelength=3
    )
    return figure


def class_style(number: int) -> tuple[str, str, str]:
    """Colour, line style and marker of a class, or of another one of many curves in a panel."""
    place = number % len(_COLOURS)
    return _COLOURS[place], "-" if number < len(_COLOURS) else ":", _MARKERS[place]


def _draw(axes: Axes, panel: Panel, x: Sequence[int]) -> None:
    for curve in panel.curves:
        if curve.band is not None:
            label = f"{curve.label}, 95% interval"
            axes.fill_between(x, *curve.band, color=SKY, alpha=0.4, linewidth=0, label=label)
    if panel.level is not None:
        label, value = panel.level
        axes.axhline(value, color=GREY, linewidth=1, linestyle="--", label=label)
    for curve in panel.curves:
        axes.plot(
            x,
            curve.values,
            color=curve.colour,
            linestyle=curve.style,
            marker=curve.marker,
            markersize=4,
            label=curve.label,
        )
    axes.set(xlim=(x[0] - 0.2, x[-1] + 0.2), ylim=(0, 100), xticks=x)
    axes.tick_params(labelsize=8, labelbottom=True)
    tidy(axes)
