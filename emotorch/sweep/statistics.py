"""Statistics over the runs of a sweep: the best of n, what settings and seeds explain; and compared with another
sweep, what a guided search, a leak or a change of the code is worth.

All of it is computed from one table, a row for each run, which `write_report.py SWEEP` writes as `runs.csv`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy import stats

from emotorch.analyses.comparison import Comparison
from emotorch.analyses.distance import Distance
from emotorch.figures.canvas import new_figure, tidy
from emotorch.figures.colours import BLUE, SKY, VERMILLION
from emotorch.metrics.best_of_n import FEWEST, BestOfN, best_of_n, chance_of_reaching
from emotorch.metrics.intervals import Array
from emotorch.metrics.variance import split_variance
from emotorch.seeding import generator
from emotorch.sweep.job import Result
from emotorch.sweep.plan import RANDOM
from emotorch.tables import Table, counted, p_value

# Numbers of runs that the best of n is computed for, beside the sweep's own.
_SIZES = (1, 2, 5, 10, 20, 40, 50, 100, 150, 200, 300, 500, 1000)
_PAIRED = {
    "training accuracy, %": "training_accuracy",
    "combined validation accuracy, %": "combined_validation_accuracy",
    "distance": "distance",
    "distance on FER": "fer_cm_mse",
    "distance on CK+": "ckp_cm_mse",
}
_DIGITS = 5


@dataclass(frozen=True)
class SweepRuns:
    """The runs of a sweep that can be compared with the original: with CK+, where any has it.

    Attributes:
        name: The sweep's.
        varied: The columns that the runs differ in, beside the seed.
        frame: A row for each run: number, seed, planned values, measured values.
        target: The distance of the published recreation.
        independent: Whether the runs were drawn independently: at random, each with values of its own.
        apart: How many more have distances on other matrices, which are sums of other parts.
    """

    name: str
    varied: Sequence[str]
    frame: pd.DataFrame
    target: float
    independent: bool
    apart: int = 0

    @classmethod
    def of(
        cls,
        name: str,
        design: Mapping[str, Any],
        planned: pd.DataFrame,
        results: Sequence[Result],
        comparison: Comparison,
    ) -> "SweepRuns":
        """From a sweep's design and plan, its results, and the comparison of its runs with the original."""
        distances = {run.model: run for run in comparison.first.runs if isinstance(run, Distance)}
        compared = [(result, distances[result.model]) for result in results if result.model in distances]
        measured = pd.DataFrame(
            {
                "number": [result.number for result, _ in compared],
                "model": [run.model for _, run in compared],
                "distance": [run.combined for _, run in compared],
                "low": [run.low for _, run in compared],
                "high": [run.high for _, run in compared],
                "fer_cm_mse": [run.fer for _, run in compared],
                "ckp_cm_mse": [run.ckp for _, run in compared],
                "training_accuracy": [run.accuracies[0] for _, run in compared],
                "combined_validation_accuracy": [run.accuracies[1] for _, run in compared],
                "collapsed": [run.collapsed for _, run in compared],
                "seconds": [result.seconds for result, _ in compared],
            }
        )
        settings = [column for column in planned.columns if column not in ("number", "seed")]
        varied = [column for column in settings if planned[column].nunique() > 1]
        target = comparison.recreation(complete=comparison.first.best.has_ckp)
        independent = design["strategy"] == RANDOM and design.get("seeds", 1) == 1
        apart = len(comparison.distances) - len(distances)
        return cls(name, varied, planned.merge(measured, on="number"), target, independent, apart)

    @cached_property
    def sound(self) -> pd.DataFrame:
        """Without the runs that collapsed to one class."""
        return self.frame[~self.frame["collapsed"].astype(bool)].reset_index(drop=True)

    @property
    def extrapolates(self) -> bool:
        """Whether these runs tell what more of their kind would bring."""
        return self.independent and len(self.distances) >= FEWEST

    @property
    def distances(self) -> Array:
        return self.sound["distance"].to_numpy(np.float64)


# --- One sweep ----------------------------------------------------------------------------------------------


def best_of_n_table(runs: SweepRuns) -> Table:
    """The expected distance of the best of n runs like these, up to 1,000, with its interval.

    Raises:
        ValueError: fewer than 8 runs did not collapse.
    """
    distances = runs.distances
    sizes = sorted({*_SIZES, len(distances)})
    rows = [_best_of(distances, size) for size in sizes]
    frame = pd.DataFrame(
        {
            "runs": sizes,
            "expected": [row.expected for row in rows],
            "low": [row.low for row in rows],
            "high": [row.high for row in rows],
            "basis": ["lognormal fit" if row.extrapolated else "these runs" for row in rows],
        }
    )
    return Table(frame, dict.fromkeys(("expected", "low", "high"), f"{{:.{_DIGITS}f}}"))


def _best_of(distances: Array, n: int) -> BestOfN:
    """With a generator of its own for each n: the same numbers in table, text and figure."""
    return best_of_n(distances, n, generator("best of n", n))


