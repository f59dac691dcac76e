"""What a run's files hold is what was written: a flipped bit, a cut file or another one is refused by its name."""

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import refusal
from published import published_state, write_run
from running import Trained, accept, copy_trained

from emotorch.errors import EmoTorchError
from emotorch.files import hash_file, write_json
from emotorch.paths import Paths
from emotorch.runs.confusion import read_matrix
from emotorch.runs.folder import Run, named_or_newest
from emotorch.runs.history import read_history
from emotorch.runs.record import FILES, read_record, say_unverified
from emotorch.runs.results import read_report
from emotorch.runs.scores import read_accuracies
from emotorch.runs.usage import read_image_usage
from emotorch.training.checkpoints import load_model

READERS: dict[str, Callable[[Run], object]] = {
    "run.json": lambda run: run.record,
    "image_usage.csv": read_image_usage,
    "final_accuracies.csv": read_accuracies,
    "confusion_matrix_fer_val.csv": lambda run: read_matrix(run, "fer_val"),
    "confusion_counts_ckp_val.csv": lambda run: read_matrix(run, "ckp_val"),
    "training_history_fer.csv": lambda run: read_history(run, "fer"),
    "classification_report.txt": read_report,
}


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    return copy_trained(trained, tmp_path / "root").folder


def test_every_file_that_is_final_is_listed_but_pictures(trained: Trained) -> None:
    record = Run(trained.folder).record
    present = {path.name for path in trained.folder.iterdir() if path.suffix != ".png" and path.name[0] != "."}
    assert record[FILES].keys() | {"model.pth"} == present - {"run.json", "model_parameters.txt"}
    assert all(digest == hash_file(trained.folder / name) for name, digest in record[FILES].items())


@pytest.mark.parametrize("name", READERS)
def test_a_flipped_bit_or_a_cut_is_refused_or_changes_nothing(folder: Path, name: str) -> None:
    path, read = folder / name, READERS[name]
    content, whole = path.read_bytes(), read(Run(folder))
    chance, silent = random.Random(name), []
    for _ in range(30):
        damaged = bytearray(content)
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        damaged[place] ^= 1 << bit
        for wrong in (bytes(damaged), content[:place]):
            path.write_bytes(wrong)
            try:
                found = read(Run(folder))
            except EmoTorchError:
                continue
            if found != whole:
                silent.append((place, bit, wrong[place - 20 : place + 20]))
    # A record whose own key is another word states nothing of itself, and all else as before.
    assert [one for one in silent if b"_sha256" not in one[2]] == []
    path.write_bytes(content)
    assert read(Run(folder)) == whole


@pytest.mark.parametrize("name", [name for name in READERS if name != "run.json"])
def test_the_refusal_names_the_file_and_what_to_do(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    with refusal(f"{path}: damaged or replaced, its SHA-256 is not the one that run.json beside it states"):
        READERS[name](Run(folder))
    path.unlink()
    with refusal(f"{path} is gone, which run.json beside it tells of: bring that file back"):
        READERS[name](Run(folder))


def test_a_record_changed_by_hand_says_which_line_to_delete(folder: Path) -> None:
    path = folder / "run.json"
    text = path.read_text()
    path.write_text(text.replace('"seed": 4', '"seed": 5'))
    with refusal(f"{path}: damaged, or changed by hand: its SHA-256 is not its record_sha256"):
        read_record(folder)
    changed = {key: value for key, value in json.loads(path.read_text()).items() if key != "record_sha256"}
    path.write_text(json.dumps(changed))
    assert read_record(folder)["seed"] == 5
    path.write_text(json.dumps(json.loads(text), indent=8))  # another layout
    assert read_record(folder)["seed"] == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",training,", ",Training,", "usage 'Training' is neither training nor a validation"),
        (",fer_validation,", ",fer_validatiom,", "usage 'fer_validatiom' is neither"),
        (",fer_validation,", ",training,", "images of "),
        (",training,", ",other_validation,", "images of "),
    ],
)
@pytest.mark.parametrize("lists", [True, False], ids=["hashes", "earlier code"])
def test_usages_that_cannot_be_are_refused(folder: Path, old: str, new: str, message: str, lists: bool) -> None:
    """Also in runs of earlier code, whose records state numbers of images, and no hashes."""
    path = folder / "image_usage.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    if not lists:
        write_json(folder / "run.json", {key: value for key, value in Run(folder).record.items() if key != FILES})
    with refusal(f"{path}: damaged or replaced" if lists else f"{path}: ") as refused:
        read_image_usage(Run(folder))
    assert lists or message in str(refused.value)


def test_a_list_that_is_cut_short_is_refused_where_no_hash_is_stated(folder: Path) -> None:
    path = folder / "image_usage.csv"
    lines = path.read_text().splitlines(keepends=True)
    write_json(folder / "run.json", {key: value for key, value in Run(folder).record.items() if key != FILES})
    assert read_image_usage(Run(folder))
    path.write_text("".join(lines[:-1]))
    with refusal(f"{path}: ") as refused:
        read_image_usage(Run(folder))
    assert "in run.json" not in str(refused.value)
    assert "where run.json beside it tells of" in str(refused.value)


def test_a_validation_set_whose_file_is_gone_is_missed(folder: Path) -> None:
    (folder / "confusion_matrix_ckp_val.csv").unlink()
    run = Run(folder)
    assert run.sets_with("confusion_matrix_{}_val.csv") == ["fer", "ckp"]
    accept(folder)
    assert Run(folder).sets_with("confusion_matrix_{}_val.csv") == ["fer"]


def test_a_published_folder_is_read_and_said_once_to_be_unverified(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_run(paths.models / "model_00224_final")
    torch.save(published_state(), folder / "model.pth")
    say_unverified.cache_clear()
    with caplog.at_level(logging.INFO, logger="emotorch"):
        for _ in range(2):
            run = named_or_newest(paths, folder.name)
            assert read_accuracies(run)["Training Accuracy"] == 57.08
            assert load_model(folder / "model.pth").labels
    assert caplog.messages == ["model_00224_final: read unverified, nothing states what its files' SHA-256 should be"]
