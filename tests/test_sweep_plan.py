"""Plans of sweeps: drawn evenly, in grids, and guided by results."""

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotorch import cli
from emotorch.analyses.criterion import ACCURACY
from emotorch.data.selection import Factors
from emotorch.errors import UsageError
from emotorch.experiment.settings import Settings
from emotorch.paths import Paths
from emotorch.recipes import get_recipe
from emotorch.sweep.job import Result
from emotorch.sweep.plan import (
    FACTOR_NAMES,
    Design,
    Dimension,
    FactorRanges,
    PlannedRun,
    choose_ranges,
    draw_plan,
    parse_dimension,
    propose,
)

RECIPE = get_recipe("emotorch")
# Only the training's own images: what is trained on does not differ.
FIXED = FactorRanges((1, 1), (0, 0), (1, 1), (0, 0))


def design(strategy: str = "random", count: int = 2, seed: int = 42, **others: object) -> Design:
    return Design(strategy, count, seed, **others)


def test_published_ranges_are_the_defaults() -> None:
    assert FactorRanges() == FactorRanges((0.9, 1.0), (0.0, 0.1), (0.9, 1.0), (0.0, 0.1))


def test_a_recipe_without_variants_has_no_ranges_but_those_that_are_given() -> None:
    def ranges(recipe: str, **given: tuple[float, float]) -> FactorRanges:
        options = cli_options("--recipe", recipe)
        settings = Settings.from_options(options, Paths(Path("nowhere")))
        return choose_ranges(settings, FactorRanges(), dict.fromkeys(FACTOR_NAMES) | given)

    assert ranges("emotorch") == FactorRanges()
    assert ranges("emotorch", fer=(0.2, 0.3)) == FactorRanges(fer=(0.2, 0.3))
    assert ranges("shared_cnn") == FIXED
    assert ranges("compact", fer=(0.2, 0.3)) == replace(FIXED, fer=(0.2, 0.3))


def cli_options(*arguments: str) -> argparse.Namespace:
    parser = cli.make_parser("", "")
    cli.add_training_options(parser)
    cli.add_device_options(parser)
    return parser.parse_args(arguments)


def test_a_longer_plan_starts_with_the_shorter_one_and_its_numbers_stay() -> None:
    long = draw_plan(design(count=300))
    assert draw_plan(design(count=5)) == long[:5]
    assert [run.number for run in long] == list(range(1, 301))
    assert long[0] == PlannedRun(
        1, Factors(0.9269355411049678, 0.08304724933602169, 0.9150066661434338, 0.028726517650618323), 43
    )


def test_a_plan_spreads_evenly_over_its_ranges_and_no_two_runs_are_alike() -> None:
    rate = Dimension("learning_rate", 1e-5, 1e-1, log=True)
    ranges = FactorRanges(fer=(0.2, 0.4))
    plan = draw_plan(design(count=400, seed=1, ranges=ranges, varied=(rate,)))
    places = {
        name: [(getattr(run.factors, name) - low) / (high - low) for run in plan]
        for name, (low, high) in ((name, getattr(ranges, name)) for name in FACTOR_NAMES)
    }
    places["learning_rate"] = [math.log10(run.changes["learning_rate"]) / 4 + 1.25 for run in plan]
    for drawn in places.values():
        assert 0 <= min(drawn) < 0.02
        assert 0.98 < max(drawn) <= 1
        assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.05)
    assert len({run.seed for run in plan}) == len({run.factors for run in plan}) == 400
    assert draw_plan(design(count=5, seed=2)) != plan[:5]


def test_whole_numbers_are_drawn_equally_often() -> None:
    plan = draw_plan(design(count=900, varied=(Dimension("batch_size", 8, 10, whole=True),)))
    counts = Counter(run.changes["batch_size"] for run in plan)
    assert set(counts) == {8, 9, 10}
    assert all(250 < count < 350 for count in counts.values())


def test_what_else_is_varied_changes_no_factor_and_no_other_draw() -> None:
    rate, filters = Dimension("learning_rate", 1e-5, 1e-1), Dimension("network_config.filters", 4, 16, whole=True)
    both, one = (draw_plan(design(count=9, varied=varied)) for varied in ((filters, rate), (rate,)))
    assert [run.factors for run in both] == [run.factors for run in draw_plan(design(count=9))]
    assert [run.changes["learning_rate"] for run in both] == [run.changes["learning_rate"] for run in one]


