import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refusal
from forks import killed_before
from published import write_run
from running import (
    COMPARE,
    TRAIN,
    Trained,
    assert_same_weights,
    call_script,
    copy_root,
    error_line,
    last_line,
    read_table,
    train,
)

from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import timestamped, write_atomically, write_csv
from emotorch.paths import MODEL_ORIGINAL, REPOSITORY, Paths
from emotorch.runs.confusion import plot_run_confusion, read_matrix, write_confusion
from emotorch.runs.folder import Run, claim_run, find_run, list_runs, named_or_newest, weights_file
from emotorch.runs.history import plot_run_history, read_history
from emotorch.runs.scores import read_accuracies
from emotorch.training import checkpoints

pytestmark = pytest.mark.usefixtures("undrawn")

# Long enough to be killed in the middle: every epoch sees all 28 variants of a fifth of the images.
LONG = ("--threads", 1, "--fer-aug", 0.2, "--set", "early_stop_patience=4", "--set", "batch_size=8", "--epochs", 4)

CLAIMER = """
import sys
from pathlib import Path
from emotorch.runs.folder import claim_run
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    print(claim_run(Path(sys.argv[1]), {"process": int(sys.argv[3]), "number": number}).name, flush=True)
"""


def names(paths: Paths) -> list[str]:
    return [run.name for run in list_runs(paths.models)]


def test_8_processes_that_claim_at_once_get_different_whole_folders(paths: Paths) -> None:
    each = 5
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(paths.models), str(each), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    claimed = [process.communicate("go\n")[0].split() for process in processes]
    everyone = sorted(name for folders in claimed for name in folders)
    assert everyone == [f"model_{number:05d}" for number in range(1, 8 * each + 1)]
    for process, folders in enumerate(claimed):
        for number, folder in enumerate(folders):
            assert Run(paths.models / folder).record == {"process": process, "number": number}
    assert len(list(paths.models.iterdir())) == 8 * each


def test_numbers_go_on_after_the_highest_and_a_named_folder_has_none(paths: Paths) -> None:
    for name in ("model_00007", "model_00224_final", "model_original", "model_3", "sweep_00900"):
        (paths.models / name).mkdir(parents=True)
    assert claim_run(paths.models, {}).name == "model_00008"
    (paths.models / "model_99999").mkdir()
    assert claim_run(paths.models, {}).name == "model_100000"
    assert claim_run(paths.models, {}).name == "model_100001"
    seventh = Run(paths.models / "model_00007")
    assert [claim_run(paths.models, {}, after=seventh).name for _ in range(2)] == ["model_00009", "model_00010"]


def test_every_model_folder_counts_but_the_newest_is_a_numbered_one(paths: Paths) -> None:
    for name in ("model_00002", "model_00010", "model_00224_final", "model_original", ".claim-x", "comparison"):
        (paths.models / name).mkdir(parents=True)
    (paths.models / "model_notes.txt").write_text("")
    assert names(paths) == ["model_00002", "model_00010", "model_00224_final"]
    assert named_or_newest(paths, None).name == "model_00010"


def test_without_any_numbered_run_there_is_no_newest(paths: Paths) -> None:
    with pytest.raises(EmoTorchError, match="train one first"):
        named_or_newest(paths, None)


def test_a_model_is_found_by_name_path_or_a_file_in_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(paths.models / "model_00003_final")
    monkeypatch.chdir(paths.root)
    for name in ("model_00003_final", str(folder), str(folder.relative_to(paths.root)), str(folder / "model.pth")):
        (folder / "model.pth").touch()
        assert find_run(paths, name).folder == folder
        assert weights_file(paths, name).resolve() == folder / "model.pth"
    assert find_run(paths, "model_original").folder == MODEL_ORIGINAL


