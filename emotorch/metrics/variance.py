"""How much of a spread is between groups, and how much within: one-way analysis of variance with random effects.

Source: Searle, Casella and McCulloch, "Variance Components" (1992), chapter 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from emotorch.metrics.intervals import Array


@dataclass(frozen=True)
class VarianceParts:
    """Of groups of equal size.

    Attributes:
        between: The part of the variance that is between groups, 0 to 1: the intraclass correlation.
        low, high: Its 95% interval.
        p: Of the F test: how likely groups without a true difference would differ this much.
        within: Standard deviation within a group.
    """

    groups: int
    size: int
    between: float
    low: float
    high: float
    p: float
    within: float


def split_variance(groups: Sequence[Array]) -> VarianceParts:
    """The parts of the variance between and within groups.

    Raises:
        ValueError: they are fewer than two, shorter than 2, or not of one length.
    """
    sizes = {len(group) for group in groups}
    if len(groups) < 2 or len(sizes) != 1 or min(sizes) < 2:
        raise ValueError("needs two groups or more, of one length of at least 2")
    values = np.stack(groups)
    count, size = values.shape
    ratio, p = stats.f_oneway(*values)
    freedom = (count - 1, count * (size - 1))

    def part(f: float) -> float:
        return float(min(1.0, max(0.0, 1 - size / (f + size - 1))))  # also of an infinite F

    low, high = (part(ratio / stats.f.ppf(tail, *freedom)) for tail in (0.975, 0.025))
    within = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    return VarianceParts(count, size, part(ratio), low, high, float(p), within)
