"""How far a run is from the published original: its accuracies and confusion matrices against the original's.

A run is measured on validation images that it drew itself, so that its distance is known only within an interval.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from emotorch.analyses.criterion import why_no_original
from emotorch.errors import EmoTorchError
from emotorch.labels import DEFAULT, SCHEMES
from emotorch.metrics import intervals
from emotorch.metrics.confusion import Counts, macro_f1
from emotorch.paths import MODEL_ORIGINAL
from emotorch.runs.confusion import Matrix, all_counts, read_matrix
from emotorch.runs.folder import Run
from emotorch.runs.scores import read_accuracies
from emotorch.seeding import generator

_COMPARED_ACCURACIES = ("Training Accuracy", "Combined Validation Accuracy")
_LABELS = SCHEMES[DEFAULT].labels

# What the note of a run says. The words are part of the format of comparison_results_*.csv.
NO_CKP = "no CK+: ranked on FER alone"
COLLAPSED = "collapsed to one class"

Settings = Mapping[str, float]


@dataclass(frozen=True)
class Weights:
    """Of the parts of a distance."""

    accuracy: float = 0.0
    matrix: float = 1.0


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A run that is ranked among others.

    Attributes:
        accuracies: Training and combined validation accuracy, percent.
        macro_f1: Over all validation images, percent; NaN where their confusion counts are not all known.
        classes: How many labels there are.
        never_predicted: The labels that no validation image got.
        factors: Parts of the data that the run used; empty where unknown.
        recipe_name: The recipe's; empty where unknown.
        recipe: The recipe's settings that are numbers; empty where unknown.
        low, high: 95% interval of the number that ranks it; NaN where unknown, or none was asked for.
    """

    model: str
    accuracies: tuple[float, float]
    macro_f1: float = math.nan
    has_ckp: bool
    classes: int
    never_predicted: tuple[str, ...]
    factors: Settings
    recipe_name: str = ""
    recipe: Settings
    synthetic: bool
    low: float = math.nan
    high: float = math.nan

    @property
    def collapsed(self) -> bool:
        return len(self.never_predicted) == self.classes - 1

    @property
    def value(self) -> float:
        """The number that ranks it."""
        raise NotImplementedError

    @property
    def note(self) -> str:
        if self.collapsed:
            return COLLAPSED
        return f"never predicts {', '.join(self.never_predicted)}" if self.never_predicted else ""

    def setting(self, name: str) -> float:
        """A factor, or a number of the recipe; NaN where unknown."""
        return self.factors.get(name, self.recipe.get(name, math.nan))


@dataclass(frozen=True, kw_only=True)
class Distance(MeasuredRun):
    """How far a run is from the original. Smaller is more alike.

    Attributes:
        combined: The score that ranks: weighted sum of the others; without CK+ of those that there are.
        accuracy: Mean squared difference of training and combined validation accuracy, squared points.
        fer: Mean squared difference of the FER matrices' proportions.
        ckp: The same for CK+; NaN without.
        differences: The accuracies less the original's.
        counts: The confusion counts on FER, then on CK+; empty unless all are known.
    """

    combined: float
    accuracy: float
    fer: float
    ckp: float
    differences: tuple[float, float]
    counts: Sequence[Counts] = field(compare=False, repr=False)

    @property
    def value(self) -> float:
        return self.combined

    @property
    def parts(self) -> str:
        """Which matrices it is a sum over."""
        return "FER and CK+" if self.has_ckp else "FER alone"

    @property
    def note(self) -> str:
        return "; ".join(filter(None, ("" if self.has_ckp else NO_CKP, super().note)))


# --- What is compared ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Behaviour:
    """What is compared of a run: accuracies in percent, and matrices by name."""

    accuracies: tuple[float, float]
    fer: Matrix | None
    ckp: Matrix | None

    @classmethod
    def of(cls, run: Run) -> "Behaviour":
        metrics = read_accuracies(run)
        training, combined = (metrics.get(metric, math.nan) for metric in _COMPARED_ACCURACIES)
        return cls((training, combined), read_matrix(run, "fer_val"), read_matrix(run, "ckp_val"))


# model_00224_final of the published sweep. Its split let variants of training images into validation.
PUBLISHED_RECREATION = Behaviour(
    (57.08, 53.88),
    Matrix(
        _LABELS,
        [
            [0.661, 0.156, 0.135, 0.048],
            [0.347, 0.355, 0.160, 0.139],
            [0.322, 0.160, 0.465, 0.053],
            [0.143, 0.165, 0.087, 0.606],
        ],
    ),
    Matrix(
        _LABELS,
        [
            [0.561, 0.036, 0.396, 0.007],
            [0.289, 0.427, 0.129, 0.155],
            [0.403, 0.176, 0.401, 0.020],
            [0.031, 0.045, 0.065, 0.859],
        ],
    ),
)
_RECREATION_ON_FER = Behaviour((57.08, 51.29), PUBLISHED_RECREATION.fer, None)


# --- Distances ----------------------------------------------------------------------------------------------


def measure(run: Run, record: Mapping[str, Any], weights: Weights) -> Distance:
    """The distance of a finished run, whose record is read already, without an interval.

    Raises:
        EmoTorchError: it cannot be compared, and why.
    """
    if reason := why_no_original(record.get("settings", {})):
        raise EmoTorchError(reason)
    return replace(_distance(run.name, Behaviour.of(run), weights), **stated(record))