def test_dots_are_a_path_and_an_empty_name_is_no_model(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(paths.root / "elsewhere" / "model_00003_final")
    paths.models.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert find_run(paths, ".").folder == folder
    assert find_run(paths, "../model_00003_final").folder == folder
    with pytest.raises(UsageError, match="no model folder ''"):
        find_run(paths, "")


def test_an_unknown_model_is_named_with_those_that_there_are(paths: Paths) -> None:
    with pytest.raises(
        EmoTorchError,
        match=r"no model folder 'model_00009' in .*: train one first; models that ship: compact, emotorch$",
    ):
        find_run(paths, "model_00009")
    for number in range(7):
        claim_run(paths.models, {"number": number})
    with pytest.raises(
        EmoTorchError, match=r"there are model_00001, .*, model_00005, …; models that ship: compact, emotorch$"
    ):
        find_run(paths, "model_00009")


def test_the_published_folder_reads_as_a_finished_run(paths: Paths) -> None:
    run = Run(write_run(paths.models / "model_00224_final"))
    assert run.status() == "finished"
    assert run.record == {}
    assert read_accuracies(run)["FER Validation Accuracy"] == 51.29
    history = read_history(run, "fer")
    assert history is not None
    assert history["fer_val_accuracy"] == [42.0, 47.0]
    matrix = read_matrix(run, "ckp_val")
    assert matrix is not None
    assert matrix.counts is None


def test_a_run_is_running_for_others_until_it_ends(paths: Paths) -> None:
    run = claim_run(paths.models, {"status": "running"})
    with run.running():
        assert run.status() == "running"
        with pytest.raises(EmoTorchError, match="being trained by another process"), run.running():
            pass
        run.update(status="finished")
    assert run.status() == "finished"


def test_a_folder_that_is_deleted_while_it_is_trained_stays_away(paths: Paths) -> None:
    run = claim_run(paths.models, {"status": "running"})

    def train(*, writing: bool) -> None:
        with run.running() as require_there:
            require_there()
            shutil.rmtree(run.folder)
            if writing:  # at that very moment: without a record it would be a published run
                write_atomically(run.folder / "model_last.pth", Path.touch)
            require_there()

    for writing in (False, True):
        with pytest.raises(EmoTorchError, match="model_00001 was deleted while"):
            train(writing=writing)
        assert not run.folder.exists()
        run = claim_run(paths.models, {"status": "running"})


def test_another_run_of_the_same_number_is_left_alone(paths: Paths) -> None:
    run = claim_run(paths.models, {"status": "running"})

    def train() -> None:
        with run.running() as require_there:
            run.folder.rename(paths.root / "elsewhere")
            assert claim_run(paths.models, {"status": "finished", "of": "another"}).folder == run.folder
            require_there()

    with pytest.raises(EmoTorchError, match="was deleted while"):
        train()
    assert run.record == {"status": "finished", "of": "another"}


@pytest.mark.slow
def test_a_training_whose_folder_is_deleted_fails_in_one_line(root: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoints.save

    def save_and_delete(path: Path, state: dict[str, object]) -> None:
        save(path, state)
        shutil.rmtree(path.parent)

    monkeypatch.setattr(checkpoints, "save", save_and_delete)
    line = error_line(call_script(root, TRAIN, "--epochs", 1, "--threads", 1))
    assert "model_00001 was deleted while it was being trained" in line
    assert not list(root.models.glob("model_*"))


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "interrupted"), (EmoTorchError, "failed")])
def test_how_a_run_ended_is_recorded(paths: Paths, error: type[BaseException], status: str) -> None:
    run = claim_run(paths.models, {"status": "running"})
    with pytest.raises(error), run.running():
        raise error("too bad")
    assert run.status() == status


def test_a_run_whose_process_is_gone_is_interrupted_and_recorded_so_when_asked(paths: Paths) -> None:
    run = claim_run(paths.models, {"status": "running"})
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    assert run.status() == "interrupted"
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    with run.running():
        run.record_status()
        assert run.record["status"] == "running"
    run.record_status()
    assert run.record["status"] == "interrupted"


def test_what_a_kill_left_half_written_is_gone_when_the_run_is_taken_up(paths: Paths) -> None:
    run = claim_run(paths.models, {"status": "running"})
    assert killed_before(2, lambda: write_atomically(run.folder / "model_last.pth", Path.touch))
    assert [path.suffix for path in run.folder.glob(".model_last-*")] == [".pth"]
    with run.running():
        assert {path.name for path in run.folder.iterdir()} == {"run.json", ".running"}


