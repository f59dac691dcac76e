"""The stratified permutation test of groups."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from emotorch.metrics.intervals import RESAMPLES
from emotorch.metrics.permutation import permutation_test
from emotorch.seeding import generator


def p_value(right: np.ndarray, groups: np.ndarray, strata: np.ndarray, *, copies: int = 1) -> float:
    """Of images that are each a source of its own, or there so many times."""
    sources = np.repeat(np.arange(len(right)), copies)
    weights = np.bincount(strata) / len(strata)
    images = (np.repeat(values, copies) for values in (groups, strata))
    return permutation_test(np.repeat(right, copies), sources, *images, weights, generator("permutations"))


@pytest.mark.slow
def test_without_a_gap_p_is_uniform() -> None:
    everything, by_stratum = [], []
    groups = np.repeat((0, 1, 2), (80, 90, 70))
    for trial in range(120):
        rng = generator("no gap", trial)
        strata = rng.integers(3, size=len(groups))
        right = rng.random(len(groups)) < np.array((0.6, 0.5, 0.7))[strata]
        everything.append(p_value(right, groups, np.zeros_like(groups)))
        by_stratum.append(p_value(right, groups, strata))
    for p_values in (everything, by_stratum):
        for level in (0.05, 0.25, 0.5, 0.75):
            assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=0.1)
        assert np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_of_two_groups_p_is_near_that_of_fisher_s_test_and_copies_make_it_no_surer() -> None:
    groups = np.repeat((0, 1), (90, 60))
    right = generator("fisher").random(150) < np.where(groups == 0, 0.5, 0.65)
    table = [[np.sum((groups == group) & (right == value)) for value in (0, 1)] for group in (0, 1)]
    one = np.zeros_like(groups)
    p = p_value(right, groups, one)
    assert p == pytest.approx(stats.fisher_exact(table).pvalue, abs=0.025)
    assert p_value(right, groups, one, copies=6) == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize(
    ("sizes", "hits"), [((2, 3, 4), [1, 1, 0, 1, 0, 0, 0, 1, 0]), ((1, 8), [0, 1, 1, 1, 1, 1, 1, 1, 1])]
)
def test_groups_keep_their_sizes_and_p_is_that_of_all_permutations(sizes: tuple[int, ...], hits: list[int]) -> None:
    groups, right = np.repeat(np.arange(len(sizes)), sizes), np.array(hits, bool)

    def gap(permuted: np.ndarray) -> float:
        return float(np.ptp([right[permuted == group].mean() for group in range(len(sizes))]))

    every = {tuple(order) for order in permutations(groups.tolist())}
    exact = np.mean([gap(np.array(order)) >= gap(groups) - 1e-12 for order in every])
    spread = (exact * (1 - exact) / RESAMPLES) ** 0.5
    assert p_value(right, groups, np.zeros_like(groups)) == pytest.approx(exact, abs=4 * spread)
