import numpy as np
import pytest
import torch

from emotorch.training.losses import LOSSES, cosine_proximity


def outputs_and_labels(count: int = 50, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.random((count, classes))).float(), torch.from_numpy(rng.integers(0, classes, count))


def test_cosine_proximity_is_minus_the_cosine_with_the_one_hot_label() -> None:
    outputs, labels = outputs_and_labels()
    expected = [
        -row[label] / sum(value * value for value in row) ** 0.5
        for row, label in zip(outputs.tolist(), labels.tolist(), strict=True)
    ]
    assert cosine_proximity(outputs, labels).tolist() == pytest.approx(expected, rel=1e-6)


def test_cosine_proximity_goes_from_minus_1_for_right_to_0_for_wrong_and_knows_no_scale() -> None:
    labels = torch.tensor([2, 2, 2, 2])
    outputs = torch.tensor([[0.0, 0, 5, 0], [3.0, 0, 0, 0], [1.0, 1, 1, 1], [2.0, 2, 2, 2]])
    assert cosine_proximity(outputs, labels).tolist() == pytest.approx([-1.0, 0.0, -0.5, -0.5])


def test_a_dead_network_s_outputs_give_0_and_no_gradient_rather_than_nan() -> None:
    outputs = torch.zeros(3, 4, requires_grad=True)
    losses = cosine_proximity(torch.relu(outputs), torch.tensor([0, 1, 2]))
    losses.mean().backward()
    assert losses.tolist() == [0.0, 0.0, 0.0]
    assert not outputs.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_a_value_per_image_that_falls_when_the_answer_gets_better(name: str) -> None:
    outputs, labels = outputs_and_labels()
    losses = LOSSES[name](outputs, labels)
    better = LOSSES[name](outputs + torch.nn.functional.one_hot(labels, 4), labels)
    assert losses.shape == (50,)
    assert (better < losses).all()
