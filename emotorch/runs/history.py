"""What is written while a training runs: `training_history.json`, and TensorBoard's logs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotorch.datasets import dataset_title
from emotorch.errors import EmoTorchError, UsageError
from emotorch.figures.history import Curve, plot_training_history
from emotorch.files import read_table, write_csv, write_json
from emotorch.metrics.scores import EpochScores
from emotorch.runs.folder import Run

HISTORY_NAME = "training_history.json"


LOGS_NAME = "tensorboard"


class EpochLog:
    """Writes a run's epochs as they end: learning rate, seconds, and each set's loss, accuracy and macro-F1.

    Args:
        folder: Of the run.
        tensorboard: Whether to log for TensorBoard too.

    Raises:
        UsageError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self._folder = folder
        self._writer: Any = None
        if tensorboard:
            require_tensorboard()
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder / LOGS_NAME)

    def write(self, history: Sequence[EpochScores]) -> None:
        """Args: history: All epochs so far; TensorBoard gets the last."""
        write_json(self._folder / HISTORY_NAME, {"epochs": [_without_nan(asdict(scores)) for scores in history]})
        if self._writer is None or not history:
            return
        scores = history[-1]
        self._writer.add_scalar("learning_rate", scores.learning_rate, scores.epoch)
        for name, score in {"training": scores.training, **scores.validation}.items():
            for metric, value in _without_nan(asdict(score)).items():
                if value is not None and metric != "images":
                    self._writer.add_scalar(f"{metric}/{name}", value, scores.epoch)
        self._writer.flush()


def require_tensorboard() -> None:
    """Raises UsageError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs TensorBoard: pip install 'emotorch[tensorboard]'")


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: unknown values become null."""
    return {
        name: _without_nan(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and math.isnan(value)
        else value
        for name, value in values.items()
    }


def write_history(folder: Path, history: Sequence[EpochScores], datasets: Sequence[str]) -> None:
    """Writes `training_history_{fer,ckp,combined}.csv`; a set without images gets none."""
    for name in (*datasets, "combined"):
        columns = ("epoch", "train_loss", "train_accuracy", f"{name}_val_loss", f"{name}_val_accuracy")
        rows = []
        for scores in history:
            validation = scores.combined if name == "combined" else scores.validation[name]
            training = scores.training
            rows.append((scores.epoch, training.loss, training.accuracy, validation.loss, validation.accuracy))
        write_csv(folder / f"training_history_{name}.csv", columns, rows)


def read_history(run: Run, name: str) -> dict[str, list[float]] | None:
    """`training_history_<name>.csv` as columns; None without that file.

    Raises:
        EmoTorchError: a value is not a number.
    """
    path = run.folder / f"training_history_{name}.csv"
    if not path.exists():
        return None
    columns: dict[str, list[float]] = {}
    for number, row in enumerate(read_table(path), start=2):
        for column, value in row.items():
            try:
                columns.setdefault(column, []).append(float(value))
            except (TypeError, ValueError):
                raise EmoTorchError(f"{path}, line {number}: {column} is {value!r}, not a number") from None
    return columns


def plot_run_history(run: Run) -> Path:
    """Draws `training_history.png`.

    Raises:
        EmoTorchError: the run has no training history.
    """
    curves = training_curves(run)
    if not curves:
        raise EmoTorchError(f"{run.folder}: no training_history_*.csv to draw")
    path = run.folder / "training_history.png"
    return plot_training_history(path, curves, f"{run.name}{synthetic_suffix(run)}", run.record.get("best_epoch"))


def training_curves(run: Run) -> dict[str, Curve]:
    """The curve of each set over the epochs, by its title; empty without a training history.

    Raises:
        EmoTorchError: a history has not the columns that it should.
    """
    curves: dict[str, Curve] = {}
    for name in (*datasets_with(run, "training_history_{}.csv"), "combined"):
        title = set_title(name)
        history = read_history(run, name)
        if history is None:
            continue
        try:
            curves["Training"] = Curve(history["train_loss"], history["train_accuracy"])
            curve = Curve(history[f"{name}_val_loss"], history[f"{name}_val_accuracy"])
        except KeyError as error:
            raise EmoTorchError(f"{run.folder}/training_history_{name}.csv: no column {error}") from None
        if not all(map(math.isnan, history[f"{name}_val_loss"])):
            curves[title] = curve
    if len(curves) == 3:  # training, one dataset, and its curve once more as the combined one
        curves.pop(set_title("combined"), None)
    return curves


def datasets_with(run: Run, pattern: str) -> list[str]:
    """The datasets that the run has such files of: FER, then CK+, then others."""
    before, after = pattern.split("{}")
    names = [path.name.removeprefix(before).removesuffix(after) for path in run.folder.glob(pattern.format("*"))]
    order = {"fer": 0, "ckp": 1}
    return sorted({*names} - {"combined"}, key=lambda name: (order.get(name, 2), name))


def set_title(name: str) -> str:
    return "Combined validation" if name == "combined" else f"{dataset_title(name)} validation"


def synthetic_suffix(run: Run) -> str:
    return " (synthetic faces)" if run.record.get("dataset", {}).get("synthetic") else ""
