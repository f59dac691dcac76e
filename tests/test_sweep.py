"""Sweeps: what they train, record and show, whatever ends them, by an engine in the test's own process."""

import errno
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from running import MODELS, SWEEP, call_script, copy_root, error_line, last_line, read_table

from emotorch.analyses.criterion import ACCURACY, DISTANCE, LOSS
from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.errors import EmoTorchError
from emotorch.experiment.settings import Settings
from emotorch.labels import get_scheme
from emotorch.overrides import override
from emotorch.paths import Paths
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run, list_runs
from emotorch.runs.scores import read_accuracies
from emotorch.sweep import preload
from emotorch.sweep.folder import Sweep, open_sweep
from emotorch.sweep.job import Job, Result, run_job
from emotorch.sweep.plan import (
    FACTOR_NAMES,
    Design,
    Dimension,
    draw_plan,
)
from emotorch.sweep.progress import Progress, best_result, summary
from emotorch.sweep.scheduler import DIED, run_sweep
from emotorch.training import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

REPORT = f"{MODELS}/write_report.py"
RECIPE = get_recipe("emotorch")
QUICK = Settings(override(RECIPE, ["epochs=1"]), get_scheme("emotorch4"), Factors())


def design(strategy: str = "random", count: int = 2, seed: int = 42, **others: object) -> Design:
    return Design(strategy, count, seed, **others)


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
        run_folder = Run(root.models / result["model"])
        accuracies = read_accuracies(run_folder)
        assert float(result["accuracy"]) == pytest.approx(accuracies["Combined Validation Accuracy"], abs=0.006)
        assert 0 < float(result["macro_f1"]) <= float(result["accuracy"])
        assert float(result["loss"]) == accuracies["Combined Validation Loss"]
        assert {name: result[name] for name in planned if name != "number"} == {
            name: value for name, value in planned.items() if name != "number"
        }


def test_a_leaky_sweep_is_paired_with_one_that_is_not(root: Paths) -> None:
    leaky = replace(QUICK, recipe=replace(QUICK.recipe, split="published"))
    made = [run(root, design(seed=7), base) for base in (leaky, QUICK)]
    assert model_names(root) == ["model_00001_leaky", "model_00002_leaky", "model_00003", "model_00004"]
    said = call_script(root, REPORT, made[0].name, "--beside", made[1].name)
    html = Path(last_line(said)).read_text()
    pairs = f"2 pairs of runs of equal settings and seed, {made[0].name} less {made[1].name}:"
    assert pairs in html
    assert pairs in said.stdout
    rows = read_table(made[0].folder / "runs.csv")
    assert [row["model"] for row in rows] == ["model_00001_leaky", "model_00002_leaky"]
    assert [int(row["seed"]) for row in rows] == [8, 9]
    assert "no sweep in" in error_line(call_script(root, REPORT, made[0].name, "--beside", "nothing"), 2)
    assert "is none" in error_line(call_script(root, REPORT, "model_00003", "--beside", made[0].name), 2)


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


