"""The picture of a comparison: how far every run is from the original, by rank and over what the runs vary."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from emotorch.analysis.bootstrap import Array
from emotorch.analysis.compare import Comparison, varied
from emotorch.analysis.distance import Distance
from emotorch.reports.canvas import BLUE, GREY, ORANGE, SKY, VERMILLION, new_figure, save, tidy

_COLUMNS = 4
# From here on single error bars would cover each other: a band shows them.
_BAND_FROM = 60
# A setting whose largest value is so many times the smallest, as learning rates are, gets a logarithmic axis.
_DECADE = 10


def plot_comparison(path: Path, comparison: Comparison) -> Path:
    """Draws every run's distance with its 95% interval, and over each setting that varies.

    Runs with CK+ and runs without have rows of their own: their distances are sums of different parts.
    """
    return save(comparison_figure(comparison), path)


@dataclass(frozen=True)
class _Block:
    """Runs whose distances are sums of the same parts, the most similar first."""

    parts: str
    runs: Sequence[Distance]
    recreation: float

    @property
    def best(self) -> Distance:
        return next((run for run in self.runs if not run.collapsed), self.runs[0])

    @cached_property
    def settings(self) -> list[str]:
        """What varies; without CK+ its factors choose among no images."""
        factors, recipe = varied(self.runs)
        with_ckp = self.runs[0].complete
        return [name for name in factors if with_ckp or not name.startswith("ckp")] + recipe

    @property
    def limits(self) -> tuple[float, float]:
        """Of the distance: all runs and the published recreation are within, and the intervals but for ends near 0."""
        scores = [run.combined for run in self.runs] + [self.recreation]
        smallest = min(score for score in scores if score > 0)
        ends = [end for run in self.runs if not math.isnan(run.low) for end in (run.low, run.high)]
        return max(smallest / 3, min([smallest, *ends])) / 1.3, max([*scores, *ends]) * 1.3


def comparison_figure(comparison: Comparison) -> Figure:
    """See `plot_comparison`."""
    blocks = []
    for complete, parts in ((True, "FER and CK+"), (False, "FER alone")):
        # A logarithmic axis has no place for a run that equals the original.
        runs = [run for run in comparison.distances if run.complete == complete and run.combined > 0]
        if runs:
            blocks.append(_Block(parts, runs, comparison.recreation(complete=complete)))
    count = len(comparison.distances)
    title = f"{count:,} run{'s' if count > 1 else ''} compared with the published original"
    if any(run.synthetic for run in comparison.distances):
        title += " (synthetic faces)"
    panels = [1 + len(block.settings) for block in blocks]
    # Of rows that are about equally long: five panels are 3 and 2.
    most = max(panels, default=1)
    columns = math.ceil(most / math.ceil(most / _COLUMNS))
    rows = [math.ceil(number / columns) for number in panels]
    figure = new_figure(max(2.7 * columns + 0.8, 6.5), 3.0 * sum(rows) + 0.6 + 0.6 * len(blocks), title)
    if not blocks:
        figure.text(0.5, 0.5, "No run has a distance above 0.", ha="center")
        return figure
    entries: dict[str, Artist] = {}
    grid = figure.subplots(sum(rows), columns, squeeze=False)
    for block, height, above in zip(blocks, rows, np.cumsum([0, *rows]).tolist(), strict=False):
        suffix = f", {block.parts}" if len(blocks) > 1 else ""
        entries |= _draw_block(list(grid[above : above + height].flat), columns, block, suffix)
    if left := count - sum(len(block.runs) for block in blocks):
        entries[f"not drawn: {left} at distance 0"] = grid[0, 0].plot([], [], linestyle="none")[0]
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw_block(all_axes: Sequence[Axes], columns: int, block: _Block, suffix: str) -> dict[str, Artist]:
    """Fills a block's panels; returns what the legend says of it, with a suffix that tells it from another's."""
    runs, best = block.runs, block.best
    scores = np.array([run.combined for run in runs])
    collapsed = np.array([run.collapsed for run in runs])
    # Of thousands the points are small and pale, so that where they are many looks darker.
    size, alpha = (20, 0.8) if len(runs) < 200 else (9, 0.4)
    entries: dict[str, Artist] = {}
    settings = block.settings
    for number, axes in enumerate(all_axes):
        if number > len(settings):
            axes.set_axis_off()
            continue
        if number == 0:
            values = np.arange(1.0, len(runs) + 1)
            entries |= _draw_intervals(axes, values, runs)
            axes.set(xlabel="rank", xlim=(0.5 - 0.02 * len(runs), len(runs) + 0.5 + 0.02 * len(runs)))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))
        else:
            values = np.array([run.setting(settings[number - 1]) for run in runs])
            axes.set_xlabel(settings[number - 1].replace("_", " "), parse_math=False)
            _scale(axes, values, linear=settings[number - 1] in best.factors)
        solid = axes.scatter(values[~collapsed], scores[~collapsed], s=size, color=BLUE, alpha=alpha, linewidths=0)
        crosses = axes.scatter(values[collapsed], scores[collapsed], s=size, marker="x", color=GREY, linewidths=1)
        place = runs.index(best)
        star = axes.scatter(values[place], scores[place], s=170, marker="*", color=ORANGE, edgecolors="black", zorder=4)
        line = axes.axhline(block.recreation, color=VERMILLION, linestyle="--", linewidth=1.5)
        axes.set(yscale="log", ylim=block.limits)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelleft=number % columns == 0)
        if number % columns == 0:
            axes.set_ylabel(f"distance, {block.parts}\n(smaller is more alike)")
        tidy(axes)
    entries[f"run{suffix} ({int((~collapsed).sum()):,})"] = solid
    if collapsed.any():
        entries[f"run that collapsed to one class{suffix} ({int(collapsed.sum()):,})"] = crosses
    entries[f"best: {best.model}, {best.combined:.5f}"] = star
    entries[f"published recreation, {block.parts}: {block.recreation:.5f}"] = line
    return entries


def _draw_intervals(axes: Axes, ranks: Array, runs: Sequence[Distance]) -> dict[str, Artist]:
    # Those that collapsed have none to speak of: whatever is drawn anew, they give the one answer.
    known = [number for number, run in enumerate(runs) if not (math.isnan(run.low) or run.collapsed)]
    if not known:
        return {}
    lows, highs = (np.array([getattr(runs[number], end) for number in known]) for end in ("low", "high"))
    if len(known) < _BAND_FROM:
        drawn: Artist = axes.vlines(ranks[known], lows, highs, color=SKY, linewidth=2, zorder=1)
    else:
        drawn = axes.fill_between(ranks[known], lows, highs, color=SKY, alpha=0.5, linewidth=0, zorder=1)
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