def describe(runs: SweepRuns) -> list[str]:
    """One sweep's distances, described in sentences."""
    lines = [_describe_spread(runs)]
    if runs.extrapolates:
        lines += [_describe_larger(runs), *_describe_settings(runs)]
    return lines + list(_describe_seeds(runs))


def _describe_spread(runs: SweepRuns) -> str:
    distances = np.sort(runs.distances)
    collapsed = len(runs.frame) - len(distances)
    text = f"{counted(len(runs.frame), 'run')}, {collapsed} collapsed"
    if runs.apart:
        text += f" ({runs.apart} more {'is' if runs.apart == 1 else 'are'} compared on other matrices)"
    if not len(distances):
        return f"{text}."
    low, middle, high = np.quantile(distances, (0.25, 0.5, 0.75)).tolist()
    text += f"; distance: median {middle:.5f}, quartiles {low:.5f} and {high:.5f}, best {distances[0]:.5f}"
    low, high = (float(runs.sound[end].iloc[int(runs.distances.argmin())]) for end in ("low", "high"))
    if math.isnan(high):
        return f"{text}."
    place = "below" if runs.target < low else "above" if runs.target > high else "within"
    return (
        f"{text} (95% interval {low:.5f}–{high:.5f}). The published recreation's {runs.target:.5f} "
        f"is {place} that interval."
    )


def _describe_larger(runs: SweepRuns) -> str:
    largest = [_best_of(runs.distances, size) for size in (300, 1000)]
    texts = [f"{best.expected:.5f} ({best.low:.5f}–{best.high:.5f}) of {best.n:,}" for best in largest]
    logs = np.log(runs.distances)
    below = float(stats.norm.cdf((math.log(runs.target) - logs.mean()) / logs.std(ddof=1)))
    fit = float(stats.shapiro(logs).pvalue)
    needed = f"one run in {1 / below:,.0f}" if below > 1e-9 else "no run"
    return (
        f"The best is to be expected at {' and '.join(texts)} such runs; by the lognormal fit {needed} is as close as "
        f"the published recreation (whether the logarithms are normal: Shapiro and Wilk's p = {p_value(fit)})."
    )


def _describe_settings(runs: SweepRuns) -> Iterator[str]:
    """How much of the spread the varied settings explain, where they were not chosen by results.

    The share is adjusted for the number of settings (Wherry, 1931): as many as runs would explain any spread.
    """
    varied = [column for column in runs.varied if runs.sound[column].nunique() > 1]
    freedom = len(runs.sound) - len(varied) - 1
    if not varied or freedom < 1:
        return
    logs = np.log(runs.distances)
    values = runs.sound[varied].to_numpy(np.float64)
    design = np.column_stack([np.ones(len(logs)), (values - values.mean(axis=0)) / values.std(axis=0)])
    slopes, *_ = np.linalg.lstsq(design, logs, rcond=None)
    left = float(np.square(logs - design @ slopes).sum())
    total = float(np.square(logs - logs.mean()).sum())
    ratio = ((total - left) / len(varied)) / (left / freedom)
    p = float(stats.f.sf(ratio, len(varied), freedom))
    explained = max(0.0, 1 - (left / freedom) / (total / (len(logs) - 1)))
    yield (
        f"What is varied ({', '.join(varied)}) explains {100 * explained:.0f}% of the variance of the "
        f"distance's logarithm, by a linear fit (F test, p = {p_value(p)})."
    )


def _settings(runs: SweepRuns) -> list[str]:
    """The columns of a run's planned values, without its seed."""
    columns = list(runs.frame.columns)
    return [column for column in columns[1 : columns.index("model")] if column != "seed"]


def repeated(runs: SweepRuns) -> list[pd.DataFrame]:
    """The runs of each setting that was trained under the most seeds, where these are several."""
    groups = [group for _, group in runs.sound.groupby(_settings(runs), sort=False)]
    size = max((len(group) for group in groups), default=0)
    return [group for group in groups if len(group) == size] if size > 1 else []


def _describe_seeds(runs: SweepRuns) -> Iterator[str]:
    groups = repeated(runs)
    if len(groups) < 2:
        return
    left_out = runs.frame.groupby(_settings(runs)).ngroups - len(groups)
    note = f" Left out: {counted(left_out, 'setting')} of which a run collapsed." if left_out else ""
    parts = split_variance([np.log(group["distance"].to_numpy(np.float64)) for group in groups])
    yield (
        f"Of {parts.groups} settings, each under {parts.size} seeds, {100 * parts.between:.0f}% of the variance of "
        f"the distance's logarithm is between settings (95% interval {100 * parts.low:.0f}–{100 * parts.high:.0f}%; "
        f"F test, p = {p_value(parts.p)}); the rest is the seed: a setting's distances spread by a factor of "
        f"{math.exp(parts.within):.2f} (one standard deviation).{note}"
    )


