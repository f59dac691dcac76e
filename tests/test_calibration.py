import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from emotorch.metrics.calibration import fit_temperature, probabilities


def outputs_and_labels(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of a network that is right in about two thirds of 600 images."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 600)
    outputs = rng.gamma(2.0, 1.0, (600, 4)) + 3.0 * np.eye(4)[labels]
    return torch.from_numpy(scale * outputs).float(), torch.from_numpy(labels)


def likelihood_loss(outputs: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    shares = probabilities(outputs.double(), temperature)
    return -float(shares[torch.arange(len(labels)), labels].log().mean())


def test_probabilities_are_a_softmax_that_the_temperature_sharpens_or_flattens() -> None:
    outputs = torch.tensor([[0.0, 1.0, 2.0, 0.5]])
    assert torch.equal(probabilities(outputs, 1.0), torch.softmax(outputs, 1))
    cold, warm, hot = (probabilities(outputs, temperature) for temperature in (0.1, 1.0, 10.0))
    assert cold.max() > warm.max() > hot.max() > 0.25
    assert [shares.argmax().item() for shares in (cold, warm, hot)] == [2, 2, 2]
    assert float(hot.sum()) == pytest.approx(1)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_fitted_temperature_makes_the_labels_most_likely(scale: float) -> None:
    outputs, labels = outputs_and_labels(scale)
    fitted = fit_temperature(outputs, labels)
    best = minimize_scalar(
        lambda log: likelihood_loss(outputs, labels, float(np.exp(log))), bounds=(-6, 8), method="bounded"
    )
    assert fitted == pytest.approx(float(np.exp(best.x)), rel=1e-3)
    assert likelihood_loss(outputs, labels, fitted) <= likelihood_loss(outputs, labels, 1.0)


def test_the_temperature_follows_the_outputs_scale() -> None:
    small, large = (fit_temperature(*outputs_and_labels(scale)) for scale in (0.01, 1.0))
    assert small == pytest.approx(0.01 * large, rel=1e-3)


def test_where_nothing_can_be_fitted_it_is_1() -> None:
    assert fit_temperature(torch.empty(0, 4), torch.empty(0, dtype=torch.int64)) == 1.0
    assert fit_temperature(torch.zeros(3, 4), torch.tensor([0, 1, 2])) == 1.0


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]], ids=["all right", "all wrong"])
def test_a_temperature_is_a_positive_number_even_where_none_is_best(labels: list[int]) -> None:
    outputs = torch.tensor([[2.0, 0.0], [1.0, 0.0], [3.0, 1.0]])
    fitted = fit_temperature(outputs, torch.tensor(labels))
    assert 0 < fitted < float("inf")
    assert probabilities(outputs, fitted).isfinite().all()
