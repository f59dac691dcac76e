"""Which run behaves most like the published original.

Every run is measured on validation images that it drew itself, so a distance is known only within an interval. Two
runs cannot be compared image by image then, and they count as equal where their 95% intervals overlap. That asks for
more than 5% on one pair; it should, since the best of many runs is also the luckiest.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from emotorch.analyses.distance import (
    COLLAPSED,
    Distance,
    Weights,
    measure,
    published_original,
    recreation_distance,
    with_interval,
)
from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.figures.canvas import BLUE, GREY, ORANGE, SKY, VERMILLION, new_figure, save, tidy
from emotorch.files import timestamped
from emotorch.metrics.intervals import Array
from emotorch.paths import Paths
from emotorch.runs.folder import FINISHED, LEAKY, Run, first_run, list_runs
from emotorch.tables import Table, counted, to_text, write_table
from emotorch.workers import map_in_order

# Runs that a process reads at a time.
_READ_AT_ONCE = 500


@dataclass(frozen=True)
class Comparison:
    """Runs, most similar first (those with CK+ before those without), and the runs left out with why.

    `file` is where the table is, once it is written.
    """

    distances: Sequence[Distance]
    left_out: Sequence[tuple[str, str]]
    file: Path
    weights: Weights

    @property
    def best(self) -> Distance:
        """The first that did not collapse, if there is one."""
        return next((distance for distance in self.distances if not distance.collapsed), self.distances[0])

    @property
    def within_noise(self) -> list[Distance]:
        """The best, and the runs of its kind whose intervals overlap the best's; empty where that has none."""
        best = self.best
        return [
            distance
            for distance in self.distances
            if distance.complete == best.complete and distance.low <= best.high and best.low <= distance.high
        ]

    def recreation(self, *, complete: bool) -> float:
        """The distance of the published recreation, with CK+ or on FER alone, by the same weights."""
        return recreation_distance(self.weights, complete=complete)


def compare_runs(
    paths: Paths, *, accuracy_weight: float, matrix_weight: float, leaky: bool = False, workers: int = 1
) -> Comparison:
    """Compares every finished run with the published original, by so many processes, and writes the table.

    Leaky runs are left out but on request.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    comparison = compare(paths, Weights(accuracy_weight, matrix_weight), leaky=leaky, workers=workers)
    write_table(comparison.file, results_table(comparison.distances))
    return comparison


def compare(
    paths: Paths,
    weights: Weights,
    only: Collection[str] | None = None,
    *,
    leaky: bool = False,
    workers: int = 1,
) -> Comparison:
    """Compares every finished run, or only those of these names, with the published original.

    Leaky runs are left out but on request.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    names = [run.name for run in list_runs(paths.models) if only is None or run.name in only]
    parts = [names[start : start + _READ_AT_ONCE] for start in range(0, len(names), _READ_AT_ONCE)]
    distances: list[Distance] = []
    left_out: list[tuple[str, str]] = []
    for _, (measured, others) in map_in_order(partial(_measure_with_intervals, paths, weights, leaky), parts, workers):
        distances += measured
        left_out += others
    if not distances:
        reasons = "".join(f"; {name}: {why}" for name, why in left_out[:3])
        where = found_elsewhere(first_run(paths)) if not names else ""
        raise EmoTorchError(f"no finished model in {paths.models} to compare{reasons}{where}")
    distances.sort(key=lambda distance: (not distance.complete, distance.combined, distance.model))
    return Comparison(distances, left_out, timestamped(paths.models, "comparison_results", ".csv"), weights)


def _measure_with_intervals(
    paths: Paths, weights: Weights, leaky: bool, names: Sequence[str]
) -> tuple[list[Distance], list[tuple[str, str]]]:
    """Some runs, with intervals and without the counts that these come from: of many runs they take most memory."""
    original = published_original()
    distances, left_out = measure_runs([Run(paths.models / name) for name in names], weights, leaky=leaky)
    return [replace(with_interval(run, original, weights), counts=()) for run in distances], left_out


