"""Test-time augmentation and ensembles: which copies there are, and that a prediction over them is the mean."""

import numpy as np
import pytest
import torch
from conftest import draw_images
from published import published_state
from running import EVALUATE, Trained, call_script, error_line, replace_weights, train

from emotorch.evaluation.evaluate import predict
from emotorch.evaluation.sets import EvaluationSet
from emotorch.evaluation.tta import COPIES, SHIFT, augmented_copies, mean_predictions
from emotorch.metrics.calibration import probabilities
from emotorch.runs.folder import Run
from emotorch.training.checkpoints import load_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

CPU = torch.device("cpu")
FACES = draw_images(7, seed=3)


def by_hand() -> list[np.ndarray]:
    found = []
    for down, right in ((0, 0), (-SHIFT, 0), (SHIFT, 0), (0, -SHIFT), (0, SHIFT)):
        padded = np.pad(FACES, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="reflect")
        moved = np.roll(padded, (down, right), axis=(1, 2))[:, SHIFT:-SHIFT, SHIFT:-SHIFT]
        found += [moved, moved[:, :, ::-1]]
    return found


def faces(pixels: np.ndarray = FACES) -> EvaluationSet:
    names = [str(number) for number in range(len(pixels))]
    return EvaluationSet("synthetic", names, np.ascontiguousarray(pixels), np.arange(len(pixels)) % 4, np.array(names))


def test_the_copies_are_the_image_its_shifts_and_their_mirror_images() -> None:
    made = list(augmented_copies(torch.from_numpy(FACES).unsqueeze(1)))
    assert len(made) == COPIES
    for copy, expected in zip(made, by_hand(), strict=True):
        assert np.array_equal(copy.squeeze(1).numpy(), expected)
    assert np.array_equal(made[0].squeeze(1).numpy(), FACES)


def test_a_prediction_is_the_mean_over_the_copies(trained: Trained) -> None:
    model = load_model(trained.folder / "model.pth")
    found = mean_predictions([model], faces(), CPU, with_tta=True)
    each = [probabilities(predict(model, faces(copy), CPU).outputs, model.temperature) for copy in by_hand()]
    mean = torch.stack(each).mean(0)
    assert torch.allclose(probabilities(found.outputs, model.temperature), mean, atol=1e-6)
    assert found.classes.tolist() == mean.argmax(1).tolist()
    assert found.counts.sum() == len(FACES)


def test_models_together_predict_their_mean(trained: Trained, lively: Trained) -> None:
    models = [load_model(run.folder / "model.pth") for run in (trained, lively)]
    found = mean_predictions(models, faces(), CPU)
    mean = sum(probabilities(predict(model, faces(), CPU).outputs, model.temperature) for model in models) / 2
    assert torch.allclose(probabilities(found.outputs, models[0].temperature), mean, atol=1e-6)
    assert found.classes.tolist() == mean.argmax(1).tolist()


def test_the_script_scores_tta_and_models_together_beside_the_first_not_in_its_place(lively: Trained) -> None:
    name = lively.folder.name
    other = train(lively.paths, "--seed", 9)
    plain, with_tta, together = (
        call_script(lively.paths, EVALUATE, name, "fer", *options).stdout.splitlines()[:-1]
        for options in ((), ("--views",), ("--with", other.name, "--tta"))
    )
    assert "accuracy" in plain[0]
    line = with_tta[len(plain)]
    assert line.startswith(f"with test-time augmentation ({COPIES} copies: mirror images, shifts of {SHIFT} pixels): ")
    assert with_tta == [*plain, line]
    assert together[: len(with_tta)] == with_tta
    further = together[len(plain) :]
    starts = [line.partition(":")[0].partition(" (")[0] for line in further]
    tta = "with test-time augmentation"
    assert starts == [tta, f"{other.name} on the same", "mean of 2 models", f"mean of 2 models {tta}"]
    # All are baselines, which the same held-out images of FER-2013 select.
    assert all(" †" in line for line in further)
    assert further[1].endswith("of them chose its epoch")
    repeated = call_script(lively.paths, EVALUATE, name, "fer", "--with", other.name, name)
    assert f"{name} is named twice" in error_line(repeated, 2)


def test_a_look_at_the_private_test_is_recorded_of_each_model_with_its_own_score(lively: Trained) -> None:
    """Not with that of all together, which its card would take for its own."""
    first, other = (train(lively.paths, "--fer-usage", "official", "--seed", seed) for seed in (4, 9))
    sure = published_state()
    sure["model_state_dict"]["fc.bias"][0] += 1000  # together they predict as it does
    replace_weights(first, sure)
    replace_weights(other, published_state())
    done = call_script(lively.paths, EVALUATE, first.name, "fer-private", "--with", other.name)
    correct = set()
    for run in (first, other):
        call_script(lively.paths, EVALUATE, run.name, "fer-private")
        together, alone = Run(run).record["private_scorings"]
        assert together["correct"] == alone["correct"]
        correct.add(alone["correct"])
    assert len(correct) == 2
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"{other.name} on the same: "))
    assert f": {alone['images']} images" in line
    twins = "exact twins of images that did" in done.stdout
    assert ("†" in line) == twins, "but for twins, PrivateTest chose no epoch"


def test_a_model_that_has_seen_the_images_is_no_company(ours: Trained) -> None:
    other = train(ours.paths, "--fer-usage", "official")
    failed = call_script(ours.paths, EVALUATE, ours.folder.name, "fer", "--with", other.name)
    assert f"{other.name} was trained on " in error_line(failed)
    assert not list(ours.folder.glob("evaluation*"))
