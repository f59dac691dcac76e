"""Confusion matrices and reports. A matrix has a row and a column for every label, also unseen ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix, f1_score

Counts = NDArray[np.int64]


Proportions = NDArray[np.float64]


def confusion_counts(truths: Counts, predictions: Counts, classes: int) -> Counts:
    """(K, K) counts: a row for each true class, a column for each answer."""
    if not len(truths):
        return np.zeros((classes, classes), np.int64)
    return np.asarray(confusion_matrix(truths, predictions, labels=np.arange(classes)), np.int64)


def row_proportions(counts: Counts) -> Proportions:
    """Each row divided by its sum; a class without images has a row of zeros."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0))


def accuracy(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…) percent; NaN without images."""
    return _percent(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def recalls(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…, K) percent of each true class; NaN for one without images."""
    return _percent(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def macro_f1(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…) percent: the classes' mean F1. One that is never answered, or has no images, counts 0."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    both = counts.sum(axis=-1) + counts.sum(axis=-2)
    return np.asarray(np.nan_to_num(_percent(2 * right, both)).mean(axis=-1))


def _percent(part: NDArray[np.number[Any]], whole: NDArray[np.number[Any]]) -> Proportions:
    nothing = np.full(np.shape(whole), np.nan)
    return np.asarray(100 * np.divide(part, whole, out=nothing, where=np.asarray(whole) > 0))


@dataclass(frozen=True)
class ClassScore:
    """What a matrix says of one class.

    Attributes:
        label: Its name.
        images: Truly of it.
        answers: That were given it.
        correct: Both.
    """

    label: str
    images: int
    predictions: int
    correct: int

    @property
    def precision(self) -> float:
        """Percent of the answers; NaN without any."""
        return 100 * self.correct / self.predictions if self.predictions else float("nan")

    @property
    def recall(self) -> float:
        """Percent of the images; NaN without any."""
        return 100 * self.correct / self.images if self.images else float("nan")

    @property
    def f1(self) -> float:
        """Percent; NaN for a class that was neither there nor answered."""
        both = self.images + self.predictions
        return 200 * self.correct / both if both else float("nan")


def class_scores(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> list[ClassScore]:
    """One for each label of a (K, K) matrix of counts."""
    predictions = [sum(column) for column in zip(*counts, strict=True)]
    return [
        ClassScore(label, sum(row), predictions[place], row[place])
        for place, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]


def never_predicted(counts: Counts, labels: Sequence[str]) -> list[str]:
    """The labels that no image got: their outputs died. All but one missing is a collapse to one class."""
    return [label for label, predictions in zip(labels, counts.sum(axis=0).tolist(), strict=True) if predictions == 0]


def report(truths: Counts, predictions: Counts, labels: Sequence[str]) -> str:
    """Precision, recall and F1 per class; accuracy; macro-, weighted and micro-averages."""
    classes = np.arange(len(labels))
    text = classification_report(
        truths, predictions, labels=classes, target_names=list(labels), digits=3, zero_division=0.0
    )
    # With all labels given, scikit-learn may print either accuracy or micro avg; both are wanted.
    macro, micro = (
        f1_score(truths, predictions, labels=classes, average=average, zero_division=0.0)
        for average in ("macro", "micro")
    )
    return f"{text}\nmacro-F1 {float(macro):.4f}\nmicro-F1 {float(micro):.4f}\n"
