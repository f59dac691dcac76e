"""Whether runs differ, on images that none of them was trained on; runs that differ by seed only count as one."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from emotorch.analyses.candidates import Candidate
from emotorch.data.split import SPLIT_SEED, Indices, group_sources
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import Predictions, predict
from emotorch.evaluation.official_tests import record_scoring
from emotorch.evaluation.seen import chose_the_epoch, seen_by
from emotorch.evaluation.sets import EvaluationSet, as_option, load_set, sources_of, synthetic_suffix
from emotorch.figures.canvas import draw_estimate, new_figure, save, tidy, wrap
from emotorch.figures.colours import BLUE, GREY, ORANGE, VERMILLION
from emotorch.files import new_folder, write_text
from emotorch.metrics import confusion, intervals, paired
from emotorch.metrics.intervals import Array
from emotorch.runs.usage import TrainingImages
from emotorch.seeding import generator
from emotorch.tables import Table, estimates, p_value, to_text, with_interval, write_table

ACCURACY, MACRO_F1 = "accuracy", "macro-F1"
_MAIN = (ACCURACY, MACRO_F1)

# The two tests of an accuracy's difference, by what is compared.
_OF_RUNS, _OF_SEEDS = "mcnemar", "welch"

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class RunComparison:
    """What was found.

    Attributes:
        title: Runs and dataset, marked when the faces are synthetic.
        notes: Which images were scored, and what was left out.
        runs: A row for each: `run`, `group`, `seed` of its training where known, `images`, `correct`, the ends
            `accuracy_low` and `accuracy_high` of the accuracy's interval, and every metric in percent: accuracy,
            macro-F1, each class's recall (NaN for one without images).
        groups: A row for each metric of each group, which is a run or runs that differ by seed only: `group`, `runs`,
            `metric`, `mean`, `standard_deviation` over the seeds (NaN for one).
        differences: A row for each metric of every two groups: `first`, `second`, `metric`, `difference` of the second
            less the first in percentage points, `low`, `high`; for the accuracy also `test`, of single runs the
            sources that `only_first_right` and `only_second_right` count, `p`, and `p_holm` for all pairs together.
        seeds_apart: All runs differ by seed only, so that they are compared one by one.
    """

    title: str
    notes: Sequence[str]
    runs: pd.DataFrame
    groups: pd.DataFrame
    differences: pd.DataFrame
    seeds_apart: bool

    @property
    def tests(self) -> pd.DataFrame:
        """The differences of the accuracies, which are tested: a row for every two groups."""
        return self.differences[self.differences["metric"] == ACCURACY]


def compare(candidates: Sequence[Candidate], dataset: str, *, each_run: bool = False) -> RunComparison:
    """Scores all on the same images of a dataset, and tests every two groups.

    Args:
        dataset: As `evaluate.load_set` takes it.
        each_run: Compare single runs, also those that differ by seed only.

    Raises:
        EmoTorchError: no such dataset, or no image in it that none of the runs was trained on.
        UsageError: fewer than two runs, or runs of different label schemes.
    """
    dataset = as_option(dataset)
    paths, scheme = candidates[0].loaded.paths, candidates[0].model.scheme
    if len(candidates) < 2:
        raise UsageError("one run alone has nothing to be compared with: name two or more")
    for candidate in candidates:
        if candidate.model.scheme != scheme:
            raise UsageError(
                f"{candidates[0].name} predicts by the scheme {scheme.name}, {candidate.name} by "
                f"{candidate.model.scheme.name}: name one that both can be read as, for example --scheme emotorch4"
            )
    images, notes = _held_out(candidates, dataset, load_set(paths, dataset, scheme))
    sources = group_sources(sources_of(paths, images, scheme))
    predictions = [predict(candidate.model, images, candidate.loaded.device) for candidate in candidates]
    for candidate, given in zip(candidates, predictions, strict=True):
        record_scoring(candidate.loaded, dataset, images, given.counts)
    groups = [[number] for number in range(len(candidates))] if each_run else _by_seed(candidates)
    seeds_apart = len(groups) == 1
    if seeds_apart:
        groups = [[number] for number in groups[0]]
    firsts = [candidates[members[0]].name for members in groups]
    names = [
        first if len(members) == 1 else f"{first} and {len(members) - 1} by seed"
        for first, members in zip(firsts, groups, strict=True)
    ]
    resampled = _resample(images.labels, [given.classes for given in predictions], sources, scheme.labels)
    right = [given.classes == images.labels for given in predictions]
    of_runs: list[dict[str, Any]] = []
    of_groups: list[dict[str, Any]] = []
    for name, members in zip(names, groups, strict=True):
        of_runs += [_run_row(candidates[run], name, predictions[run], resampled[run]) for run in members]
        for metric in resampled[0]:
            values = [float(resampled[run][metric][0]) for run in members]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
            row = {"group": name, "runs": len(values), "metric": metric, "mean": float(np.mean(values))}
            of_groups.append({**row, "standard_deviation": spread})
    differences = pd.DataFrame(
        {"first": first, "second": second} | row
        for (first, one), (second, other) in combinations(zip(names, groups, strict=True), 2)
        for row in _differences(one, other, resampled, right, sources)
    )
    tested = differences["metric"] == ACCURACY
    differences.loc[tested, "p_holm"] = paired.holm(differences.loc[tested, "p"].tolist())
    count = int(sources.max()) + 1
    notes.append(f"of {count:,} sources: exact twins, variants of an original, a CK+ person count together")
    scored = f"{len(images.labels):,} images of {images.name}{synthetic_suffix(paths, dataset)}"
    title = f"{len(candidates)} runs on {scored}"
    return RunComparison(title, notes, pd.DataFrame(of_runs), pd.DataFrame(of_groups), differences, seeds_apart)


def _held_out(
    candidates: Sequence[Candidate], dataset: str, everything: EvaluationSet
) -> tuple[EvaluationSet, list[str]]:
    """The images that no run was trained on, not on a variant or an exact twin either; and what to say of them."""
    trained_on = np.zeros(len(everything.labels), dtype=bool)
    counted, unknown = [], []
    for candidate in candidates:
        known = TrainingImages.of(candidate.run)
        if known is None:
            unknown.append(candidate.name)
        else:
            seen = np.logical_or(*seen_by(candidate.model, everything, known, candidate.loaded.paths))
            counted.append(f"{candidate.name} {int(seen.sum()):,}")
            trained_on |= seen
    images = everything.part(~trained_on)
    if not len(images.labels):
        raise EmoTorchError(f"each of the {len(everything.labels):,} images of {dataset} was trained on by some run")
    notes = []
    if counted:
        notes.append(
            f"{int(trained_on.sum()):,} of {len(everything.labels):,} images are left out, because a run was trained "
            f"on them, a variant or an exact twin ({', '.join(counted)})"
        )
    if unknown:
        notes.append(f"no image_usage.csv: what {', '.join(unknown)} was trained on is unknown")
    for candidate in candidates:
        chose = chose_the_epoch(candidate.loaded, images)
        if chose is not None and chose.any():
            said = f"chose the epoch of {candidate.name}: to it they are not quite unseen"
            notes.append(f"{int(chose.sum()):,} of the images {said}")
    return images, notes


def _by_seed(candidates: Sequence[Candidate]) -> list[list[int]]:
    """The numbers of runs that differ by seed only. A seed that is there twice is no second draw: it stays apart."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    seeds: dict[str, list[int | None]] = defaultdict(list)
    for number, candidate in enumerate(candidates):
        key = candidate.recipe_key
        found[key, seeds[key].count(candidate.seed)].append(number)
        seeds[key].append(candidate.seed)
    return list(found.values())


