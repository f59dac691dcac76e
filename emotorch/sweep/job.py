"""One planned run, from its row to its result: what every engine does with a job."""

import logging
import math
from dataclasses import dataclass, replace

from emotorch.analyses.distance import distance_to_original
from emotorch.data.selection import DatasetIndex
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.experiment.train import resume, train_new
from emotorch.paths import Paths
from emotorch.runs.folder import FAILED, FINISHED, LISTED_IN, Run, list_runs
from emotorch.runs.scores import read_validation

logger = logging.getLogger(__name__)

# Of percents in a sweep's table.
_DECIMALS = 4


@dataclass(frozen=True)
class Job:
    """A planned run, and where it stands.

    Attributes:
        number: Of its row.
        sweep: The name of the sweep's folder.
        model: The folder of the run when it was claimed before; else empty.
    """

    number: int
    settings: Settings
    sweep: str
    model: str = ""

    @property
    def origin(self) -> dict[str, object]:
        """What the run's record says of where it comes from."""
        return {"sweep": self.sweep, "sweep_number": self.number, LISTED_IN: self.sweep}


@dataclass(frozen=True)
class Result:
    """How a planned run ended.

    Attributes:
        number: Of its row.
        model: Its folder's name; empty when it failed before it had one.
        status: `finished` or `failed`.
        seconds: Of the last process that worked on it.
        distance: To the published original; NaN where there is none.
        collapsed: Whether it predicts one class for every image.
        error: Why it failed.
        accuracy, macro_f1, loss: Over all its validation images, the first two in percent; NaN where unknown.
    """

    number: int
    model: str
    status: str
    seconds: float = 0.0
    distance: float = math.nan
    collapsed: bool = False
    error: str = ""
    accuracy: float = math.nan
    macro_f1: float = math.nan
    loss: float = math.nan


def run_job(paths: Paths, job: Job, index: DatasetIndex) -> Result:
    """Trains a planned run, or goes on with it; an error becomes its result, so that the sweep's next run starts."""
    try:
        claimed = Run(paths.models / job.model) if job.model else None
        if claimed and "settings" in claimed.record:
            run = resume(paths, claimed, index=index)
        else:
            run = train_new(paths, job.settings, index=index, origin=job.origin, claimed=claimed)
    except Exception as error:
        logger.exception("run %d failed", job.number)
        begun = claimed or runs_of(paths, job.sweep).get(job.number)
        text = str(error) if isinstance(error, EmoTorchError) else f"{type(error).__name__}: {error}"
        return Result(job.number, begun.name if begun else "", FAILED, error=text)
    return result_of(job.number, run)


def result_of(number: int, run: Run) -> Result:
    """The result of a run that has ended, from its folder."""
    record = run.record
    if record["status"] != FINISHED:
        return Result(number, run.name, FAILED, error=record.get("error", ""))
    try:
        distance = distance_to_original(run).combined
    except EmoTorchError as error:  # other classes than the original has, or no FER images to validate
        logger.info("%s has no distance to the original: %s", run.name, error)
        distance = math.nan
    result = Result(number, run.name, FINISHED, sum(record["timings_s"].values()), distance, record["collapsed"])
    return with_scores(result, run)


def with_scores(result: Result, run: Run) -> Result:
    """The result of a finished run, with its scores on its validation images from its folder."""
    score = read_validation(run)
    accuracy, macro_f1 = round(score.accuracy, _DECIMALS), round(score.macro_f1, _DECIMALS)
    return replace(result, accuracy=accuracy, macro_f1=macro_f1, loss=score.loss)


def runs_of(paths: Paths, sweep: str) -> dict[int, Run]:
    """The runs that a sweep has begun, by their numbers in its plan."""
    begun = {}
    for run in list_runs(paths.models):
        record = run.record
        if record.get("sweep") == sweep:
            begun[int(record["sweep_number"])] = run
    return begun
