"""Whether models differ that were evaluated on the same images: tests and intervals that use the pairing.

Images are resampled and counted by source: predictions for an original, its exact twins and its variants (in CK+
for all images of a person) are much alike, and count as one observation, not as many.

- McNemar, "Note on the sampling error of the difference between correlated proportions or percentages" (1947), in its
  exact form by the binomial distribution.
- Bootstrap of whole clusters: Field and Welsh, "Bootstrapping clustered data" (2007).
- Holm, "A simple sequentially rejective multiple test procedure" (1979).
- Welch, "The generalization of 'Student's' problem when several different population variances are involved" (1947).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from emotorch.data.split import Indices
from emotorch.metrics.intervals import AT_ONCE, RESAMPLES, TAILS, Array, Estimate


@dataclass(frozen=True)
class McNemar:
    """Sources that only one of two models got right (the more of their images), and the two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_], sources: Indices) -> McNemar:
    """McNemar's exact test.

    Args:
        first_right, second_right: (N,) whether each model got the image right.
        sources: (N,) numbers from 0: images of one source count once, for the model that got more of them.
    """
    lead = np.bincount(sources, weights=second_right.astype(float) - first_right)
    only_first, only_second = int((lead < 0).sum()), int((lead > 0).sum())
    differing = only_first + only_second
    p = float(stats.binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values that hold for all tests together: of all, not of each, 5% of true null hypotheses are rejected."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(p) for p in adjusted]


def resampled_counts(
    cells: NDArray[np.integer],
    size: int,
    sources: Indices,
    rng: np.random.Generator,
    amounts: NDArray[np.floating] | None = None,
) -> Array:
    """How many images fall into each cell: measured, then with the sources resampled.

    Args:
        cells: (M, N): the cell, from 0, of each image for each of M models or conditions. All of them get the same
            resamples.
        sources: (N,) numbers from 0, none left out: images of one are resampled together.
        amounts: (M, N) to sum up in each cell instead of counting images.

    Returns:
        (M, 1 + R, size) counts, or sums.
    """
    models, images = cells.shape
    columns = (cells + size * np.arange(models)[:, None]).ravel()
    rows = np.tile(sources, models)
    number = int(sources.max()) + 1
    # Of each source, for each model, the images in each cell.
    each = np.ones(models * images) if amounts is None else amounts.ravel().astype(float)
    table = sparse.csr_array((each, (rows, columns)), shape=(number, models * size))
    counts = np.empty((1 + RESAMPLES, models * size))
    counts[0] = np.bincount(columns, each, minlength=models * size)
    for start in range(1, 1 + RESAMPLES, AT_ONCE):
        drawn = min(AT_ONCE, 1 + RESAMPLES - start)
        picks = rng.integers(number, size=(drawn, number)) + number * np.arange(drawn)[:, None]
        times = np.bincount(picks.ravel(), minlength=drawn * number).reshape(drawn, number)
        counts[start : start + drawn] = times @ table
    return counts.reshape(1 + RESAMPLES, models, size).transpose(1, 0, 2)


def resampled_confusions(
    truths: Indices, predictions: NDArray[np.integer], classes: int, sources: Indices, rng: np.random.Generator
) -> Array:
    """(M, 1 + R, K, K) confusion counts of the (M, N) classes that M models predict, or one under M conditions, for
    images of (N,) true classes; see `resampled_counts`."""
    counts = resampled_counts(truths * classes + predictions, classes**2, sources, rng)
    return counts.reshape(len(predictions), -1, classes, classes)


_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def percentile_interval(resampled: Array) -> Estimate:
    """From (1 + R,) values: measured, then resampled. The interval is that of the resampled ones' percentiles."""
    known = resampled[1:][np.isfinite(resampled[1:])]
    if not len(known) or np.isnan(resampled[0]):
        return _UNKNOWN
    low, high = np.quantile(known, TAILS)
    return Estimate(float(resampled[0]), float(low), float(high))


def seeds_difference(first: ArrayLike, second: ArrayLike, resampled: Array) -> tuple[Estimate, float]:
    """Of the means of runs that differ by seed, for other seeds and other images than these: Welch's t-test, with the
    images' variance added to that of the seeds.

    A run alone is taken to spread as the other side's runs do. Runs that scatter by image, not as a whole, count in
    both variances: the interval is then somewhat too wide, never too narrow.

    Args:
        first, second: (A,) and (B,) scores of each run, on the same images; two or more on one side at least.
        resampled: (1 + R,) differences of the means: measured, then with the images resampled.

    Returns:
        The difference of the means, and its two-sided p-value.
    """
    scores = [np.asarray(values, float) for values in (first, second)]
    value = float(scores[1].mean() - scores[0].mean())
    if np.isnan(value):
        return _UNKNOWN, float("nan")
    # Each part of the variance with its degrees of freedom; that of the images comes of so many that it is known.
    parts = _seed_variances(scores)
    total = float(np.nanvar(resampled[1:], ddof=1)) + sum(variance for variance, _ in parts)
    by_seeds = sum(variance**2 / freedom for variance, freedom in parts)
    freedom = total**2 / by_seeds if by_seeds else np.inf
    if not total:
        return Estimate(value, value, value), 1.0 if value == 0 else 0.0
    error = total**0.5
    half = float(stats.t.ppf(TAILS[1], freedom)) * error
    return Estimate(value, value - half, value + half), float(2 * stats.t.sf(abs(value) / error, freedom))


def _seed_variances(scores: Sequence[Array]) -> list[tuple[float, int]]:
    several = [values for values in scores if len(values) > 1]
    if len(several) == 1:
        (values,) = several
        return [(float(values.var(ddof=1)) * sum(1 / len(side) for side in scores), len(values) - 1)]
    return [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in several]
