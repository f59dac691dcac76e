"""Run folders: `model_00001`, …: claimed by one process, recorded in `run.json`, read by everything else."""

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from filelock import FileLock, Timeout

from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, read_json, remove_leftovers, write_json
from emotorch.paths import MODEL_ORIGINAL, SHIPPED_MODELS, Paths

RECORD_NAME = "run.json"
# What a record calls the SHA-256 of its files of weights.
HASHES = {"model.pth": "weights_sha256", "model.onnx": "onnx_sha256"}
# What a run's folder holds without a face in it, beside its weights and its card: patterns in the order in which a
# card names them. All else may show faces, also what somebody put there, and is never published.
FACELESS = (
    RECORD_NAME,
    "model_parameters.txt",
    "final_accuracies.csv",
    "classification_report.txt",
    "usage_summary.csv",
    "image_usage.csv",
    "training_history.json",
    "training_history.png",
    "training_history_*.csv",
    "confusion_counts_*.csv",
    "confusion_matrix_*.csv",
    "confusion_matrix_*.png",
    "confusion_matrices_fer_vs_ckp.png",
)
# The same of the folders of findings, less their stamps.
FACELESS_FINDINGS = {
    "robustness": ("findings.json", "robustness.csv", "corruption_errors.csv", "robustness_curves.png"),
    "scores": ("findings.json", "reliability_*.csv", "reliability_*.png"),
}
_LOCK_NAME = ".running"
_NUMBERED = re.compile(r"model_(\d{5,})$")

Number = TypeVar("Number", int, float)

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"


# What image_usage.csv calls the sets of a run.
TRAINING, FER_VALIDATION, CKP_VALIDATION = "training", "fer_validation", "ckp_validation"


