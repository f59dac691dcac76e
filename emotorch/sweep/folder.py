"""A sweep's folder: `sweep.json` (what it is), `plan.csv` (its runs), `results.csv` (how each ended)."""

import csv
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from emotorch.analyses.criterion import Criterion, criterion_of
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.files import (
    defused,
    drop_cut_line,
    new_folder,
    now,
    open_table,
    read_json,
    read_table,
    write_atomically,
    write_csv,
    write_json,
    writing,
)
from emotorch.paths import Paths
from emotorch.replacing import exclusive
from emotorch.runs.folder import FAILED, FINISHED, Run
from emotorch.runs.record_types import SettingsRecord
from emotorch.sweep.job import Result, with_scores
from emotorch.sweep.plan import Design, PlannedRun, draw_plan
from emotorch.typed import require

LOG_NAME = "log.txt"
# Of every sweep's results; in those that this code began, scores and the run's planned values follow.
RESULT_COLUMNS = ("number", "model", "status", "seconds", "distance", "collapsed", "error")
SCORE_COLUMNS = ("accuracy", "macro_f1", "loss")
_ABOUT, _PLAN, _RESULTS, _LOCK = "sweep.json", "plan.csv", "results.csv", ".lock"


class _Design(TypedDict):
    strategy: str
    count: int
    seed: int
    ranges: dict[str, list[float]]
    varied: list[dict[str, bool | float | str]]
    seeds: NotRequired[int]


class _About(TypedDict):
    started: str
    design: _Design
    settings: SettingsRecord
    dataset: str


@dataclass(frozen=True)
class Sweep:
    """A sweep that this process holds.

    Attributes:
        plan: Its runs; those of a guided sweep so far.
        results: Of the runs that ended, by number.
        lock: The descriptor that holds it. Workers hold it too: until those of a killed sweep have ended, nobody
            goes on with it.
    """

    folder: Path
    design: Design
    criterion: Criterion
    plan: list[PlannedRun]
    results: dict[int, Result]
    lock: int

    @property
    def name(self) -> str:
        return self.folder.name

    def add(self, planned: PlannedRun) -> None:
        """Plans one more run."""
        _append(self.folder / _PLAN, self.design.row(planned))
        self.plan.append(planned)

    def record(self, result: Result) -> None:
        """Writes how a run ended, in the columns that the file has: a sweep that earlier code began keeps its own."""
        planned = self.plan[result.number - 1]
        row = _as_row(result) | dict(zip(self.design.columns, self.design.row(planned), strict=True))
        _append(self.folder / _RESULTS, [row[column] for column in self._result_columns])
        self.results[result.number] = result

    @cached_property
    def _result_columns(self) -> list[str]:
        with open_table(self.folder / _RESULTS) as file:
            return next(csv.reader(file), [])


@contextmanager
def open_sweep(
    paths: Paths, base: Settings, design: Design, index: DatasetIndex, *, new: bool = False
) -> Iterator[Sweep]:
    """Goes on with the newest sweep of these design, settings and dataset if it is unfinished; else, and if `new`,
    begins one.

    Raises:
        EmoTorchError: another process runs that sweep.
    """
    about = {"design": design.as_dict(), "settings": base.as_dict(), "dataset": index.fingerprint}
    plan = draw_plan(design)
    with ExitStack() as held:
        with exclusive(paths.models / ".sweeps.lock", "the start of another sweep"):
            folder = None if new else _unfinished(paths.models, base, about)
            folder = folder or _begin(paths.models, about, design, plan)
            # Taken before the other lock is let go: no other process finds it unfinished and free.
            lock = held.enter_context(exclusive(folder / _LOCK, f"the same sweep, {folder.name},"))
        if not (folder / MANIFEST).exists():  # the runs' records of their images refer to it
            write_atomically(folder / MANIFEST, partial(shutil.copyfile, index.paths.originals / MANIFEST))
        # A run whose line a kill cut short is planned, or its result read, again.
        drop_cut_line(folder / _PLAN)
        drop_cut_line(folder / _RESULTS)
        results = {result.number: result for result in read_results(folder)}
        yield Sweep(folder, design, criterion_of(base.as_dict()), design.read(folder / _PLAN), results, lock)


