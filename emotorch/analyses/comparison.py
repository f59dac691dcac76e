"""Which run behaves most like the published original; and the best of runs that no original was published for.

Every run is measured on validation images that it drew itself, so a distance is known only within an interval. Two
runs cannot be compared image by image then, and they count as equal where their 95% intervals overlap. That asks for
more than 5% on one pair; it should, since the best of many runs is also the luckiest.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from emotorch.analyses.criterion import DISTANCE, why_no_original
from emotorch.analyses.distance import (
    COLLAPSED,
    Distance,
    MeasuredRun,
    Weights,
    add_interval,
    measure,
    recreation_distance,
)
from emotorch.analyses.ranking import Ranking, Reference, ranking_figure
from emotorch.analyses.watched import WatchedRun, measure_watched, rankings
from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.files import remove_leftovers, timestamped
from emotorch.paths import Paths, mark_synthetic
from emotorch.runs.folder import COPIES, FINISHED, LEAKY, Run, list_runs
from emotorch.runs.record import RECORD_NAME
from emotorch.tables import Table, counted, to_text, write_table
from emotorch.workers import map_in_order

# Runs that a process reads at a time.
_READ_AT_ONCE = 500
_LEFT_OUT_SHOWN = 10
# Nobody writes to a table or a picture for so long: a kill left it.
_ABANDONED_S = 600
_FACTORS = ("fer", "fer_aug", "ckp", "ckp_aug")
_COLUMNS = (
    *("model", "combined_score", "accuracy_mse", "fer_cm_mse", "ckp_cm_mse"),
    *("training_accuracy", "training_accuracy_diff"),
    *("combined_validation_accuracy", "combined_validation_accuracy_diff"),
    *("note", "distance_low", "distance_high", *_FACTORS, "macro_f1"),
)


@dataclass(frozen=True)
class Comparison:
    """Runs, most similar first (those with CK+ before those without), and the runs left out with why.

    Attributes:
        distances: Of the runs that can be compared with the published original.
        file: Where the table is, once it is written.
        watched: The others, those of a kind together, of each the best first.
    """

    distances: Sequence[Distance]
    left_out: Sequence[tuple[str, str]]
    file: Path
    weights: Weights
    watched: Sequence[WatchedRun] = ()

    @property
    def runs(self) -> Sequence[MeasuredRun]:
        """All that were compared."""
        return *self.distances, *self.watched

    @property
    def synthetic(self) -> bool:
        """Whether the faces of any run are."""
        return any(run.synthetic for run in self.runs)

    @property
    def by_distance(self) -> list[Ranking]:
        """The runs with CK+, and those without: their distances are sums of different parts."""
        parts = ([run for run in self.distances if run.has_ckp == complete] for complete in (True, False))
        return [Ranking(runs, DISTANCE, runs[0].parts) for runs in parts if runs]

    @property
    def first(self) -> Ranking:
        """The first of which not all runs collapsed, if there is one; of those by distance where there are any."""
        candidates = self.by_distance or rankings(self.watched)
        return next((ranking for ranking in candidates if not ranking.best.collapsed), candidates[0])

    def recreation(self, *, complete: bool) -> float:
        """The distance of the published recreation, with CK+ or on FER alone, by the same weights."""
        return recreation_distance(self.weights, complete=complete)


def write_comparison(paths: Paths, weights: Weights, *, leaky: bool = False, workers: int = 1) -> Comparison:
    """Compares every finished run, see `compare`, and writes the table."""
    comparison = compare(paths, weights, leaky=leaky, workers=workers)
    remove_leftovers(paths.models, "comparison_", older_than_s=_ABANDONED_S)
    write_table(comparison.file, results_table(comparison))
    return comparison


def compare(
    paths: Paths, weights: Weights, only: Collection[str] | None = None, *, leaky: bool = False, workers: int = 1
) -> Comparison:
    """Compares every finished run, or only those of these names, with the published original or with each other.

    Leaky runs are left out but on request. The result is the same for any number of worker processes.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    names = [run.name for run in list_runs(paths.models) if only is None or run.name in only]
    parts = [names[start : start + _READ_AT_ONCE] for start in range(0, len(names), _READ_AT_ONCE)]
    measure_part = partial(_measure_with_intervals, paths, weights, leaky)
    measured = [found for part in map_in_order(measure_part, parts, workers) for found in part]
    distances = [run for _, run in measured if isinstance(run, Distance)]
    watched = [run for _, run in measured if isinstance(run, WatchedRun)]
    left_out = [(name, why) for name, why in measured if isinstance(why, str)]
    if not (distances or watched):
        reasons = "".join(f"; {name}: {why}" for name, why in left_out[:3])
        where = found_elsewhere(paths.models / "model_00001") if not names else ""
        raise EmoTorchError(f"no finished model in {paths.models} to compare{reasons}{where}")
    distances.sort(key=lambda distance: (not distance.has_ckp, distance.combined, distance.model))
    watched.sort(key=lambda run: run.order)
    file = timestamped(paths.models, "comparison_results", ".csv")
    return Comparison(distances, left_out, file, weights, watched)


