import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import SWEEP, call_script, copy_root, error_line, read_table

from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.errors import EmoTorchError, UsageError
from emotorch.experiment.settings import Settings
from emotorch.labels import get_scheme
from emotorch.overrides import override
from emotorch.paths import Paths
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run, list_runs
from emotorch.sweep import preload
from emotorch.sweep.folder import Sweep
from emotorch.sweep.job import Job, Result, run_job
from emotorch.sweep.plan import (
    FACTOR_NAMES,
    Design,
    Dimension,
    FactorRanges,
    PlannedRun,
    check_guided,
    draw_plan,
    parse_dimension,
    propose,
)
from emotorch.sweep.scheduler import DIED, Progress, closest, run_sweep, summary

RECIPE = get_recipe("emotorch")
QUICK = Settings(override(RECIPE, ["epochs=1"]), get_scheme("emotorch4"), Factors())
# Only the training's own images: what is trained on does not differ.
FIXED = FactorRanges((1, 1), (0, 0), (1, 1), (0, 0))


def design(strategy: str = "random", count: int = 2, seed: int = 42, **others: object) -> Design:
    return Design(strategy, count, seed, **others)


# Plans.


def test_published_ranges_are_the_defaults() -> None:
    assert FactorRanges() == FactorRanges((0.9, 1.0), (0.0, 0.1), (0.9, 1.0), (0.0, 0.1))


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
    with pytest.raises(UsageError, match=r"3 point\(s\) at most, not 4"):
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
        ("filters=4:16", "did you mean network_config.filters?"),
        ("learning_rate", "is not KEY=LOW:HIGH"),
        ("learning_rate=1e-3", "is not KEY=LOW:HIGH"),
        ("learning_rate=1e-4:1e-2:lag", "is not KEY=LOW:HIGH"),
        ("learning_rate=a:b", "not two numbers"),
        ("learning_rate=2e-2:1e-2", "not a finite, rising range"),
        ("learning_rate=1e-2:inf", "not a finite, rising range"),
        ("learning_rate=0:1e-2:log", "a log range begins above 0, not at 0"),
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


# Sweeps, with an engine in the test's own process.


@dataclass
class Here:
    """Runs a job when it is waited for.

    Attributes:
        deaths: How often the worker of a run's number dies before it gives its result.
    """

    paths: Paths
    index: DatasetIndex
    deaths: Counter[int]
    slots: int = 1
    reads_files: bool = True
    jobs: list[Job] = field(default_factory=list)

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def wait(self) -> tuple[Job, Result | None]:
        job = self.jobs.pop(0)
        if self.deaths[job.number]:
            self.deaths[job.number] -= 1
            return job, None
        return job, run_job(self.paths, job, self.index)


@contextmanager
def here(
    paths: Paths, deaths: dict[int, int], sweep: Sweep, index: DatasetIndex, base: Settings, runs: int
) -> Iterator[Here]:
    yield Here(paths, index, Counter(deaths))


def run(paths: Paths, design: Design, base: Settings = QUICK, *, deaths: dict[int, int] | None = None) -> Sweep:
    return run_sweep(paths, base, design, partial(here, paths, deaths or {}))


def model_names(paths: Paths) -> list[str]:
    return [run.name for run in list_runs(paths.models)]


@pytest.fixture
def root(prepared: Paths, tmp_path: Path) -> Paths:
    return copy_root(prepared, tmp_path / "root")


def test_a_sweep_trains_its_plan_and_records_each_run(root: Paths) -> None:
    filters = Dimension("network_config.filters", 4, 8, whole=True)
    made = run(root, design(seed=7, varied=(filters,)))
    assert made.folder.parent == root.models
    plan, results = read_table(made.folder / "plan.csv"), read_table(made.folder / "results.csv")
    assert tuple(plan[0]) == ("number", *FACTOR_NAMES, "network_config.filters", "seed")
    assert [row["number"] for row in plan] == [row["number"] for row in results] == ["1", "2"]
    assert [row["model"] for row in results] == ["model_00001", "model_00002"]
    assert [row["status"] for row in results] == ["finished"] * 2
    assert [row["error"] for row in results] == [""] * 2
    assert all(float(row["seconds"]) > 0 for row in results)
    for planned, result in zip(plan, results, strict=True):
        record = json.loads((root.models / result["model"] / "run.json").read_text())
        assert record["factors"] == {name: float(planned[name]) for name in FACTOR_NAMES}
        assert record["seed"] == int(planned["seed"])
        assert record["settings"]["recipe"]["epochs"] == 1
        assert record["settings"]["recipe"]["network_config"]["filters"] == int(planned["network_config.filters"])
        assert (record["sweep"], record["sweep_number"]) == (made.name, int(planned["number"]))
        assert result["collapsed"] == str(record["collapsed"]).lower()
        assert 0 < float(result["distance"]) < 2


