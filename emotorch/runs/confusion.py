"""Run folders: `model_00001`, …: claimed by one process, recorded in `run.json`, read by everything else."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from emotorch.errors import EmoTorchError
from emotorch.figures.confusion import ConfusionPanel, plot_confusion_matrices
from emotorch.files import open_table, write_csv
from emotorch.metrics.confusion import Counts, row_proportions
from emotorch.runs.folder import Run
from emotorch.runs.history import datasets_with, set_title, synthetic_suffix

Number = TypeVar("Number", int, float)


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


def _read_square(path: Path, parse: Callable[[str], Number]) -> tuple[tuple[str, ...], list[list[Number]]] | None:
    """Labels and values; None without that file."""
    if not path.exists():
        return None
    with open_table(path) as file:
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


def write_confusion(folder: Path, name: str, counts: Counts, labels: Sequence[str]) -> None:
    """Writes `confusion_matrix_<name>.csv` (proportions of each row) and `confusion_counts_<name>.csv`."""
    proportions = row_proportions(counts)
    write_csv(
        folder / f"confusion_matrix_{name}.csv",
        ("", *labels),
        ((label, *(f"{value:.3f}" for value in row)) for label, row in zip(labels, proportions, strict=True)),
    )
    write_csv(
        folder / f"confusion_counts_{name}.csv",
        ("", *labels),
        ((label, *row) for label, row in zip(labels, counts.tolist(), strict=True)),
    )


def validation_matrices(run: Run) -> dict[str, Matrix]:
    """The confusion matrix of each validation set, by its title."""
    found = {
        set_title(name): read_matrix(run, f"{name}_val") for name in datasets_with(run, "confusion_matrix_{}_val.csv")
    }
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
    return plot_confusion_matrices(path, panels, labels, f"{run.name}{synthetic_suffix(run)}", note)
