"""Which run behaves most like the published original.

Every run is measured on validation images that it drew itself, so a distance is known only within an interval. Two
runs cannot be compared image by image then, and they count as equal where their 95% intervals overlap. That asks for
more than 5% on one pair; it should, since the best of many runs is also the luckiest.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from emotorch.analysis.distance import (
    Distance,
    Weights,
    measure,
    published_original,
    recreation_distance,
    with_interval,
)
from emotorch.errors import EmoTorchError
from emotorch.files import write_csv
from emotorch.paths import Paths
from emotorch.runs import FINISHED, Run, list_runs, timestamped
from emotorch.workers import map_in_order

COLUMNS = (
    "model",
    "combined_score",
    "accuracy_mse",
    "fer_cm_mse",
    "ckp_cm_mse",
    "training_accuracy",
    "training_accuracy_diff",
    "combined_validation_accuracy",
    "combined_validation_accuracy_diff",
    "note",
    "distance_low",
    "distance_high",
)
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


def compare_runs(paths: Paths, *, accuracy_weight: float, matrix_weight: float, workers: int = 1) -> Comparison:
    """Compares every finished run with the published original, by so many processes, and writes the table.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    comparison = compare(paths, Weights(accuracy_weight, matrix_weight), workers=workers)
    write_csv(comparison.file, COLUMNS, map(_row, comparison.distances))
    return comparison


def compare(paths: Paths, weights: Weights, only: Collection[str] | None = None, *, workers: int = 1) -> Comparison:
    """Compares every finished run, or only those of these names, with the published original.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    names = [run.name for run in list_runs(paths.models) if only is None or run.name in only]
    parts = [names[start : start + _READ_AT_ONCE] for start in range(0, len(names), _READ_AT_ONCE)]
    distances: list[Distance] = []
    left_out: list[tuple[str, str]] = []
    for _, (measured, others) in map_in_order(partial(_measure_with_intervals, paths, weights), parts, workers):
        distances += measured
        left_out += others
    if not distances:
        reasons = "".join(f"; {name}: {why}" for name, why in left_out[:3])
        raise EmoTorchError(f"no finished model in {paths.models} to compare{reasons}")
    distances.sort(key=lambda distance: (not distance.complete, distance.combined, distance.model))
    return Comparison(distances, left_out, timestamped(paths.models, "comparison_results", ".csv"), weights)


def _measure_with_intervals(
    paths: Paths, weights: Weights, names: Sequence[str]
) -> tuple[list[Distance], list[tuple[str, str]]]:
    """Some runs, with intervals and without the counts that these come from: of many runs they take most memory."""
    original = published_original()
    distances, left_out = measure_runs([Run(paths.models / name) for name in names], weights)
    return [replace(with_interval(run, original, weights), counts=()) for run in distances], left_out


def measure_runs(runs: Iterable[Run], weights: Weights) -> tuple[list[Distance], list[tuple[str, str]]]:
    """The distance of every run, without an interval, and the runs left out with why."""
    original = published_original()
    distances: list[Distance] = []
    left_out: list[tuple[str, str]] = []
    for run in runs:
        try:
            record = run.record
            status = run.status(record)
            if status == FINISHED:
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


def _row(distance: Distance) -> tuple[object, ...]:
    def number(value: float) -> str:
        return "NaN" if math.isnan(value) else repr(value)

    return (
        distance.model,
        number(distance.combined),
        number(distance.accuracy),
        number(distance.fer),
        number(distance.ckp),
        number(distance.accuracies[0]),
        number(distance.differences[0]),
        number(distance.accuracies[1]),
        number(distance.differences[1]),
        distance.note,
        number(distance.low),
        number(distance.high),
    )
