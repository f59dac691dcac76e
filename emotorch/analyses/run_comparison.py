"""Whether runs differ, on images that none of them was trained on; runs that differ by seed only count as one."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from emotorch.data.split import Indices, group_sources
from emotorch.datasets import PARTS
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.evaluate import (
    EvaluationSet,
    Predictions,
    load_set,
    predict,
    record_scoring,
    seen_in_training,
    sources_of,
)
from emotorch.figures.canvas import BLUE, GREY, ORANGE, VERMILLION, new_figure, save, tidy, wrap
from emotorch.files import new_folder, write_csv, write_text
from emotorch.metrics import confusion, intervals, paired
from emotorch.metrics.intervals import Array
from emotorch.metrics.paired import Difference
from emotorch.paths import Paths
from emotorch.runs.folder import Run, weights_file
from emotorch.runs.usage import TrainingImages
from emotorch.seeding import generator
from emotorch.tables import text_table
from emotorch.training.checkpoints import Model, load_model

# Of a run's settings those that are no part of how it is trained.
_NOT_SETTINGS = ("seed", "device", "threads", "tensorboard", "checkpoint_every_s")


_SEED = 42


@dataclass(frozen=True)
class Candidate:
    """A run's model."""

    name: str
    run: Run
    model: Model

    @property
    def seed(self) -> int | None:
        seed: int | None = self.run.record.get("settings", {}).get("seed")
        return seed

    @property
    def recipe_key(self) -> str:
        """Equal for runs of the same settings and data, whatever their seed; a run without a record is alone."""
        record = self.run.record
        if "settings" not in record:
            return self.name
        settings = {key: value for key, value in record["settings"].items() if key not in _NOT_SETTINGS}
        return json.dumps([settings, record.get("dataset"), self.name.partition("/")[2]], sort_keys=True)


@dataclass(frozen=True)
class Score:
    """A run's answers to the images that all runs were scored on.

    Attributes:
        name: The run's.
        seed: Of its training, where known.
        answers: The run's.
        metrics: Percent, by name: accuracy, macro-F1, each class's recall (NaN for one without images).
    """

    name: str
    seed: int | None
    predictions: Predictions
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Group:
    """A run, or runs that differ by seed only."""

    name: str
    scores: Sequence[Score]

    def mean(self, metric: str) -> float:
        return float(np.mean([score.metrics[metric] for score in self.scores]))

    def spread(self, metric: str) -> float:
        """Standard deviation over the seeds; NaN for one."""
        values = [score.metrics[metric] for score in self.scores]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Pair:
    """Two groups compared.

    Attributes:
        first, second: Their names.
        differences: The second's metrics less the first's, percentage points.
        mcnemar: Of two single runs; None where seeds are averaged.
        p: Of the accuracies' difference: McNemar's, or that of Welch's test over seeds and images.
        p_holm: The same, for all pairs together.
    """

    first: str
    second: str
    differences: Mapping[str, paired.Difference]
    mcnemar: paired.McNemar | None
    p: float
    p_holm: float


@dataclass(frozen=True)
class RunComparison:
    """What was found.

    Attributes:
        title: Runs and dataset, marked when the faces are synthetic.
        images: How many were scored.
        notes: Which images those are, and what was left out.
        groups: In the order of their first runs.
        pairs: Every two of the groups.
        seeds_apart: All runs differ by seed only, so that they are compared one by one.
    """

    title: str
    images: int
    notes: Sequence[str]
    groups: Sequence[Group]
    pairs: Sequence[Pair]
    seeds_apart: bool


def load_candidates(paths: Paths, names: Sequence[str], scheme: str | None) -> list[Candidate]:
    """The models to compare.

    Raises:
        UsageError: fewer than two, one named twice, or models of different schemes and no scheme to read all as.
    """
    files = [weights_file(paths, name).resolve() for name in names]
    if len(files) < 2:
        raise UsageError("one run alone has nothing to be compared with: name two or more")
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice")
    short = [_short_name(file) for file in files]
    candidates = [
        Candidate(
            name if short.count(name) == 1 else file.parent.as_posix(), Run(file.parent), load_model(file, scheme)
        )
        for name, file in zip(short, files, strict=True)
    ]
    for candidate in candidates[1:]:
        first, other = candidates[0].model.scheme, candidate.model.scheme
        if other != first:
            raise UsageError(
                f"{candidates[0].name} predicts by the scheme {first.name}, {candidate.name} by {other.name}: name "
                "one that both can be read as, for example --scheme emotorch4"
            )
    return candidates


def _short_name(file: Path) -> str:
    return file.parent.name if file.name == "model.pth" else f"{file.parent.name}/{file.name}"


