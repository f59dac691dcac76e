"""Whether runs differ, on images that none of them was trained on; runs that differ by seed only count as one."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emotorch import runs
from emotorch.analysis import metrics, paired
from emotorch.analysis.bootstrap import Array
from emotorch.analysis.evaluate import (
    DATASETS,
    Answers,
    EvaluationSet,
    TrainingImages,
    answer,
    load_set,
    record_scoring,
    seen_in_training,
    sources_of,
)
from emotorch.data.split import Indices, group_sources
from emotorch.errors import EmoTorchError, UsageError
from emotorch.paths import Paths
from emotorch.runs import Run
from emotorch.seeding import generator
from emotorch.training.checkpoints import Model, load_model

# Of a run's settings those that are no part of how it is trained.
_NOT_SETTINGS = ("seed", "device", "threads", "tensorboard", "checkpoint_every_s")
_SEED = 42


@dataclass(frozen=True)
class Entrant:
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
    answers: Answers
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


def load_entrants(paths: Paths, names: Sequence[str], scheme: str | None) -> list[Entrant]:
    """The models to compare.

    Raises:
        UsageError: fewer than two, one named twice, or models of different schemes and no scheme to read all as.
    """
    files = [runs.weights_file(paths, name).resolve() for name in names]
    if len(files) < 2:
        raise UsageError("one run alone has nothing to be compared with: name two or more")
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise UsageError(f"{min(twice)} is named twice")
    short = [_short_name(file) for file in files]
    entrants = [
        Entrant(name if short.count(name) == 1 else file.parent.as_posix(), Run(file.parent), load_model(file, scheme))
        for name, file in zip(short, files, strict=True)
    ]
    for entrant in entrants[1:]:
        first, other = entrants[0].model.scheme, entrant.model.scheme
        if other != first:
            raise UsageError(
                f"{entrants[0].name} answers by the scheme {first.name}, {entrant.name} by {other.name}: name one that "
                "both can be read as, for example --scheme emotorch4"
            )
    return entrants


def _short_name(file: Path) -> str:
    return file.parent.name if file.name == "model.pth" else f"{file.parent.name}/{file.name}"


def compare(
    paths: Paths, entrants: Sequence[Entrant], dataset: str, device: torch.device, *, each_run: bool = False
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
    scheme = entrants[0].model.scheme
    everything = load_set(paths, dataset, scheme)
    images, notes = _held_out(paths, entrants, dataset, everything)
    sources = group_sources(sources_of(paths, images, scheme))
    answers = [answer(entrant.model, images, device) for entrant in entrants]
    for entrant, given in zip(entrants, answers, strict=True):
        record_scoring(entrant.run, dataset, given)
    table = _resampled_metrics(images.labels, [given.classes for given in answers], sources, scheme.labels)
    scores = [
        Score(entrant.name, entrant.seed, given, {metric: float(values[0]) for metric, values in of_run.items()})
        for entrant, given, of_run in zip(entrants, answers, table, strict=True)
    ]
    members = [[number] for number in range(len(entrants))] if each_run else _by_seed(entrants)
    seeds_apart = len(members) == 1
    if seeds_apart:
        members = [[number] for number in members[0]]
    groups = [_group([scores[number] for number in chosen]) for chosen in members]
    right = [given.classes == images.labels for given in answers]
    pairs = [
        _compare_pair((groups[a], groups[b]), (members[a], members[b]), table, right, sources)
        for a, b in combinations(range(len(groups)), 2)
    ]
    adjusted = paired.holm([pair.p for pair in pairs])
    inside = dataset in DATASETS or Path(dataset).resolve().is_relative_to(paths.root)
    synthetic = " (synthetic faces)" if inside and paths.is_synthetic else ""
    return RunComparison(
        f"{len(entrants)} runs on {len(images.labels):,} images of {images.name}{synthetic}",
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
    paths: Paths, entrants: Sequence[Entrant], dataset: str, everything: EvaluationSet
) -> tuple[EvaluationSet, list[str]]:
    """The images that no run was trained on, not on a variant or an exact twin either; and what to say of them."""
    trained_on = np.zeros(len(everything.labels), dtype=bool)
    counted, unknown = [], []
    for entrant in entrants:
        known = TrainingImages.of(entrant.run)
        if known is None:
            unknown.append(entrant.name)
            continue
        seen = _seen(paths, entrant.model, dataset, everything, known)
        counted.append(f"{entrant.name} {int(seen.sum()):,}")
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
    for entrant in entrants:
        chose = TrainingImages.of(entrant.run, validation=True)
        number = 0 if chose is None else int(_seen(paths, entrant.model, dataset, images, chose).sum())
        if number:
            notes.append(f"{number:,} of the images chose the epoch of {entrant.name}: to it they are not quite unseen")
    return images, notes


def _seen(paths: Paths, model: Model, dataset: str, images: EvaluationSet, known: TrainingImages) -> NDArray[np.bool_]:
    by_name = dataset in DATASETS and model.trained_as is None
    itself, twin = seen_in_training(images, known, paths.for_scheme(model.scheme.name), by_name=by_name)
    return itself | twin


def _by_seed(entrants: Sequence[Entrant]) -> list[list[int]]:
    """The numbers of runs that differ by seed only. A seed that is there twice is no second draw: it stays apart."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    seeds: dict[str, list[int | None]] = defaultdict(list)
    for number, entrant in enumerate(entrants):
        key = entrant.recipe_key
        found[key, seeds[key].count(entrant.seed)].append(number)
        seeds[key].append(entrant.seed)
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
        recalls = metrics.recalls(of_model)
        by_class = {f"recall of {name}": recalls[:, number] for number, name in enumerate(names)}
        table.append({"accuracy": metrics.accuracy(of_model), "macro-F1": metrics.macro_f1(of_model), **by_class})
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
