"""The best of n against every subset, counted; extrapolation against the distribution that scores are drawn from."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from emotorch.metrics.best_of_n import best_of_n, chance_of_reaching
from emotorch.seeding import generator

RNG = generator("test", "best of n")


@pytest.mark.parametrize("n", range(1, 10))
def test_within_the_runs_it_is_the_mean_over_all_subsets(n: int) -> None:
    scores = np.array([0.5, 0.1, 0.3, 0.3, 0.9, 0.2, 0.7, 0.4, 0.6])
    minima = [min(subset) for subset in combinations(scores, n)]
    best = best_of_n(scores, n, RNG)
    assert not best.extrapolated
    assert best.expected == pytest.approx(np.mean(minima))
    for target in (0.05, 0.1, 0.3, 1.0):
        assert chance_of_reaching(scores, n, target) == pytest.approx(np.mean(np.array(minima) <= target))


def test_all_runs_have_the_one_best() -> None:
    assert best_of_n(np.arange(1.0, 301), 300, RNG).expected == pytest.approx(1.0)


@pytest.mark.parametrize("n", [20, 300])
def test_the_interval_holds_the_best_of_n_others_95_times_of_100(n: int) -> None:
    rng = generator("test", "coverage", n)
    held = 0
    for _ in range(200):
        scores = np.exp(rng.normal(-3, 0.4, 40))
        best = best_of_n(scores, n, rng)
        held += best.low <= np.exp(rng.normal(-3, 0.4, n)).min() <= best.high
    assert stats.binomtest(held, 200, 0.95).pvalue > 0.001


def test_it_is_the_same_for_the_same_seed_and_goes_on_from_the_last_observed() -> None:
    scores = np.exp(generator("test", "scores").normal(-3, 0.4, 60))
    one, other = (best_of_n(scores, 1000, generator("extrapolate")) for _ in range(2))
    assert one == other
    assert one.extrapolated
    assert one.expected < best_of_n(scores, 60, RNG).expected


@pytest.mark.parametrize("scores", [[0.1, 0.0], [0.1, np.nan], [0.1, np.inf], [0.1] * 7])
def test_what_cannot_be_extrapolated_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"not positive and finite|too few"):
        best_of_n(np.array(scores), 100, RNG)
