"""Distillation: soft targets, that they are learned, and that teachers leak no validation image."""

import shutil

import pytest
import torch
from conftest import TRAINED_WITH, draw_images
from published import published_state
from running import (
    TRAIN,
    Trained,
    accept,
    assert_same_weights,
    call_script,
    error_line,
    interrupt,
    replace_weights,
    train,
)

from emotorch.errors import UsageError
from emotorch.metrics.calibration import probabilities
from emotorch.overrides import override
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run
from emotorch.training.checkpoints import load_model
from emotorch.training.distillation import Teachers
from emotorch.training.loop import network_outputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

CPU = torch.device("cpu")
FACES = torch.from_numpy(draw_images(9, seed=5)).unsqueeze(1)


def error_of(ours: Trained, *options: object, status: int = 1) -> str:
    return error_line(call_script(ours.paths, TRAIN, "--epochs", 1, "--threads", 1, *options), status)


def test_soft_targets_are_the_mean_over_models(lively: Trained, trained: Trained) -> None:
    models = [load_model(run.folder / "model.pth") for run in (lively, trained)]
    soft_targets = Teachers(models).soft_targets(CPU, "float32")
    assert soft_targets is not None
    predicted = soft_targets(FACES)
    expected = torch.zeros(9, 4)
    for model in models:
        expected += probabilities(network_outputs(model.network, FACES, model.form), model.temperature) / 2
    assert torch.allclose(predicted, expected, atol=1e-6)
    assert torch.allclose(soft_targets(FACES[:3].float()), expected[:3], atol=1e-6)
    assert len(predicted.unique(dim=0)) > 1


def test_without_teachers_there_are_no_soft_targets() -> None:
    assert Teachers().soft_targets(CPU, "float32") is None


def test_a_student_records_its_teachers_and_resumes_to_the_same_weights(ours: Trained) -> None:
    teachers = f"teachers={ours.folder.name}, {ours.folder}"
    options = (*TRAINED_WITH, "--set", "loss=cross_entropy", "--set", teachers)
    undisturbed = train(ours.paths, "--epochs", 3, *options)
    record = Run(undisturbed).record
    assert record["teachers_sha256"] == [Run(ours.folder).record["weights_sha256"]] * 2
    assert record["settings"]["recipe"]["teachers"] == teachers.removeprefix("teachers=")
    alone = train(ours.paths, *options[:-2])
    student = train(ours.paths, *options)
    loss = [Run(run).record["scores"]["training"]["loss"] for run in (student, alone)]
    assert loss[0] != loss[1]
    interrupt(student, epochs=3)
    assert call_script(ours.paths, TRAIN, "--resume", student.name).returncode == 0
    assert_same_weights(student, undisturbed)


def test_a_student_does_not_go_on_with_another_teacher(ours: Trained) -> None:
    student = train(ours.paths, "--set", f"teachers={ours.folder.name}")
    interrupt(student, epochs=3)
    replace_weights(ours.folder, published_state())
    assert f"{student.name} has learned from other teachers" in error_line(
        call_script(ours.paths, TRAIN, "--resume", student.name)
    )


@pytest.mark.parametrize("options", [("--fer-usage", "official"), ("--fer", 0.9)], ids=str)
def test_a_teacher_that_has_seen_more_than_its_student_is_refused(ours: Trained, options: tuple[object, ...]) -> None:
    """Whatever the images are called: a dataset that was made again may have other numbers."""
    usage = ours.folder / "image_usage.csv"
    usage.write_text(usage.read_text().replace(".png", "0.png"))
    accept(ours.folder)
    line = error_of(ours, *options, "--set", f"teachers={ours.folder.name}", status=2)
    assert f"teachers: {ours.folder.name} was trained on " in line
    assert "images that this run is not trained on" in line
    assert len(list(ours.paths.models.iterdir())) == 1


def test_a_teacher_that_does_not_say_what_it_has_seen_is_refused(ours: Trained) -> None:
    (ours.folder / "image_usage.csv").unlink()
    accept(ours.folder)
    assert "what it was trained on is unknown" in error_of(ours, "--set", f"teachers={ours.folder.name}")


def test_a_teacher_of_other_labels_or_none_at_all_is_refused(ours: Trained) -> None:
    assert "no model folder 'nobody'" in error_of(ours, "--set", "teachers=nobody", status=2)
    shutil.copytree(ours.folder, ours.paths.models / "other")
    state = torch.load(ours.folder / "model.pth", weights_only=True)
    scheme = {**state["scheme"], "labels": state["labels"][::-1]}
    replace_weights(ours.paths.models / "other", {**state, "labels": state["labels"][::-1], "scheme": scheme})
    assert "other has other labels" in error_of(ours, "--set", "teachers=other", status=2)


def test_the_soft_targets_part_is_a_part() -> None:
    with pytest.raises(UsageError, match="distillation must be from 0 to 1"):
        override(get_recipe("compact"), ["distillation=1.5"])