def best_of_n_figure(runs: SweepRuns) -> Figure:
    """The best of n over n, with its interval, and the published recreation."""
    frame = best_of_n_table(runs).frame
    title = f"{runs.name}: best of n runs"
    figure = new_figure(7.0, 4.2, title)
    axes = figure.subplots()
    observed = frame[frame["basis"] == "these runs"]
    axes.fill_between(
        frame["runs"], frame["low"], frame["high"], color=SKY, alpha=0.4, linewidth=0, label="95% interval"
    )
    axes.plot(observed["runs"], observed["expected"], "o-", color=BLUE, label="expected, from these runs")
    if len(observed) < len(frame):
        further = frame.iloc[len(observed) - 1 :]
        axes.plot(
            further["runs"],
            further["expected"],
            "o--",
            color=BLUE,
            markerfacecolor="white",
            label="expected, by a lognormal fit",
        )
    axes.axhline(runs.target, color=VERMILLION, linestyle="--", label=f"published recreation: {runs.target:.5f}")
    axes.set(xscale="log", yscale="log", xlabel="runs", ylabel="distance of the best (smaller is more alike)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_locator(NullLocator())
    tidy(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


# --- Beside another sweep -----------------------------------------------------------------------------------


def describe_search(guided: SweepRuns, drawn: SweepRuns) -> str:
    """Whether runs of a guided sweep come closer than as many that were drawn at random."""
    n, others = len(guided.distances), drawn.distances
    for runs in (guided, drawn):
        if not len(runs.distances):
            return f"All {counted(len(runs.frame), 'run')} of {runs.name} collapsed."
    best = float(guided.distances.min())
    p = float(stats.mannwhitneyu(guided.distances, others, alternative="two-sided").pvalue)
    text = (
        f"The best of {counted(n, 'run')} of {guided.name} is at {best:.5f}, their median at "
        f"{np.median(guided.distances):.5f}; the median of {drawn.name} is {np.median(others):.5f} (Mann and Whitney's "
        f"p = {p_value(p)}{'' if guided.independent and drawn.independent else ', as if they were independent'})."
    )
    if n > len(others) or not drawn.extrapolates:
        return text
    expected = _best_of(others, n)
    chance = chance_of_reaching(others, n, best)
    return (
        f"{text} Of as many runs of {drawn.name} the best is to be expected at {expected.expected:.5f} "
        f"({expected.low:.5f}–{expected.high:.5f}), and is as good as that with a probability of {100 * chance:.0f}%."
    )


def pairs(runs: SweepRuns, others: SweepRuns) -> pd.DataFrame:
    """The runs of two sweeps of equal settings and seed, side by side; the columns of the second end in `_other`."""
    settings = list(runs.frame.columns[: runs.frame.columns.get_loc("model")])
    if settings != list(others.frame.columns[: others.frame.columns.get_loc("model")]):
        return runs.frame.iloc[:0]
    return runs.frame.merge(others.frame, on=[name for name in settings if name != "number"], suffixes=("", "_other"))


def paired_table(paired: pd.DataFrame) -> Table:
    """The mean of each measured value in both sweeps and the mean difference, first less second.

    Interval (95%) and p are of Student's paired test.
    """
    rows = []
    for title, column in _PAIRED.items():
        first, second = (paired[name].to_numpy(np.float64) for name in (column, f"{column}_other"))
        test = stats.ttest_rel(first, second)
        low, high = test.confidence_interval()
        rows.append((title, first.mean(), second.mean(), (first - second).mean(), low, high, test.pvalue))
    frame = pd.DataFrame(rows, columns=["measured", "mean", "mean of the other", "difference", "low", "high", "p"])
    columns = dict.fromkeys(("mean", "mean of the other"), "{:.4f}")
    return Table(frame, {**columns, **dict.fromkeys(("difference", "low", "high"), "{:+.4f}"), "p": p_value})


def describe_pairs(paired: pd.DataFrame, name: str, other: str) -> str:
    """How runs of equal settings and seed differ between two sweeps, for example by a leak or other code."""
    found = paired_table(paired).frame.set_index("measured")
    accuracy, distance = (found.loc[title] for title in ("combined validation accuracy, %", "distance"))
    collapsed = int((paired["collapsed"].astype(bool) | paired["collapsed_other"].astype(bool)).sum())
    note = f" (in {collapsed} of them a run collapsed)" if collapsed else ""
    return (
        f"{counted(len(paired), 'pair')} of runs of equal settings and seed{note}, {name} less {other}: combined "
        f"validation accuracy {accuracy['difference']:+.2f} points "
        f"({accuracy['low']:+.2f} to {accuracy['high']:+.2f}; means {accuracy['mean']:.2f}% and "
        f"{accuracy['mean of the other']:.2f}%), distance {distance['difference']:+.5f} "
        f"({distance['low']:+.5f} to {distance['high']:+.5f})."
    )
