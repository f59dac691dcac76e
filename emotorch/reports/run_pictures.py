"""The two published pictures of a run, drawn from its own files: confusion matrices and training history."""

import math
from pathlib import Path

from emotorch.errors import EmoTorchError
from emotorch.reports.figures import (
    ConfusionPanel,
    Curve,
    plot_confusion_matrices,
    plot_training_history,
)
from emotorch.runs import Run, read_history, read_matrix

_SETS = {"fer": "FER validation", "ckp": "CK+ validation", "combined": "Combined validation"}


def plot_run_confusion(run: Run) -> Path:
    """Draws `confusion_matrices_fer_vs_ckp.png`.

    Raises:
        EmoTorchError: the run has no confusion matrix.
    """
    panels = []
    labels: tuple[str, ...] = ()
    for name in ("fer", "ckp"):
        matrix = read_matrix(run, f"{name}_val")
        if matrix is not None:
            labels = matrix.labels
            panels.append(ConfusionPanel(_SETS[name], matrix.proportions, matrix.counts))
    if not panels:
        raise EmoTorchError(f"{run.folder}: no confusion_matrix_fer_val.csv or confusion_matrix_ckp_val.csv to draw")
    note = None if read_matrix(run, "ckp_val") else "No CK+ images: no CK+ matrix."
    path = run.folder / "confusion_matrices_fer_vs_ckp.png"
    return plot_confusion_matrices(path, panels, labels, f"{run.name}{_synthetic(run)}", note)


def plot_run_history(run: Run) -> Path:
    """Draws `training_history.png`.

    Raises:
        EmoTorchError: the run has no training history.
    """
    curves: dict[str, Curve] = {}
    for name, title in _SETS.items():
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
    if not curves:
        raise EmoTorchError(f"{run.folder}: no training_history_*.csv to draw")
    if {"FER validation", "Combined validation"} <= curves.keys() and "CK+ validation" not in curves:
        del curves["Combined validation"]  # it is the FER curve once more
    path = run.folder / "training_history.png"
    return plot_training_history(path, curves, f"{run.name}{_synthetic(run)}", run.record.get("best_epoch"))


def _synthetic(run: Run) -> str:
    return " (synthetic faces)" if run.record.get("dataset", {}).get("synthetic") else ""
