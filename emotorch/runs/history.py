"""A run's learning curves: `training_history.json` and TensorBoard's logs while it trains; then
`training_history_<set>.csv` and `training_history.png`."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotorch.errors import EmoTorchError, UsageError, installing
from emotorch.figures.canvas import save
from emotorch.figures.history import Curve, history_figure
from emotorch.files import read_table, write_csv, write_json
from emotorch.metrics.scores import EpochScores
from emotorch.runs.folder import COMBINED, Run, validation_title

HISTORY_NAME = "training_history.json"
LOGS_NAME = "tensorboard"


def _file_name(name: str) -> str:
    return f"training_history_{name}.csv"


def _columns(name: str) -> tuple[str, ...]:
    return "epoch", "train_loss", "train_accuracy", f"{name}_val_loss", f"{name}_val_accuracy"


class EpochLog:
    """Writes a run's epochs as they end: learning rate, and each set's loss, accuracy and macro-F1.

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
        """Writes all epochs so far; TensorBoard gets the last."""
        write_json(self._folder / HISTORY_NAME, {"epochs": list(map(asdict, history))})
        if self._writer is None or not history:
            return
        scores = history[-1]
        self._writer.add_scalar("learning_rate", scores.learning_rate, scores.epoch)
        for name, score in {"training": scores.training, **scores.validation}.items():
            for metric, value in asdict(score).items():
                if metric != "images" and not math.isnan(value):
                    self._writer.add_scalar(f"{metric}/{name}", value, scores.epoch)
        self._writer.flush()


def require_tensorboard() -> None:
    """Raises UsageError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError(f"--tensorboard needs TensorBoard: {installing('tensorboard')}")


def write_history(folder: Path, history: Sequence[EpochScores], datasets: Sequence[str]) -> None:
    """Writes `training_history_{fer,ckp,combined}.csv`; a set without images gets none."""
    for name in (*datasets, COMBINED):
        rows = []
        for scores in history:
            validation = scores.combined if name == COMBINED else scores.validation[name]
            training = scores.training
            rows.append((scores.epoch, training.loss, training.accuracy, validation.loss, validation.accuracy))
        write_csv(folder / _file_name(name), _columns(name), rows)


def read_history(run: Run, name: str) -> dict[str, list[float]] | None:
    """`training_history_<name>.csv` as columns; None without that file.

    Raises:
        EmoTorchError: there is no epoch, a column is missing, or a value is not a number.
    """
    path = run.file(_file_name(name))
    if not path.exists():
        return None
    rows = read_table(path)
    if not rows:
        raise EmoTorchError(f"{path}: no epoch in it")
    columns: dict[str, list[float]] = {column: [] for column in _columns(name)}
    for number, row in enumerate(rows, start=2):
        for column, values in columns.items():
            if column not in row:
                raise EmoTorchError(f"{path}: no column {column!r}")
            try:
                values.append(float(row[column]))
            except (TypeError, ValueError):
                raise EmoTorchError(f"{path}, line {number}: {column} is {row[column]!r}, not a number") from None
    return columns


def training_curves(run: Run) -> dict[str, Curve]:
    """The curve of each set over the epochs, by its title; empty without a training history.

    Raises:
        EmoTorchError: see `read_history`; or they are of different numbers of epochs.
    """
    curves: dict[str, Curve] = {}
    for name in (*run.sets_with("training_history_{}.csv"), COMBINED):
        history = read_history(run, name)
        if history is None:
            continue
        _, train_loss, train_accuracy, loss, accuracy = history.values()
        curves["Training"] = Curve(train_loss, train_accuracy)
        if not all(map(math.isnan, loss)):
            curves[validation_title(name)] = Curve(loss, accuracy)
    if len({len(curve.loss) for curve in curves.values()}) > 1:
        raise EmoTorchError(f"{run.folder}: its training_history_*.csv are of different numbers of epochs")
    if len(curves) == 3:  # training, one dataset, and its curve once more as the combined one
        curves.pop(validation_title(COMBINED), None)
    return curves


def plot_run_history(run: Run) -> Path:
    """Draws `training_history.png`.

    Raises:
        EmoTorchError: the run has no training history.
    """
    curves = training_curves(run)
    if not curves:
        raise EmoTorchError(f"{run.folder}: no training_history_*.csv to draw")
    figure = history_figure(curves, run.title, run.record.get("best_epoch"))
    return save(figure, run.outputs / "training_history.png")
