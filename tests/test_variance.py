"""Variance parts against spreads that are known."""

import numpy as np
import pytest
from scipy import stats

from emotorch.metrics.variance import split_variance
from emotorch.seeding import generator


def test_groups_that_differ_in_nothing_have_no_part() -> None:
    rng = generator("test", "equal groups")
    parts = split_variance(list(rng.normal(0, 2, (50, 20))))
    assert parts.low == 0
    assert parts.high < 0.1
    assert parts.within == pytest.approx(2, rel=0.05)


def test_the_part_between_is_found_and_its_interval_holds_the_truth() -> None:
    rng = generator("test", "groups")
    held = 0
    for _ in range(200):
        parts = split_variance(list(rng.normal(0, 3, (5, 1)) + rng.normal(0, 1, (5, 8))))
        held += parts.low <= 0.9 <= parts.high
    assert stats.binomtest(held, 200, 0.95).pvalue > 0.001


def test_groups_that_differ_in_their_means_alone_are_all_of_the_variance() -> None:
    parts = split_variance([np.full(3, mean) for mean in (1.0, 2.0, 4.0)])
    assert (parts.between, parts.low, parts.high) == (1, 1, 1)


def test_it_is_scipy_s_test() -> None:
    groups = [np.array([1.0, 2, 3]), np.array([2.0, 3, 5]), np.array([9.0, 8, 7])]
    parts = split_variance(groups)
    assert parts.p == pytest.approx(stats.f_oneway(*groups).pvalue)
    assert 0 < parts.low < parts.between < parts.high <= 1


@pytest.mark.parametrize("groups", [[[1.0, 2]], [[1.0], [2.0]], [[1.0, 2], [1.0, 2, 3]]])
def test_too_few_or_uneven_groups_are_refused(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        split_variance([np.array(group) for group in groups])
