"""Whether a model serves groups of people equally well: accuracy, recall and calibration of each group, and the gaps.

A gap in accuracy may be a gap in classes only: where one group's images show the hard emotions more often. So each
group's accuracy is also given standardised to the classes of all groups together (direct standardisation: Rothman,
Greenland and Lash, "Modern Epidemiology", 2008, chapter 4). Whether a gap is more than chance is tested by permuting
the groups: of all images, and, for the standardised gap and the recalls, within each class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emotorch.analysis import metrics, paired
from emotorch.analysis.attributes import Attribute
from emotorch.analysis.bootstrap import RESAMPLES, Array
from emotorch.analysis.calibration import Calibration
from emotorch.analysis.calibration import measure as measure_calibration
from emotorch.data.split import Indices
from emotorch.seeding import generator

# Fewer images say too little: such a group is shown and marked, and takes no part in gaps and tests.
SMALL = 30
_SEED = 42
_CHUNK = 100

ACCURACY, STANDARDISED, MACRO_F1, OVERCONFIDENCE = "accuracy", "accuracy, same classes", "macro-F1", "overconfidence"
RECALL = "recall of "


@dataclass(frozen=True)
class Answered:
    """Images with truths and a model's answers.

    Attributes:
        truths: (N,) classes.
        shares: (N, K) probabilities that the model gives.
        sources: (N,) equal for images that are not independent: exact twins, variants of one original.
        labels: The K classes' names.
    """

    truths: Indices
    shares: NDArray[np.floating]
    sources: Indices
    labels: Sequence[str]

    @property
    def classes(self) -> Indices:
        return np.asarray(self.shares.argmax(axis=1), np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> "Answered":
        return Answered(self.truths[chosen], self.shares[chosen], self.sources[chosen], self.labels)


@dataclass(frozen=True)
class Proportion:
    """A part of some images: percent with Wilson's 95% interval; NaN of none."""

    images: int
    correct: int

    @property
    def percent(self) -> float:
        return 100.0 * self.correct / self.images if self.images else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return metrics.wilson_interval(self.correct, self.images)

    @property
    def small(self) -> bool:
        return self.images < SMALL


@dataclass(frozen=True)
class GroupScore:
    """How a model does on a group.

    Attributes:
        name: The group's.
        accuracy: Of all its images.
        standardised: The accuracy that it would have with the classes of all groups together, percent; NaN for a
            small group that lacks one of them.
        macro_f1: Percent.
        recalls: Of each class; how many images it has is the group's distribution of labels.
        overconfidence: Mean confidence less accuracy, percentage points.
        calibration: Its expected calibration error, and what chance alone would give.
    """

    name: str
    accuracy: Proportion
    standardised: float
    macro_f1: float
    recalls: Sequence[Proportion]
    overconfidence: float
    calibration: Calibration


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups that are not small.

    Attributes:
        metric: Of which.
        lowest, highest: The groups.
        difference: Percentage points; the interval is that of these two, chosen after they were seen.
        p: Of so large a gap between any two groups by chance; NaN where it is not tested.
        p_holm: The same, for all tests of all attributes together.
    """

    metric: str
    lowest: str
    highest: str
    difference: paired.Difference
    p: float = float("nan")
    p_holm: float = float("nan")


@dataclass(frozen=True)
class Fairness:
    """An attribute's groups compared.

    Attributes:
        attribute: Which.
        unknown: How many images have no value of it.
        groups: The scores, in the attribute's order.
        gaps: Empty unless two groups are large enough.
        left_out: Classes that some large group lacks, so that they take no part in the standardised accuracy.
    """

    attribute: Attribute
    unknown: int
    groups: Sequence[GroupScore]
    gaps: Sequence[Gap]
    left_out: Sequence[str]


def compare_groups(attributes: Sequence[Attribute], answered: Answered) -> list[Fairness]:
    """Every attribute's groups, with p-values that hold for all of them together."""
    found = [_compare(attribute, answered) for attribute in attributes]
    tested = [gap.p for fairness in found for gap in fairness.gaps if not np.isnan(gap.p)]
    adjusted = iter(paired.holm(tested))
    return [replace(fairness, gaps=list(_adjust(fairness.gaps, adjusted))) for fairness in found]


def _adjust(gaps: Sequence[Gap], adjusted: Iterator[float]) -> Iterator[Gap]:
    for gap in gaps:
        yield gap if np.isnan(gap.p) else replace(gap, p_holm=next(adjusted))


def _compare(attribute: Attribute, answered: Answered) -> Fairness:
    number, classes = len(attribute.groups), len(answered.labels)
    members = attribute.members
    chosen = members >= 0
    cells = (members * classes + answered.truths) * classes + answered.classes
    counts = np.bincount(cells[chosen], minlength=number * classes**2).reshape(number, classes, classes)
    sizes = counts.sum(axis=(1, 2))
    large = np.flatnonzero(sizes >= SMALL)
    weights = _class_weights(counts[large])
    standardised = _standardise(metrics.recalls(counts), weights)
    groups = [
        _score_group(name, counts[place], float(standardised[place]), answered, members == place)
        for place, name in enumerate(attribute.groups)
    ]
    gaps = _gaps(attribute, answered, groups, large, weights) if len(large) > 1 else []
    present = counts.sum(axis=(0, 2)) > 0
    left_out = [label for place, label in enumerate(answered.labels) if present[place] and not weights[place]]
    return Fairness(attribute, int((~chosen).sum()), groups, gaps, left_out if len(large) > 1 else [])


def _class_weights(counts: NDArray[np.int64]) -> Array:
    """(G, K, K) counts of the large groups to (K,): each class's share in all of them; 0 for one that a group lacks."""
    images = counts.sum(axis=2)
    total = np.where((images > 0).all(axis=0), images.sum(axis=0), 0).astype(float)
    return np.asarray(total / max(1.0, total.sum()))


