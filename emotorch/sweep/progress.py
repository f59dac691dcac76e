"""How far a sweep is, which run is the best, and all its runs as a table."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from emotorch.analyses.criterion import ACCURACY, DISTANCE, MACRO_F1, Criterion
from emotorch.analyses.distance import COLLAPSED
from emotorch.runs.folder import FINISHED
from emotorch.sweep.job import Result
from emotorch.tables import Table

_SHOWN = 10
_SCORES = (ACCURACY, MACRO_F1)


class Progress:
    """How far a sweep is, and how fast since this process works on it."""

    def __init__(self, count: int, results: Iterable[Result], criterion: Criterion = DISTANCE) -> None:
        results = list(results)
        self._count = count
        self._criterion = criterion
        self._best = best_result(results, criterion)
        self._collapsed = count_collapsed(results)
        self._before = self._done = len(results)
        self._trained = 0
        self._started = time.monotonic()

    def line(self, result: Result, changes: Mapping[str, float] | None = None) -> str:
        """A line on a run that ended: its place, score, the rate, the time left, the best run, the collapsed ones.

        `changes`: the run's values of the recipe's numbers that the sweep varies.
        """
        # Kept as it goes: a look over all results at each would take hours in a sweep of 100,000.
        self._done += 1
        self._trained += result.status == FINISHED
        self._best = best_result([result] if self._best is None else [self._best, result], self._criterion)
        self._collapsed += result.collapsed
        seconds = time.monotonic() - self._started
        had = ", ".join(f"{name} {value:.4g}" for name, value in (changes or {}).items())
        parts = [f"{self._done} of {self._count}: {_describe(result, self._criterion)}" + (f" ({had})" if had else "")]
        if self._trained:
            parts.append(f"{3600 * self._trained / max(seconds, 1e-9):,.0f} models per hour")
        parts.append(f"{_duration(seconds / (self._done - self._before) * (self._count - self._done))} left")
        if self._best is not None:
            parts.append(f"best {self._best.model} at {self._criterion.write(_score(self._best, self._criterion))}")
        if self._collapsed:
            parts.append(f"{self._collapsed} collapsed")
        return "; ".join(parts)


def summary(results: Iterable[Result], criterion: Criterion = DISTANCE) -> str:
    """How a sweep ended, in a few lines."""
    results = list(results)
    finished = [result for result in results if result.status == FINISHED]
    lines = [f"{len(finished)} of {len(results)} models trained"]
    if len(finished) < len(results):
        lines.append(f"{len(results) - len(finished)} failed: results.csv says why")
    if collapsed := count_collapsed(results):
        lines.append(f"{collapsed} of the trained collapsed to one class")
    if (best := best_result(results, criterion)) is not None:
        what = "most like the original" if criterion == DISTANCE else f"best by {criterion.word}"
        lines.append(f"{what}: {best.model}, {criterion.write(_score(best, criterion))}")
    return "\n".join(lines)


def best_result(results: Iterable[Result], criterion: Criterion) -> Result | None:
    """The best run that did not collapse: one class for every image is like nothing."""
    known = [result for result in results if not math.isnan(_score(result, criterion)) and not result.collapsed]
    return min(known, key=lambda result: _order(result, criterion), default=None)


def count_collapsed(results: Iterable[Result]) -> int:
    return sum(result.collapsed for result in results)


def best_runs(
    results: Iterable[Result],
    planned: Mapping[int, Mapping[str, float]],
    settings: Sequence[str],
    criterion: Criterion,
) -> Table:
    """The best runs of a sweep, for the console."""
    frame = runs_frame(results, planned, settings, criterion)
    best = frame[frame["status"] == FINISHED].drop(columns=["status", "seconds"]).head(_SHOWN)
    return Table(best if best["note"].any() else best.drop(columns="note"), formats(settings))


def runs_frame(
    results: Iterable[Result],
    planned: Mapping[int, Mapping[str, float]],
    settings: Sequence[str],
    criterion: Criterion,
) -> pd.DataFrame:
    """A row for each run, the best first, those that collapsed and those that failed last.

    `planned` are the planned values of each run, by its number, and `settings` the names of those that are shown.
    """
    scores = dict.fromkeys((criterion, *_SCORES))
    rows = [
        {
            "run": result.number,
            "model": result.model,
            "status": result.status,
            **{score.column: _score(result, score) for score in scores},
            **{name: planned.get(result.number, {}).get(name, math.nan) for name in settings},
            "seconds": result.seconds,
            "note": result.error or (COLLAPSED if result.collapsed else ""),
        }
        for result in sorted(results, key=lambda result: _order(result, criterion))
    ]
    return pd.DataFrame(rows)


def formats(settings: Iterable[str]) -> dict[str, str]:
    """Of a frame of runs."""
    cells = {score.column: score.cell for score in (DISTANCE, *_SCORES)}
    return {**cells, "loss": "{:.4f}", "seconds": "{:.0f}", **dict.fromkeys(settings, "{:.4g}")}


def _score(result: Result, criterion: Criterion) -> float:
    return float(getattr(result, criterion.name))


def _order(result: Result, criterion: Criterion) -> tuple[bool, bool, float, int]:
    score = _score(result, criterion)
    unknown = math.isnan(score)
    return unknown, result.collapsed, 0.0 if unknown else criterion.cost(score), result.number


def _describe(result: Result, criterion: Criterion) -> str:
    if result.status != FINISHED:
        return f"run {result.number} failed: {result.error}"
    # A distance of one that collapsed would mislead.
    scores = _SCORES if result.collapsed else dict.fromkeys((criterion, *_SCORES))
    said = [score.write(value) for score in scores if not math.isnan(value := _score(result, score))]
    what = f"{result.model} {COLLAPSED}" if result.collapsed else result.model
    return f"{what} at {', '.join(said)}" if said else what


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes else f"{seconds:.0f} s"