def test_a_finished_sweep_is_followed_by_a_new_one_and_so_is_any_other_design(root: Paths) -> None:
    made = [
        run(root, design(count=1)),
        run(root, design(count=1)),
        run(root, design(count=1, seed=1)),
        run(root, design(count=1), replace(QUICK, threads=2)),
    ]
    assert len({sweep.name for sweep in made}) == 4
    assert model_names(root) == [f"model_0000{number}" for number in (1, 2, 3, 4)]


class _Killed(BaseException):
    pass


def interrupt(root: Paths, design: Design, after: int, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Runs a sweep that is killed at the `after`-th call of a method of Sweep."""
    calls = []

    def killed(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == after:
            raise _Killed
        original(*arguments)

    original = getattr(Sweep, at)
    with monkeypatch.context() as patched:
        patched.setattr(Sweep, at, killed)
        with pytest.raises(_Killed):
            run(root, design)


def test_a_run_that_ended_before_its_result_was_recorded_is_taken_up_not_trained_again(
    root: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(root, design(), after=1, monkeypatch=monkeypatch, at="record")
    (done,) = list_runs(root.models)
    written = (done.folder / "model.pth").stat().st_mtime_ns
    made = run(root, design())
    assert model_names(root) == ["model_00001", "model_00002"]
    assert (done.folder / "model.pth").stat().st_mtime_ns == written
    assert [result.model for result in made.results.values()] == model_names(root)
    assert len(list(root.models.glob("sweep_*"))) == 1


def test_a_torn_last_result_is_read_again_from_its_run(root: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(root, design(), after=2, monkeypatch=monkeypatch, at="record")
    (results,) = root.models.glob("sweep_*/results.csv")
    first = results.read_text()
    with results.open("a") as file:
        file.write("2,model_00002,fin")
    made = run(root, design())
    assert results.read_text().startswith(first)
    assert [row["number"] for row in read_table(results)] == ["1", "2"]
    assert made.results[2].status == "finished"
    assert model_names(root) == ["model_00001", "model_00002"]


def test_a_run_whose_worker_dies_is_tried_once_more_in_its_own_folder(root: Paths) -> None:
    made = run(root, design(), deaths={1: 1})
    assert [result.status for result in made.results.values()] == ["finished"] * 2
    assert model_names(root) == ["model_00001", "model_00002"]


def test_a_run_whose_workers_die_twice_has_failed_and_the_next_one_is_trained(root: Paths) -> None:
    made = run(root, design(), deaths={1: 2})
    assert [made.results[number].status for number in (1, 2)] == ["failed", "finished"]
    assert made.results[1].error == DIED


def test_a_run_that_fails_is_recorded_and_the_next_one_starts(root: Paths) -> None:
    """An image that only the first run draws is missing."""
    index = DatasetIndex.load(root, get_scheme("emotorch4"))
    first, second = (
        set(select(index, run.factors, fer_usage="all", seed=run.seed).training.files) for run in draw_plan(design())
    )
    missing = root.root / min(file for file in first - second if "Augmented" in file)
    missing.unlink()
    made = run(root, design())
    assert [made.results[number].status for number in (1, 2)] == ["failed", "finished"]
    rows = read_table(made.folder / "results.csv")
    assert str(missing) in rows[0]["error"]
    assert (rows[0]["model"], rows[0]["distance"]) == ("", "NaN")
    assert summary(made.results.values()).startswith("1 of 2 models trained\n1 failed")


def test_a_run_that_fails_in_training_keeps_its_error_in_its_folder_too(root: Paths) -> None:
    rate = Dimension("learning_rate", 1e38, 1e38)
    made = run(root, design(count=1, varied=(rate,)), replace(QUICK, recipe=replace(RECIPE, epochs=20)))
    (row,) = read_table(made.folder / "results.csv")
    assert (row["model"], row["status"]) == ("model_00001", "failed")
    record = Run(root.models / "model_00001").record
    assert record["status"] == "failed"
    assert row["error"] in record["error"]
    assert "the loss is no number" in row["error"]


def test_a_damaged_result_is_named(root: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(root, design(), after=2, monkeypatch=monkeypatch, at="record")
    (results,) = root.models.glob("sweep_*/results.csv")
    results.write_text(results.read_text().replace("finished", "fini,shed"))
    with pytest.raises(EmoTorchError, match=r"results\.csv, line 2: not a result"):
        run(root, design())


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
def test_a_guided_sweep_grows_its_plan_and_goes_on_as_if_undisturbed(
    prepared: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, killed = (copy_root(prepared, tmp_path / name) for name in ("undisturbed", "killed"))
    ours = design("guided", 3)
    expected = run(undisturbed, ours)
    interrupt(killed, ours, after=2, monkeypatch=monkeypatch, at="record")
    (folder,) = killed.models.glob("sweep_*")
    assert len(read_table(folder / "plan.csv")) == 2
    made = run(killed, ours)
    assert (made.folder / "plan.csv").read_bytes() == (expected.folder / "plan.csv").read_bytes()
    assert [r.distance for r in made.results.values()] == [r.distance for r in expected.results.values()]
    assert len(model_names(killed)) == 3


@needs_optuna
def test_a_guided_sweep_of_other_classes_is_refused(root: Paths) -> None:
    with pytest.raises(UsageError, match="choose random or grid"):
        check_guided(replace(QUICK, scheme=get_scheme("seven")))
    with pytest.raises(UsageError, match="choose random or grid"):
        check_guided(replace(QUICK, train_on="CKP"))


def test_without_optuna_a_guided_sweep_says_what_to_install(root: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = call_script(root, SWEEP, "--num-models", 2, "--strategy", "guided")
    assert "pip install 'emotorch[guided]'" in error_line(done, status=2)
    assert not root.models.exists()


# What is shown.


def test_a_line_tells_how_far_and_how_well() -> None:
    progress = Progress(4, [Result(1, "model_00001", "finished", 9.0, 0.05)])
    assert progress.line(Result(2, "model_00002", "finished", 9.0, 0.01, collapsed=True)).startswith(
        "2 of 4: model_00002 collapsed to one class; "
    )
    line = progress.line(Result(3, "model_00003", "finished", 9.0, 0.02))
    assert line.startswith("3 of 4: model_00003 at 0.02000; ")
    assert "models per hour; 0 s left; best model_00003 at 0.02000; 1 collapsed" in line
    assert "4 of 4: run 4 failed: too bad; " in progress.line(Result(4, "", "failed", error="too bad"))


def test_a_collapsed_run_is_never_the_best_and_counted_apart() -> None:
    results = [
        Result(1, "model_00001", "finished", 1.0, 0.01, collapsed=True),
        Result(2, "model_00002", "finished", 1.0, 0.3),
        Result(3, "model_00003", "finished", 1.0),
        Result(4, "", "failed", error="x"),
    ]
    best = closest(results)
    assert best is not None
    assert best.model == "model_00002"
    assert summary(results).splitlines() == [
        "3 of 4 models trained",
        "1 failed: results.csv says why",
        "1 of the trained collapsed to one class",
        "most like the original: model_00002, distance 0.30000",
    ]
    assert summary(results[2:3]) == "1 of 1 models trained"


# The script.


def test_without_a_dataset_no_sweep_starts(paths: Paths) -> None:
    assert "create_original_dataset.py" in error_line(call_script(paths, SWEEP, "--num-models", 2))
    assert not paths.models.exists()


def test_wrong_options_are_refused_before_anything_is_written(root: Paths) -> None:
    for options, message in (
        (("--num-models", 0), "0 is not a positive whole number"),
        (("--strategy", "clever"), "'clever'"),
        (("--set", "epoch=3"), "did you mean epochs?"),
        (("--vary", "learning_rat=1:2"), "did you mean learning_rate?"),
        (("--vary", "learning_rate=0.1:0.2", "--vary", "learning_rate=0.1:0.3"), "is given twice"),
        (("--fer-range", "0.9"), "is not LOW:HIGH"),
        (("--fer-range", "0.9:1.1"), "the range of fer is 0.9-1.1"),
        (("--strategy", "grid", "--vary", "batch_size=8:9", *FIXED_OPTIONS), "2 point(s) at most"),
    ):
        assert message in error_line(call_script(root, SWEEP, *options), status=2)
    assert not root.models.exists()


FIXED_OPTIONS = tuple(
    f"--{name}-range={value}:{value}" for name, value in (("fer", 1), ("fer-aug", 0), ("ckp", 1), ("ckp-aug", 0))
)


def test_a_run_that_fails_is_the_command_s_failure_once_all_have_ended(root: Paths) -> None:
    options = ("--num-models", 2, "--strategy", "grid", *FIXED_OPTIONS, "--vary", "learning_rate=1e-3:1e38:log")
    done = call_script(root, SWEEP, *options, "--epochs", 3, "--workers", 1)
    assert done.returncode == 1
    assert done.stdout.startswith("1 of 2 models trained\n1 failed: results.csv says why\n")
    rows = read_table(Path(done.stdout.splitlines()[-1]) / "results.csv")
    assert [row["status"] for row in rows] == ["finished", "failed"]
    assert "the loss is no number" in rows[1]["error"]


def test_workers_are_forks_only_where_the_path_of_a_socket_is_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = []
    for folder in ("/tmp", "/scratch/" + 100 * "x"):
        monkeypatch.setattr(tempfile, "gettempdir", lambda folder=folder: folder)
        preload.context.cache_clear()
        methods.append(preload.context().get_start_method())
    preload.context.cache_clear()
    assert methods == ["forkserver" if sys.platform == "linux" else "spawn", "spawn"]