def _begin(models: Path, about: Mapping[str, Any], design: Design, plan: Iterable[PlannedRun]) -> Path:
    with new_folder(models, "sweep") as folder:
        write_json(folder.prepared / _ABOUT, {"started": now(), **about})
        write_csv(folder.prepared / _PLAN, design.columns, map(design.row, plan))
        write_csv(folder.prepared / _RESULTS, (*RESULT_COLUMNS, *SCORE_COLUMNS, *design.columns[1:]), ())
    return folder.final


def _unfinished(models: Path, base: Settings, about: Mapping[str, Any]) -> Path | None:
    """The newest sweep of this kind, if it has runs without a result."""
    recorded = {path.parent: read_about(path.parent) for path in models.glob(f"sweep_*/{_ABOUT}")}
    design = json.loads(json.dumps(about["design"]))
    same = [
        (record["started"], folder.name, folder)
        for folder, record in recorded.items()
        if (record["design"], record["dataset"]) == (design, about["dataset"]) and _settings_of(record) == base
    ]
    if not same:
        return None
    *_, newest = max(same)
    return newest if (newest / _RESULTS).read_bytes().count(b"\n") - 1 < about["design"]["count"] else None


def _settings_of(record: Mapping[str, Any]) -> Settings | None:
    """The shared settings of a sweep, later ones at their default; None where this code does not know them all."""
    try:
        return Settings.from_record(record)
    except EmoTorchError:
        return None


def _append(path: Path, row: Sequence[object]) -> None:
    """One more row of a table, in one go; what a kill cuts short, `drop_cut_line` takes away."""
    with writing(path), path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(map(defused, row))


def _as_row(result: Result) -> dict[str, object]:
    numbers = ("distance", *SCORE_COLUMNS)
    return {
        **asdict(result),
        "seconds": f"{result.seconds:.1f}",
        "collapsed": str(result.collapsed).lower(),
        "error": " ".join(result.error.split()),  # a row is a line
        **{name: "NaN" if math.isnan(value := getattr(result, name)) else repr(value) for name in numbers},
    }


def find_sweep(paths: Paths, name: str) -> Path | None:
    """A sweep's folder by its name or path; None when it is no sweep's."""
    for folder in (paths.models / name, Path(name)):
        if (folder / _ABOUT).is_file():
            return folder
    return None


def read_about(folder: Path) -> dict[str, Any]:
    """What a sweep is: when it started, its `design`, its `settings`, and the `dataset`'s fingerprint.

    Raises:
        EmoTorchError: it is damaged.
    """
    about: dict[str, Any] = read_json(folder / _ABOUT)
    require(about, _About, f"{folder / _ABOUT}:")
    return about


def plan_file(folder: Path) -> Path:
    """Where a sweep's plan is: a row for each run, with its number, what is varied, and its seed."""
    return folder / _PLAN


def read_plan(folder: Path) -> dict[int, dict[str, float]]:
    """What is planned for each run, by its number: every factor, and every number of the recipe that is varied.

    Raises:
        EmoTorchError: a row is damaged.
    """
    path, plan = folder / _PLAN, {}
    for line, row in enumerate(read_table(path), start=2):
        try:
            number, _ = int(row.pop("number")), int(row.pop("seed"))
            plan[number] = {name: float(value) for name, value in row.items()}
        except (KeyError, TypeError, ValueError):
            raise EmoTorchError(f"{path}, line {line}: not a planned run") from None
    return plan


def read_results(folder: Path) -> list[Result]:
    """How the sweep's runs ended, in the order in which they did.

    Scores that the file of earlier code lacks are read from the folders of the runs, where these still are.

    Raises:
        EmoTorchError: a row is damaged.
    """
    path, results = folder / _RESULTS, []
    with open_table(path) as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                number, seconds, distance = int(row["number"]), float(row["seconds"]), float(row["distance"])
                collapsed = {"true": True, "false": False}[row["collapsed"]]
                scores = {name: float(row[name]) for name in SCORE_COLUMNS if name in row}
                model, status = row["model"], row["status"]
                if number < 1 or status not in (FINISHED, FAILED) or "\0" in model or Path(model).name != model:
                    raise ValueError
                result = Result(number, model, status, seconds, distance, collapsed, row["error"], **scores)
            except (KeyError, TypeError, ValueError):
                raise EmoTorchError(
                    f"{path}, line {line}: not a result; delete the line, its run is read again"
                ) from None
            run = Run(folder.parent / result.model)
            without = not scores and result.status == FINISHED and run.folder.is_dir()
            results.append(with_scores(result, run) if without else result)
    return results
