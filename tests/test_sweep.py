import json
from pathlib import Path

import pytest
from running import SWEEP, Trained, call_script, copy_root, error_line, last_line, read_table

from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.errors import UsageError
from emotorch.experiment import Settings
from emotorch.labels import get_scheme
from emotorch.paths import Paths
from emotorch.recipes import get_recipe, override
from emotorch.sweep.local import run_sweep
from emotorch.sweep.plan import FactorRanges, PlannedRun, draw_plan, write_plan

FACTOR_NAMES = ("fer", "fer_aug", "ckp", "ckp_aug")
QUICK = Settings(override(get_recipe("emotorch"), ["epochs=1"]), get_scheme("emotorch4"), Factors())


def sweep(paths: Paths, *options: object) -> Path:
    return Path(last_line(call_script(paths, SWEEP, "--epochs", 1, "--threads", 1, *options)))


def test_published_ranges_are_the_defaults() -> None:
    assert FactorRanges() == FactorRanges((0.9, 1.0), (0.0, 0.1), (0.9, 1.0), (0.0, 0.1))


def test_a_longer_plan_starts_with_the_shorter_one() -> None:
    long = draw_plan(FactorRanges(), 300, seed=42)
    assert draw_plan(FactorRanges(), 5, seed=42) == long[:5]
    assert [run.number for run in long] == list(range(1, 301))


def test_a_plan_spreads_evenly_over_its_ranges_and_no_two_runs_are_alike() -> None:
    ranges = FactorRanges(fer=(0.2, 0.4))
    plan = draw_plan(ranges, 400, seed=1)
    for name in FACTOR_NAMES:
        low, high = getattr(ranges, name)
        drawn = [(getattr(run.factors, name) - low) / (high - low) for run in plan]
        assert 0 <= min(drawn) < 0.02
        assert 0.98 < max(drawn) <= 1
        assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.05)
    assert len({run.seed for run in plan}) == len({run.factors for run in plan}) == 400
    assert draw_plan(ranges, 5, seed=2) != plan[:5]


@pytest.mark.parametrize("ranges", [(0.5, 0.4), (-0.1, 0.4), (0.5, 1.1), (float("nan"), 1)])
def test_a_range_outside_0_to_1_is_refused(ranges: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="the range of ckp_aug is"):
        FactorRanges(ckp_aug=ranges)


def test_the_plan_s_file_holds_it_exactly(tmp_path: Path) -> None:
    plan = draw_plan(FactorRanges(), 3, seed=42)
    write_plan(tmp_path / "plan.csv", plan)
    rows = read_table(tmp_path / "plan.csv")
    assert tuple(rows[0]) == ("number", *FACTOR_NAMES, "seed")
    read = [
        PlannedRun(int(row["number"]), Factors(*(float(row[name]) for name in FACTOR_NAMES)), int(row["seed"]))
        for row in rows
    ]
    assert read == plan


def test_a_sweep_trains_its_plan_and_records_each_run(prepared: Paths, tmp_path: Path) -> None:
    paths = copy_root(prepared, tmp_path / "root")
    folder = sweep(paths, "--num-models", 2, "--seed", 7)
    assert folder.parent == paths.models
    plan, results = read_table(folder / "plan.csv"), read_table(folder / "results.csv")
    assert [row["number"] for row in plan] == [row["number"] for row in results] == ["1", "2"]
    assert [row["model"] for row in results] == ["model_00001", "model_00002"]
    assert [row["status"] for row in results] == ["finished"] * 2
    assert [row["error"] for row in results] == [""] * 2
    assert all(float(row["seconds"]) > 0 for row in results)
    for planned, result in zip(plan, results, strict=True):
        record = json.loads((paths.models / result["model"] / "run.json").read_text())
        assert record["factors"] == {name: float(planned[name]) for name in FACTOR_NAMES}
        assert record["seed"] == int(planned["seed"])
        assert record["settings"]["recipe"]["epochs"] == 1
        assert (record["sweep"], record["sweep_number"]) == (folder.name, int(planned["number"]))


def test_a_run_that_fails_is_recorded_and_the_next_one_starts(trained: Trained, tmp_path: Path) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    plan = [PlannedRun(1, Factors(fer=0.0, fer_aug=0.0), 1), PlannedRun(2, Factors(), 2)]
    folder, results = run_sweep(paths, QUICK, plan)
    assert [(result.model, result.status) for result in results] == [("", "failed"), ("model_00002", "finished")]
    rows = read_table(folder / "results.csv")
    assert rows[0]["error"] == "the training set has no image of class 'anger': raise --fer or --fer-aug"
    assert rows[1]["error"] == ""


def test_a_failed_run_makes_the_script_s_status_1(prepared: Paths, tmp_path: Path) -> None:
    """An image that only the first run draws is missing."""
    paths = copy_root(prepared, tmp_path / "root")
    index = DatasetIndex.load(paths, get_scheme("emotorch4"))
    first, second = (
        set(select(index, run.factors, fer_usage="all", seed=run.seed).training.files)
        for run in draw_plan(FactorRanges(), 2, seed=42)
    )
    missing = paths.root / min(file for file in first - second if "Augmented" in file)
    missing.unlink()
    done = call_script(paths, SWEEP, "--num-models", 2, "--epochs", 1, "--threads", 1)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *_, summary, folder = done.stdout.splitlines()
    assert summary == "1 of 2 models trained"
    rows = read_table(Path(folder) / "results.csv")
    assert [row["status"] for row in rows] == ["failed", "finished"]
    assert str(missing) in rows[0]["error"]


def test_a_run_that_fails_in_training_is_recorded_with_its_folder_s_name(trained: Trained, tmp_path: Path) -> None:
    paths = copy_root(trained.paths, tmp_path / "root")
    done = call_script(paths, SWEEP, "--num-models", 1, "--threads", 1, "--set", "learning_rate=1e38")
    assert done.returncode == 1
    (row,) = read_table(Path(done.stdout.splitlines()[-1]) / "results.csv")
    assert row["status"] == "failed"
    assert "model_00002: the loss is no number" in row["error"]


def test_without_a_dataset_no_sweep_starts(paths: Paths) -> None:
    assert "create_original_dataset.py" in error_line(call_script(paths, SWEEP, "--num-models", 2))
    assert not paths.models.exists()


def test_wrong_options_are_refused_before_anything_is_written(prepared: Paths, tmp_path: Path) -> None:
    paths = copy_root(prepared, tmp_path / "root")
    for options, message in (
        (("--num-models", 0), "0 is not a positive whole number"),
        (("--strategy", "clever"), "'clever'"),
        (("--set", "epoch=3"), "did you mean epochs?"),
    ):
        assert message in error_line(call_script(paths, SWEEP, *options), status=2)
    assert not paths.models.exists()
