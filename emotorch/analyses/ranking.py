"""Runs in the order of the number that ranks them: which is the best, whether beyond chance, what varies; and drawn, by
rank and over each setting that varies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from emotorch.analyses.criterion import ACCURACY, DISTANCE, LOSS, MACRO_F1, Criterion
from emotorch.analyses.distance import MeasuredRun
from emotorch.figures.canvas import CHARACTER_EM, new_figure, tidy
from emotorch.figures.colours import BLUE, GREY, ORANGE, SKY, VERMILLION
from emotorch.metrics.intervals import Array
from emotorch.tables import Table, counted

_SHOWN = 5


@dataclass(frozen=True)
class Ranking:
    """Runs that one number ranks, the best first.

    The title says which matrices their distances are sums over, or which data and classes the runs share.
    """

    runs: Sequence[MeasuredRun]
    criterion: Criterion
    title: str

    @cached_property
    def best(self) -> MeasuredRun:
        """The first that did not collapse, if there is one."""
        return next((run for run in self.runs if not run.collapsed), self.runs[0])

    @property
    def within_noise(self) -> list[MeasuredRun]:
        """The best, and the runs whose intervals overlap the best's; empty where that has none."""
        best = self.best
        return [run for run in self.runs if run.low <= best.high and best.low <= run.high]

    @property
    def settings(self) -> list[str]:
        """What varies; where no run has CK+, its factors choose among no images."""
        factors, recipe = varied(self.runs)
        with_ckp = any(run.has_ckp for run in self.runs)
        return [name for name in factors if with_ckp or not name.startswith("ckp")] + recipe

    def describe_noise(self) -> str:
        """Whether the best run is so beyond chance; and of a score that one would report, that it chose the run."""
        said = self._describe_best()
        if self.criterion == DISTANCE or len(self.runs) == 1:
            return said
        return f"{said}; the best of several is also the luckiest: score it on images that chose nothing"

    def _describe_best(self) -> str:
        best, equal = self.best, self.within_noise
        if len(self.runs) == 1:
            return f"{best.model} is the only run, {self.title}: there is nothing to tell it from"
        if not equal:
            why = "has no interval" if self.criterion == LOSS else "has no confusion counts"
            return f"{best.model} {why}: whether it is the best beyond chance is unknown"
        others = [run for run in equal if run.model != best.model]
        if not others:
            return f"{best.model} is the best beyond chance: its interval overlaps no other's"
        last = 1 + self.runs.index(others[-1])
        return (
            f"{best.model} is the best only within noise: {counted(len(others), 'run')} cannot be told from it, down "
            f"to rank {last:,} (their intervals overlap its own)"
        )

    def table(self, always: Sequence[str] = ()) -> Table:
        """The best runs, with what varies between all of them, and the factors that are `always` shown."""
        settings = list(dict.fromkeys([*always, *self.settings]))
        several_recipes = len({run.recipe_name for run in self.runs}) > 1
        rows = []
        for place, run in enumerate(self.runs[:_SHOWN], start=1):
            scores = {ACCURACY.column: run.accuracies[1], MACRO_F1.column: run.macro_f1}
            rows.append(
                {
                    "#": place,
                    "model": run.model,
                    **({"recipe": run.recipe_name} if several_recipes else {}),
                    self.criterion.column: run.value,
                    "95% interval": self.criterion.interval(run.low, run.high) or None,
                    **{name: score for name, score in scores.items() if name != self.criterion.column},
                    **{name: run.setting(name) for name in settings},
                    "note": run.note,
                }
            )
        frame = pd.DataFrame(rows)
        cells = {criterion.column: criterion.cell for criterion in (self.criterion, ACCURACY, MACRO_F1)}
        return Table(frame, {**cells, "95% interval": "{}", **dict.fromkeys(settings, "{:.4g}")})


def varied(runs: Sequence[MeasuredRun], most: int = 3) -> tuple[list[str], list[str]]:
    """The factors that differ between runs, and the recipe's settings that do, those of the most values first.

    Of the latter at most so many: runs of two recipes differ in nearly all.
    """
    values: dict[str, dict[str, set[float]]] = {"factors": {}, "recipe": {}}
    for run in runs:
        for kind, settings in (("factors", run.factors), ("recipe", run.recipe)):
            for name, value in settings.items():
                values[kind].setdefault(name, set()).add(value)
    factors, recipe = ({name: len(found) for name, found in kind.items() if len(found) > 1} for kind in values.values())
    return list(factors), sorted(recipe, key=lambda name: (-recipe[name], name))[:most]


# --- Figure -------------------------------------------------------------------------------------------------

_COLUMNS = 4
_LEGEND_POINTS = 9
# From here on single error bars would cover each other: a band shows them.
_BAND_FROM = 60
# A setting whose largest value is so many times the smallest, as learning rates are, gets a logarithmic axis.
_DECADE = 10

# What a dashed line marks, as the legend says it, and where it is.
Reference = tuple[str, float]