def measure_runs(
    runs: Iterable[Run], weights: Weights, *, leaky: bool = False
) -> tuple[list[Distance], list[tuple[str, str]]]:
    """The distance of every run, without an interval, and the runs left out with why."""
    original = published_original()
    distances: list[Distance] = []
    left_out: list[tuple[str, str]] = []
    for run in runs:
        try:
            record = run.record
            status = run.status(record)
            if status == FINISHED and record.get(LEAKY) and not leaky:
                left_out.append((run.name, "leaky: trained with the published split"))
            elif status == FINISHED:
                distances.append(measure(run, record, original, weights))
            else:
                left_out.append((run.name, status))
        except EmoTorchError as error:
            left_out.append((run.name, str(error)))
    return distances, left_out


def varied(distances: Sequence[Distance], most: int = 3) -> tuple[list[str], list[str]]:
    """The factors that differ between runs, and the recipe's settings that do, those of the most values first.

    Args:
        distances: Of the runs.
        most: So many of the recipe's settings at most: runs of two recipes differ in nearly all.
    """
    values: dict[str, dict[str, set[float]]] = {"factors": {}, "recipe": {}}
    for distance in distances:
        for kind, settings in (("factors", distance.factors), ("recipe", distance.recipe)):
            for name, value in settings.items():
                values[kind].setdefault(name, set()).add(value)
    factors, recipe = ({name: len(found) for name, found in kind.items() if len(found) > 1} for kind in values.values())
    return list(factors), sorted(recipe, key=lambda name: (-recipe[name], name))[:most]


# --- Tables -------------------------------------------------------------------------------------------------

_SHOWN = 5
_LEFT_OUT_SHOWN = 10
_FACTORS = ("fer", "fer_aug", "ckp", "ckp_aug")


def results_table(distances: Sequence[Distance]) -> Table:
    """A row for each run, with the columns of the published comparison first, and every digit of its numbers."""
    frame = pd.DataFrame(
        {
            "model": run.model,
            "combined_score": run.combined,
            "accuracy_mse": run.accuracy,
            "fer_cm_mse": run.fer,
            "ckp_cm_mse": run.ckp,
            "training_accuracy": run.accuracies[0],
            "training_accuracy_diff": run.differences[0],
            "combined_validation_accuracy": run.accuracies[1],
            "combined_validation_accuracy_diff": run.differences[1],
            "note": run.note,
            "distance_low": run.low,
            "distance_high": run.high,
        }
        for run in distances
    )
    return Table(frame, dict.fromkeys(frame.select_dtypes("float").columns, repr))


def describe(comparison: Comparison) -> str:
    """The most similar runs with their factors, what chance has to do with it, and how many were compared."""
    best = comparison.best
    return "\n".join(
        [
            "most like the original (the smaller the distance, the more alike):",
            to_text(_table(comparison)),
            describe_noise(comparison),
            f"published recreation, on {best.parts}: {comparison.recreation(complete=best.complete):.5f}",
            _count(comparison),
            *_left_out(comparison.left_out),
        ]
    )


def _table(comparison: Comparison) -> Table:
    """The most similar runs."""
    shown = comparison.distances[:_SHOWN]
    settings = (*_FACTORS, *varied(comparison.distances)[1])
    frame = pd.DataFrame(
        {
            "#": range(1, len(shown) + 1),
            "model": [run.model for run in shown],
            "distance": [run.combined for run in shown],
            "95% interval": [None if math.isnan(run.low) else f"{run.low:.5f}–{run.high:.5f}" for run in shown],
            **{name: [run.setting(name) for run in shown] for name in settings},
            "note": [run.note for run in shown],
        }
    )
    return Table(frame, {"distance": "{:.5f}", "95% interval": "{}", **dict.fromkeys(settings, "{:.4g}")})


def describe_noise(comparison: Comparison) -> str:
    """Whether the best run is so beyond chance."""
    best, equal = comparison.best, comparison.within_noise
    if len(comparison.distances) == 1:
        return f"{best.model} is the only run: there is nothing to tell it from"
    if not equal:
        return f"{best.model} has no confusion counts: whether it is the best beyond chance is unknown"
    others = [run for run in equal if run.model != best.model]
    if not others:
        return f"{best.model} is the best beyond chance: its interval overlaps no other's"
    last = 1 + comparison.distances.index(others[-1])
    runs = counted(len(others), "run")
    return (
        f"{best.model} is the best only within noise: {runs} cannot be told from it, down to rank {last:,} "
        "(their intervals overlap its own)"
    )


