"""Which run behaves most like the published original: distances of accuracies and confusion matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotorch.errors import EmoTorchError
from emotorch.files import write_csv
from emotorch.paths import MODEL_ORIGINAL, Paths
from emotorch.runs import FINISHED, Matrix, Run, list_runs, read_accuracies, read_matrix, timestamped

COLUMNS = (
    "model",
    "combined_score",
    "accuracy_mse",
    "fer_cm_mse",
    "ckp_cm_mse",
    "training_accuracy",
    "training_accuracy_diff",
    "combined_validation_accuracy",
    "combined_validation_accuracy_diff",
    "note",
)
_COMPARED_ACCURACIES = ("Training Accuracy", "Combined Validation Accuracy")
NO_CKP = "no CK+: ranked on FER alone"
COLLAPSED = "collapsed to one class"


@dataclass(frozen=True)
class Distance:
    """How far a run is from the original. Smaller is more alike.

    Attributes:
        model: The run's name.
        combined: The score that ranks: weighted sum of the others; without CK+ of those that there are.
        accuracy: Mean squared difference of training and combined validation accuracy, squared points.
        fer: Mean squared difference of the FER matrices' proportions.
        ckp: The same for CK+; NaN without.
        accuracies: Training and combined validation accuracy, percent.
        differences: Those less the original's.
        classes: How many labels there are.
        never_answered: The labels that no validation image got.
    """

    model: str
    combined: float
    accuracy: float
    fer: float
    ckp: float
    accuracies: tuple[float, float]
    differences: tuple[float, float]
    classes: int
    never_answered: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not math.isnan(self.ckp)

    @property
    def collapsed(self) -> bool:
        return len(self.never_answered) == self.classes - 1

    @property
    def note(self) -> str:
        texts = [] if self.complete else [NO_CKP]
        if self.collapsed:
            texts.append(COLLAPSED)
        elif self.never_answered:
            texts.append(f"never answers {', '.join(self.never_answered)}")
        return "; ".join(texts)


@dataclass(frozen=True)
class Comparison:
    """All runs, most similar first (those with CK+ before those without), and the runs left out with why."""

    distances: Sequence[Distance]
    left_out: Sequence[tuple[str, str]]
    file: Path


def compare_runs(paths: Paths, *, accuracy_weight: float, matrix_weight: float) -> Comparison:
    """Compares every finished run with the published original, and writes the table.

    Raises:
        EmoTorchError: there is no run to compare.
    """
    original = _Behaviour.of(Run(MODEL_ORIGINAL))
    distances: list[Distance] = []
    left_out: list[tuple[str, str]] = []
    for run in list_runs(paths.models):
        try:
            status = run.status()
            if status != FINISHED:
                left_out.append((run.name, status))
                continue
            distances.append(_distance(run.name, _Behaviour.of(run), original, accuracy_weight, matrix_weight))
        except EmoTorchError as error:
            left_out.append((run.name, str(error)))
    if not distances:
        reasons = "".join(f"; {name}: {why}" for name, why in left_out[:3])
        raise EmoTorchError(f"no finished model in {paths.models} to compare{reasons}")
    distances.sort(key=lambda distance: (not distance.complete, distance.combined, distance.model))
    file = timestamped(paths.models, "comparison_results", ".csv")
    write_csv(file, COLUMNS, map(_row, distances))
    return Comparison(distances, left_out, file)


@dataclass(frozen=True)
class _Behaviour:
    """What is compared of a run: accuracies in percent, and matrices by name."""

    accuracies: tuple[float, float]
    fer: Matrix | None
    ckp: Matrix | None

    @classmethod
    def of(cls, run: Run) -> "_Behaviour":
        metrics = read_accuracies(run)
        training, combined = (metrics.get(metric, math.nan) for metric in _COMPARED_ACCURACIES)
        return cls((training, combined), read_matrix(run, "fer_val"), read_matrix(run, "ckp_val"))


def _distance(
    name: str, run: _Behaviour, original: _Behaviour, accuracy_weight: float, matrix_weight: float
) -> Distance:
    if run.fer is None:
        raise EmoTorchError("no FER confusion matrix")
    differences = (run.accuracies[0] - original.accuracies[0], run.accuracies[1] - original.accuracies[1])
    accuracy = float(np.mean(np.square(differences)))
    if accuracy_weight and math.isnan(accuracy):
        raise EmoTorchError(f"no {' or '.join(_COMPARED_ACCURACIES)}")
    fer, ckp = _matrix_distance(run.fer, original.fer), _matrix_distance(run.ckp, original.ckp)
    return Distance(
        model=name,
        combined=matrix_weight * (fer if math.isnan(ckp) else fer + ckp)
        + (accuracy_weight * accuracy if accuracy_weight else 0.0),
        accuracy=accuracy,
        fer=fer,
        ckp=ckp,
        accuracies=run.accuracies,
        differences=differences,
        classes=len(run.fer.labels),
        never_answered=_never_answered([matrix for matrix in (run.fer, run.ckp) if matrix is not None]),
    )


def _matrix_distance(run: Matrix | None, original: Matrix | None) -> float:
    """Mean squared difference of the proportions; NaN when there is no such matrix."""
    if run is None or original is None:
        return math.nan
    if run.labels != original.labels:
        raise EmoTorchError(f"its classes are {', '.join(run.labels)}, not {', '.join(original.labels)}")
    distance = float(np.mean(np.square(np.array(run.proportions) - np.array(original.proportions))))
    if not math.isfinite(distance):
        raise EmoTorchError("a confusion matrix of it holds a share that is no number")
    return distance


def _never_answered(matrices: Sequence[Matrix]) -> tuple[str, ...]:
    """The labels that no validation image got."""
    answered = np.any([np.any(np.array(matrix.proportions) > 0, axis=0) for matrix in matrices], axis=0)
    return tuple(label for label, some in zip(matrices[0].labels, answered.tolist(), strict=True) if not some)


def _row(distance: Distance) -> tuple[object, ...]:
    def number(value: float) -> str:
        return "NaN" if math.isnan(value) else repr(value)

    return (
        distance.model,
        number(distance.combined),
        number(distance.accuracy),
        number(distance.fer),
        number(distance.ckp),
        number(distance.accuracies[0]),
        number(distance.differences[0]),
        number(distance.accuracies[1]),
        number(distance.differences[1]),
        distance.note,
    )