def start_training(paths: Paths, *options: object) -> tuple[subprocess.Popen[str], Path]:
    """A stage 4 of its own, in the middle of its training; returns it and its folder."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / TRAIN), *map(str, options)],
        env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not (found := list(paths.models.glob("model_*/model_last.pth"))):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process, found[0].parent


def epochs_of(checkpoint: Path) -> int:
    return len(torch.load(checkpoint, weights_only=True)["history"])


@pytest.mark.slow
def test_a_killed_training_is_interrupted_left_out_and_resumes_to_the_undisturbed_result(
    prepared: Paths, tmp_path: Path
) -> None:
    paths = copy_root(prepared, tmp_path / "killed")
    process, folder = start_training(paths, *LONG)
    assert Run(folder).status() == "running"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    assert not (folder / "model.pth").exists()
    assert 0 < epochs_of(folder / "model_last.pth") < 4

    write_run(paths.models / "model_00224_final")
    compared = call_script(paths, COMPARE)
    assert f"left out: {folder.name} (interrupted)" in compared.stdout
    assert [row["model"] for row in read_table(Path(last_line(compared)))] == ["model_00224_final"]
    assert Run(folder).status() == "interrupted"

    undisturbed = train(copy_root(prepared, tmp_path / "undisturbed"), *LONG)
    resumed = call_script(paths, TRAIN, "--resume", folder.name)
    assert last_line(resumed) == str(folder)
    assert f"{folder.name}: goes on after epoch" in resumed.stderr
    assert Run(folder).status() == "finished"
    assert_same_weights(folder, undisturbed)
    history = (folder / "training_history_fer.csv").read_text()
    assert len(set(history.splitlines())) == 5, "nothing was learned: equal weights prove nothing"
    for file in undisturbed.iterdir():
        if file.name not in ("run.json", "model_parameters.txt"):
            assert (folder / file.name).read_bytes() == file.read_bytes(), file.name
    assert Run(folder).record["settings"] == Run(undisturbed).record["settings"]
    assert "is finished: there is nothing to resume" in error_line(call_script(paths, TRAIN, "--resume", folder.name))


@pytest.mark.slow
def test_a_training_killed_within_an_epoch_goes_on_from_there_to_the_undisturbed_result(
    seven: Paths, tmp_path: Path
) -> None:
    """A network with batch norm and dropout, with augmentation, and the checkpoint that the kill left behind."""
    small = ("--set", "batch_size=4", "--set", "network_config.image_size=48")
    options = ("--recipe", "shared_cnn", "--threads", 1, "--seed", 3, "--epochs", 2, *small)
    paths = copy_root(seven, tmp_path / "killed")
    process, folder = start_training(paths, *options, "--checkpoint-every", 0.1)
    deadline = time.monotonic() + 300
    while not torch.load(folder / "model_last.pth", weights_only=True)["progress"]["step"]:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.communicate()
    step = torch.load(folder / "model_last.pth", weights_only=True)["progress"]["step"]
    assert step > 0, "killed between epochs: nothing was tested"
    undisturbed = train(copy_root(seven, tmp_path / "undisturbed"), *options)
    assert last_line(call_script(paths, TRAIN, "--resume", folder.name)) == str(folder)
    assert_same_weights(folder, undisturbed)
    assert {file.name for file in folder.iterdir()} == {file.name for file in undisturbed.iterdir()}
    for name in ("confusion_counts_fer_val.csv", "final_accuracies.csv"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_a_training_as_interrupted_with_one_line(prepared: Paths, tmp_path: Path) -> None:
    process, folder = start_training(copy_root(prepared, tmp_path / "root"), *LONG)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    line = error_line(subprocess.CompletedProcess([], process.returncode, stdout, stderr), status=130)
    assert "interrupted" in line
    assert Run(folder).status() == "interrupted"


@pytest.mark.slow
@pytest.mark.drawn
def test_a_run_that_failed_after_its_last_epoch_gets_its_files_by_resume(ours: Trained, trained: Trained) -> None:
    record = Run(ours.folder).record
    for file in ours.folder.iterdir():
        if file.name not in ("model_last.pth", "run.json"):
            file.unlink()
    Run(ours.folder).update(status="failed", error="EmoTorchError: the disk was full")
    assert last_line(call_script(ours.paths, TRAIN, "--resume", ours.folder)) == str(ours.folder)
    assert_same_weights(ours.folder, trained.folder)
    assert {file.name for file in ours.folder.iterdir()} == {file.name for file in trained.folder.iterdir()}
    for file in (file for file in trained.folder.iterdir() if file.name not in ("run.json", "model_parameters.txt")):
        assert (ours.folder / file.name).read_bytes() == file.read_bytes(), file.name
    times = {"finished", "timings_s"}
    again = Run(ours.folder).record
    assert {key: again[key] for key in again.keys() - times} == {key: record[key] for key in record.keys() - times}


def test_what_cannot_be_resumed_is_refused_in_one_line(ours: Trained) -> None:

    def resume(model: str, status: int = 1) -> str:
        return error_line(call_script(ours.paths, TRAIN, "--resume", model), status)

    assert "no model folder 'model_00077'" in resume("model_00077", status=2)
    write_run(ours.paths.models / "model_00224_final")
    assert "has no record of its settings" in resume("model_00224_final")
    counts = Run(ours.folder).record["counts"]
    Run(ours.folder).update(status="interrupted", counts={**counts, "training": counts["training"] + 1})
    assert "was begun by earlier code, which drew other images" in resume(ours.folder.name)
    Run(ours.folder).update(dataset={"fingerprint": "0"})
    assert "was trained on another dataset" in resume(ours.folder.name)
    shutil.rmtree(ours.paths.originals)
    assert "does not exist" in resume(ours.folder.name)


def test_two_outputs_of_one_second_get_names_of_their_own(tmp_path: Path) -> None:
    taken = set()
    for _ in range(5):
        path = timestamped(tmp_path, "evaluation_fer", ".csv")
        assert not path.exists()
        path.touch()
        taken.add(path)
    assert len(taken) == 5
    assert all(path.name.startswith("evaluation_fer_20") and path.suffix == ".csv" for path in taken)


def test_tables_of_a_run_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    run = Run(tmp_path / "model_00224_final")
    for name, epochs in (("fer", 2), ("combined", 3)):
        columns = ("epoch", "train_loss", "train_accuracy", f"{name}_val_loss", f"{name}_val_accuracy")
        write_csv(
            run.folder / f"training_history_{name}.csv", columns, [(epoch, 0, 50, 0, 50) for epoch in range(epochs)]
        )
    with refusal(f"{run.folder}: its training_history_*.csv are of different numbers of epochs"):
        plot_run_history(run)
    for name, labels in (("fer", ("anger", "fear")), ("ckp", ("anger", "calm"))):
        write_confusion(run.folder, f"{name}_val", np.eye(2, dtype=np.int64), labels)
    with refusal(f"{run.folder}: its confusion matrices have different labels"):
        plot_run_confusion(run)