# --- Metrics and their differences --------------------------------------------------------------------------


def _resample(
    labels: Indices, classes: Sequence[Indices], sources: Indices, names: Sequence[str]
) -> list[dict[str, Array]]:
    """For each model every metric's (1 + R,) values: measured, then with resampled sources; percent."""
    rng = generator("run comparison", SPLIT_SEED)
    resampled = []
    for of_model in paired.resampled_confusions(labels, np.stack(classes), len(names), sources, rng):
        recalls = confusion.recalls(of_model)
        by_class = {f"recall of {name}": recalls[:, number] for number, name in enumerate(names)}
        resampled.append({ACCURACY: confusion.accuracy(of_model), MACRO_F1: confusion.macro_f1(of_model), **by_class})
    return resampled


def _run_row(
    candidate: Candidate, group: str, predictions: Predictions, resampled: Mapping[str, Array]
) -> dict[str, Any]:
    low, high = intervals.wilson_interval(predictions.correct, predictions.images)
    return {
        "run": candidate.name,
        "group": group,
        "seed": None if candidate.seed is None else str(candidate.seed),
        "images": predictions.images,
        "correct": predictions.correct,
        "accuracy_low": low,
        "accuracy_high": high,
        **{metric: float(values[0]) for metric, values in resampled.items()},
    }


