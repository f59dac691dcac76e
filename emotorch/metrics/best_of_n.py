"""What the best of n runs is to be expected to score, from the scores of those that there are. Smaller is better.

Up to the number of runs what is expected is exact: each n of them are equally likely to be the n that were trained.
Beyond it, and for the interval that the best of another n would be in, a lognormal distribution is fitted, and its
uncertainty carried along: each resample of the runs gives another fit, and each fit another best of n.

Sources: Dodge et al., "Show Your Work: Improved Reporting of Experimental Results" (2019), for the expected best of n,
here without replacement, which is unbiased (Tang et al., "Showing Your Work Doesn't Always Work", 2020).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from emotorch.metrics.intervals import RESAMPLES, TAILS, Array

# A spread of fewer says too little.
FEWEST = 8


@dataclass(frozen=True)
class BestOfN:
    """Of n runs the best: its expected score, and the interval that it lies in 95 times of 100.

    `extrapolated` tells that there are fewer runs than n.
    """

    n: int
    expected: float
    low: float
    high: float
    extrapolated: bool


def best_of_n(scores: Array, n: int, rng: np.random.Generator) -> BestOfN:
    """The best of n runs like those of (R,) scores, which are independent.

    Raises:
        ValueError: there are fewer scores than 8, or one is not positive and finite.
    """
    if not (np.isfinite(scores).all() and (scores > 0).all()):
        raise ValueError("a score is not positive and finite")
    if len(scores) < FEWEST:
        raise ValueError(f"{len(scores)} scores are too few to tell of others")
    drawn = _drawn(np.log(scores), n, rng)
    low, high = np.quantile(drawn, TAILS).tolist()
    if n > len(scores):
        return BestOfN(n, float(drawn.mean()), low, high, extrapolated=True)
    # The i-th smallest is the best where it is among the n, and none of those before it.
    none = _none_of_first(len(scores), n)
    return BestOfN(n, float((none[:-1] - none[1:]) @ np.sort(scores)), low, high, extrapolated=False)


def chance_of_reaching(scores: Array, n: int, target: float) -> float:
    """How likely the best of n of these runs, chosen at random, is at most the target."""
    return float(1 - _none_of_first(len(scores), n)[int((scores <= target).sum())])


def _none_of_first(runs: int, n: int) -> Array:
    """(1 + R,) how likely none of the first i is among n of R runs that are chosen at random."""
    return np.asarray(stats.hypergeom.pmf(0, runs, np.arange(runs + 1), n))


def _drawn(logs: Array, n: int, rng: np.random.Generator) -> Array:
    """The best of n, once for each resample's fit."""
    resampled = rng.choice(logs, (RESAMPLES, len(logs)))
    # The smallest of n uniform numbers, by one uniform number.
    place = -np.expm1(np.log1p(-rng.random(RESAMPLES)) / n)
    return np.asarray(np.exp(resampled.mean(axis=1) + resampled.std(axis=1, ddof=1) * stats.norm.ppf(place)))
