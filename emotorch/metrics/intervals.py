"""Intervals: of an accuracy, and of the distance between the proportions of two confusion matrices.

A distance has no interval in closed form: the matrix is resampled, each row by the normal approximation of its
multinomial distribution.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# One less than a round number: then the 50th from either end cuts off 2.5%.
RESAMPLES = 1999
_CUT = 50
TAILS = (0.025, 0.975)
AT_ONCE = 100  # resamples or permutations: bounds the memory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval; NaN where a class has no images."""

    value: float
    low: float
    high: float


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """95% interval of an accuracy, in percent; NaN without images.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if not images:
        return float("nan"), float("nan")
    low, high = stats.binomtest(correct, images).proportion_ci(method="wilson")
    return 100.0 * float(low), 100.0 * float(high)


def proportion(correct: int, images: int) -> Estimate:
    """How many of some images are predicted right, in percent, with Wilson's interval; NaN of none."""
    return Estimate(100.0 * correct / images if images else float("nan"), *wilson_interval(correct, images))


def draw_normals(rng: np.random.Generator, classes: int) -> Array:
    """(K, 1 + R, K) standard normal numbers for `resample`; zeros in front, for the matrix as it is."""
    zeros = np.zeros((classes, 1, classes))
    return np.concatenate([zeros, rng.standard_normal((classes, RESAMPLES, classes))], axis=1)


def resample(counts: NDArray[np.integer], normals: Array) -> Array:
    """(K, 1 + R, K) proportions of each true class: as measured, then resampled with the numbers of `draw_normals`.

    Of (K, K) counts, whose rows are true classes; one without images keeps a row of zeros.
    """
    proportions, mixing = _proportions_and_mixing(counts)
    return np.asarray(proportions[:, None, :] + normals @ mixing)


def _proportions_and_mixing(counts: NDArray[np.integer]) -> tuple[Array, Array]:
    """(K, K) proportions, and for each row the (K, K) matrix that turns normal numbers into their noise."""
    totals = np.maximum(counts.sum(axis=1), 1)[:, None]
    proportions = counts / totals
    roots = np.sqrt(proportions)
    # Row by row: independent Poisson noise of each predicted class, less what would change the number of images.
    mixing = np.eye(len(counts)) * roots[:, None, :] - roots[:, :, None] * proportions[:, None, :]
    return proportions, mixing / np.sqrt(totals)[:, :, None]


def products(normals: Array) -> Array:
    """(1 + R, F): what `draw_normals` gave and its products: every squared distance is a weighted sum of them."""
    first, second, _ = _pairs(normals.shape[2])
    return np.concatenate([np.hstack([rows, rows[:, first] * rows[:, second]]) for rows in normals], axis=1)


def squared_distances(counts: NDArray[np.integer], target: Array, normals: Array) -> Array:
    """(1 + R,) sums of the squared differences between `resample`'s proportions and others, 15 times as fast.

    A resampled row is a linear function of its normal numbers, so its squared distance is a quadratic one: what is
    left to do for every resample is one product of a matrix and a vector.

    Args:
        counts: (K, K); rows are true classes.
        target: (K, K) proportions.
        normals: What `products` gave.
    """
    proportions, mixing = _proportions_and_mixing(counts)
    off = proportions - target
    first, second, times = _pairs(len(counts))
    squares = (mixing @ mixing.transpose(0, 2, 1))[:, first, second] * times
    linear = 2 * (mixing @ off[:, :, None])[:, :, 0]
    return np.asarray(np.square(off).sum() + normals @ np.hstack([linear, squares]).ravel())


@lru_cache
def _pairs(classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Which two classes each product is of, and how often it counts."""
    first, second = np.triu_indices(classes)
    return first, second, np.where(first == second, 1.0, 2.0)


def distance_interval(distances: Array) -> tuple[float, float]:
    """95% interval of a squared distance.

    Chance alone makes every such distance larger than it is: the measured one once; the resampled ones, which start
    from the measured, twice. Both parts are taken off, else the interval lies too high to hold the truth.

    Args:
        distances: (1 + R,): measured, then resampled.
    """
    measured, resampled = distances[0], np.sort(distances[1:])
    by_chance = resampled.mean() - measured
    low, high = (float(resampled[place] - 2 * by_chance) for place in (_CUT - 1, -_CUT))
    return max(0.0, low), max(0.0, high)
