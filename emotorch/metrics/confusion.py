"""Confusion matrices and reports. A matrix has a row and a column for every label, also unseen ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report, f1_score

from emotorch.tables import counted

Counts = NDArray[np.int64]
Proportions = NDArray[np.float64]


def confusion_counts(truths: Counts, predictions: Counts, classes: int) -> Counts:
    """(K, K) counts: a row for each true class, a column for each predicted one."""
    return np.bincount(truths * classes + predictions, minlength=classes**2).reshape(classes, classes)


def row_proportions(counts: Counts) -> Proportions:
    """Each row divided by its sum; a class without images has a row of zeros."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0))


def accuracy(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…) percent; NaN without images."""
    return _percent(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def precisions(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…, K) percent of each class's predictions; NaN for one that is never predicted."""
    return _percent(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-2))


def recalls(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…, K) percent of each true class; NaN for one without images."""
    return _percent(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def f1_scores(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…, K) percent; NaN for a class that has no images and is never predicted."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return _percent(2 * right, counts.sum(axis=-1) + counts.sum(axis=-2))


def macro_f1(counts: NDArray[np.number[Any]]) -> Proportions:
    """(…, K, K) counts to (…) percent: the classes' mean F1. One without images, or never predicted, counts 0."""
    return np.asarray(np.nan_to_num(f1_scores(counts)).mean(axis=-1))


def _percent(part: NDArray[np.number[Any]], whole: NDArray[np.number[Any]]) -> Proportions:
    unknown = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(100 * part, whole, out=unknown, where=np.asarray(whole) > 0))


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class in a confusion matrix.

    Attributes:
        images: Truly of it.
        correct: How many of these are predicted as it.
        precision: Percent; NaN for a class that is never predicted.
        recall: Percent; NaN for a class without images.
        f1: Percent; NaN for a class of which both is true.
    """

    label: str
    images: int
    correct: int
    precision: float
    recall: float
    f1: float


def class_scores(counts: Sequence[Sequence[int]] | Counts, labels: Sequence[str]) -> list[ClassScore]:
    """One for each label of a (K, K) matrix of counts."""
    counts = np.asarray(counts)
    columns = (counts.sum(axis=1), counts.diagonal(), precisions(counts), recalls(counts), f1_scores(counts))
    return [
        ClassScore(label, *values)
        for label, *values in zip(labels, *(column.tolist() for column in columns), strict=True)
    ]


def never_predicted(counts: Counts, labels: Sequence[str]) -> list[str]:
    """The labels that no image got: their outputs died. All but one of them is a collapse to one class."""
    return [label for label, predictions in zip(labels, counts.sum(axis=0).tolist(), strict=True) if predictions == 0]


def report(truths: Counts, predictions: Counts, labels: Sequence[str], loss: float) -> str:
    """Precision, recall and F1 per class; accuracy; macro-, weighted and micro-averages; and the mean loss."""
    classes = np.arange(len(labels))
    text = classification_report(
        truths, predictions, labels=classes, target_names=list(labels), digits=3, zero_division=0.0
    )
    # With all labels given, scikit-learn may print either accuracy or micro avg; both are wanted.
    macro, micro = (
        f1_score(truths, predictions, labels=classes, average=average, zero_division=0.0)
        for average in ("macro", "micro")
    )
    without = len(labels) - len(np.unique(truths))
    note = f" ({counted(without, 'class')} without images: F1 0)" if without else ""
    return f"{text}\nmacro-F1 {float(macro):.4f}{note}\nmicro-F1 {float(micro):.4f}\nloss {loss:.4f}\n"
