"""What a sweep's runs say together, on tables whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from published import ACCURACIES, CKP, FER, write_run

from emotorch.analyses.comparison import compare
from emotorch.analyses.distance import Weights
from emotorch.paths import Paths
from emotorch.seeding import generator
from emotorch.sweep.job import Result
from emotorch.sweep.statistics import (
    SweepRuns,
    best_of_n_table,
    describe,
    describe_pairs,
    describe_search,
    paired_table,
    pairs,
    repeated,
)

TARGET = 0.02016


def sweep(
    distances: np.ndarray, factor: np.ndarray, seeds: np.ndarray | None = None, name: str = "sweep_1"
) -> SweepRuns:
    count = len(distances)
    numbers = np.arange(1, count + 1)
    frame = pd.DataFrame(
        {
            "number": numbers,
            "fer": factor,
            "seed": 42 + numbers if seeds is None else seeds,
            "model": [f"model_{number:05d}" for number in numbers],
            "distance": distances,
            "low": distances - 0.004,
            "high": distances + 0.004,
            "fer_cm_mse": distances / 4,
            "ckp_cm_mse": distances * 3 / 4,
            "training_accuracy": 55 + factor,
            "combined_validation_accuracy": 50 + factor,
            "collapsed": False,
            "seconds": 100.0,
        }
    )
    return SweepRuns(name, ["fer"], frame, TARGET, independent=seeds is None)


def spread(*key: object, runs: int = 60, middle: float = 0.06) -> np.ndarray:
    return middle * np.exp(0.4 * generator("test", *key).standard_normal(runs))


def test_the_best_of_all_is_the_best_and_beyond_them_it_says_so() -> None:
    runs = sweep(spread("best"), np.linspace(0.9, 1, 60))
    frame = best_of_n_table(runs).frame.set_index("runs")
    assert frame.loc[60, "expected"] == pytest.approx(runs.distances.min())
    assert frame.loc[1, "expected"] == pytest.approx(runs.distances.mean())
    assert (frame["basis"] == "these runs").to_list() == [size <= 60 for size in frame.index]
    assert frame["expected"].is_monotonic_decreasing
    with pytest.raises(ValueError, match="too few"):
        best_of_n_table(sweep(spread("few", runs=5), np.ones(5)))


def test_collapsed_runs_are_counted_and_are_no_candidates() -> None:
    runs = sweep(spread("collapsed"), np.linspace(0.9, 1, 60))
    runs.frame.loc[[3, 4], ["collapsed", "distance"]] = [True, 1e-6]
    assert describe(runs)[0].startswith("60 runs, 2 collapsed; distance: median 0.0")
    assert best_of_n_table(runs).frame["expected"].min() > 1e-3


@pytest.mark.parametrize(("shift", "place"), [(0.01, "below"), (0.0, "within"), (-0.01, "above")])
def test_the_published_recreation_is_placed_by_the_best_run_s_interval(shift: float, place: str) -> None:
    runs = sweep(np.array([TARGET + shift, 0.05, 0.06]), np.ones(3))
    assert f"The published recreation's 0.02016 is {place} that interval." in describe(runs)[0]


def test_a_factor_that_matters_is_found_and_one_that_does_not_is_not() -> None:
    factor = np.linspace(0, 1, 60)
    (found,) = [line for line in describe(sweep(spread("factor") * np.exp(3 * factor), factor)) if "varied" in line]
    assert "p = <0.0001" in found
    (nothing,) = [line for line in describe(sweep(spread("no factor"), factor)) if "varied" in line]
    assert "explains 0%" in nothing or "explains 1%" in nothing or "explains 2%" in nothing


def test_many_factors_that_do_not_matter_explain_nothing() -> None:
    """As many factors as runs, nearly, fit any distances: that says nothing of the factors."""
    explained = []
    for number in range(20):
        runs = sweep(spread("overfitted", number, runs=16), generator("test", "fer", number).random(16))
        for place in range(9):
            runs.frame.insert(2, f"of_{place}", generator("test", number, place).random(16))
        runs = SweepRuns(runs.name, list(runs.frame.columns[1:11]), runs.frame, TARGET, independent=True)
        (line,) = [line for line in describe(runs) if "varied" in line]
        explained.append(int(line.partition("explains ")[2].partition("%")[0]))
    assert np.median(explained) < 20


def test_settings_under_several_seeds_are_told_from_the_seeds() -> None:
    settings, seeds = np.repeat(np.arange(5.0), 8), np.tile(np.arange(8), 5)
    matter = sweep(spread("matter", runs=40) * np.exp(settings), settings, seeds)
    assert [len(group) for group in repeated(matter)] == [8] * 5
    (line,) = [line for line in describe(matter) if "seeds" in line]
    assert line.startswith("Of 5 settings, each under 8 seeds, 9")
    assert "Left out" not in line
    matter.frame.loc[3, "collapsed"] = True
    matter = replace(matter, frame=matter.frame)
    (line,) = [line for line in describe(matter) if "seeds" in line]
    assert line.startswith("Of 4 settings, each under 8 seeds")
    assert line.endswith("Left out: 1 setting of which a run collapsed.")
    do_not = sweep(spread("do not", runs=40), settings, seeds)
    (line,) = [line for line in describe(do_not) if "seeds" in line]
    assert "(95% interval 0–" in line
    assert repeated(sweep(spread("once"), np.linspace(0, 1, 60))) == []


def test_a_search_is_measured_against_as_many_runs_that_were_drawn() -> None:
    drawn = sweep(np.linspace(0.03, 0.09, 60), np.ones(60), name="sweep_random")
    guided = sweep(np.linspace(0.029, 0.05, 30), np.ones(30), name="sweep_guided")
    line = describe_search(guided, drawn)
    assert "The best of 30 runs of sweep_guided is at 0.02900" in line
    assert "with a probability of 0%" in line
    assert "with a probability of 50%" in describe_search(sweep(np.array([0.03] * 30), np.ones(30)), drawn)
    assert "as if they were independent" not in line
    assert "p = <0.0001, as if they were independent)" in describe_search(replace(guided, independent=False), drawn)
    collapsed = replace(guided, frame=guided.frame.assign(collapsed=True))
    assert describe_search(collapsed, drawn) == "All 30 runs of sweep_guided collapsed."


def test_runs_without_ckp_are_no_measure_of_those_with_it(paths: Paths) -> None:
    for number in range(1, 4):
        write_run(paths.models / f"model_{number:05d}", ACCURACIES, FER, None if number == 3 else CKP)
    comparison = compare(paths, Weights())
    results = [Result(number, f"model_{number:05d}", "finished") for number in range(1, 4)]
    planned = pd.DataFrame({"number": [1, 2, 3], "ckp": [1.0, 0.5, 0.0], "seed": [43, 44, 45]})
    runs = SweepRuns.of("sweep_1", {"strategy": "grid"}, planned, results, comparison)
    assert runs.frame["model"].to_list() == ["model_00001", "model_00002"]
    assert describe(runs)[0].startswith("2 runs, 0 collapsed (1 more is compared on other matrices)")


def test_runs_of_equal_settings_and_seed_are_paired_and_their_differences_are_tested() -> None:
    factor = np.linspace(0.9, 1, 30)
    honest = sweep(spread("honest", runs=60), np.concatenate([factor, factor + 1]))
    leaky = sweep(honest.distances[:30] * 0.5, factor, name="sweep_leaky")
    paired = pairs(leaky, honest)
    assert len(paired) == 30
    table = paired_table(paired).frame.set_index("measured")
    assert table.loc["distance", "difference"] == pytest.approx(-0.5 * honest.distances[:30].mean())
    assert table.loc["distance", "high"] < 0
    assert table.loc["training accuracy, %", "difference"] == 0
    assert len(pairs(leaky, sweep(honest.distances, honest.frame["fer"] + 1))) == 0
    assert describe_pairs(paired, "a", "b").startswith("30 pairs of runs of equal settings and seed, a less b: ")
    leaky.frame.loc[0, "collapsed"] = True
    said = describe_pairs(pairs(leaky, honest), "a", "b")
    assert said.startswith("30 pairs of runs of equal settings and seed (in 1 of them a run collapsed), a less b: ")