def compare(
    paths: Paths, candidates: Sequence[Candidate], dataset: str, device: torch.device, *, each_run: bool = False
) -> RunComparison:
    """Scores all on the same images of a dataset, and tests every two groups.

    Args:
        paths: Of the data.
        entrants: What `load_entrants` gave.
        dataset: As `evaluate.load_set` takes it.
        device: To run the networks on.
        each_run: Compare single runs, also those that differ by seed only.

    Raises:
        EmoTorchError: no such dataset, or no image in it that none of the runs was trained on.
    """
    scheme = candidates[0].model.scheme
    everything = load_set(paths, dataset, scheme)
    images, notes = _held_out(paths, candidates, dataset, everything)
    sources = group_sources(sources_of(paths, images, scheme))
    predictions = [predict(candidate.model, images, device) for candidate in candidates]
    for candidate, given in zip(candidates, predictions, strict=True):
        record_scoring(candidate.run, dataset, given)
    table = _resampled_metrics(images.labels, [given.classes for given in predictions], sources, scheme.labels)
    scores = [
        Score(candidate.name, candidate.seed, given, {metric: float(values[0]) for metric, values in of_run.items()})
        for candidate, given, of_run in zip(candidates, predictions, table, strict=True)
    ]
    members = [[number] for number in range(len(candidates))] if each_run else _by_seed(candidates)
    seeds_apart = len(members) == 1
    if seeds_apart:
        members = [[number] for number in members[0]]
    groups = [_group([scores[number] for number in chosen]) for chosen in members]
    right = [given.classes == images.labels for given in predictions]
    pairs = [
        _compare_pair((groups[a], groups[b]), (members[a], members[b]), table, right, sources)
        for a, b in combinations(range(len(groups)), 2)
    ]
    adjusted = paired.holm([pair.p for pair in pairs])
    inside = dataset in PARTS or Path(dataset).resolve().is_relative_to(paths.root)
    synthetic = " (synthetic faces)" if inside and paths.is_synthetic else ""
    return RunComparison(
        f"{len(candidates)} runs on {len(images.labels):,} images of {images.name}{synthetic}",
        len(images.labels),
        [
            *notes,
            f"of {int(sources.max()) + 1:,} sources: exact twins, variants of an original, a CK+ person count together",
        ],
        groups,
        [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)],
        seeds_apart,
    )


def _held_out(
    paths: Paths, candidates: Sequence[Candidate], dataset: str, everything: EvaluationSet
) -> tuple[EvaluationSet, list[str]]:
    """The images that no run was trained on, not on a variant or an exact twin either; and what to say of them."""
    trained_on = np.zeros(len(everything.labels), dtype=bool)
    counted, unknown = [], []
    for candidate in candidates:
        known = TrainingImages.of(candidate.run)
        if known is None:
            unknown.append(candidate.name)
            continue
        seen = _seen(paths, candidate.model, dataset, everything, known)
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
        chose = TrainingImages.of(candidate.run, validation=True)
        number = 0 if chose is None else int(_seen(paths, candidate.model, dataset, images, chose).sum())
        if number:
            notes.append(
                f"{number:,} of the images chose the epoch of {candidate.name}: to it they are not quite unseen"
            )
    return images, notes


def _seen(paths: Paths, model: Model, dataset: str, images: EvaluationSet, known: TrainingImages) -> NDArray[np.bool_]:
    by_name = dataset in PARTS and model.trained_as is None
    itself, twin = seen_in_training(images, known, paths.for_scheme(model.scheme.name), by_name=by_name)
    return itself | twin


def _by_seed(candidates: Sequence[Candidate]) -> list[list[int]]:
    """The numbers of runs that differ by seed only. A seed that is there twice is no second draw: it stays apart."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    seeds: dict[str, list[int | None]] = defaultdict(list)
    for number, candidate in enumerate(candidates):
        key = candidate.recipe_key
        found[key, seeds[key].count(candidate.seed)].append(number)
        seeds[key].append(candidate.seed)
    return list(found.values())


def _group(scores: Sequence[Score]) -> Group:
    name = scores[0].name
    return Group(name if len(scores) == 1 else f"{name} and {len(scores) - 1} by seed", scores)


def _resampled_metrics(
    labels: Indices, classes: Sequence[Indices], sources: Indices, names: Sequence[str]
) -> list[dict[str, Array]]:
    """For each model every metric's (1 + R,) values: measured, then with sources drawn anew; percent."""
    size = len(names)
    cells = np.stack([labels * size + given for given in classes])
    counts = paired.resampled_counts(cells, size * size, sources, generator("run comparison", _SEED))
    table = []
    for of_model in counts.reshape(len(classes), -1, size, size):
        recalls = confusion.recalls(of_model)
        by_class = {f"recall of {name}": recalls[:, number] for number, name in enumerate(names)}
        table.append({"accuracy": confusion.accuracy(of_model), "macro-F1": confusion.macro_f1(of_model), **by_class})
    return table


def _compare_pair(
    groups: tuple[Group, Group],
    members: tuple[Sequence[int], Sequence[int]],
    table: Sequence[Mapping[str, Array]],
    right: Sequence[NDArray[np.bool_]],
    sources: Indices,
) -> Pair:
    first, second = groups
    test = paired.mcnemar(right[members[0][0]], right[members[1][0]], sources) if _alone(groups) else None
    p = test.p if test else float("nan")
    differences = {}
    for metric in first.scores[0].metrics:
        means = [np.mean([table[number][metric] for number in chosen], axis=0) for chosen in members]
        resampled = means[1] - means[0]
        if test:
            differences[metric] = paired.percentile_difference(resampled)
            continue
        by_run = [[score.metrics[metric] for score in group.scores] for group in groups]
        differences[metric], p_metric = paired.seeds_difference(by_run[0], by_run[1], resampled)
        if metric == "accuracy":
            p = p_metric
    differences = {metric: _within_100(found) for metric, found in differences.items()}
    return Pair(first.name, second.name, differences, test, p, p)


def _within_100(found: paired.Difference) -> paired.Difference:
    # Of two seeds an interval may say less than that both are percentages.
    return replace(found, low=max(-100.0, found.low), high=min(100.0, found.high))


def _alone(groups: Sequence[Group]) -> bool:
    return all(len(group.scores) == 1 for group in groups)


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
            low, high = intervals.wilson_interval(score.predictions.correct, score.predictions.images)
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
            low, high = intervals.wilson_interval(score.predictions.correct, score.predictions.images)
            values = (f"{score.metrics[name]:.4f}" for name in names)
            seed = "" if score.seed is None else score.seed
            counts = (score.predictions.images, score.predictions.correct)
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