def _standardise(recalls: Array, weights: Array) -> Array:
    """(…, K) recalls to (…); NaN where a class that counts has no images."""
    used = weights > 0
    if not used.any():
        return np.full(recalls.shape[:-1], np.nan)
    return np.asarray(recalls[..., used] @ weights[used])


def _score_group(
    name: str, counts: NDArray[np.int64], standardised: float, answered: Answered, chosen: NDArray[np.bool_]
) -> GroupScore:
    accuracy = Proportion(int(counts.sum()), int(np.trace(counts)))
    totals, right = counts.sum(axis=1).tolist(), np.diagonal(counts).tolist()
    shares = answered.shares[chosen]
    return GroupScore(
        name,
        accuracy,
        standardised,
        float(metrics.macro_f1(counts)),
        [Proportion(images, correct) for images, correct in zip(totals, right, strict=True)],
        100.0 * float(shares.max(axis=1).mean()) - accuracy.percent,
        measure_calibration(shares, answered.truths[chosen]),
    )


# --- Gaps ---------------------------------------------------------------------------------------------------


def _gaps(
    attribute: Attribute, answered: Answered, groups: Sequence[GroupScore], large: Indices, weights: Array
) -> list[Gap]:
    chosen = np.isin(attribute.members, large)
    members = np.searchsorted(large, attribute.members[chosen])
    names = [attribute.groups[place] for place in large.tolist()]
    part = answered.part(chosen)
    by_metric = _resampled(part, members, len(large), weights, attribute.name)
    gaps = []
    for metric, values in by_metric.items():
        enough = np.isfinite(values[0])
        inside = np.ones(len(members), dtype=bool)
        if metric.startswith(RECALL):
            label = answered.labels.index(metric.removeprefix(RECALL))
            enough &= np.array([not groups[place].recalls[label].small for place in large.tolist()])
            inside = (part.truths == label) & enough[members]
        places = np.flatnonzero(enough)
        if len(places) > 1:
            low, high = (int(places[pick(values[0, places])]) for pick in (np.argmin, np.argmax))
            difference = paired.percentile_difference(values[:, high] - values[:, low])
            p = _test(metric, part.part(inside), members[inside], weights, attribute.name)
            gaps.append(Gap(metric, names[low], names[high], difference, p))
    return gaps


def _test(metric: str, part: Answered, members: Indices, weights: Array, name: str) -> float:
    """NaN for a metric that is no share of right answers."""
    if metric == STANDARDISED:
        return permutation_test(part, members, part.truths, weights, name)
    if metric == ACCURACY or metric.startswith(RECALL):
        return permutation_test(part, members, np.zeros_like(part.truths), np.ones(1), f"{name}/{metric}")
    return float("nan")


def _resampled(part: Answered, members: Indices, number: int, weights: Array, name: str) -> dict[str, Array]:
    """Every metric's (1 + R, G) values: measured, then with sources drawn anew; percent."""
    classes = len(part.labels)
    sources = np.unique(part.sources, return_inverse=True)[1]
    cells = (members * classes + part.truths) * classes + part.classes
    key = ("fairness", name, _SEED)
    counts = paired.resampled_counts(cells[None], number * classes**2, sources, generator(*key))[0]
    counts = counts.reshape(-1, number, classes, classes)
    confidence = paired.resampled_counts(
        members[None], number, sources, generator(*key), amounts=part.shares.max(axis=1)[None]
    )[0]
    accuracy, recalls = metrics.accuracy(counts), metrics.recalls(counts)
    images = np.maximum(1, counts.sum(axis=(2, 3)))
    return {
        ACCURACY: accuracy,
        STANDARDISED: _standardise(recalls, weights),
        MACRO_F1: metrics.macro_f1(counts),
        **{f"{RECALL}{label}": recalls[..., place] for place, label in enumerate(part.labels)},
        OVERCONFIDENCE: 100 * confidence / images - accuracy,
    }


def permutation_test(part: Answered, members: Indices, strata: Indices, weights: Array, name: str) -> float:
    """How often groups drawn by lot have so large a gap between the best and the worst.

    The lot is cast within each stratum, between sources: images of one source, stratum and group go together. A
    person's images in several strata count as independent.

    Args:
        part: Images of the groups that are compared.
        members: (N,) each image's group.
        strata: (N,) within which groups are exchanged.
        weights: (S,) of the strata's shares of right answers in a group's score; they sum to 1.
        name: Of the lot.
    """
    right = (part.classes == part.truths).astype(float)
    units, unit = np.unique(np.stack([part.sources, strata, members]), axis=1, return_inverse=True)
    unit = unit.ravel()
    hits, sizes = np.bincount(unit, right), np.bincount(unit).astype(float)
    found = np.unique(members)
    rng = generator("fairness lots", name, _SEED)
    scores = np.zeros((1 + RESAMPLES, len(found)))
    for stratum in np.flatnonzero(weights):
        inside = units[1] == stratum
        groups, of_hits, of_sizes = units[2, inside], hits[inside], sizes[inside]
        for start in range(0, 1 + RESAMPLES, _CHUNK):
            drawn = rng.permuted(np.tile(groups, (min(_CHUNK, 1 + RESAMPLES - start), 1)), axis=1)
            if start == 0:
                drawn[0] = groups  # as they are
            for column, group in enumerate(found.tolist()):
                those = (drawn == group).astype(float)
                share = those @ of_hits / np.maximum(1, those @ of_sizes)
                scores[start : start + len(drawn), column] += weights[stratum] * share
    gaps = np.ptp(scores, axis=1)
    return float((gaps >= gaps[0] - 1e-12).mean())
