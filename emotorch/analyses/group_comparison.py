"""Groups of images compared: accuracy, recall and calibration of each group, and the largest gaps between two.

A gap in accuracy may be a gap in classes only: where one group's images show the hard emotions more often. So each
group's accuracy is also given standardised to the classes of all groups together (direct standardisation: Rothman,
Greenland and Lash, "Modern Epidemiology", 2008, chapter 4). Whether a gap is more than chance is tested by permuting
the groups: of all images, and, for the standardised gap and the recalls, within each class.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.analyses.attributes import Attribute
from emotorch.data.split import SPLIT_SEED, Indices
from emotorch.metrics import calibration, confusion, intervals, paired
from emotorch.metrics.intervals import Array
from emotorch.metrics.permutation import permutation_test
from emotorch.seeding import generator

# Fewer images say too little: such a group is shown and marked, and takes no part in gaps and tests.
SMALL = 30

ACCURACY, STANDARDISED, MACRO_F1, OVERCONFIDENCE = "accuracy", "accuracy, same classes", "macro-F1", "overconfidence"
RECALL = "recall of "

# The columns of the tables.
_GROUPS = (
    *("group", "images", "correct", "small", "accuracy", "low", "high"),
    *("accuracy_same_classes", "macro_f1", "ece", "ece_by_chance", "overconfidence"),
)
_RECALLS = ("group", "label", "images", "correct", "small", "share_of_group", "recall", "low", "high")
_GAPS = ("metric", "lowest", "highest", "gap", "low", "high", "p", "p_holm")


@dataclass(frozen=True)
class PredictedImages:
    """Images with truths and a model's predictions.

    Attributes:
        truths: (N,) classes.
        probabilities: (N, K) that the model gives the classes.
        sources: (N,) equal for images that are not independent: exact twins, variants of one original.
    """

    truths: Indices
    probabilities: NDArray[np.floating]
    sources: Indices
    labels: Sequence[str]

    @property
    def classes(self) -> Indices:
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> "PredictedImages":
        return PredictedImages(self.truths[chosen], self.probabilities[chosen], self.sources[chosen], self.labels)


@dataclass(frozen=True)
class Fairness:
    """An attribute's groups compared; all scores in percent.

    Attributes:
        unknown: How many images have no value of it.
        groups: A row for each group, in the attribute's order: `group`, `images`, `correct`, `small`, `accuracy` with
            the ends `low` and `high` of its interval, `accuracy_same_classes` (that it would have with the classes of
            all groups together; NaN for a small group that lacks one), `macro_f1`, `ece`, `ece_by_chance`,
            `overconfidence` (mean confidence less accuracy).
        recalls: A row for each class of each group: `group`, `label`, `images`, `correct`, `small`, `share_of_group`,
            `recall`, `low`, `high`.
        gaps: The largest difference of each metric between two groups that are not small: `metric`, `lowest`,
            `highest`, `gap`, its interval's `low` and `high` (of these two groups, chosen after they were seen), `p`
            (of so large a gap between any two groups by chance; NaN where it is not tested), `p_holm` (for all tests
            of all attributes together). No rows unless two groups are large enough.
        left_out: Classes that some large group lacks, so that they take no part in the standardised accuracy.
    """

    attribute: Attribute
    unknown: int
    groups: pd.DataFrame
    recalls: pd.DataFrame
    gaps: pd.DataFrame
    left_out: Sequence[str]


def compare_groups(attributes: Sequence[Attribute], images: PredictedImages) -> list[Fairness]:
    """Every attribute's groups, with p-values that hold for all of them together."""
    found = [_compare(attribute, images) for attribute in attributes]
    adjusted = iter(paired.holm([p for fairness in found for p in fairness.gaps["p"].dropna()]))
    for fairness in found:
        fairness.gaps["p_holm"] = [p if math.isnan(p) else next(adjusted) for p in fairness.gaps["p"]]
    return found


def _compare(attribute: Attribute, images: PredictedImages) -> Fairness:
    number, classes = len(attribute.groups), len(images.labels)
    members = attribute.members
    known = members >= 0
    cells = (members * classes + images.truths) * classes + images.classes
    counts = np.bincount(cells[known], minlength=number * classes**2).reshape(number, classes, classes)
    large = np.flatnonzero(counts.sum(axis=(1, 2)) >= SMALL)
    weights = _class_weights(counts[large])
    groups, recalls = [], []
    for place, (name, matrix) in enumerate(zip(attribute.groups, counts, strict=True)):
        groups.append({"group": name, **_score(matrix, images.part(members == place), weights)})
        for number, label in enumerate(images.labels):
            of_class = int(matrix[number].sum())
            share = 100 * of_class / max(1, int(matrix.sum()))
            recall = _proportion("recall", int(matrix[number, number]), of_class)
            recalls.append({"group": name, "label": label, "share_of_group": share, **recall})
    gaps = _gaps(attribute, images, counts, large, weights) if len(large) > 1 else []
    present = counts.sum(axis=(0, 2)) > 0
    left_out = [label for place, label in enumerate(images.labels) if present[place] and not weights[place]]
    return Fairness(
        attribute,
        int((~known).sum()),
        pd.DataFrame(groups, columns=_GROUPS),
        pd.DataFrame(recalls, columns=_RECALLS),
        pd.DataFrame(gaps, columns=_GAPS).astype(dict.fromkeys(_GAPS[3:], float)),
        left_out if len(large) > 1 else [],
    )