@pytest.mark.parametrize("ranges", [(0.5, 0.4), (-0.1, 0.4), (0.5, 1.1), (float("nan"), 1)])
def test_a_range_outside_0_to_1_is_refused(ranges: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="the range of ckp_aug is"):
        FactorRanges(ckp_aug=ranges)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 150), widths=st.lists(st.booleans(), min_size=5, max_size=5).filter(any))
def test_a_grid_is_the_smallest_balanced_one_evenly_thinned(count: int, widths: list[bool]) -> None:
    *factor_widths, varies_rate = widths
    ranges = FactorRanges(*((0.25, 0.75) if wide else (0.5, 0.5) for wide in factor_widths))
    varied = (Dimension("learning_rate", 1e-4, 1e-2, log=True),) if varies_rate else ()
    plan = draw_plan(design("grid", count, ranges=ranges, varied=varied))
    points = [(*vars(run.factors).values(), *run.changes.values()) for run in plan]
    assert len(set(points)) == len(points) == count
    met = [Counter(values) for values in zip(*points, strict=True)]
    levels = [len(counts) for counts, wide in zip(met, widths, strict=False) if wide]
    assert all(len(counts) == 1 for counts, wide in zip(met, widths, strict=False) if not wide)
    assert max(levels) - min(levels) <= 1
    assert math.prod(levels) >= count
    # One level less anywhere would not do: the last dimension that got its last level lacks it.
    highest = max(levels)
    assert highest == 1 or math.prod(levels) // highest * (highest - 1) < count
    for counts in met:
        assert max(counts.values()) - min(counts.values()) <= 2


def test_a_grid_s_levels_are_evenly_apart_from_end_to_end() -> None:
    rate = Dimension("learning_rate", 1e-4, 1e-2, log=True)
    batch = Dimension("batch_size", 8, 10, whole=True)
    plan = draw_plan(design("grid", 9, ranges=FIXED, varied=(rate, batch)))
    assert [tuple(run.changes.values()) for run in plan] == [
        (pytest.approx(value), size) for value in (1e-4, 1e-3, 1e-2) for size in (8, 9, 10)
    ]
    assert {run.factors for run in plan} == {Factors(1, 0, 1, 0)}
    (middle,) = draw_plan(design("grid", 1, varied=(rate,)))
    assert middle.factors == Factors(0.95, 0.05, 0.95, 0.05)
    assert middle.changes["learning_rate"] == pytest.approx(1e-3)


@given(low=st.integers(1, 30), width=st.integers(0, 30), log=st.booleans(), data=st.data())
def test_levels_of_whole_numbers_differ(low: int, width: int, log: bool, data: st.DataObject) -> None:
    varied = Dimension("batch_size", low, low + width, log, whole=True)
    levels = varied.levels(data.draw(st.integers(1, width + 1)))
    assert levels == sorted(set(levels))
    assert all(isinstance(level, int) and low <= level <= low + width for level in levels)


def test_a_grid_with_too_few_points_is_refused() -> None:
    batch = Dimension("batch_size", 8, 10, whole=True)
    with pytest.raises(UsageError, match="at most 3 of the 4 points"):
        draw_plan(design("grid", 4, ranges=FIXED, varied=(batch,)))


def test_what_is_varied_is_read_with_its_kind() -> None:
    assert parse_dimension(RECIPE, "learning_rate=1e-4:1e-2:log") == Dimension("learning_rate", 1e-4, 1e-2, log=True)
    assert parse_dimension(RECIPE, "augmentation.flip=0:0.5") == Dimension("augmentation.flip", 0.0, 0.5)
    filters = parse_dimension(RECIPE, "network_config.filters=4:16")
    assert filters == Dimension("network_config.filters", 4, 16, whole=True)
    changes = [run.changes["network_config.filters"] for run in draw_plan(design(count=300, varied=(filters,)))]
    assert set(changes) == set(range(4, 17))
    assert all(isinstance(value, int) for value in changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat=1:2", "did you mean learning_rate?"),
        ("lr=1:2", "no setting 'lr': one of trained_layers, distillation, focal_gamma"),
        ("filters=4:16", "did you mean network_config.filters?"),
        ("learning_rate", "is not KEY=LOW:HIGH"),
        ("learning_rate=1e-3", "is not KEY=LOW:HIGH"),
        ("learning_rate=1e-4:1e-2:lag", "is not KEY=LOW:HIGH"),
        ("learning_rate=a:b", "not two numbers"),
        ("learning_rate=2e-2:1e-2", "not a finite, rising range"),
        ("learning_rate=1e-2:inf", "not a finite, rising range"),
        ("learning_rate=0:1e-2:log", "a log range begins above 0, not at 0"),
        ("early_stop_patience=0.4:10:log", "a log range begins above 0, not at 0"),
        ("learning_rate=-1:1", "learning_rate must be a number above 0, not -1"),
        ("augmentation.flip=0:2", "augmentation.flip must be from 0 to 1, not 2"),
        ("loss=0:1", "it is not a number"),
        ("class_weights=0:1", "it is not a number"),
        ("variants=0:1", "fer_aug and ckp_aug"),
    ],
)
def test_a_wrong_variation_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_dimension(RECIPE, text)
    assert message in str(refused.value)