def test_a_full_disk_ends_a_sweep_which_goes_on_when_there_is_room(
    root: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoints.save

    def full(path: Path, state: Mapping[str, Any]) -> None:
        if path.parent.name == "model_00002":
            raise EmoTorchError(f"cannot write {path}: {os.strerror(errno.ENOSPC)}")
        save(path, state)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", full)
        with pytest.raises(EmoTorchError, match=r"^run 2: cannot write .*; make room, and the same command goes on$"):
            run(root, design())
    made = run(root, design())
    assert [made.results[number].status for number in (1, 2)] == ["finished"] * 2
    assert model_names(root) == ["model_00001", "model_00002"]
    assert "error" not in json.loads((root.models / "model_00002" / "run.json").read_text())


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


# A sweep that earlier code began. What it wrote stays as it was then, whatever this code writes.

BEGUN_PLAN = """\
number,fer,fer_aug,ckp,ckp_aug,network_config.filters,seed
1,0.9269355411049678,0.08304724933602169,0.9150066661434338,0.028726517650618323,5,43
2,0.9347332317268361,0.04848966167919366,0.9096540876417654,0.06103423296068338,8,44
"""
BEGUN_RESULTS = """\
number,model,status,seconds,distance,collapsed,error
1,model_00003,finished,101.5,0.04255975000000001,false,
"""
BEGUN_ABOUT = {
    "started": "2026-11-25T20:26:46+00:00",
    "design": {
        "strategy": "random",
        "count": 2,
        "seed": 42,
        "ranges": {"fer": [0.9, 1.0], "fer_aug": [0.0, 0.1], "ckp": [0.9, 1.0], "ckp_aug": [0.0, 0.1]},
        "varied": [{"name": "network_config.filters", "low": 4, "high": 8, "log": False, "whole": True}],
    },
    "settings": {
        "recipe": {
            **{"name": "emotorch", "network": "emotorch_cnn", "scheme": "emotorch4"},
            "network_config": {"image_size": 48, "channels": 1, "filters": 10, "kernel_size": 4},
            **{"normalization": "unit", "pretrained": "", "trained_layers": 0, "teachers": "", "distillation": 0.7},
            **{"fer_usage": "all", "variants": 0.01, "loss": "cosine_proximity", "focal_gamma": 2.0},
            **{"label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "class_weights": False, "sampling": "shuffled"},
            **{"optimizer": "rmsprop", "learning_rate": 0.0005, "momentum": 0.0, "weight_decay": 0.0},
            **{"schedule": "plateau", "plateau_factor": 0.5, "plateau_patience": 5, "warmup_epochs": 0.0},
            **{"gradient_clip": 0.0, "ema_decay": 0.0, "precision": "float32", "batch_size": 32, "epochs": 1},
            **{"watch": "loss", "early_stop_patience": 3, "first_size": 0, "growing": 0.5},
            "augmentation": {
                **{"flip": 0.0, "rotation": 0.0, "shift": 0.0, "scale": [1.0, 1.0], "crop": 1.0, "brightness": 0.0},
                **{"contrast": 0.0, "blur": 0.0, "blur_sigma": 1.0, "occlusion": 0.0, "occlusion_size": 0.3},
            },
        },
        "scheme": {
            "name": "emotorch4",
            "labels": ["anger", "fear", "calm", "surprise"],
            "sources": {
                "FER": {"angry": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
                "CKP": {"anger": "anger", "fear": "fear", "happy": "calm", "surprise": "surprise"},
                "RAF": {"anger": "anger", "fear": "fear", "neutral": "calm", "surprise": "surprise"},
            },
        },
        "factors": {"fer": 1.0, "fer_aug": 0.01, "ckp": 1.0, "ckp_aug": 0.01},
        **{"train_on": "FER", "seed": 42, "device": "auto", "threads": 1, "tensorboard": False},
        "checkpoint_every_s": 120.0,
    },
}
BEGUN_DESIGN = Design("random", 2, 42, varied=(Dimension("network_config.filters", 4, 8, whole=True),))


def begin(root: Paths, dataset: str) -> Path:
    """The folder of a sweep whose first run has ended, as earlier code wrote it."""
    folder = root.models / "sweep_20261125_202646"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({**BEGUN_ABOUT, "dataset": dataset}, indent=2) + "\n")
    (folder / "plan.csv").write_text(BEGUN_PLAN)
    (folder / "results.csv").write_text(BEGUN_RESULTS)
    return folder


def test_a_sweep_that_earlier_code_began_goes_on(root: Paths) -> None:
    folder = begin(root, DatasetIndex.load(root, get_scheme("emotorch4")).fingerprint)
    made = run(root, BEGUN_DESIGN)
    assert made.folder == folder
    # As text: from Python 3.13 on a record with NaN in it is not equal to itself.
    assert str(made.results[1]) == str(Result(1, "model_00003", "finished", 101.5, 0.04255975000000001))
    assert (folder / "plan.csv").read_text() == BEGUN_PLAN
    text = (folder / "results.csv").read_text()
    assert text.startswith(BEGUN_RESULTS)
    (second,) = text.removeprefix(BEGUN_RESULTS).splitlines()
    assert second.startswith("2,model_00001,finished,")
    settings = Run(root.models / "model_00001").record["settings"]
    assert settings["recipe"]["network_config"]["filters"] == 8
    assert settings["seed"] == 44


def test_settings_that_came_later_than_a_sweep_are_at_their_defaults(root: Paths) -> None:
    dataset = DatasetIndex.load(root, get_scheme("emotorch4")).fingerprint
    folder = begin(root, dataset)
    about = json.loads((folder / "sweep.json").read_text())
    del about["settings"]["recipe"]["growing"], about["settings"]["tensorboard"]
    (folder / "sweep.json").write_text(json.dumps(about))
    index = DatasetIndex.load(root, QUICK.scheme)
    with open_sweep(root, QUICK, BEGUN_DESIGN, index) as sweep:
        assert sweep.folder == folder
    other = replace(QUICK, recipe=replace(QUICK.recipe, growing=0.7))
    with open_sweep(root, other, BEGUN_DESIGN, index) as sweep:
        assert sweep.folder != folder
    # Nor does one with settings that this code does not know go on as if it had not said so.
    about["settings"]["recipe"]["of_the_future"] = 1
    (folder / "sweep.json").write_text(json.dumps(about))
    with open_sweep(root, QUICK, BEGUN_DESIGN, index) as sweep:
        assert sweep.folder != folder


# Recipes that no original was published for.


@pytest.fixture
def moods(seven: Paths, tmp_path: Path) -> Paths:
    return copy_root(seven, tmp_path / "root")


# A network that trains at once.
THIN = ("--recipe", "shared_cnn", *("--set", "network_config.image_size=16"), "--epochs", 1, "--workers", 1)


def test_a_sweep_of_another_recipe_is_ranked_by_what_it_watches(moods: Paths) -> None:
    vary = ("--vary", "learning_rate=1e-4:1e-2:log", "--vary", "network_config.dropout=0:0.5")
    done = call_script(moods, SWEEP, *THIN, "--num-models", 3, *vary)
    folder = Path(last_line(done))
    plan, results = read_table(folder / "plan.csv"), read_table(folder / "results.csv")
    assert {(row["fer"], row["fer_aug"], row["ckp"], row["ckp_aug"]) for row in plan} == {("1.0", "0.0", "1.0", "0.0")}
    assert [row["learning_rate"] for row in results] == [row["learning_rate"] for row in plan]
    assert {row["distance"] for row in results} == {"NaN"}
    best = max(results, key=lambda row: float(row["macro_f1"]) if row["collapsed"] == "false" else -1)
    said = f"best by macro-F1: {best['model']}, macro-F1 {float(best['macro_f1']):.2f}%"
    assert said in done.stdout
    _, header, first, *_ = done.stdout[done.stdout.index(said) :].splitlines()
    columns = ("run", "model", "macro-F1", "%", "accuracy", "%", "learning_rate", "network_config.dropout")
    assert header.removesuffix("note").split() == list(columns)  # a run may have collapsed
    assert first.split()[1] == best["model"]
    line = next(line for line in done.stderr.splitlines() if line.startswith("1 of 3: "))
    assert f"accuracy {float(results[0]['accuracy']):.2f}%" in line
    assert f"(learning_rate {float(plan[0]['learning_rate']):.4g}, network_config.dropout" in line
    html = Path(last_line(call_script(moods, REPORT, folder.name))).read_text()
    assert "Ranked by macro-F1 (the larger the better): no original was published to compare with." in html
    for column in ("macro-F1 %", "accuracy %", "learning_rate", "network_config.dropout"):
        assert f"{column}</button>" in html
    assert "distance</button>" not in html
    assert "fer_aug" not in html
    assert f"{float(best['macro_f1']):.2f}" in html


@pytest.mark.parametrize(
    ("options", "message", "status"),
    [
        (("--fer-aug-range", "0:0.1"), "augment_original_dataset.py --scheme seven", 1),
        (("--train-on", "RAF"), "there are no RAF images", 2),
        (("--fer-range", "0:0"), "the training set has no image of class 'angry'", 1),
        (("--set", "pretrained=nowhere.pth"), "nowhere.pth", 1),
        (("--set", "teachers=model_00009"), "model_00009", 2),
        (("--set", "network_config.image_size=0"), "network shared_cnn", 1),
        (("--device", "cuda:7"), "device 'cuda:7' cannot be used here", 2),
        (("--strategy", "guided"), "--strategy guided has nothing to choose", 2),
        (("--set", "watch=loss", "--vary", "focal_gamma=0:3"), "--vary focal_gamma changes the loss itself", 2),
        (("--set", "trained_layers=3", "--set", "pretrained=x.pth"), "trained_layers=3", 1),
    ],
)
def test_what_every_run_would_fail_by_is_refused_before_the_first(
    moods: Paths, options: tuple[str, ...], message: str, status: int
) -> None:
    done = call_script(moods, SWEEP, *THIN, "--num-models", 2, *options)
    assert message in error_line(done, status)
    assert not list(moods.models.glob("*"))


def test_where_the_original_is_no_measure_the_criterion_is() -> None:
    results = [
        Result(1, "model_00001", "finished", accuracy=51.0, macro_f1=40.0, loss=1.5),
        Result(2, "model_00002", "finished", accuracy=53.0, macro_f1=39.0, loss=1.6),
        Result(3, "model_00003", "finished", accuracy=60.0, macro_f1=9.0, loss=1.0, collapsed=True),
    ]
    for criterion, best in ((ACCURACY, "model_00002"), (LOSS, "model_00001")):
        found = best_result(results, criterion)
        assert found is not None
        assert found.model == best
    assert summary(results, ACCURACY).splitlines()[-1] == "best by accuracy: model_00002, accuracy 53.00%"
    line = Progress(3, [], ACCURACY).line(results[0], {"learning_rate": 0.00123})
    assert line.startswith("1 of 3: model_00001 at accuracy 51.00%, macro-F1 40.00% (learning_rate 0.00123); ")
    assert "best model_00001 at accuracy 51.00%" in line


def test_of_runs_that_failed_no_rate_is_told() -> None:
    assert "per hour" not in Progress(3, []).line(Result(1, "", "failed", error="no space"))


# Guided.

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="the extra `guided` is not installed")


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


def test_without_optuna_a_guided_sweep_says_what_to_install(root: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = call_script(root, SWEEP, "--num-models", 2, "--strategy", "guided")
    assert "pip install '.[guided]'" in error_line(done, status=2)
    assert not root.models.exists()


# What is shown.


def test_a_line_tells_how_far_and_how_well() -> None:
    progress = Progress(4, [Result(1, "model_00001", "finished", 9.0, 0.05)])
    assert progress.line(Result(2, "model_00002", "finished", 9.0, 0.01, collapsed=True)).startswith(
        "2 of 4: model_00002 collapsed to one class; "
    )
    line = progress.line(Result(3, "model_00003", "finished", 9.0, 0.02))
    assert line.startswith("3 of 4: model_00003 at distance 0.02000; ")
    assert "models per hour; 0 s left; best model_00003 at distance 0.02000; 1 collapsed" in line
    assert "4 of 4: run 4 failed: too bad; " in progress.line(Result(4, "", "failed", error="too bad"))


def test_a_collapsed_run_is_never_the_best_and_counted_apart() -> None:
    results = [
        Result(1, "model_00001", "finished", 1.0, 0.01, collapsed=True),
        Result(2, "model_00002", "finished", 1.0, 0.3),
        Result(3, "model_00003", "finished", 1.0),
        Result(4, "", "failed", error="x"),
    ]
    best = best_result(results, DISTANCE)
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
        (("--num-models", 2, "--seeds", 999_999), "at most 1,000,000 runs"),
        (("--seed", 2**32 - 1), "seeds would exceed"),
        (("--strategy", "clever"), "'clever'"),
        (("--set", "epoch=3"), "did you mean epochs?"),
        (("--vary", "learning_rat=1:2"), "did you mean learning_rate?"),
        (("--vary", "learning_rate=0.1:0.2", "--vary", "learning_rate=0.1:0.3"), "is given twice"),
        (("--fer-range", "0.9"), "is not LOW:HIGH"),
        (("--fer-range", "0.9:1.1"), "the range of fer is 0.9-1.1"),
        (("--strategy", "grid", "--vary", "batch_size=8:9", *FIXED_OPTIONS), "at most 2 of the 300 points"),
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