def _count(comparison: Comparison) -> str:
    collapsed = sum(run.collapsed for run in comparison.distances)
    sound = len(comparison.distances) - collapsed
    return f"compared: {sound:,}, and {collapsed:,} that {COLLAPSED}; left out: {len(comparison.left_out):,}"


def _left_out(runs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, reason in runs[:_LEFT_OUT_SHOWN]:
        yield f"left out: {name} ({reason})"
    if len(runs) > _LEFT_OUT_SHOWN:
        yield f"left out: … and {len(runs) - _LEFT_OUT_SHOWN:,} more"


# --- Figure -------------------------------------------------------------------------------------------------

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

    runs: Sequence[Distance]
    recreation: float

    @property
    def parts(self) -> str:
        return self.runs[0].parts

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
    for complete in (True, False):
        # A logarithmic axis has no place for a run that equals the original.
        runs = [run for run in comparison.distances if run.complete == complete and run.combined > 0]
        if runs:
            blocks.append(_Block(runs, comparison.recreation(complete=complete)))
    count = len(comparison.distances)
    title = f"{counted(count, 'run')} compared with the published original"
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


def _draw_block(panels: Sequence[Axes], columns: int, block: _Block, suffix: str) -> dict[str, Artist]:
    """Fills a block's panels; returns what the legend says of it, with a suffix that tells it from another's."""
    entries: dict[str, Artist] = {}
    for number, axes in enumerate(panels):
        if number > len(block.settings):
            axes.set_axis_off()
            continue
        if number == 0:
            values = np.arange(1.0, len(block.runs) + 1)
            _rank_axis(axes, len(block.runs))
            entries |= _draw_intervals(axes, values, block.runs)
        else:
            name = block.settings[number - 1]
            values = np.array([run.setting(name) for run in block.runs])
            axes.set_xlabel(name.replace("_", " "), parse_math=False)
            _scale(axes, values, linear=name in block.best.factors)
        _distance_axis(axes, block, labelled=number % columns == 0)
        points = _draw_points(axes, values, block, suffix)
        tidy(axes)
    return entries | points


def _draw_points(axes: Axes, values: Array, block: _Block, suffix: str) -> dict[str, Artist]:
    """Every run's distance over some value, the best and the published recreation marked."""
    runs, best = block.runs, block.best
    scores = np.array([run.combined for run in runs])
    collapsed = np.array([run.collapsed for run in runs])
    # Of thousands the points are small and pale, so that where they are many looks darker.
    size, alpha = (20, 0.8) if len(runs) < 200 else (9, 0.4)
    solid = axes.scatter(values[~collapsed], scores[~collapsed], s=size, color=BLUE, alpha=alpha, linewidths=0)
    crosses = axes.scatter(values[collapsed], scores[collapsed], s=size, marker="x", color=GREY, linewidths=1)
    place = runs.index(best)
    star = axes.scatter(values[place], scores[place], s=170, marker="*", color=ORANGE, edgecolors="black", zorder=4)
    line = axes.axhline(block.recreation, color=VERMILLION, linestyle="--", linewidth=1.5)
    entries: dict[str, Artist] = {f"run{suffix} ({int((~collapsed).sum()):,})": solid}
    if collapsed.any():
        entries[f"run that collapsed to one class{suffix} ({int(collapsed.sum()):,})"] = crosses
    entries[f"best: {best.model}, {best.combined:.5f}"] = star
    entries[f"published recreation, {block.parts}: {block.recreation:.5f}"] = line
    return entries


def _rank_axis(axes: Axes, runs: int) -> None:
    axes.set(xlabel="rank", xlim=(0.5 - 0.02 * runs, runs + 0.5 + 0.02 * runs))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}" if rank >= 1 else ""))


def _distance_axis(axes: Axes, block: _Block, *, labelled: bool) -> None:
    axes.set(yscale="log", ylim=block.limits)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelleft=labelled)
    if labelled:
        axes.set_ylabel(f"distance, {block.parts}\n(smaller is more alike)")


def _draw_intervals(axes: Axes, ranks: Array, runs: Sequence[Distance]) -> dict[str, Artist]:
    # Those that collapsed have none: whatever is resampled, they predict one class.
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
