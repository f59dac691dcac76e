"""What a comparison of runs says: text for a terminal, tables, and one picture of the differences."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from emotorch.analysis import metrics
from emotorch.analysis.paired import Difference
from emotorch.analysis.run_comparison import Pair, RunComparison
from emotorch.files import write_csv, write_text
from emotorch.reports.canvas import BLUE, GREY, ORANGE, VERMILLION, new_figure, save, tidy, wrap
from emotorch.reports.tables import text_table
from emotorch.runs import new_folder

_SIGNIFICANT = 0.05
_PANELS_PER_ROW = 3
_MAIN = ("accuracy", "macro-F1")


def write_comparison(models: Path, comparison: RunComparison) -> Path:
    """Writes `run_comparison_<time>/` into a folder, whole or not at all; returns it."""
    with new_folder(models, "run_comparison") as new:
        write_text(new.prepared / "comparison.txt", describe(comparison) + "\n")
        _write_runs(new.prepared / "runs.csv", comparison)
        _write_groups(new.prepared / "groups.csv", comparison)
        _write_differences(new.prepared / "differences.csv", comparison)
        _plot_differences(new.prepared / "differences.png", comparison)
    return new.final


# --- Text ---------------------------------------------------------------------------------------------------


def describe(comparison: RunComparison) -> str:
    """The runs, the seeds' spread where there are several, every two compared, and the answer in words."""
    parts = [[comparison.title, *comparison.notes], [_runs_table(comparison)]]
    if any(len(group.scores) > 1 for group in comparison.groups):
        parts.append([_groups_table(comparison)])
    if comparison.seeds_apart:
        parts.append(["these runs differ by seed only: their differences are what chance in training makes"])
    parts += [[_pairs_table(comparison)], [_recalls_table(comparison)], list(_verdicts(comparison))]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _runs_table(comparison: RunComparison) -> str:
    rows = [("run", "seed", "accuracy", "95% interval", "macro-F1")]
    for group in comparison.groups:
        for score in group.scores:
            low, high = metrics.wilson_interval(score.answers.correct, score.answers.images)
            accuracy, macro_f1 = (f"{score.metrics[name]:.2f}" for name in _MAIN)
            seed = "-" if score.seed is None else str(score.seed)
            rows.append((score.name, seed, accuracy, f"{low:.2f}–{high:.2f}", macro_f1))
    return text_table(rows, left=("run",))


def _groups_table(comparison: RunComparison) -> str:
    rows = [("runs that differ by seed only", "n", *(f"{name} mean (sd)" for name in _MAIN))]
    for group in comparison.groups:
        cells = (f"{group.mean(name):.2f} ({_or_dash(group.spread(name), '.2f')})" for name in _MAIN)
        rows.append((group.name, str(len(group.scores)), *cells))
    return text_table(rows, left=("runs that differ by seed only",))


def _pairs_table(comparison: RunComparison) -> str:
    header = ("second − first, points", *_MAIN, "only first right", "only second right", "p", "p (Holm)")
    rows: list[Sequence[str]] = [header]
    for pair in comparison.pairs:
        sources = (str(pair.mcnemar.only_first), str(pair.mcnemar.only_second)) if pair.mcnemar else ("-", "-")
        cells = (_interval(pair.differences[name]) for name in _MAIN)
        rows.append((_title(pair), *cells, *sources, _p(pair.p), _p(pair.p_holm)))
    return text_table(rows, left=header[:1])


def _recalls_table(comparison: RunComparison) -> str:
    names = [name for name in comparison.pairs[0].differences if name not in _MAIN]
    rows = [("second − first, points", *names)]
    rows += [(_title(pair), *(_interval(pair.differences[name]) for name in names)) for pair in comparison.pairs]
    return text_table(rows, left=("second − first, points",))


def _verdicts(comparison: RunComparison) -> Iterator[str]:
    for pair in comparison.pairs:
        if pair.p_holm < _SIGNIFICANT:
            better = pair.second if pair.differences["accuracy"].value > 0 else pair.first
            real = "differ, by their seeds alone" if comparison.seeds_apart else "the difference is real"
            yield f"{_title(pair)}: {real} (p {_p(pair.p_holm)}); {better} is the more accurate"
        else:
            yield f"{_title(pair)}: not told apart on these images (p {_p(pair.p_holm)})"
    if any(pair.mcnemar for pair in comparison.pairs):
        yield "a run alone stands for its own weights: whether its recipe is better, only more seeds can tell"
    yield f"tests: {_tests(comparison)}; Holm's correction for {len(comparison.pairs)}; intervals are 95%, one by one"


