"""Runs a sweep from its design to the last result, on any engine."""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emotorch.analyses.criterion import LOSS, criterion_of
from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, ImageSet
from emotorch.errors import EmoTorchError, UsageError
from emotorch.experiment.settings import Settings
from emotorch.experiment.start import new_network, require_unseen
from emotorch.files import tells_of_full_disk
from emotorch.paths import Paths
from emotorch.runs.folder import FAILED, FINISHED, Run
from emotorch.sweep.folder import Sweep, open_sweep
from emotorch.sweep.job import Job, Result, result_of, runs_of
from emotorch.sweep.plan import GUIDED, Design, PlannedRun, propose, require_optuna
from emotorch.sweep.progress import Progress
from emotorch.training.distillation import read_teachers

logger = logging.getLogger(__name__)

DIED = "its worker process died twice (killed, or out of memory?); rerun with fewer --workers"
_READ_AT_ONCE = 8192  # images


class Engine(Protocol):
    """Where jobs run, each by `job.run_job`: on this machine's cores, or elsewhere.

    Attributes:
        reads_files: Whether its workers read this machine's image files: these are then cached before.
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


# Opens an engine for a sweep, its dataset, the settings that all runs share, and the number of runs to do.
OpenEngine = Callable[[Sweep, DatasetIndex, Settings, int], AbstractContextManager[Engine]]


def run_sweep(paths: Paths, base: Settings, design: Design, open_engine: OpenEngine, *, new: bool = False) -> Sweep:
    """Trains all runs of a sweep that have no result yet; a run that fails is recorded, and the next one starts.

    An unfinished sweep of the same design, settings and dataset goes on, unless a `new` one is asked for: its finished
    runs stay, begun ones resume. `base` are the settings that all runs share.

    Raises:
        EmoTorchError: the dataset is not there, every run would fail (see `_check`), the same sweep runs already,
            or the disk is full: the same command goes on when there is room.
    """
    index = DatasetIndex.load(paths, base.scheme)
    _check(base, design, index)
    with open_sweep(paths, base, design, index, new=new) as sweep:
        scheduler = _Scheduler(paths, base, sweep, index)
        scheduler.take_up()
        to_do = design.count - len(sweep.results)
        if to_do:
            logger.info("%s: %d of %d runs to do", sweep.name, to_do, design.count)
            if not design.differing:
                logger.info("nothing is varied: the runs differ by their seed alone (see --vary)")
            with open_engine(sweep, index, base, to_do) as engine:
                scheduler.run(engine)
    return sweep


def _check(base: Settings, design: Design, index: DatasetIndex) -> None:
    """Looks before the first run for what every run would fail by, or could not be ranked by.

    It draws the most images that a run may draw, and makes the networks at both ends of the varied ranges.

    Raises:
        EmoTorchError: a class has no image, stage 3 has not run and variants are drawn, a network does not take its
            configuration, or weights or teachers to start from are missing or damaged.
        UsageError: an option names what is not there, a guided sweep has nothing to choose, or what ranks the runs
            is varied itself.
    """
    lowest, highest = (design.planned(1, design.at(place)).settings(base) for place in (0, 1))
    if design.strategy == GUIDED:
        require_optuna()
        if lowest == highest:
            raise UsageError("--strategy guided has nothing to choose: vary a number with --vary, or a factor's range")
    gammas = {settings.recipe.focal_gamma for settings in (lowest, highest) if settings.recipe.loss == "focal"}
    if len(gammas) > 1 and criterion_of(base.as_dict()) == LOSS:
        raise UsageError("--vary focal_gamma changes the loss itself, which ranks the runs: add --set watch=macro_f1")
    # Whatever a smaller factor draws is a part of what the largest draws.
    selection = highest.select(index)
    if selection.shared and len(selection.shared.rows):
        logger.info("%s: %s", base.train_on, selection.shared.describe())
    read_teachers(index.paths, base.recipe.teachers, base.scheme, selection)
    require_unseen(base, index, selection)
    for settings in (lowest, highest):
        new_network(settings)


@dataclass
class _Scheduler:
    """Gives an engine the jobs that a sweep still has to do.

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
        """Records runs whose result a kill prevented, and makes jobs of all others without one."""
        begun = runs_of(self.paths, self.sweep.name)
        for planned in self.sweep.plan:
            if planned.number in self.sweep.results:
                continue
            run = begun.get(planned.number)
            ended = result_of(planned.number, run) if run is not None and run.status() in (FINISHED, FAILED) else None
            if ended is not None and not _met_full_disk(ended):
                self.sweep.record(ended)
            else:
                self.waiting.append(self._job(planned, run.name if run else ""))

    def _job(self, planned: PlannedRun, model: str = "") -> Job:
        return Job(planned.number, planned.settings(self.base), self.sweep.name, model)

    def run(self, engine: Engine) -> None:
        progress = Progress(self.sweep.design.count, self.sweep.results.values(), self.sweep.criterion)
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
            if result is None:
                continue
            if _met_full_disk(result):
                raise EmoTorchError(f"run {result.number}: {result.error}; make room, and the same command goes on")
            self.sweep.record(result)
            logger.info("%s", progress.line(result, self.sweep.plan[result.number - 1].changes))

    def _next(self) -> Job | None:
        if self.waiting:
            return self.waiting.popleft()
        if len(self.sweep.plan) == self.sweep.design.count:
            return None
        planned = propose(self.sweep.design, self.sweep.plan, self.sweep.results, self.sweep.criterion)
        self.sweep.add(planned)
        return self._job(planned)

    def _read_ahead(self, job: Job) -> None:
        """Caches the images that this run is the first to draw, while the workers train: no two decode the same."""
        try:
            selection = job.settings.select(self.index)
        except EmoTorchError:
            return  # the run itself meets the error and records it
        drawn = np.zeros_like(self.read)
        for images in selection.sets().values():
            drawn[images.rows, images.operations] = True
        form = job.settings.pixel_form(self.index)
        rows, operations = np.nonzero(drawn & ~self.read)
        self.read |= drawn
        for start in range(0, len(rows), _READ_AT_ONCE):
            part = slice(start, start + _READ_AT_ONCE)
            try:
                ImageSet(self.index, rows[part], operations[part]).lazy(form)
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


def _met_full_disk(result: Result) -> bool:
    """Whether a run failed by a full disk: all runs after it would too, and it can go on later."""
    return result.status == FAILED and tells_of_full_disk(result.error)
