"""What a person sees of a sweep: a line for each run that ended, and a summary."""

import math
import time
from collections.abc import Iterable

from emotorch.runs import FINISHED
from emotorch.sweep.one import Result


class Progress:
    """How far a sweep is, and how fast since this process works on it."""

    def __init__(self, count: int, results: Iterable[Result]) -> None:
        results = list(results)
        self._count = count
        self._best = most_alike(results)
        self._collapsed = count_collapsed(results)
        self._before = self._done = len(results)
        self._started = time.monotonic()

    def line(self, result: Result) -> str:
        """One that ended: which, how many of how many, the rate, the time left, the best so far, the collapsed."""
        # Kept as it goes: a look over all results at each would take hours in a sweep of 100,000.
        self._done += 1
        self._best = most_alike([result] if self._best is None else [self._best, result])
        self._collapsed += result.collapsed
        done = self._done
        seconds = (time.monotonic() - self._started) / (done - self._before)
        parts = [
            f"{done} of {self._count}: {_describe(result)}",
            f"{3600 / max(seconds, 1e-9):,.0f} models per hour",
            f"{_duration(seconds * (self._count - done))} left",
        ]
        if self._best is not None:
            parts.append(f"best {self._best.model} at {self._best.distance:.5f}")
        if self._collapsed:
            parts.append(f"{self._collapsed} collapsed")
        return "; ".join(parts)


def summary(results: Iterable[Result]) -> str:
    """How a sweep ended, in a few lines."""
    results = list(results)
    finished = [result for result in results if result.status == FINISHED]
    lines = [f"{len(finished)} of {len(results)} models trained"]
    if len(finished) < len(results):
        lines.append(f"{len(results) - len(finished)} failed: results.csv says why")
    if collapsed := count_collapsed(results):
        lines.append(f"{collapsed} of the trained collapsed to one class")
    if (best := most_alike(results)) is not None:
        lines.append(f"most like the original: {best.model}, distance {best.distance:.5f}")
    return "\n".join(lines)


def most_alike(results: Iterable[Result]) -> Result | None:
    """The run with the smallest distance to the original; one that collapsed is like nothing."""
    known = [result for result in results if not math.isnan(result.distance) and not result.collapsed]
    return min(known, key=lambda result: (result.distance, result.number), default=None)


def count_collapsed(results: Iterable[Result]) -> int:
    return sum(result.collapsed for result in results)


def _describe(result: Result) -> str:
    if result.status != FINISHED:
        return f"run {result.number} failed: {result.error}"
    if result.collapsed:
        return f"{result.model} collapsed to one class"
    return result.model if math.isnan(result.distance) else f"{result.model} at {result.distance:.5f}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes else f"{seconds:.0f} s"
