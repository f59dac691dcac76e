"""Ranked runs: the number that ranks them with its interval, by rank and over each setting that varies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from emotorch.figures.canvas import CHARACTER_EM, new_figure, tidy
from emotorch.figures.colours import BLUE, GREY, ORANGE, SKY, VERMILLION

Array = NDArray[np.float64]

_COLUMNS = 4
_LEGEND_POINTS = 9
# From here on single error bars would cover each other: a band shows them.
_BAND_FROM = 60
# A setting whose largest value is so many times the smallest, as learning rates are, gets a logarithmic axis.
_DECADE = 10


@dataclass(frozen=True)
class RankedRuns:
    """Runs in the order of the number that ranks them, the best first; they get rows of panels of their own.

    Attributes:
        axis: What the number's axis is called.
        scores: (N,) the number.
        lows, highs: (N,) ends of its 95% interval; NaN where unknown.
        collapsed: (N,) whether a run predicts one class only.
        best: The place of the run that is marked.
        best_text: What the legend says of that run.
        settings: (N,) values of each setting that varies, by its name; NaN where unknown.
        linear: Those whose axis is linear, however far their values reach.
        suffix: Tells these runs from others in the legend.
        logarithmic: Whether the number's axis is.
        reference: What a dashed line marks, as the legend says it, and where it is.
    """

    axis: str
    scores: Array
    lows: Array
    highs: Array
    collapsed: NDArray[np.bool_]
    best: int
    best_text: str
    settings: Mapping[str, Array]
    linear: Sequence[str] = ()
    suffix: str = ""
    logarithmic: bool = False
    reference: tuple[str, float] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Of the number's axis: all runs and the reference are within, and the intervals but for ends near 0."""
        scores = [*self.scores[np.isfinite(self.scores)].tolist(), *([self.reference[1]] if self.reference else [])]
        ends = [end for end in (*self.lows.tolist(), *self.highs.tolist()) if not math.isnan(end)]
        if self.logarithmic:
            smallest = min(score for score in scores if score > 0)
            return max(smallest / 3, min([smallest, *ends])) / 1.3, max([*scores, *ends]) * 1.3
        low, high = min([*scores, *ends]), max([*scores, *ends])
        margin = 0.06 * (high - low) or 1.0
        return low - margin, high + margin


def ranking_figure(title: str, blocks: Sequence[RankedRuns], *, nothing: str, note: str = "") -> Figure:
    """Draws ranked runs, block below block, or a word where there is none; the note is a line of the legend."""
    panels = [1 + len(block.settings) for block in blocks]
    # Of rows that are about equally long: five panels are 3 and 2.
    most = max(panels, default=1)
    columns = math.ceil(most / math.ceil(most / _COLUMNS))
    rows = [math.ceil(number / columns) for number in panels]
    width = max(2.7 * columns + 0.8, 6.5)
    figure = new_figure(width, 3.0 * sum(rows) + 0.6 + 0.6 * len(blocks), title)
    if not blocks:
        figure.text(0.5, 0.5, nothing, ha="center")
        return figure
    entries: dict[str, Artist] = {}
    grid = figure.subplots(sum(rows), columns, squeeze=False)
    for block, height, above in zip(blocks, rows, np.cumsum([0, *rows]).tolist(), strict=False):
        entries |= _draw_block(list(grid[above : above + height].flat), columns, block)
    if note:
        entries[note] = grid[0, 0].plot([], [], linestyle="none")[0]
    longest = max(map(len, entries)) * _LEGEND_POINTS * CHARACTER_EM / 72
    columns = 2 if 2 * longest < width else 1
    options: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": _LEGEND_POINTS}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", **options)
    return figure


def _draw_block(panels: Sequence[Axes], columns: int, block: RankedRuns) -> dict[str, Artist]:
    """Fills a block's panels; returns what the legend says of it."""
    entries: dict[str, Artist] = {}
    settings = list(block.settings.items())
    for number, axes in enumerate(panels):
        if number > len(settings):
            axes.set_axis_off()
            continue
        if number == 0:
            values = np.arange(1.0, len(block.scores) + 1)
            _rank_axis(axes, len(block.scores))
            entries |= _draw_intervals(axes, values, block)
        else:
            name, values = settings[number - 1]
            axes.set_xlabel(name.replace("_", " "), parse_math=False)
            _scale(axes, values, linear=name in block.linear)
        _score_axis(axes, block, labelled=number % columns == 0)
        points = _draw_points(axes, values, block)
        tidy(axes)
    return entries | points


def _draw_points(axes: Axes, values: Array, block: RankedRuns) -> dict[str, Artist]:
    """Every run's number over some value, the best and the reference marked."""
    scores, collapsed = block.scores, block.collapsed
    # Of thousands the points are small and pale, so that where they are many looks darker.
    size, alpha = (20, 0.8) if len(scores) < 200 else (9, 0.4)
    solid = axes.scatter(values[~collapsed], scores[~collapsed], s=size, color=BLUE, alpha=alpha, linewidths=0)
    crosses = axes.scatter(values[collapsed], scores[collapsed], s=size, marker="x", color=GREY, linewidths=1)
    best = block.best
    star = axes.scatter(values[best], scores[best], s=170, marker="*", color=ORANGE, edgecolors="black", zorder=4)
    entries: dict[str, Artist] = {f"run{block.suffix} ({int((~collapsed).sum()):,})": solid}
    if collapsed.any():
        entries[f"run that collapsed to one class{block.suffix} ({int(collapsed.sum()):,})"] = crosses
    entries[f"best: {block.best_text}"] = star
    if block.reference is not None:
        said, height = block.reference
        entries[said] = axes.axhline(height, color=VERMILLION, linestyle="--", linewidth=1.5)
    return entries


def _rank_axis(axes: Axes, runs: int) -> None:
    axes.set(xlabel="rank", xlim=(0.5 - 0.02 * runs, runs + 0.5 + 0.02 * runs))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))


def _score_axis(axes: Axes, block: RankedRuns, *, labelled: bool) -> None:
    axes.set(yscale="log" if block.logarithmic else "linear", ylim=block.limits)
    if block.logarithmic:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelleft=labelled)
    if labelled:
        axes.set_ylabel(block.axis)


def _draw_intervals(axes: Axes, ranks: Array, block: RankedRuns) -> dict[str, Artist]:
    # Those that collapsed have none: whatever is resampled, they predict one class.
    known = ~(np.isnan(block.lows) | block.collapsed)
    if not known.any():
        return {}
    ranks, lows, highs = ranks[known], block.lows[known], block.highs[known]
    if len(ranks) < _BAND_FROM:
        drawn: Artist = axes.vlines(ranks, lows, highs, color=SKY, linewidth=2, zorder=1)
    else:
        drawn = axes.fill_between(ranks, lows, highs, color=SKY, alpha=0.5, linewidth=0, zorder=1)
    return {"95% interval": drawn}


def _scale(axes: Axes, values: Array, *, linear: bool) -> None:
    """Few ticks: the last of a panel and the first of the next must not touch."""
    known = values[np.isfinite(values)]
    if not linear and known.min() > 0 and known.max() > _DECADE * known.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=4))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _: object) -> str:
    return f"{value:g}"