def _measure_with_intervals(
    paths: Paths, weights: Weights, leaky: bool, names: Sequence[str]
) -> list[tuple[str, Distance | WatchedRun | str]]:
    """Some runs, with intervals and without the counts that these come from: of many runs they take most memory."""
    measured = measure_runs([Run(paths.models / name) for name in names], weights, leaky=leaky)
    return [
        (name, replace(add_interval(found, weights), counts=()) if isinstance(found, Distance) else found)
        for name, found in measured
    ]


def measure_runs(
    runs: Iterable[Run], weights: Weights, *, leaky: bool = False
) -> Iterator[tuple[str, Distance | WatchedRun | str]]:
    """By the name of each run its distance, without an interval, or what it watches; or why it is left out."""
    for run in runs:
        try:
            yield run.name, _measure(run, weights, leaky=leaky)
        except EmoTorchError as error:
            yield run.name, str(error)


def _measure(run: Run, weights: Weights, *, leaky: bool) -> Distance | WatchedRun:
    record = run.record
    status = run.status(record)
    if status != FINISHED:
        raise EmoTorchError(status)
    if record.get(LEAKY) and not leaky:
        trained = "on copies of held-out images" if record.get(COPIES) else "with the published split"
        raise EmoTorchError(f"leaky: trained {trained}")
    if why_no_original(record.get("settings", {})):
        return measure_watched(run, record)
    return measure(run, record, weights)


def results_table(comparison: Comparison) -> Table:
    """A row for each run, with the columns of the published comparison first, and every digit of its numbers."""

    def further(run: MeasuredRun) -> dict[str, float]:
        return {**{name: run.setting(name) for name in _FACTORS}, "macro_f1": run.macro_f1}

    distances = [
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
            **further(run),
        }
        for run in comparison.distances
    ]
    watched = [
        {
            "model": run.model,
            "training_accuracy": run.accuracies[0],
            "combined_validation_accuracy": run.accuracies[1],
            "note": "; ".join(filter(None, (f"ranked by {run.kind.criterion.word}: {run.reason}", run.note))),
            **further(run),
        }
        for run in comparison.watched
    ]
    frame = pd.DataFrame([*distances, *watched], columns=_COLUMNS)
    return Table(frame, dict.fromkeys(frame.select_dtypes("float").columns, repr))


def describe(comparison: Comparison) -> str:
    """The best runs with their factors, what chance has to do with it, and how many were compared."""
    lines: list[str] = []
    if comparison.distances:
        first = comparison.first
        ranked = Ranking(comparison.distances, DISTANCE, first.title)
        lines += [
            "most like the original (the smaller the distance, the more alike):",
            to_text(ranked.table(always=_FACTORS)),
            first.describe_noise(),
            f"published recreation, on {first.title}: {comparison.recreation(complete=first.best.has_ckp):.5f}",
        ]
    for ranking in rankings(comparison.watched):
        word, direction = ranking.criterion.word, ranking.criterion.direction
        lines += [
            f"no original was published for {ranking.title}: ranked by {word} ({direction}):",
            to_text(ranking.table()),
            ranking.describe_noise(),
        ]
    unverified = [run.model for run in comparison.distances if not run.recipe_name]
    if unverified:
        more = f" and {len(unverified) - 1:,} more" if len(unverified) > 1 else ""
        lines.append(f"read unverified, without a {RECORD_NAME} that states their SHA-256: {unverified[0]}{more}")
    collapsed, left_out = sum(run.collapsed for run in comparison.runs), comparison.left_out
    compared = len(comparison.runs) - collapsed
    lines.append(f"compared: {compared:,}, and {collapsed:,} that {COLLAPSED}; left out: {len(left_out):,}")
    lines += [f"left out: {name} ({reason})" for name, reason in left_out[:_LEFT_OUT_SHOWN]]
    if len(left_out) > _LEFT_OUT_SHOWN:
        lines.append(f"left out: … and {len(left_out) - _LEFT_OUT_SHOWN:,} more")
    return "\n".join(lines)


def comparison_figure(comparison: Comparison) -> Figure:
    """Draws what ranks every run with its 95% interval, and over each setting that varies.

    Runs with CK+ and runs without have rows of their own: their distances are sums of different parts.
    """
    # A logarithmic axis has no place for a run that equals the original.
    apart = replace(comparison, distances=[run for run in comparison.distances if run.combined > 0])
    drawn: list[tuple[Ranking, Reference | None]] = []
    for ranking in apart.by_distance:
        height = comparison.recreation(complete=ranking.runs[0].has_ckp)
        drawn.append((ranking, (f"published recreation, {ranking.title}: {height:.5f}", height)))
    drawn += [(ranking, None) for ranking in rankings(comparison.watched)]
    left = len(comparison.distances) - len(apart.distances)
    distances, watched = comparison.distances, comparison.watched
    parts = [f"{counted(len(distances), 'run')} compared with the published original"] if distances else []
    if watched:
        first, *more = rankings(watched)
        by = "what their recipes watch" if more else f"{first.criterion.word}: {first.title}"
        parts.append(f"{counted(len(watched), 'run')} ranked by {by}")
    title = mark_synthetic("; ".join(parts), comparison.synthetic)
    return ranking_figure(title, drawn, f"not drawn: {left} at distance 0" if left else "")
