"""Takes a sweep from its design to the last result, by any engine."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, ImageSet, select
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.paths import Paths
from emotorch.runs.folder import FAILED, FINISHED, Run
from emotorch.sweep.folder import Sweep, open_sweep
from emotorch.sweep.job import Job, Result, result_of, runs_of
from emotorch.sweep.plan import GUIDED, Design, PlannedRun, check_guided, propose

logger = logging.getLogger(__name__)

DIED = "its worker process died twice (killed, or out of memory?); rerun with fewer --workers"
_READ_AT_ONCE = 8192  # images


class Engine(Protocol):
    """Where jobs run: on this machine's cores, or elsewhere. It does with each what `job.run_job` does.

    Attributes:
        reads_files: Whether its workers read this machine's image files, which are then brought into the cache before.
    """

    reads_files: bool

    @property
    def slots(self) -> int:
        """How many jobs it runs at once."""
        ...

    def start(self, job: Job) -> None: ...

    def wait(self) -> tuple[Job, Result | None]:
        """The next job that ended; without a result when its worker died."""
        ...


OpenEngine = Callable[[Sweep, DatasetIndex, Settings, int], AbstractContextManager[Engine]]


def run_sweep(paths: Paths, base: Settings, design: Design, open_engine: OpenEngine, *, new: bool = False) -> Sweep:
    """Trains what a sweep has no result of; one run that fails is recorded, and the next one starts.

    A sweep of the same design, settings and dataset that is unfinished goes on: its finished runs stay, those that
    were begun are resumed.

    Args:
        paths: Where the data is and the models go.
        base: The settings that all runs share.
        design: Of the sweep.
        open_engine: Opens the engine for the sweep, with the dataset, the shared settings, and how many runs there
            are to do.
        new: Begin a sweep whatever is unfinished.

    Returns:
        The sweep, with a result for every run of its plan.

    Raises:
        EmoTorchError: the dataset is not there, or the same sweep runs already.
    """
    index = DatasetIndex.load(paths, base.scheme)
    if design.strategy == GUIDED:
        check_guided(base)
    with open_sweep(paths, base, design, index, new=new) as sweep:
        scheduler = _Scheduler(paths, base, sweep, index)
        scheduler.take_up()
        to_do = design.count - len(sweep.results)
        if to_do:
            logger.info("%s: %d of %d runs to do", sweep.name, to_do, design.count)
            with open_engine(sweep, index, base, to_do) as engine:
                scheduler.run(engine)
    return sweep


@dataclass
class _Scheduler:
    """Gives an engine what of a sweep is still to do.

    Attributes:
        waiting: Jobs that are planned and not started.
        retried: Numbers of the runs whose worker died once.
        read: Which originals (in the first column) and variants are in the cache by now.
    """

    paths: Paths
    base: Settings
    sweep: Sweep
    index: DatasetIndex
    waiting: deque[Job] = field(default_factory=deque)
    retried: set[int] = field(default_factory=set)
    read: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.read = np.zeros((len(self.index.files), 1 + len(OPERATIONS)), dtype=bool)

    def take_up(self) -> None:
        """Finds out what was done: a kill may have come between a run's end and its result."""
        begun = runs_of(self.paths, self.sweep.name)
        for planned in self.sweep.plan:
            if planned.number in self.sweep.results:
                continue
            run = begun.get(planned.number)
            if run is not None and run.status() in (FINISHED, FAILED):
                self.sweep.record(result_of(planned.number, run))
            else:
                self.waiting.append(self._job(planned, run.name if run else ""))

    def _job(self, planned: PlannedRun, model: str = "") -> Job:
        return Job(planned.number, planned.settings(self.base), self.sweep.name, model)

    def run(self, engine: Engine) -> None:
        progress = Progress(self.sweep.design.count, self.sweep.results.values())
        busy = 0
        while True:
            while busy < engine.slots and (job := self._next()) is not None:
                if engine.reads_files:
                    self._read_ahead(job)
                engine.start(job)
                busy += 1
            if not busy:
                return
            if self.waiting and engine.reads_files:
                self._read_ahead(self.waiting[0])
            job, result = engine.wait()
            busy -= 1
            result = result or self._after_death(job)
            if result is not None:
                self.sweep.record(result)
                logger.info("%s", progress.line(result))

    def _next(self) -> Job | None:
        if self.waiting:
            return self.waiting.popleft()
        if len(self.sweep.plan) == self.sweep.design.count:
            return None
        planned = propose(self.sweep.design, self.sweep.plan, self.sweep.results)
        self.sweep.add(planned)
        return self._job(planned)

    def _read_ahead(self, job: Job) -> None:
        """Brings what a run draws, and no run before it, into the cache: no two workers decode the same image.

        This happens here while the workers train the runs before.
        """
        try:
            selection = select(
                self.index,
                job.settings.factors,
                train_on=job.settings.train_on,
                fer_usage=job.settings.recipe.fer_usage,
                split=job.settings.recipe.split,
                seed=job.settings.seed,
            )
        except EmoTorchError:
            return  # the run itself meets the error and records it
        drawn = np.zeros_like(self.read)
        for images in selection.sets().values():
            drawn[images.rows, images.operations] = True
        rows, operations = np.nonzero(drawn & ~self.read)
        self.read |= drawn
        for start in range(0, len(rows), _READ_AT_ONCE):
            part = slice(start, start + _READ_AT_ONCE)
            try:
                ImageSet(self.index, rows[part], operations[part]).lazy()
            except EmoTorchError as error:
                logger.warning("%s; the runs that draw it fail", error)

    def _after_death(self, job: Job) -> Result | None:
        """The result of a run whose worker died; none when it is to be tried again."""
        run = Run(self.paths.models / job.model) if job.model else runs_of(self.paths, self.sweep.name).get(job.number)
        if run is not None and run.status() in (FINISHED, FAILED):
            return result_of(job.number, run)
        if job.number not in self.retried:
            logger.warning("the worker of run %d died; another one goes on with it", job.number)
            self.retried.add(job.number)
            self.waiting.appendleft(replace(job, model=run.name if run else ""))
            return None
        if run is not None:
            run.update(status=FAILED, error=DIED)
        return Result(job.number, run.name if run else "", FAILED, error=DIED)


class Progress:
    """How far a sweep is, and how fast since this process works on it."""

    def __init__(self, count: int, results: Iterable[Result]) -> None:
        results = list(results)
        self._count = count
        self._best = closest(results)
        self._collapsed = count_collapsed(results)
        self._before = self._done = len(results)
        self._started = time.monotonic()

    def line(self, result: Result) -> str:
        """One that ended: which, how many of how many, the rate, the time left, the best so far, the collapsed."""
        # Kept as it goes: a look over all results at each would take hours in a sweep of 100,000.
        self._done += 1
        self._best = closest([result] if self._best is None else [self._best, result])
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
    if (best := closest(results)) is not None:
        lines.append(f"most like the original: {best.model}, distance {best.distance:.5f}")
    return "\n".join(lines)


def closest(results: Iterable[Result]) -> Result | None:
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
