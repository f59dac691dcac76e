"""What a model gets wrong: which labels it confuses, where it is surest and wrong, and which labels may be wrong.

Source of the last: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels" (JAIR
2021). It needs probabilities of a model that was not trained on the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from emotorch.analysis import metrics
from emotorch.data.split import Indices

Probabilities = NDArray[np.floating]

# Of all pairs the one that people confuse most, and the published models too: it comes first.
_FIRST = frozenset(("fear", "surprise"))


@dataclass(frozen=True)
class Confusion:
    """Two labels that are taken for each other.

    Attributes:
        labels: The two; more often the first is answered as the second than the other way round.
        counts: Images of the first that are answered as the second, and the other way round.
        shares: The same as a part, 0 to 1, of the images of the true label.
        images: (M,) places of all of them, the most confident answer first.
    """

    labels: tuple[str, str]
    counts: tuple[int, int]
    shares: tuple[float, float]
    images: Indices


def confusions(truths: Indices, probabilities: Probabilities, labels: Sequence[str]) -> list[Confusion]:
    """Every pair of labels that is confused: fear and surprise first, then the most frequent first.

    Args:
        truths: (N,) true classes.
        probabilities: (N, K).
        labels: K names.
    """
    answers = probabilities.argmax(axis=1)
    counts = metrics.confusion_counts(truths, answers, len(labels))
    shares = metrics.row_proportions(counts)
    found = []
    for pair in combinations(range(len(labels)), 2):
        one, other = pair if counts[pair] >= counts[pair[::-1]] else pair[::-1]
        there, back = (one, other), (other, one)
        if not counts[there]:
            continue
        confused = ((truths == one) & (answers == other)) | ((truths == other) & (answers == one))
        found.append(
            Confusion(
                (labels[one], labels[other]),
                (int(counts[there]), int(counts[back])),
                (float(shares[there]), float(shares[back])),
                _most_confident_first(np.flatnonzero(confused), probabilities),
            )
        )
    return sorted(found, key=lambda pair: (set(pair.labels) != _FIRST, -sum(pair.counts)))


def confident_errors(truths: Indices, probabilities: Probabilities) -> Indices:
    """(M,) places of all wrong answers, the most confident first."""
    return _most_confident_first(np.flatnonzero(probabilities.argmax(axis=1) != truths), probabilities)


def _most_confident_first(places: Indices, probabilities: Probabilities) -> Indices:
    return np.asarray(places[np.argsort(-probabilities[places].max(axis=1), kind="stable")], np.int64)


@dataclass(frozen=True)
class LabelErrors:
    """Which labels confident learning doubts.

    Attributes:
        thresholds: (K,) mean probability of a label among the images that have it; NaN of a label without images.
        joint: (K, K) the confident joint: images with the row's label that are confidently of the column's class.
            An image counts for the most probable of the classes whose threshold its probability reaches, if any.
        images: (M,) places of those off its diagonal, those first whose label's probability is farthest below that
            of the class that they are counted for.
        classes: (M,) the classes that they are counted for.
    """

    thresholds: NDArray[np.float64]
    joint: metrics.Counts
    images: Indices
    classes: Indices


def suspected_label_errors(given: Indices, probabilities: Probabilities) -> LabelErrors:
    """The images that confident learning counts for another class than their label says.

    Args:
        given: (N,) labels.
        probabilities: (N, K), of a model that was trained on none of these images.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(given)), given]
    images = np.bincount(given, minlength=classes)
    sums = np.bincount(given, own, minlength=classes)
    thresholds = np.divide(sums, images, out=np.full(classes, np.nan), where=images > 0)
    # No probability reaches the threshold of a class without images: nothing is known of it.
    reached = probabilities >= np.nan_to_num(thresholds, nan=np.inf)
    confident = reached.any(axis=1)
    counted_for = np.where(reached, probabilities, -1.0).argmax(axis=1)
    joint = metrics.confusion_counts(given[confident], counted_for[confident], classes)
    suspected = np.flatnonzero(confident & (counted_for != given))
    margins = own[suspected] - probabilities[suspected, counted_for[suspected]]
    suspected = suspected[np.argsort(margins, kind="stable")]
    return LabelErrors(thresholds, joint, suspected, counted_for[suspected].astype(np.int64))
