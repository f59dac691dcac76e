"""Estimates with their intervals, one below the other: a line from end to end, and a marker on it."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw_estimate(
    axes: Axes,
    height: float,
    estimate: tuple[float, float, float],
    colour: str,
    *,
    filled: bool,
    marker: str = "o",
    size: float = 6.0,
    line_width: float = 2.0,
    line_colour: str = "",
    label: str = "",
) -> None:
    """Draws a value and the ends of its interval at a height, the line in the marker's colour unless it has its own."""
    value, low, high = estimate
    axes.plot((low, high), (height, height), color=line_colour or colour, linewidth=line_width)
    fill = colour if filled else "white"
    axes.plot(value, height, marker, color=colour, markerfacecolor=fill, markersize=size, label=label)


def add_legend(
    figure: Figure, panels: Sequence[Axes], place: Literal["outside lower left", "outside lower right"]
) -> None:
    """What the markers in some panels mean, each once."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        for name, handle in zip(names, handles, strict=True):
            entries.setdefault(name, handle)
    figure.legend(entries.values(), entries.keys(), loc=place, ncols=4, frameon=False, fontsize=9, handlelength=1.5)
