"""What is written while a training runs: `training_history.json`, and TensorBoard's logs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotorch.errors import UsageError
from emotorch.files import write_json
from emotorch.training.scores import EpochScores

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
