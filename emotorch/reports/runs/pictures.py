"""The two published pictures of a run, drawn from its own files: confusion matrices and training history."""

import math
from pathlib import Path

from emotorch.data.selection import dataset_title
from emotorch.errors import EmoTorchError
from emotorch.reports.figures import (
    ConfusionPanel,
    Curve,
    plot_confusion_matrices,
    plot_training_history,
)
from emotorch.runs import Matrix, Run, read_history, read_matrix


def validation_matrices(run: Run) -> dict[str, Matrix]:
    """The confusion matrix of each validation set, by its title."""
    found = {_title(name): read_matrix(run, f"{name}_val") for name in _datasets(run, "confusion_matrix_{}_val.csv")}
    return {title: matrix for title, matrix in found.items() if matrix is not None}


def plot_run_confusion(run: Run) -> Path:
    """Draws `confusion_matrices_fer_vs_ckp.png`.

    Raises:
        EmoTorchError: the run has no confusion matrix.
    """
    matrices = validation_matrices(run)
    if not matrices:
        raise EmoTorchError(f"{run.folder}: no confusion_matrix_fer_val.csv or confusion_matrix_ckp_val.csv to draw")
    labels = next(iter(matrices.values())).labels
    panels = [ConfusionPanel(title, matrix.proportions, matrix.counts) for title, matrix in matrices.items()]
    has_ckp = run.record.get("dataset", {}).get("ckp", True)
    note = None if has_ckp or read_matrix(run, "ckp_val") else "No CK+ images: no CK+ matrix."
    path = run.folder / "confusion_matrices_fer_vs_ckp.png"
    return plot_confusion_matrices(path, panels, labels, f"{run.name}{_synthetic(run)}", note)


def plot_run_history(run: Run) -> Path:
    """Draws `training_history.png`.

    Raises:
        EmoTorchError: the run has no training history.
    """
    curves = training_curves(run)
    if not curves:
        raise EmoTorchError(f"{run.folder}: no training_history_*.csv to draw")
    path = run.folder / "training_history.png"
    return plot_training_history(path, curves, f"{run.name}{_synthetic(run)}", run.record.get("best_epoch"))


def training_curves(run: Run) -> dict[str, Curve]:
    """The curve of each set over the epochs, by its title; empty without a training history.

    Raises:
        EmoTorchError: a history has not the columns that it should.
    """
    curves: dict[str, Curve] = {}
    for name in (*_datasets(run, "training_history_{}.csv"), "combined"):
        title = _title(name)
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
        curves.pop(_title("combined"), None)
    return curves


def _datasets(run: Run, pattern: str) -> list[str]:
    """The datasets that the run has such files of: FER, then CK+, then others."""
    before, after = pattern.split("{}")
    names = [path.name.removeprefix(before).removesuffix(after) for path in run.folder.glob(pattern.format("*"))]
    order = {"fer": 0, "ckp": 1}
    return sorted({*names} - {"combined"}, key=lambda name: (order.get(name, 2), name))


def _title(name: str) -> str:
    return "Combined validation" if name == "combined" else f"{dataset_title(name)} validation"


def _synthetic(run: Run) -> str:
    return " (synthetic faces)" if run.record.get("dataset", {}).get("synthetic") else ""