def ranking_figure(title: str, rankings: Sequence[tuple[Ranking, Reference | None]], note: str = "") -> Figure:
    """Draws rankings of runs, each in rows of panels of its own; the note is a line of the legend."""
    panels = [1 + len(ranking.settings) for ranking, _ in rankings]
    # Of rows that are about equally long: five panels are 3 and 2.
    most = max(panels, default=1)
    columns = math.ceil(most / math.ceil(most / _COLUMNS))
    rows = [math.ceil(number / columns) for number in panels]
    width = max(2.7 * columns + 0.8, 6.5)
    figure = new_figure(width, 3.0 * sum(rows) + 0.6 + 0.6 * len(rankings), title)
    if not rankings:
        figure.text(0.5, 0.5, "No run has a distance above 0.", ha="center")
        return figure
    entries: dict[str, Artist] = {}
    grid = figure.subplots(sum(rows), columns, squeeze=False)
    for (ranking, reference), height, above in zip(rankings, rows, np.cumsum([0, *rows]).tolist(), strict=False):
        suffix = f", {ranking.title}" if len(rankings) > 1 else ""
        entries |= _draw_ranking(list(grid[above : above + height].flat), columns, ranking, reference, suffix)
    if note:
        entries[note] = grid[0, 0].plot([], [], linestyle="none")[0]
    longest = max(map(len, entries)) * _LEGEND_POINTS * CHARACTER_EM / 72
    columns = 2 if 2 * longest < width else 1
    options: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": _LEGEND_POINTS}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", **options)
    return figure


def _draw_ranking(
    panels: Sequence[Axes], columns: int, ranking: Ranking, reference: Reference | None, suffix: str
) -> dict[str, Artist]:
    """Fills the panels of a ranking; returns what the legend says of it."""
    runs = ranking.runs
    scores, lows, highs = (np.array([getattr(run, end) for run in runs]) for end in ("value", "low", "high"))
    collapsed = np.array([run.collapsed for run in runs])
    settings = {name: np.array([run.setting(name) for run in runs]) for name in ranking.settings}
    # By rank first.
    drawn = {"": np.arange(1.0, len(runs) + 1), **settings}
    limits = _limits(ranking, scores, [*lows.tolist(), *highs.tolist()], reference)
    entries: dict[str, Artist] = {}
    for number, (axes, (name, values)) in enumerate(zip(panels, drawn.items(), strict=False)):
        if name:
            axes.set_xlabel(name.replace("_", " "), parse_math=False)
            _scale(axes, values, linear=name in ranking.best.factors)
        else:
            axes.set(xlabel="rank", xlim=(0.5 - 0.02 * len(runs), len(runs) + 0.5 + 0.02 * len(runs)))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))
            # Those that collapsed have no interval: whatever is resampled, they predict one class.
            known = ~(np.isnan(lows) | collapsed)
            ends = values[known], lows[known], highs[known]
            if known.sum() >= _BAND_FROM:
                entries["95% interval"] = axes.fill_between(*ends, color=SKY, alpha=0.5, linewidth=0, zorder=1)
            elif known.any():
                entries["95% interval"] = axes.vlines(*ends, color=SKY, linewidth=2, zorder=1)
        _score_axis(axes, ranking, limits, labelled=number % columns == 0)
        points = _draw_points(axes, values, scores, collapsed, ranking, suffix)
        if reference is not None:
            points[reference[0]] = axes.axhline(reference[1], color=VERMILLION, linestyle="--", linewidth=1.5)
        tidy(axes)
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    return entries | points


def _limits(
    ranking: Ranking, measured: Array, ends: Sequence[float], reference: Reference | None
) -> tuple[float, float]:
    """Of the number's axis: all runs and the reference are within, and the intervals but for ends near 0."""
    scores = [*measured[np.isfinite(measured)].tolist(), *([reference[1]] if reference else [])]
    ends = [end for end in ends if not math.isnan(end)]
    if ranking.criterion == DISTANCE:
        smallest = min(score for score in scores if score > 0)
        return max(smallest / 3, min([smallest, *ends])) / 1.3, max([*scores, *ends]) * 1.3
    low, high = min([*scores, *ends]), max([*scores, *ends])
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_points(
    axes: Axes, values: Array, scores: Array, collapsed: NDArray[np.bool_], ranking: Ranking, suffix: str
) -> dict[str, Artist]:
    """Every run's number over some value, the best marked."""
    # Of thousands the points are small and pale, so that where they are many looks darker.
    size, alpha = (20, 0.8) if len(scores) < 200 else (9, 0.4)
    solid = axes.scatter(values[~collapsed], scores[~collapsed], s=size, color=BLUE, alpha=alpha, linewidths=0)
    crosses = axes.scatter(values[collapsed], scores[collapsed], s=size, marker="x", color=GREY, linewidths=1)
    best = ranking.runs.index(ranking.best)
    star = axes.scatter(values[best], scores[best], s=170, marker="*", color=ORANGE, edgecolors="black", zorder=4)
    entries: dict[str, Artist] = {f"run{suffix} ({int((~collapsed).sum()):,})": solid}
    if collapsed.any():
        entries[f"run that collapsed to one class{suffix} ({int(collapsed.sum()):,})"] = crosses
    note = ", which collapsed" if collapsed[best] else ""
    entries[f"best: {ranking.best.model}, {ranking.criterion.form.format(ranking.best.value)}{note}"] = star
    return entries


def _score_axis(axes: Axes, ranking: Ranking, limits: tuple[float, float], *, labelled: bool) -> None:
    logarithmic = ranking.criterion == DISTANCE
    axes.set(yscale="log" if logarithmic else "linear", ylim=limits)
    if logarithmic:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelleft=labelled)
    if labelled:
        distance = f"distance, {ranking.title}\n(smaller is more alike)"
        axes.set_ylabel(distance if logarithmic else f"validation {ranking.criterion.column}")


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