def _tests(comparison: RunComparison) -> str:
    kinds = {pair.mcnemar is None for pair in comparison.pairs}
    of_runs = "McNemar's exact, sources resampled for intervals"
    of_groups = "Welch's t over seeds, with the images' variance, where seeds are averaged"
    return " and ".join([of_runs] * (False in kinds) + [of_groups] * (True in kinds))


def _title(pair: Pair) -> str:
    return f"{pair.second} − {pair.first}"


def _interval(difference: Difference) -> str:
    if math.isnan(difference.value):
        return "-"
    return f"{difference.value:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _or_dash(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


# --- Tables -------------------------------------------------------------------------------------------------


def _write_runs(path: Path, comparison: RunComparison) -> None:
    names = list(comparison.pairs[0].differences)
    rows = []
    for group in comparison.groups:
        for score in group.scores:
            low, high = metrics.wilson_interval(score.answers.correct, score.answers.images)
            values = (f"{score.metrics[name]:.4f}" for name in names)
            seed = "" if score.seed is None else score.seed
            counts = (score.answers.images, score.answers.correct)
            rows.append((score.name, group.name, seed, *counts, f"{low:.4f}", f"{high:.4f}", *values))
    header = ("run", "group", "seed", "images", "correct", "accuracy_low", "accuracy_high")
    write_csv(path, (*header, *map(_column, names)), rows)


def _write_groups(path: Path, comparison: RunComparison) -> None:
    names = list(comparison.pairs[0].differences)
    rows = [
        (group.name, len(group.scores), name, f"{group.mean(name):.4f}", f"{group.spread(name):.4f}")
        for group in comparison.groups
        for name in names
    ]
    write_csv(path, ("group", "runs", "metric", "mean", "standard_deviation"), rows)


def _write_differences(path: Path, comparison: RunComparison) -> None:
    header = ("first", "second", "metric", "difference", "low", "high", "test")
    counts = ("only_first_right", "only_second_right", "p", "p_holm")
    rows: list[Sequence[object]] = []
    for pair in comparison.pairs:
        test = "mcnemar" if pair.mcnemar else "welch"
        sources = (pair.mcnemar.only_first, pair.mcnemar.only_second) if pair.mcnemar else ("", "")
        for name, found in pair.differences.items():
            tested = (test, *sources, f"{pair.p:.6g}", f"{pair.p_holm:.6g}") if name == "accuracy" else ("",) * 5
            values = (f"{value:.4f}" for value in (found.value, found.low, found.high))
            rows.append((pair.first, pair.second, name, *values, *tested))
    write_csv(path, (*header, *counts), rows)


def _column(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


# --- Picture ------------------------------------------------------------------------------------------------


def _plot_differences(path: Path, comparison: RunComparison) -> Path:
    """A panel for every pair: each metric's difference with its interval, and the line of no difference."""
    pairs = comparison.pairs
    columns = min(_PANELS_PER_ROW, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    names = list(pairs[0].differences)
    # A panel's title has up to two lines of names and one with the p-value.
    width, height = max(4.2 * columns + 1.2, 7.0), (0.3 * len(names) + 1.5) * rows + 0.7
    figure = new_figure(width, height, f"Differences of {comparison.title}")
    all_axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes, pair in zip(all_axes, pairs, strict=False):
        _draw_pair(axes, pair, width / columns - 0.6, holm=len(pairs) > 1)
    for axes in all_axes[len(pairs) :]:
        axes.set_axis_off()
    for number in range(len(pairs)):
        last = number + columns >= len(pairs)
        all_axes[number].tick_params(labelbottom=last)
        if last:
            all_axes[number].set_xlabel("difference (percentage points)\n← first better      second better →")
    note = "filled: the 95% interval leaves out 0; p is of the accuracies"
    figure.supxlabel(note, fontsize=9, x=0.01, ha="left")
    return save(figure, path)


def _draw_pair(axes: Axes, pair: Pair, width: float, *, holm: bool) -> None:
    names = list(pair.differences)
    for place, (name, found) in enumerate(pair.differences.items()):
        if math.isnan(found.value):
            axes.annotate("no images", (0, place), fontsize=8, color=GREY, ha="center", va="center")
            continue
        beyond = found.low > 0 or found.high < 0
        colour = VERMILLION if beyond else BLUE
        axes.plot((found.low, found.high), (place, place), color=colour, linewidth=2.2 if name in _MAIN else 1.4)
        marker = "D" if name in _MAIN else "o"
        axes.plot(found.value, place, marker, color=colour, markersize=7, markerfacecolor=colour if beyond else "white")
    axes.axvline(0, color="black", linewidth=1)
    axes.axhline(len(_MAIN) - 0.5, color=ORANGE, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    title = wrap(_title(pair), width, 9)
    axes.set_title(f"{title}\np {_p(pair.p_holm)}" + (" (Holm)" if holm else ""), fontsize=9, parse_math=False)
    tidy(axes)
