"""Trials for some minutes, each series as far as the others; results are kept, so that campaigns add up."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torture import damage, faults, hostile, kills, page
from torture.trials import FAILED, MISSED, Bench, Result, Series

KINDS = (kills, faults, damage, hostile, page)
# A subject that ends before it is killed counts as no trial, but a series cannot go on like that for ever.
_TRIES = 3


@dataclass(frozen=True)
class Line:
    """A trial that was made."""

    series: str
    number: int
    outcome: str
    detail: str


@dataclass(frozen=True)
class Limits:
    """When a campaign ends.

    Attributes:
        until: No trial begins after it, by `time.monotonic`.
        most: Trials, if it is not time alone that ends it.
    """

    until: float
    most: int | None = None


def all_series(bench: Bench, only: tuple[str, ...] = ("",)) -> list[Series]:
    """Those whose names begin so."""
    return [series for kind in KINDS for series in kind.series(bench, only) if series.name.startswith(only)]


def run(bench: Bench, series: list[Series], limits: Limits, workers: int = 1) -> None:
    """Makes trials within limits, or until all series are complete.

    Args:
        bench: Where; a worker of several makes every so many-th trial.
        series: Of which.
        limits: Of these trials.
        workers: How many there are.
    """
    path = _results(bench.folder, bench.worker)
    done = Counter(line.series for line in read(bench.folder) if line.outcome != MISSED)
    made = {(line.series, line.number) for line in read(bench.folder)}
    numbers = {one.name: _numbers(one, bench.worker, workers, made) for one in series}
    left = limits.most or sum(one.target for one in series) * _TRIES
    try:
        while time.monotonic() < limits.until and left:
            open_series = [one for one in series if done[one.name] < one.target and one.name in numbers]
            if not open_series:
                return
            chosen = min(open_series, key=lambda one: (done[one.name] + 1) / one.target)
            number = next(numbers[chosen.name], None)
            if number is None:
                del numbers[chosen.name]
                continue
            left -= 1
            try:
                result = attempt(bench, chosen, number)
            except Exception as error:  # noqa: BLE001 - it fails untouched, or the trial itself is at fault
                result = Result(FAILED, f"not tried: {str(error).rstrip().rpartition(chr(10))[2]}")
                print(f"{chosen.name}: {error}", flush=True)
                del numbers[chosen.name]
            done[chosen.name] += result.outcome != MISSED
            line = {"series": chosen.name, "number": number, "outcome": result.outcome, "detail": result.detail}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    finally:
        page.close()
        bench.clear()


def attempt(bench: Bench, series: Series, number: int) -> Result:
    """One trial; what it worked on is kept where it failed."""
    result = series.trial(number)
    if result.outcome == FAILED:
        bench.keep(series.name, number)
        print(f"{series.name}, trial {number}: {result.detail}", flush=True)
    return result


def _numbers(series: Series, worker: int, workers: int, made: set[tuple[str, int]]) -> Iterator[int]:
    tries = series.target if "fails" in series.kind else _TRIES * series.target
    return (number for number in range(worker, tries, workers) if (series.name, number) not in made)


def _results(folder: Path, worker: int) -> Path:
    return folder / f"results-{worker}.jsonl"


def read(folder: Path) -> list[Line]:
    """All trials that were made below a folder; a line that a kill cut short is none."""
    lines = []
    for path in sorted(folder.glob("results-*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(Line(**json.loads(text)))
            except ValueError:
                continue
    return lines
