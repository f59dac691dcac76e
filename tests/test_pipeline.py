"""All stages one after the other, as `run_pipeline.py` runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Script, write_small_ckplus, write_small_fer
from running import MODELS, call_script, error_line, last_line

from emotorch import cli, pipeline
from emotorch.errors import UsageError
from emotorch.paths import Paths
from emotorch.pipeline import StageError, choose_root, run_all, run_stage

pytestmark = pytest.mark.slow

PIPELINE = "develop_baseline_model/run_pipeline.py"
HELPERS = "develop_baseline_model/helpers"
TRAINING = ("--epochs", "1", "--threads", "1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The stages that ran: in this process, so that imports are paid once, and the sweep by one worker."""
    made: list[tuple[str, ...]] = []

    def run_here(paths: Paths, title: str, script: str, *arguments: str) -> str:
        made.append((title, Path(script).name, *arguments))
        workers = ("--workers", "1") if title == "stage 5" else ()
        done = call_script(paths, script, *arguments, *workers)
        if done.returncode:
            raise StageError(title, done.returncode)
        return done.stdout

    monkeypatch.setattr(pipeline, "run_stage", run_here)
    return made


@pytest.mark.slow
def test_all_stages_run_in_order_and_a_table_tells_what_came_out(
    paths: Paths, calls: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_fer(paths, rows=84)
    write_small_ckplus(paths)
    run_all(paths, 2, TRAINING)
    assert calls == [
        ("stage 1", "FER_csv_to_img.py"),
        ("stage 2", "create_original_dataset.py"),
        ("stage 3", "augment_original_dataset.py"),
        ("stage 4", "convolutional_nn_pytorch.py", *TRAINING),
        ("stage 5", "train_multiple_models.py", "--num-models", "1", *TRAINING),
        ("stage 6", "compare_models_to_original.py"),
        ("stage 7", "evaluate_model.py", "model_00001", "fer"),
        ("stage 7", "evaluate_model.py", "model_00001", "ckp"),
        ("stage 8", "plot_confusion_matrix.py", "model_00001"),
        ("stage 8", "plot_training_history.py", "model_00001"),
    ]
    said, _, to_try = capsys.readouterr().out.partition("\nTo try, from the project root:\n")
    time, header, first, second, title, *pictures = (line for line in said.splitlines() if line)
    assert time.startswith("All stages ran in ")
    assert "synthetic" not in time
    assert header.split("  ")[0] == "model"
    assert [row.split()[0] for row in (first, second)] == ["model_00001", "model_00002"]
    assert first.split()[-1] == "1"
    assert title == "Pictures of model_00001:"
    found = [Path(line.strip()) for line in pictures]
    assert {picture.name for picture in found} >= {"confusion_matrices_fer_vs_ckp.png", "training_history.png"}
    assert all(picture.is_file() for picture in found)
    assert len(list(paths.models.glob("comparison_results_*.csv"))) == 1
    assert len(list(paths.models.glob("model_00001/evaluation_*"))) == 2
    commands = [line.split() for line in to_try.splitlines() if "activate" not in line]
    assert [words[0] for words in commands] == ["python"] * 3
    for _, script, *words in commands:
        assert call_script(paths, script, *words).returncode == 0


def test_without_fer_2013_it_goes_on_with_synthetic_faces_in_a_root_of_their_own(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Paths] = []
    monkeypatch.setattr(pipeline, "write_dataset", drawn.append)

    def stop(paths: Paths, title: str, *_: str) -> str:
        raise StageError(title, 1)

    monkeypatch.setattr(pipeline, "run_stage", stop)
    with pytest.raises(StageError, match="stage 1 failed"):
        run_all(paths, 1)
    assert drawn == [Paths(paths.root / "synthetic")]
    assert (
        f"No dataset in {paths.raw}: drawing synthetic faces in {paths.root / 'synthetic'}" in capsys.readouterr().out
    )
    write_small_fer(paths)
    assert choose_root(paths) == (paths, False)


def test_on_synthetic_faces_it_ends_with_their_root_and_commands_with_the_model_s_name(paths: Paths) -> None:
    there = Paths(paths.root / "two words" / "synthetic")
    *_, root, first, second, third = pipeline._to_try(there, "model_00007", moved=True)
    assert root == f"export EMOTORCH_ROOT='{there.root}'"
    assert all(command.endswith(" model_00007") for command in (first, second, third))


def test_what_finds_nothing_names_the_root_that_has_it(paths: Paths) -> None:
    """After `make pipeline` on synthetic faces in a shell that does not name their root; and the other way round."""
    there = Paths(paths.root / "synthetic")
    for folder in (there.originals, there.models / "model_00001"):
        folder.mkdir(parents=True)
    there.fer_csv.parent.mkdir(parents=True)
    there.fer_csv.touch()
    hint = f"{there.root} has it: set EMOTORCH_ROOT={there.root}"
    assert last_line(call_script(paths, f"{HELPERS}/FER_csv_to_img.py")).endswith(f"; {hint}")
    for name, *words in (
        (f"{HELPERS}/augment_original_dataset.py",),
        (f"{HELPERS}/explore_dataset.py",),
        (f"{MODELS}/convolutional_nn_pytorch.py",),
        (f"{MODELS}/compare_models_to_original.py",),
        (f"{MODELS}/plot_training_history.py",),
        (f"{MODELS}/measure_robustness.py", "emotorch"),
        ("baseline_model/model/eval_model.py",),
    ):
        assert error_line(call_script(paths, name, *words)).endswith(f"; {hint}"), name
    evaluate = f"{MODELS}/evaluate_model.py"
    assert error_line(call_script(paths, evaluate, "model_00001"), 2).endswith(f"; {hint}")
    assert "has it" not in error_line(call_script(paths, evaluate, "model_00002"), 2)
    there.models.joinpath("model_00001").rmdir()
    (paths.models / "model_00001").mkdir(parents=True)
    line = error_line(call_script(there, evaluate, "model_00001"), 2)
    assert line.endswith(f"; {paths.root} has it: set EMOTORCH_ROOT={paths.root}")


def test_a_stage_that_fails_ends_it_with_its_own_line_and_exit_status(paths: Paths, script: Script) -> None:
    paths.fer_csv.parent.mkdir(parents=True)
    paths.fer_csv.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    done = script(paths, PIPELINE)
    assert done.returncode == 1
    own, ours = done.stderr.splitlines()
    assert own.startswith(f"error: {paths.fer_csv}")
    assert ours == "error: stage 1 failed (exit status 1); the lines above say why"
    assert "── stage 1: python develop_baseline_model/helpers/FER_csv_to_img.py" in done.stdout
    assert "stage 2" not in done.stdout


def test_the_exit_status_of_a_stage_is_the_pipeline_s(
    paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StageError, match=r"stage 5 failed \(exit status 2\)") as failed:
        run_stage(paths, "stage 5", f"{MODELS}/train_multiple_models.py", "--num-models", "0")
    assert "0 is not a positive whole number" in capfd.readouterr().err
    assert failed.value.status == UsageError.status == 2

    def fail() -> None:
        raise failed.value

    with pytest.raises(SystemExit) as ended:
        cli.run(fail)
    assert ended.value.code == 2
    # A stage that is killed has no exit status of its own.
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert StageError("stage 4", subprocess.run(killed, check=False).returncode).status == 1


def test_wrong_options_are_refused(paths: Paths) -> None:
    assert "0 is not a positive whole number" in call_script(paths, PIPELINE, "--models", 0).stderr


def test_stage_2_is_run_for_each_scheme_that_is_asked_for(paths: Paths, calls: list[tuple[str, ...]]) -> None:
    write_small_fer(paths)
    pipeline.prepare_datasets(paths, ("emotorch4", "seven"))
    assert [call[1:] for call in calls] == [
        ("FER_csv_to_img.py",),
        ("create_original_dataset.py", "--scheme", "emotorch4"),
        ("create_original_dataset.py", "--scheme", "seven"),
    ]
    assert paths.originals.is_dir()
    assert paths.for_scheme("seven").originals.is_dir()