def _differences(
    first: Sequence[int],
    second: Sequence[int],
    resampled: Sequence[Mapping[str, Array]],
    right: Sequence[NDArray[np.bool_]],
    sources: Indices,
) -> Iterator[dict[str, Any]]:
    """A row for each metric; see `RunComparison`. The groups are numbers of runs."""
    single = len(first) == len(second) == 1
    for metric in resampled[0]:
        values = [[resampled[run][metric] for run in members] for members in (first, second)]
        of_means = np.mean(values[1], axis=0) - np.mean(values[0], axis=0)
        tested: dict[str, Any] = {"test": None, "only_first_right": None, "only_second_right": None, "p": None}
        if single:
            found = paired.percentile_interval(of_means)
            if metric == ACCURACY:
                of_runs = paired.mcnemar(right[first[0]], right[second[0]], sources)
                tested = dict(zip(tested, (_OF_RUNS, of_runs.only_first, of_runs.only_second, of_runs.p), strict=True))
        else:
            measured = [[float(of_run[0]) for of_run in of_group] for of_group in values]
            found, p = paired.seeds_difference(measured[0], measured[1], of_means)
            if metric == ACCURACY:
                tested |= {"test": _OF_SEEDS, "p": p}
        # Of two seeds an interval may say less than that both are percentages.
        low, high = np.clip((found.low, found.high), -100, 100).tolist()
        yield {"metric": metric, "difference": found.value, "low": low, "high": high, **tested}


# --- Tables -------------------------------------------------------------------------------------------------


def write_comparison(models: Path, comparison: RunComparison) -> Path:
    """Writes `run_comparison_<time>/` into a folder, whole or not at all; returns it."""
    with new_folder(models, "run_comparison") as new:
        write_text(new.prepared / "comparison.txt", describe(comparison) + "\n")
        _write_tables(new.prepared, comparison)
        _plot(new.prepared / "differences.png", comparison)
    return new.final


def _write_tables(folder: Path, comparison: RunComparison) -> None:
    runs = comparison.runs.rename(columns=lambda name: name.lower().replace("-", "_").replace(" ", "_"))
    # A metric that is not tested has empty cells, not unknown numbers.
    whole = dict.fromkeys(("only_first_right", "only_second_right"), "Int64")
    differences = comparison.differences.astype({**whole, "p": object, "p_holm": object})
    for name, frame in {"runs": runs, "groups": comparison.groups, "differences": differences}.items():
        formats = dict.fromkeys(frame.select_dtypes("float").columns, "{:.4f}")
        write_table(folder / f"{name}.csv", Table(frame, formats | dict.fromkeys(("p", "p_holm"), "{:.6g}")))


def describe(comparison: RunComparison) -> str:
    """The runs, the seeds' spread where there are several, every two compared, and the result in words."""
    parts = ["\n".join([comparison.title, *comparison.notes]), to_text(_run_table(comparison.runs))]
    if comparison.groups["runs"].max() > 1:
        parts.append(to_text(_group_table(comparison.groups)))
    if comparison.seeds_apart:
        parts.append("these runs differ by seed only: their differences are what chance in training makes")
    metrics = list(dict.fromkeys(comparison.differences["metric"]))
    parts.append(to_text(_test_table(comparison)))
    parts.append(to_text(_difference_table(comparison.differences, metrics[len(_MAIN) :])))
    return "\n\n".join([*parts, "\n".join(_verdicts(comparison))])


def _run_table(runs: pd.DataFrame) -> Table:
    frame = runs[["run", "seed"]].assign(accuracy=estimates(runs, ACCURACY, "accuracy_low", "accuracy_high"))
    frame[MACRO_F1] = runs[MACRO_F1]
    return Table(frame, {"seed": "{}", ACCURACY: with_interval(2), MACRO_F1: "{:.2f}"})


def _group_table(groups: pd.DataFrame) -> Table:
    by_metric = {metric: rows.reset_index(drop=True) for metric, rows in groups.groupby("metric")}
    frame = by_metric[ACCURACY][["group", "runs"]]
    frame.columns = ["runs that differ by seed only", "n"]
    for metric in _MAIN:
        rows = by_metric[metric]
        frame[f"{metric} mean (sd)"] = list(zip(rows["mean"], rows["standard_deviation"], strict=True))

    def write(mean_and_spread: Sequence[float]) -> str:
        mean, spread = mean_and_spread
        return f"{mean:.2f} ({'–' if math.isnan(spread) else f'{spread:.2f}'})"

    return Table(frame, dict.fromkeys(frame.columns[2:], write))


def _difference_table(differences: pd.DataFrame, metrics: Sequence[str]) -> Table:
    """A row for each pair, a column for each metric."""
    frame = pd.DataFrame()
    for metric in metrics:
        rows = differences[differences["metric"] == metric].reset_index(drop=True)
        frame["second − first, points"] = list(map(_pair, rows["first"], rows["second"]))
        frame[metric] = estimates(rows, "difference")
    return Table(frame, dict.fromkeys(metrics, with_interval(2, signed=True)))


