"""Run folders (`model_00001`, …): claimed, found, held while they are trained; `model_parameters.txt` for a person."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotorch.datasets import CKP, FER, dataset_title
from emotorch.errors import EmoTorchError, UsageError, found_elsewhere
from emotorch.files import remove_leftovers, write_text
from emotorch.paths import MODEL_ORIGINAL, SHIPPED_MODELS, Paths, mark_synthetic
from emotorch.replacing import finish_replacing
from emotorch.runs.record import (
    RECORD_NAME,
    check_file,
    read_record,
    say_unverified,
    stated_hashes,
    without_hashes,
    write_record,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

# A model's weights in its folder, the best epoch's; the first that is there is taken.
_WEIGHTS_SUFFIXES = (".pth", ".safetensors", ".onnx")
_WEIGHTS_NAMES = tuple(f"model{suffix}" for suffix in _WEIGHTS_SUFFIXES)
# The matrices of all validation sets: as published of a run on FER-2013, and of one on other data.
FER_VS_CKP, MATRICES = "confusion_matrices_fer_vs_ckp.png", "confusion_matrices.png"
# What a run's folder holds without a face in it, beside its weights and its card: patterns in the order in which a
# card names them. All else may show faces, also what somebody put there, and is never published.
FACELESS = (
    RECORD_NAME,
    "model_parameters.txt",
    "final_accuracies.csv",
    "classification_report.txt",
    "usage_summary.csv",
    "image_usage.csv",
    "inherited_images.txt",
    "training_history.json",
    "training_history.png",
    "training_history_*.csv",
    "confusion_counts_*.csv",
    "confusion_matrix_*.csv",
    "confusion_matrix_*.png",
    FER_VS_CKP,
    MATRICES,
)
# The same of the folders of findings, less their stamps.
FACELESS_FINDINGS = {
    "robustness": ("findings.json", "robustness.csv", "corruption_errors.csv", "robustness_curves.png"),
    "scores": ("findings.json", "reliability_*.csv", "reliability_*.png"),
}
# What files call all validation sets together.
COMBINED = "combined"
RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"
_LOCK_NAME = ".running"
# A key of the record of a sweep's run: the folder, beside the run's, that lists the dataset's images.
LISTED_IN = "images_listed_in"
# Of a run with variants or copies of its training images among those that it is validated on: a key of its record,
# and the end of its folder's name.
LEAKY = "leaky"
# A key of the record of a run whose data was searched for training images that show held-out ones: how many there are.
COPIES = "copies"
_NUMBERED = re.compile(rf"model_(\d{{5,}})(_{LEAKY})?$")


@dataclass(frozen=True)
class Run:
    """A run's folder and its record.

    Attributes:
        folder: What its training wrote, and for a model of one's own all that is found out about it since.
        evaluations: Where the latter goes for a model that ships, whose own folder is read only; else None.
    """

    folder: Path
    evaluations: Path | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def outputs(self) -> Path:
        """Where evaluations, analyses, pictures and reports of it are written."""
        return self.evaluations or self.folder

    @property
    def is_synthetic(self) -> bool:
        """Whether it is of synthetic faces, as far as its record tells."""
        return bool(self.record.get("dataset", {}).get("synthetic"))

    @property
    def title(self) -> str:
        """The name, marked when the run is of synthetic faces."""
        return mark_synthetic(self.name, self.is_synthetic)

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json; empty for a folder that other code wrote."""
        record = read_record(self.folder)
        self.__dict__["stated"] = stated_hashes(record)
        return record

    def update(self, **changes: object) -> None:
        write_record(self.folder, {**self.record, **changes})
        self.__dict__.pop("stated", None)

    def file(self, name: str) -> Path:
        """The path of a file of the run, which is there or not, to be read.

        Raises:
            EmoTorchError: the record states another SHA-256 of it, or it is gone that the record tells of.
        """
        path = self.folder / name
        check_file(path, self.stated.get(name))
        return path

    def say_unverified(self) -> None:
        """Says so, once, of a folder without a record; `model_original`, which comes with the code, is known."""
        if self.folder != MODEL_ORIGINAL and not (self.folder / RECORD_NAME).exists():
            say_unverified(self.folder)

    @cached_property
    def stated(self) -> Mapping[str, str]:
        """The SHA-256 that the record states of each file, as it was last read: a comparison reads many of each run."""
        return stated_hashes(self.record)

    def status(self, record: Mapping[str, Any] | None = None) -> str:
        """`finished` for a folder without a record: another program wrote it, all at once.

        A run whose record says that it is running, but whose process has gone, is `interrupted`. `record` is the run's,
        where it is read already.
        """
        status: str = (self.record if record is None else record).get("status", FINISHED)
        return INTERRUPTED if status == RUNNING and not self._is_held() else status

    def record_status(self) -> None:
        """Records a run whose process has gone as interrupted; `running` records all other changes itself."""
        if self.record.get("status") == RUNNING and self.status() == INTERRUPTED:
            self.update(status=INTERRUPTED)

    def sets_with(self, pattern: str) -> list[str]:
        """The validation sets that there are such files of, `{}` for the set's name: FER, then CK+, then others."""
        before, after = pattern.split("{}")
        files = {path.name for path in self.folder.glob(pattern.format("*"))}
        files |= {name for name in self.stated if name.startswith(before) and name.endswith(after)}
        names = {name.removeprefix(before).removesuffix(after) for name in files}
        order = {FER.key: 0, CKP.key: 1}
        return sorted(names - {COMBINED}, key=lambda name: (order.get(name, 2), name))

    def _is_held(self) -> bool:
        if not (self.folder / _LOCK_NAME).exists():
            return False
        lock = self._lock()
        if lock is None:
            return True
        lock.release()
        return False

    def _lock(self) -> "BaseFileLock | None":
        """Takes the run's lock, to be released; None where another process holds it."""
        from filelock import FileLock, Timeout  # here: prediction reads records, and holds no lock

        lock = FileLock(self.folder / _LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    @contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """Holds the run while it is being trained, and records how that ends.

        Yields:
            What raises EmoTorchError where the folder was deleted meanwhile, to be called before it is written to: it
            would come back, without what it had before.

        Raises:
            EmoTorchError: another process is training it.
        """
        lock = self._lock()
        if lock is None:
            raise EmoTorchError(f"{self.folder} is being trained by another process")
        inode = self.folder.stat().st_ino

        def is_there() -> bool:
            return (self.folder / RECORD_NAME).is_file() and self.folder.stat().st_ino == inode

        def require_there() -> None:
            if not is_there():
                raise EmoTorchError(f"{self.folder} was deleted while it was being trained: nothing is kept of the run")

        try:
            remove_leftovers(self.folder)
            # What an earlier attempt failed at is over.
            known = {key: value for key, value in without_hashes(self.record).items() if key != "error"}
            write_record(self.folder, {**known, "status": RUNNING})
            yield require_there
        except BaseException as error:
            if is_there():
                failed = {"status": FAILED, "error": f"{type(error).__name__}: {error}"}
                self.update(**({"status": INTERRUPTED} if isinstance(error, KeyboardInterrupt) else failed))
            elif not (self.folder / RECORD_NAME).exists():
                shutil.rmtree(self.folder, ignore_errors=True)  # what was written in the moment of its end
            raise
        finally:
            lock.release()


def validation_title(name: str) -> str:
    """What a person reads for the validation set `fer`, `ckp`, … or for all together, `COMBINED`."""
    return "Combined validation" if name == COMBINED else f"{dataset_title(name)} validation"


def set_title(name: str) -> str:
    """What a person reads for any set of a run: `training`, `fer`, `fer_reference`, …"""
    if name == "training":
        return "training"
    dataset = name.removesuffix("_reference")
    return validation_title(name) if dataset == name else f"{dataset_title(dataset)} held-out originals"


def is_on_fer(sets: Iterable[str]) -> bool:
    """Whether FER-2013 is among a run's sets, by their names: its tables are the published ones then."""
    return any(name.removesuffix("_reference") == FER.key for name in sets)


def claim_run(models: Path, record: dict[str, Any], after: Run | None = None) -> Run:
    """Makes the next `model_NNNNN` (of a leaky run `model_NNNNN_leaky`), with its record in it, for this process alone.

    The folder is made under another name and renamed: of two processes that want the same number one gets
    an error from the system, and takes the next. The number follows that of `after`, which this process claimed before:
    among 100,000 folders a look at all of them takes longer than all else that a claim does.
    """
    models.mkdir(parents=True, exist_ok=True)
    claimed = models.iterdir() if after is None else [after.folder]
    number = 1 + max(map(_number, claimed), default=0)
    suffix = f"_{LEAKY}" if record.get(LEAKY) else ""
    prepared = Path(tempfile.mkdtemp(prefix=".claim-", dir=models))
    try:
        prepared.chmod(0o755)
        write_record(prepared, record)
        while True:
            folder = models / f"model_{number:05d}{suffix}"
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


def _number(folder: Path) -> int:
    """Of `model_NNNNN`; 0 for every other name."""
    match = _NUMBERED.match(folder.name)
    return int(match[1]) if match else 0


def list_runs(models: Path) -> list[Run]:
    """Every `model_*` folder but the published original, by name."""
    if not models.is_dir():
        return []
    with os.scandir(models) as entries:
        names = [entry.name for entry in entries if entry.name.startswith("model_") and entry.is_dir()]
    return [Run(models / name) for name in sorted(names) if name != MODEL_ORIGINAL.name]


def named_or_newest(paths: Paths, model: str | None) -> Run:
    """A run by its name or path, see `find_run`; or, where none is named, the numbered one that was claimed last.

    Raises:
        UsageError: there is no such folder.
        EmoTorchError: none is named, and there is none.
    """
    numbered = [] if model else [run for run in list_runs(paths.models) if _number(run.folder)]
    if not (model or numbered):
        remedy = f"train one first, or name a model folder{found_elsewhere(paths.models / 'model_00001')}"
        raise EmoTorchError(f"no model in {paths.models}: {remedy}")
    run = find_run(paths, model) if model else max(numbered, key=lambda run: _number(run.folder))
    run.say_unverified()
    return run


def find_run(paths: Paths, model: str) -> Run:
    """A run by its folder's name, here or of a model that ships, or by a path to it (or to a file in it).

    Raises:
        UsageError: there is no such folder.
    """
    if model == MODEL_ORIGINAL.name:
        return run_in(paths, MODEL_ORIGINAL)
    # Dots are no name: every folder has a `.` and a `..`.
    places = [Path()] if model.startswith(".") else [paths.models, SHIPPED_MODELS, Path()]
    for candidate in (place / model for place in places if model):
        if candidate.parent == SHIPPED_MODELS:
            finish_replacing(candidate, f"shipping {model}")
        if candidate.is_dir():
            return run_in(paths, candidate.resolve())
        if candidate.is_file():
            return run_in(paths, candidate.resolve().parent)
    if model.endswith(_WEIGHTS_SUFFIXES):
        raise UsageError(f"{model}: no such file")
    known = [run.name for run in list_runs(paths.models)]
    hint = f"there are {', '.join(known[:5])}{', …' if len(known) > 5 else ''}" if known else "train one first"
    shipped = sorted(weights.parent.name for weights in SHIPPED_MODELS.glob("*/model.onnx"))
    hint += f"; models that ship: {', '.join(shipped)}{found_elsewhere(paths.models / model)}"
    raise UsageError(f"no model folder {model!r} in {paths.models}: {hint}")


def run_in(paths: Paths, folder: Path) -> Run:
    """The run in a folder: what is found out about a model that ships goes below the root."""
    ships = folder == MODEL_ORIGINAL or folder.parent == SHIPPED_MODELS
    return Run(folder, paths.evaluations / folder.name if ships else None)


def weights_file(paths: Paths, model: str) -> Path:
    """The weights that a model's name or path stands for: the file itself, or the best epoch's in its folder.

    Raises:
        EmoTorchError: there is no such model.
    """
    if Path(model).is_file():
        return Path(model)
    return best_weights(find_run(paths, model).folder)


def shipped_or_named(paths: Paths, model: str | None) -> Path:
    """The weights of a named model, or without a name of the baseline that ships with the code.

    Raises:
        UsageError: there is no such model.
        EmoTorchError: none is named, and none ships.
    """
    if model is not None:
        return weights_file(paths, model)
    finish_replacing(SHIPPED_MODELS / "emotorch", "shipping emotorch")
    shipped = best_weights(SHIPPED_MODELS / "emotorch")
    if not shipped.is_file():
        raise EmoTorchError("no trained model ships with this version: train one and name it with --model")
    return shipped


def best_weights(folder: Path) -> Path:
    """A model folder's weights of the best epoch, in the form that it has them in; `model.pth` where it has none."""
    files = [folder / name for name in _WEIGHTS_NAMES]
    return next((file for file in files if file.is_file()), files[0])


def write_parameters(path: Path, record: Mapping[str, Any]) -> None:
    """Renders the run record for a person: every line is what run.json says."""
    write_text(path, "\n".join(_lines(record)) + "\n")


def _lines(record: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
