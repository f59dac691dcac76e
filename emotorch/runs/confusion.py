"""A run's confusion matrices: `confusion_matrix_<set>.csv`, `confusion_counts_<set>.csv`, and their pictures."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from emotorch.datasets import CKP, FER
from emotorch.errors import EmoTorchError
from emotorch.figures.canvas import save
from emotorch.figures.confusion import ConfusionPanel, confusion_figure
from emotorch.files import open_table, write_csv
from emotorch.metrics.confusion import Counts, row_proportions
from emotorch.runs.folder import FER_VS_CKP, MATRICES, Run, validation_title

Number = TypeVar("Number", int, float)


def _matrix_file(name: str) -> str:
    return f"confusion_matrix_{name}.csv"


def _counts_file(name: str) -> str:
    return f"confusion_counts_{name}.csv"


def write_confusion(folder: Path, name: str, counts: Counts, labels: Sequence[str]) -> None:
    """Writes a set's (K, K) matrix: the proportions of each row and the counts, as CSV."""
    proportions = [[f"{value:.3f}" for value in row] for row in row_proportions(counts)]
    for file, values in ((_matrix_file(name), proportions), (_counts_file(name), counts.tolist())):
        write_csv(folder / file, ("", *labels), ((label, *row) for label, row in zip(labels, values, strict=True)))


def plot_confusion(folder: Path, name: str, counts: Counts, labels: Sequence[str], title: str) -> None:
    """Draws a set's (K, K) matrix into `confusion_matrix_<name>.png`."""
    panel = ConfusionPanel("", row_proportions(counts), counts)
    save(confusion_figure([panel], labels, title), folder / f"confusion_matrix_{name}.png")


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix as a run's files state it: (K, K) proportions of each row, a true class, and counts of images
    where they are known."""

    labels: tuple[str, ...]
    proportions: list[list[float]]
    counts: list[list[int]] | None = None


def read_matrix(run: Run, name: str) -> Matrix | None:
    """`confusion_matrix_<name>.csv` with its counts where there are any; None without that file.

    Raises:
        EmoTorchError: a file is no square table of numbers with equal labels in rows and columns, or the counts
            are none, or not of the matrix's labels.
    """
    matrix = _read_square(run.file(_matrix_file(name)), float)
    if matrix is None:
        return None
    path = run.file(_counts_file(name))
    counts = _read_square(path, _whole_number)
    if counts is not None and counts[0] != matrix[0]:
        raise EmoTorchError(f"{path}: its labels are {', '.join(counts[0])}, the matrix's {', '.join(matrix[0])}")
    return Matrix(*matrix, None if counts is None else counts[1])


def _read_square(path: Path, parse: Callable[[str], Number]) -> tuple[tuple[str, ...], list[list[Number]]] | None:
    """Labels and values; None without that file. Without pandas: a comparison reads hundreds of thousands of these."""
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


def validation_matrices(run: Run) -> dict[str, Matrix]:
    """The confusion matrix of each validation set, by its title."""
    names = run.sets_with("confusion_matrix_{}_val.csv")
    found = {validation_title(name): read_matrix(run, f"{name}_val") for name in names}
    return {title: matrix for title, matrix in found.items() if matrix is not None}


def all_counts(matrices: Iterable[Matrix]) -> list[Counts]:
    """The (K, K) counts of each matrix; empty unless all are known."""
    known = [matrix.counts for matrix in matrices]
    return [] if None in known else [np.array(counts, np.int64) for counts in known]


def plot_run_confusion(run: Run) -> Path:
    """Draws `confusion_matrices_fer_vs_ckp.png`, or `confusion_matrices.png` of a run on other data.

    Raises:
        EmoTorchError: the run has no confusion matrix, or its sets have different labels.
    """
    matrices = validation_matrices(run)
    if not matrices:
        raise EmoTorchError(f"{run.folder}: no confusion_matrix_fer_val.csv, or of another set, to draw")
    labels, *others = dict.fromkeys(matrix.labels for matrix in matrices.values())
    if others:
        raise EmoTorchError(f"{run.folder}: its confusion matrices have different labels")
    panels = [ConfusionPanel(title, matrix.proportions, matrix.counts) for title, matrix in matrices.items()]
    if validation_title(FER.key) not in matrices:
        return save(confusion_figure(panels, labels, run.title), run.outputs / MATRICES)
    has_ckp = run.record.get("dataset", {}).get("ckp", True)
    note = None if has_ckp or validation_title(CKP.key) in matrices else "No CK+ images: no CK+ matrix."
    return save(confusion_figure(panels, labels, run.title, note), run.outputs / FER_VS_CKP)
