"""Test-time views: which they are, and that an answer over them is the mean of the answers to each."""

import numpy as np
import torch
from conftest import draw_images
from running import MODELS, Trained, call_script

from emotorch.analysis.evaluate import EvaluationSet, answer
from emotorch.analysis.views import COUNT, SHIFT, answer_over_views, views
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import load_model

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
    return EvaluationSet("drawn", names, np.ascontiguousarray(pixels), np.arange(len(pixels)) % 4, np.array(names))


def test_views_are_the_image_its_shifts_and_their_mirror_images() -> None:
    made = list(views(torch.from_numpy(FACES).unsqueeze(1)))
    assert len(made) == COUNT
    for view, expected in zip(made, by_hand(), strict=True):
        assert np.array_equal(view.squeeze(1).numpy(), expected)
    assert np.array_equal(made[0].squeeze(1).numpy(), FACES)


def test_an_answer_is_the_mean_over_the_views(trained: Trained) -> None:
    model = load_model(trained.folder / "model.pth")
    found = answer_over_views(model, faces(), CPU)
    each = [probabilities(answer(model, faces(view), CPU).outputs, model.temperature) for view in by_hand()]
    mean = torch.stack(each).mean(0)
    assert torch.allclose(probabilities(found.outputs, model.temperature), mean, atol=1e-6)
    assert found.classes.tolist() == mean.argmax(1).tolist()
    assert found.counts.sum() == len(FACES)


def test_the_script_reports_views_beside_the_score_not_in_its_place(trained: Trained) -> None:
    plain, with_views = (
        call_script(trained.paths, f"{MODELS}/evaluate_model.py", trained.folder.name, "fer", *options).stdout
        for options in ((), ("--views",))
    )
    lines = with_views.splitlines()
    assert "accuracy" in plain
    assert [line for line in lines if " views " not in line][:-1] == plain.splitlines()[:-1]
    (line,) = (line for line in lines if " views " in line)
    assert line.startswith(f"mean over {COUNT} views (mirror images, shifts of {SHIFT} pixels): ")
