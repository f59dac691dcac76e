from dataclasses import replace

import numpy as np
import pytest
import torch

from emotorch.recipes import LOSS_NAMES, get_recipe
from emotorch.training.losses import (
    class_weights,
    cosine_proximity,
    cross_entropy,
    focal,
    loss_of,
    one_hot,
    smoothed,
    weighted,
)


def outputs_and_labels(count: int = 50, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.random((count, classes))).float(), torch.from_numpy(rng.integers(0, classes, count))


def test_cosine_proximity_is_minus_the_cosine_with_the_one_hot_label() -> None:
    outputs, labels = outputs_and_labels()
    expected = [
        -row[label] / sum(value * value for value in row) ** 0.5
        for row, label in zip(outputs.tolist(), labels.tolist(), strict=True)
    ]
    assert cosine_proximity(outputs, one_hot(labels, 4)).tolist() == pytest.approx(expected, rel=1e-6)


def test_cosine_proximity_goes_from_minus_1_for_right_to_0_for_wrong_and_knows_no_scale() -> None:
    labels = torch.tensor([2, 2, 2, 2])
    outputs = torch.tensor([[0.0, 0, 5, 0], [3.0, 0, 0, 0], [1.0, 1, 1, 1], [2.0, 2, 2, 2]])
    assert cosine_proximity(outputs, one_hot(labels, 4)).tolist() == pytest.approx([-1.0, 0.0, -0.5, -0.5])


def test_a_dead_network_s_outputs_give_0_and_no_gradient_rather_than_nan() -> None:
    outputs = torch.zeros(3, 4, requires_grad=True)
    losses = cosine_proximity(torch.relu(outputs), one_hot(torch.tensor([0, 1, 2]), 4))
    losses.mean().backward()
    assert losses.tolist() == [0.0, 0.0, 0.0]
    assert not outputs.grad.any()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_gives_a_value_per_image_that_falls_when_the_prediction_gets_better(name: str) -> None:
    outputs, labels = outputs_and_labels()
    loss, targets = loss_of(replace(get_recipe("emotorch"), loss=name)), one_hot(labels, 4)
    losses = loss(outputs, targets)
    better = loss(outputs + targets, targets)
    assert losses.shape == (50,)
    assert (better < losses).all()


def test_cross_entropy_is_minus_the_logarithm_of_the_right_share() -> None:
    outputs, labels = outputs_and_labels()
    probabilities = torch.softmax(outputs, 1)[torch.arange(50), labels]
    torch.testing.assert_close(cross_entropy(outputs, one_hot(labels, 4)), -probabilities.log())


def test_focal_loss_with_gamma_0_is_cross_entropy_and_else_that_times_the_doubt() -> None:
    outputs, labels = outputs_and_labels()
    targets = one_hot(labels, 4)
    entropy = cross_entropy(outputs, targets)
    torch.testing.assert_close(focal(outputs, targets, 0.0), entropy)
    doubt = 1 - torch.softmax(outputs, 1)[torch.arange(50), labels]
    torch.testing.assert_close(focal(outputs, targets, 2.0), entropy * doubt**2)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_has_a_gradient_where_the_prediction_is_certain(gamma: float) -> None:
    outputs = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal(outputs, one_hot(torch.tensor([0, 0]), 2), gamma).sum().backward()
    assert outputs.grad.isfinite().all()


def test_smoothed_targets_sum_to_1_and_leave_the_label_on_top() -> None:
    labels = one_hot(torch.tensor([2, 0]), 4)
    targets = smoothed(labels, 0.1)
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert targets[0].tolist() == pytest.approx([0.025, 0.025, 0.925, 0.025])
    assert torch.equal(smoothed(labels, 0.0), labels)


def test_class_weights_make_every_class_count_the_same_and_the_mean_image_1() -> None:
    counts = torch.tensor([10, 30, 0, 60])
    weights = class_weights(counts)
    assert (weights * counts).tolist() == pytest.approx([100 / 3, 100 / 3, 0, 100 / 3])
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1.0)
    losses = weighted(torch.ones(3), one_hot(torch.tensor([0, 1, 3]), 4), weights)
    assert losses.tolist() == pytest.approx([100 / 30, 100 / 90, 100 / 180])
    assert torch.equal(weighted(losses, one_hot(torch.tensor([0, 1, 3]), 4), None), losses)
    # A class of a single image counts as much as the others, and one without any not at all.
    assert class_weights(torch.tensor([1, 0, 3])).tolist() == pytest.approx([2, 0, 2 / 3])
