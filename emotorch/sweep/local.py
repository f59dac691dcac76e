"""Runs a sweep's plan on this machine, one run after the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotorch.data.selection import DatasetIndex
from emotorch.errors import EmoTorchError
from emotorch.experiment import Settings, train_new
from emotorch.files import write_csv
from emotorch.paths import Paths
from emotorch.runs import timestamped
from emotorch.sweep.plan import PlannedRun, write_plan

logger = logging.getLogger(__name__)

RESULT_COLUMNS = ("number", "model", "status", "seconds", "error")


@dataclass(frozen=True)
class Result:
    """How a planned run ended: its model folder, or what went wrong."""

    number: int
    model: str
    status: str
    seconds: float
    error: str


def run_sweep(paths: Paths, base: Settings, plan: Sequence[PlannedRun]) -> tuple[Path, list[Result]]:
    """Trains every run of the plan; one that fails is recorded, and the next one starts.

    Args:
        paths: Where the data is and the models go.
        base: The settings that all runs share; factors and seed come from the plan.
        plan: Of the sweep.

    Returns:
        The sweep's folder, with plan.csv and results.csv, and the results.

    Raises:
        EmoTorchError: the dataset is not there.
    """
    index = DatasetIndex.load(paths, base.scheme)
    folder = timestamped(paths.models, "sweep")
    write_plan(folder / "plan.csv", plan)
    results: list[Result] = []
    for planned in plan:
        logger.info("sweep: run %d of %d", planned.number, len(plan))
        results.append(_run(paths, replace(base, factors=planned.factors, seed=planned.seed), planned, index, folder))
        rows = ((r.number, r.model, r.status, f"{r.seconds:.1f}", r.error) for r in results)
        write_csv(folder / "results.csv", RESULT_COLUMNS, rows)
    return folder, results


def _run(paths: Paths, settings: Settings, planned: PlannedRun, index: DatasetIndex, folder: Path) -> Result:
    origin = {"sweep": folder.name, "sweep_number": planned.number}
    try:
        run = train_new(paths, settings, index=index, origin=origin)
    except EmoTorchError as error:
        logger.error("sweep: run %d failed: %s", planned.number, error)
        return Result(planned.number, "", "failed", 0.0, str(error))
    record = run.record
    return Result(planned.number, run.name, record["status"], sum(record["timings_s"].values()), "")