def stated(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of `MeasuredRun` what a run's record states."""
    recipe = record.get("settings", {}).get("recipe", {})
    return {
        "recipe_name": recipe.get("name", ""),
        "factors": dict(_numbers(record.get("factors", {}))),
        "recipe": _shared(tuple(_numbers(recipe))),
        "synthetic": record.get("dataset", {}).get("synthetic", False),
    }


def add_interval(distance: Distance, weights: Weights) -> Distance:
    """Adds the interval that comes of resampling the run's validation images; the original's counts are unknown, and it
    stays as it is, as does the training accuracy."""
    if not distance.counts:
        return distance
    original = _published_original()
    combined = np.zeros(1 + intervals.RESAMPLES)
    right = np.zeros_like(combined)
    for counts, matrix, (normals, products) in zip(
        distance.counts, (original.fer, original.ckp), _draws(), strict=False
    ):
        assert matrix is not None  # the run's own was compared with it
        off = intervals.squared_distances(counts, np.array(matrix.proportions), products)
        combined += weights.matrix * off / counts.size
        if weights.accuracy:
            right += np.einsum("krk,k->r", intervals.resample(counts, normals), counts.sum(axis=1))
    if weights.accuracy:
        accuracies = 100 * right / sum(int(counts.sum()) for counts in distance.counts)
        differences = np.square(accuracies - original.accuracies[1]) + distance.differences[0] ** 2
        combined += weights.accuracy * differences / 2
    low, high = intervals.distance_interval(combined)
    return replace(distance, low=low, high=high)


def distance_to_original(run: Run) -> Distance:
    """The distance of one run as the comparison ranks by default; see `measure`."""
    return measure(run, run.record, Weights())


def recreation_distance(weights: Weights, *, complete: bool) -> float:
    """The distance of the published recreation, with CK+ or on FER alone."""
    return _distance("", PUBLISHED_RECREATION if complete else _RECREATION_ON_FER, weights).combined


@lru_cache
def _published_original() -> Behaviour:
    return Behaviour.of(Run(MODEL_ORIGINAL))


def _numbers(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The settings that are numbers, by the name that options give them: `learning_rate`, `augmentation.flip`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{before}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield before + name, float(value)


@lru_cache(maxsize=4096)
def _shared(settings: tuple[tuple[str, float], ...]) -> Settings:
    """One table for all runs of equal settings: they are many, and the recipes few."""
    return dict(settings)


def _distance(name: str, run: Behaviour, weights: Weights) -> Distance:
    if run.fer is None:
        raise EmoTorchError("no FER confusion matrix")
    original = _published_original()
    differences = (run.accuracies[0] - original.accuracies[0], run.accuracies[1] - original.accuracies[1])
    accuracy = (differences[0] ** 2 + differences[1] ** 2) / 2
    if weights.accuracy and math.isnan(accuracy):
        raise EmoTorchError(f"no {' or '.join(_COMPARED_ACCURACIES)}")
    fer, ckp = _matrix_distance(run.fer, original.fer), _matrix_distance(run.ckp, original.ckp)
    matrices = [matrix for matrix in (run.fer, run.ckp) if matrix is not None]
    counts = all_counts(matrices)
    combined = weights.matrix * (fer if math.isnan(ckp) else fer + ckp)
    if weights.accuracy:  # an unknown accuracy does no harm where it has no weight
        combined += weights.accuracy * accuracy
    return Distance(
        model=name,
        combined=combined,
        accuracy=accuracy,
        fer=fer,
        ckp=ckp,
        accuracies=run.accuracies,
        macro_f1=float(macro_f1(np.sum(counts, axis=0))) if counts else math.nan,
        has_ckp=not math.isnan(ckp),
        differences=differences,
        classes=len(run.fer.labels),
        never_predicted=never_predicted(matrices),
        factors={},
        recipe={},
        synthetic=False,
        counts=counts,
    )


def _matrix_distance(run: Matrix | None, original: Matrix | None) -> float:
    """Mean squared difference of the proportions; NaN when there is no such matrix."""
    if run is None or original is None:
        return math.nan
    if run.labels != original.labels:
        raise EmoTorchError(f"its classes are {', '.join(run.labels)}, not {', '.join(original.labels)}")
    # Of 16 numbers, the plain sum is several times as fast as NumPy's.
    pairs = zip(chain(*run.proportions), chain(*original.proportions), strict=True)
    distance = sum([(ours - theirs) ** 2 for ours, theirs in pairs]) / len(run.labels) ** 2
    if not math.isfinite(distance):
        raise EmoTorchError("a confusion matrix of it holds a proportion that is no number")
    return distance


def never_predicted(matrices: Sequence[Matrix]) -> tuple[str, ...]:
    """The labels that no validation image got."""
    columns = zip(*(row for matrix in matrices for row in (matrix.counts or matrix.proportions)), strict=True)
    return tuple(label for label, column in zip(matrices[0].labels, columns, strict=True) if max(column) <= 0)


@lru_cache
def _draws() -> list[tuple[intervals.Array, intervals.Array]]:
    """Normal numbers for FER and for CK+, and their products.

    The same for every run: equal runs get equal intervals, whichever others are compared with them.
    """
    drawn = [intervals.draw_normals(generator("comparison", name), len(_LABELS)) for name in ("fer", "ckp")]
    return [(normals, intervals.products(normals)) for normals in drawn]