def _test_table(comparison: RunComparison) -> Table:
    table = _difference_table(comparison.differences, _MAIN)
    titles = {"only_first_right": "only first right", "only_second_right": "only second right"}
    tests = comparison.tests[[*titles, "p", "p_holm"]].rename(columns={**titles, "p_holm": "p (Holm)"})
    formats = dict.fromkeys(titles.values(), "{:.0f}") | dict.fromkeys(("p", "p (Holm)"), p_value)
    return Table(table.frame.join(tests.reset_index(drop=True)), {**table.formats, **formats})


def _pair(first: str, second: str) -> str:
    return f"{second} − {first}"


def _verdicts(comparison: RunComparison) -> Iterator[str]:
    for row in comparison.tests.to_dict("records"):
        pair, p = _pair(row["first"], row["second"]), f"p {p_value(row['p_holm'])}"
        # McNemar counts sources, persons say, and the accuracy images.
        lead = row["only_second_right"] - row["only_first_right"] if row["test"] == _OF_RUNS else row["difference"]
        if row["p_holm"] < _SIGNIFICANT and lead * row["difference"] <= 0:
            yield f"{pair}: not told apart: more sources speak for the one, more images for the other ({p})"
        elif row["p_holm"] < _SIGNIFICANT:
            better = row["second"] if row["difference"] > 0 else row["first"]
            real = "differ, by their seeds alone" if comparison.seeds_apart else "the difference is real"
            yield f"{pair}: {real} ({p}); {better} is the more accurate"
        else:
            yield f"{pair}: not told apart on these images ({p})"
    tests = set(comparison.tests["test"])
    if _OF_RUNS in tests:
        yield "a run alone stands for its own weights: whether its recipe is better, only more seeds can tell"
    of_runs = "McNemar's exact, sources resampled for intervals"
    of_seeds = "Welch's t over seeds, with the images' variance, where seeds are averaged"
    said = " and ".join([of_runs] * (_OF_RUNS in tests) + [of_seeds] * (_OF_SEEDS in tests))
    yield f"tests: {said}; Holm's correction for {len(comparison.tests)}; intervals are 95%, one by one"


# --- Figure -------------------------------------------------------------------------------------------------


def _plot(path: Path, comparison: RunComparison) -> None:
    """A panel for every pair: each metric's difference with its interval, and the line of no difference."""
    pairs = [rows for _, rows in comparison.differences.groupby(["first", "second"], sort=False)]
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    # A panel's title has up to two lines of names and one with the p-value.
    width, height = max(4.2 * columns + 1.2, 7.0), (0.3 * len(pairs[0]) + 1.5) * rows + 0.7
    figure = new_figure(width, height, f"Differences of {comparison.title}")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes, pair in zip(panels, pairs, strict=False):
        _draw_pair(axes, pair, width / columns - 0.6, holm=len(pairs) > 1)
    for axes in panels[len(pairs) :]:
        axes.set_axis_off()
    for number, axes in enumerate(panels[: len(pairs)]):
        lowest = number + columns >= len(pairs)
        axes.tick_params(labelbottom=lowest)
        if lowest:
            axes.set_xlabel("difference (percentage points)\n← first better      second better →")
    figure.supxlabel("filled: the 95% interval leaves out 0; p is of the accuracies", fontsize=9, x=0.01, ha="left")
    save(figure, path)


def _draw_pair(axes: Axes, pair: pd.DataFrame, width: float, *, holm: bool) -> None:
    metrics = pair["metric"].tolist()
    for place, (metric, estimate) in enumerate(zip(metrics, estimates(pair, "difference"), strict=True)):
        if estimate is None:
            axes.annotate("no images", (0, place), fontsize=8, color=GREY, ha="center", va="center")
            continue
        _, low, high = estimate
        beyond, main = low > 0 or high < 0, metric in _MAIN
        colour = VERMILLION if beyond else BLUE
        marker, line_width = ("D", 2.2) if main else ("o", 1.4)
        draw_estimate(axes, place, estimate, colour, filled=beyond, marker=marker, size=7, line_width=line_width)
    axes.axvline(0, color="black", linewidth=1)
    axes.axhline(len(_MAIN) - 0.5, color=ORANGE, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(metrics)), metrics, parse_math=False)
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    tested = pair.iloc[0]
    title = wrap(_pair(tested["first"], tested["second"]), width, 9)
    p = f"p {p_value(tested['p_holm'])}" + (" (Holm)" if holm else "")
    axes.set_title(f"{title}\n{p}", fontsize=9, parse_math=False)
    tidy(axes)