@dataclass(frozen=True)
class Run:
    """A run's folder and its record."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json; empty for a folder that other code wrote."""
        path = self.folder / RECORD_NAME
        try:
            record: dict[str, Any] = read_json(path)
        except FileNotFoundError:
            return {}
        if not isinstance(record, dict):
            raise EmoTorchError(f"{path}: not a run's record")
        return record

    def update(self, **changes: object) -> None:
        write_json(self.folder / RECORD_NAME, {**self.record, **changes})

    def status(self, record: Mapping[str, Any] | None = None) -> str:
        """`finished` for a folder without a record: another program wrote it, all at once.

        A run that says it is running, but whose process has gone, is recorded as interrupted.

        Args:
            record: The run's, when it is read already.
        """
        status: str = (self.record if record is None else record).get("status", FINISHED)
        if status == RUNNING and not self._is_held():
            self.update(status=INTERRUPTED)
            return INTERRUPTED
        return status

    def _is_held(self) -> bool:
        lock = FileLock(self.folder / _LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Holds the run while it is being trained, and records how that ends.

        Raises:
            EmoTorchError: another process is training it.
        """
        lock = FileLock(self.folder / _LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise EmoTorchError(f"{self.folder} is being trained by another process") from None
        try:
            remove_leftovers(self.folder)
            self.update(status=RUNNING)
            yield
        except KeyboardInterrupt:
            self.update(status=INTERRUPTED)
            raise
        except BaseException as error:
            self.update(status=FAILED, error=f"{type(error).__name__}: {error}")
            raise
        finally:
            lock.release()


def now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def timestamped(folder: Path, stem: str, suffix: str = "") -> Path:
    """A free name in a folder: `<stem>_20261120_190312<suffix>`, with `_2`, `_3`, … where that is taken."""
    name = f"{stem}_{datetime.now():%Y%m%d_%H%M%S}"
    path, number = folder / f"{name}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}{suffix}"
    return path


@dataclass(frozen=True)
class NewFolder:
    """Where to write, and what the folder is called once it is whole."""

    prepared: Path
    final: Path


@contextmanager
def new_folder(parent: Path, stem: str) -> Iterator[NewFolder]:
    """A folder `<stem>_<time>`, whole or not there."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = NewFolder(Path(tempfile.mkdtemp(prefix=f".{stem}-", dir=parent)), timestamped(parent, stem))
    try:
        folder.prepared.chmod(0o755)
        yield folder
        folder.prepared.rename(folder.final)
    except BaseException:
        shutil.rmtree(folder.prepared, ignore_errors=True)
        raise


def claim(models: Path, record: dict[str, Any], after: Run | None = None) -> Run:
    """Makes the next `model_NNNNN`, with its record in it, for this process alone.

    The folder is made under another name and renamed: of two processes that want the same number one gets
    an error from the system, and takes the next.

    Args:
        models: Where it goes.
        record: What is known of the run.
        after: The one that this process claimed before: among 100,000 folders a look at all of them takes longer
            than all else that a claim does.
    """
    models.mkdir(parents=True, exist_ok=True)
    number = 1 + (_highest(models) if after is None else int(after.name.removeprefix("model_")))
    prepared = Path(tempfile.mkdtemp(prefix=".claim-", dir=models))
    try:
        prepared.chmod(0o755)
        write_json(prepared / RECORD_NAME, record)
        while True:
            folder = models / f"model_{number:05d}"
            try:
                prepared.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
                number += 1
            else:
                return Run(folder)
    except BaseException:
        shutil.rmtree(prepared, ignore_errors=True)
        raise


def _highest(models: Path) -> int:
    return max((int(match[1]) for path in models.iterdir() if (match := _NUMBERED.match(path.name))), default=0)


def list_runs(models: Path) -> list[Run]:
    """Every `model_*` folder but the published original, by name."""
    if not models.is_dir():
        return []
    with os.scandir(models) as entries:
        names = [entry.name for entry in entries if entry.name.startswith("model_") and entry.is_dir()]
    return [Run(models / name) for name in sorted(names) if name != MODEL_ORIGINAL.name]


def newest(paths: Paths) -> Run:
    """The numbered run that was claimed last.

    Raises:
        EmoTorchError: there is none.
    """
    numbered = [run for run in list_runs(paths.models) if _NUMBERED.match(run.name)]
    if not numbered:
        raise EmoTorchError(f"no model in {paths.models}: train one first, or name a model folder")
    return max(numbered, key=lambda run: int(run.name.removeprefix("model_")))


def find(paths: Paths, model: str) -> Run:
    """A run by its folder's name, here or of a model that ships, or by a path to it (or to a file in it).

    Raises:
        EmoTorchError: there is no such folder.
    """
    if model == MODEL_ORIGINAL.name:
        return Run(MODEL_ORIGINAL)
    for candidate in (paths.models / model, SHIPPED_MODELS / model, Path(model)):
        if candidate.is_dir():
            return Run(candidate.resolve())
        if candidate.is_file():
            return Run(candidate.resolve().parent)
    known = [run.name for run in list_runs(paths.models)]
    hint = f"there are {', '.join(known[:5])}{', …' if len(known) > 5 else ''}" if known else "train one first"
    raise EmoTorchError(f"no model folder {model!r} in {paths.models}: {hint}")


def weights_file(paths: Paths, model: str) -> Path:
    """The weights that a model's name or path stands for: the file itself, or the best epoch's in its folder."""
    return Path(model) if Path(model).is_file() else find(paths, model).folder / "model.pth"


def shipped_or_named(paths: Paths, model: str | None) -> Path:
    """The weights of a named model, or without a name of the one that ships with the code.

    Raises:
        EmoTorchError: there is no such model, or none ships yet.
    """
    if model is not None:
        return weights_file(paths, model)
    shipped = SHIPPED_MODELS / "emotorch" / "model.pth"
    if not shipped.is_file():
        raise EmoTorchError("no trained model ships with this version: train one and name it with --model")
    return shipped


def checked_hash(weights: Path) -> str:
    """The SHA-256 of a file of weights: the one that the record of its run states, where that states one.

    PyTorch and ONNX Runtime take wrong bytes in weights for weights.

    Raises:
        EmoTorchError: the record states another.
    """
    found = hash_file(weights)
    stated = Run(weights.parent).record.get(HASHES.get(weights.name, ""), found)
    if found != stated:
        raise EmoTorchError(
            f"{weights}: damaged or replaced, its SHA-256 is not the one that {RECORD_NAME} beside it states "
            f"({stated}): bring that file back, or make it again"
        )
    return found


def read_accuracies(run: Run) -> dict[str, float]:
    """The metrics of `final_accuracies.csv`; NaN where unknown.

    Raises:
        EmoTorchError: the file is missing or not such a table.
    """
    path = run.folder / "final_accuracies.csv"
    accuracies = {}
    for number, row in enumerate(_read_table(path), start=2):
        try:
            accuracies[row["Metric"]] = float(row["Value"])
        except (KeyError, TypeError, ValueError):
            raise EmoTorchError(f"{path}, line {number}: not a metric and a number") from None
    return accuracies


def read_matrix(run: Run, name: str) -> "Matrix | None":
    """`confusion_matrix_<name>.csv` with its counts where there are any; None without that file.

    Raises:
        EmoTorchError: a file is no square table of numbers with equal labels in rows and columns, or the counts
            are none, or not of the matrix's labels.
    """
    matrix = _read_square(run.folder / f"confusion_matrix_{name}.csv", float)
    if matrix is None:
        return None
    path = run.folder / f"confusion_counts_{name}.csv"
    counts = _read_square(path, _whole_number)
    if counts is not None and counts[0] != matrix[0]:
        raise EmoTorchError(f"{path}: its labels are {', '.join(counts[0])}, the matrix's {', '.join(matrix[0])}")
    return Matrix(*matrix, None if counts is None else counts[1])


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix as a run's files state it: rows are true classes.

    Attributes:
        labels: Of rows and columns.
        proportions: (K, K), of each row.
        counts: (K, K) images, where known.
    """

    labels: tuple[str, ...]
    proportions: list[list[float]]
    counts: list[list[int]] | None


def read_history(run: Run, name: str) -> dict[str, list[float]] | None:
    """`training_history_<name>.csv` as columns; None without that file.

    Raises:
        EmoTorchError: a value is not a number.
    """
    path = run.folder / f"training_history_{name}.csv"
    if not path.exists():
        return None
    columns: dict[str, list[float]] = {}
    for number, row in enumerate(_read_table(path), start=2):
        for column, value in row.items():
            try:
                columns.setdefault(column, []).append(float(value))
            except (TypeError, ValueError):
                raise EmoTorchError(f"{path}, line {number}: {column} is {value!r}, not a number") from None
    return columns


def read_image_usage(run: Run) -> list[dict[str, str]] | None:
    """The rows of `image_usage.csv`, also of one in the published format; None without that file.

    Raises:
        EmoTorchError: a column is missing.
    """
    path = run.folder / "image_usage.csv"
    if not path.exists():
        return None
    rows = _read_table(path)
    missing = [column for column in ("image_path", "usage", "emotion") if any(not row.get(column) for row in rows)]
    if missing:
        raise EmoTorchError(f"{path}: no {missing[0]} in some row")
    return rows


def _read_table(path: Path) -> list[dict[str, str]]:
    with _open_table(path) as file:
        return list(csv.DictReader(file))


def _read_square(path: Path, parse: Callable[[str], Number]) -> tuple[tuple[str, ...], list[list[Number]]] | None:
    """Labels and values; None without that file."""
    if not path.exists():
        return None
    with _open_table(path) as file:
        header, *rows = [row for row in csv.reader(file) if row] or [[]]
    labels = tuple(header[1:])
    try:
        values = [list(map(parse, row[1:])) for row in rows]
    except ValueError as error:
        raise EmoTorchError(f"{path}: {error}") from None
    if not labels or tuple(row[0] for row in rows) != labels or any(len(row) != len(labels) for row in values):
        raise EmoTorchError(f"{path}: not a square matrix with the same labels in rows and columns")
    return labels, values


def _whole_number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(f"{text} is not a number of images")
    return value


@contextmanager
def _open_table(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield file
    except FileNotFoundError:
        raise EmoTorchError(f"{path} does not exist: the run is not finished, or not one of this pipeline") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmoTorchError(f"{path}: not a table ({error})") from None