def _class_weights(counts: NDArray[np.int64]) -> Array:
    """(G, K, K) counts of the large groups to (K,): each class's part of all of them; 0 for one that a group lacks."""
    images = counts.sum(axis=2)
    total = np.where((images > 0).all(axis=0), images.sum(axis=0), 0).astype(float)
    return np.asarray(total / max(1.0, total.sum()))


def _standardise(recalls: Array, weights: Array) -> Array:
    """(…, K) recalls to (…); NaN where a class that counts has no images."""
    used = weights > 0
    if not used.any():
        return np.full(recalls.shape[:-1], np.nan)
    return np.asarray(recalls[..., used] @ weights[used])


def _score(counts: NDArray[np.int64], images: PredictedImages, weights: Array) -> dict[str, object]:
    """The columns of a group; see `Fairness`."""
    accuracy = _proportion("accuracy", int(np.trace(counts)), int(counts.sum()))
    calibrated = calibration.measure(images.probabilities, images.truths)
    return accuracy | {
        "accuracy_same_classes": float(_standardise(confusion.recalls(counts), weights)),
        "macro_f1": float(confusion.macro_f1(counts)),
        "ece": 100 * calibrated.ece,
        "ece_by_chance": 100 * calibrated.by_chance,
        "overconfidence": 100.0 * float(images.probabilities.max(axis=1).mean()) - accuracy["accuracy"],
    }


def _proportion(name: str, correct: int, images: int) -> dict[str, Any]:
    """How many of some images are predicted right, in percent with Wilson's 95% interval; NaN of none."""
    found = intervals.proportion(correct, images)
    counted = {"images": images, "correct": correct, "small": images < SMALL}
    return {**counted, name: found.value, "low": found.low, "high": found.high}


def _gaps(
    attribute: Attribute, images: PredictedImages, counts: NDArray[np.int64], large: Indices, weights: Array
) -> Iterator[tuple[str | float, ...]]:
    """The rows of the gaps between the large groups; see `Fairness`."""
    chosen = np.isin(attribute.members, large)
    members = np.searchsorted(large, attribute.members[chosen])
    names = [attribute.groups[place] for place in large.tolist()]
    part = images.part(chosen)
    for metric, values in _resampled(part, members, len(large), weights, attribute.name).items():
        enough = np.isfinite(values[0])
        inside = np.ones(len(members), dtype=bool)
        if metric.startswith(RECALL):
            label = images.labels.index(metric.removeprefix(RECALL))
            enough &= counts[large, label].sum(axis=1) >= SMALL
            inside = (part.truths == label) & enough[members]
        places = np.flatnonzero(enough)
        if len(places) > 1:
            low, high = (int(places[pick(values[0, places])]) for pick in (np.argmin, np.argmax))
            found = paired.percentile_interval(values[:, high] - values[:, low])
            p = _test(metric, part.part(inside), members[inside], weights, attribute.name)
            yield metric, names[low], names[high], found.value, found.low, found.high, p, math.nan


def _test(metric: str, part: PredictedImages, members: Indices, weights: Array, name: str) -> float:
    """The p-value of a metric's gap; NaN for a metric that is no accuracy of some images."""
    strata = part.truths
    if metric == ACCURACY or metric.startswith(RECALL):
        strata, weights, name = np.zeros_like(part.truths), np.ones(1), f"{name}/{metric}"
    elif metric != STANDARDISED:
        return float("nan")
    # The name of the draws is part of every published p-value: it stays.
    rng = generator("fairness lots", name, SPLIT_SEED)
    return permutation_test(part.classes == part.truths, part.sources, members, strata, weights, rng)


def _resampled(part: PredictedImages, members: Indices, number: int, weights: Array, name: str) -> dict[str, Array]:
    """Every metric's (1 + R, G) values: measured, then with resampled sources; percent."""
    classes = len(part.labels)
    sources = np.unique(part.sources, return_inverse=True)[1]
    cells = (members * classes + part.truths) * classes + part.classes
    key = ("fairness", name, SPLIT_SEED)
    counts = paired.resampled_counts(cells[None], number * classes**2, sources, generator(*key))[0]
    counts = counts.reshape(-1, number, classes, classes)
    confidence = paired.resampled_counts(
        members[None], number, sources, generator(*key), amounts=part.probabilities.max(axis=1)[None]
    )[0]
    accuracy, recalls = confusion.accuracy(counts), confusion.recalls(counts)
    images = np.maximum(1, counts.sum(axis=(2, 3)))
    return {
        ACCURACY: accuracy,
        STANDARDISED: _standardise(recalls, weights),
        MACRO_F1: confusion.macro_f1(counts),
        **{f"{RECALL}{label}": recalls[..., place] for place, label in enumerate(part.labels)},
        OVERCONFIDENCE: 100 * confidence / images - accuracy,
    }