# Guided.

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="the extra `guided` is not installed")


def distance_in_a_valley(planned: PlannedRun) -> Result:
    """A made-up distance, smallest at fer 0.93 and a learning rate of 1e-3."""
    off = (10 * (planned.factors.fer - 0.93)) ** 2 + (math.log10(planned.changes["learning_rate"]) + 3) ** 2
    return Result(planned.number, f"model_{planned.number:05d}", "finished", 1.0, off, collapsed=False)


def search(design: Design, distance: Callable[[PlannedRun], Result] = distance_in_a_valley) -> list[PlannedRun]:
    plan: list[PlannedRun] = []
    results: dict[int, Result] = {}
    while len(plan) < design.count:
        plan.append(propose(design, plan, results))
        results[len(plan)] = distance(plan[-1])
    return plan


VALLEY = design("guided", 40, varied=(Dimension("learning_rate", 1e-5, 1e-1, log=True),))


@needs_optuna
def test_a_guided_sweep_closes_in_on_what_is_closest() -> None:
    distances = [distance_in_a_valley(planned).distance for planned in search(VALLEY)]
    drawn = [distance_in_a_valley(planned).distance for planned in draw_plan(replace(VALLEY, strategy="random"))]
    assert sum(distances[20:]) < 0.5 * sum(drawn[20:])
    assert min(distances) < 0.1


@needs_optuna
def test_a_proposal_depends_on_seed_and_results_alone() -> None:
    short = replace(VALLEY, count=14)
    plan = search(short)
    assert search(short) == plan
    results = {planned.number: distance_in_a_valley(planned) for planned in plan[:13]}
    assert propose(short, plan[:13], dict(reversed(results.items()))) == plan[13]
    assert propose(replace(short, seed=3), plan[:13], results) != plan[13]
    # Runs that are on their way or have failed take no part, and get in nobody's way.
    propose(short, plan[:13], {3: results[3], 4: Result(4, "", "failed", error="x")})


@needs_optuna
def test_a_guided_sweep_climbs_what_is_watched_where_there_is_no_original() -> None:
    def accuracy_on_a_hill(planned: PlannedRun) -> Result:
        valley = distance_in_a_valley(planned)
        return replace(valley, distance=math.nan, accuracy=90 - 10 * valley.distance)

    plan: list[PlannedRun] = []
    results: dict[int, Result] = {}
    while len(plan) < VALLEY.count:
        plan.append(propose(VALLEY, plan, results, ACCURACY))
        results[len(plan)] = accuracy_on_a_hill(plan[-1])
    assert max(result.accuracy for result in results.values()) > 89


@pytest.mark.parametrize("strategy", ["random", "grid"])
def test_each_choice_is_trained_under_the_same_seeds(strategy: str) -> None:
    plan = draw_plan(design(strategy, count=12, seeds=4))
    assert [run.number for run in plan] == list(range(1, 13))
    assert [run.seed for run in plan] == [43, 44, 45, 46] * 3
    factors = [run.factors for run in plan]
    assert factors == [factors[0]] * 4 + [factors[4]] * 4 + [factors[8]] * 4
    assert [factors[0], factors[4], factors[8]] == [run.factors for run in draw_plan(design(strategy, count=3))]


def test_several_seeds_are_not_for_a_guided_sweep_and_earlier_designs_go_on() -> None:
    with pytest.raises(UsageError, match="--seeds is for --strategy random or grid"):
        design("guided", seeds=2)
    with pytest.raises(ValueError, match="no whole number"):
        design(count=3, seeds=2)
    assert "seeds" not in design().as_dict()
    assert design(seeds=2).as_dict()["seeds"] == 2
