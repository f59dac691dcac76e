"""How far chance moves what is computed from a confusion matrix: a parametric bootstrap.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 6.5. Each class's images are drawn anew from
its row of the matrix, by the normal limit of the multinomial distribution: means and covariances are those of images
drawn with repetition, and the same normal numbers serve every matrix, which is 20 times as fast. Images count as
independent of each other. Variants of one face are not: where they validate, the intervals are too narrow.
"""

import numpy as np
from numpy.typing import NDArray

# One less than a round number: then the 50th from either end cuts off 2.5%.
RESAMPLES = 1999
_CUT = 50

Array = NDArray[np.float64]


def draw(rng: np.random.Generator, classes: int) -> Array:
    """(K, 1 + R, K) standard normal numbers for `resample`; zeros in front, for the matrix as it is."""
    zeros = np.zeros((classes, 1, classes))
    return np.concatenate([zeros, rng.standard_normal((classes, RESAMPLES, classes))], axis=1)


def resample(counts: NDArray[np.integer], drawn: Array) -> Array:
    """(K, 1 + R, K) proportions: of each true class, as they are, and then as they might have come.

    Args:
        counts: (K, K); rows are true classes. One without images keeps a row of zeros.
        drawn: What `draw` gave.
    """
    totals = np.maximum(counts.sum(axis=1), 1)[:, None]
    shares = counts / totals
    roots = np.sqrt(shares)
    # Row by row: independent Poisson noise of each answer, less what would change the number of images.
    mixing = np.eye(len(counts)) * roots[:, None, :] - roots[:, :, None] * shares[:, None, :]
    return np.asarray(shares[:, None, :] + drawn @ (mixing / np.sqrt(totals)[:, :, None]))


def interval(distances: Array) -> tuple[float, float]:
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
