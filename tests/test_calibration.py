import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from emotorch.metrics.calibration import BINS, assess, cross_fit, fit_temperature, measure, probabilities


def outputs_and_labels(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of a network that is right in about two thirds of 600 images."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 600)
    outputs = rng.gamma(2.0, 1.0, (600, 4)) + 3.0 * np.eye(4)[labels]
    return torch.from_numpy(scale * outputs).float(), torch.from_numpy(labels)


def likelihood_loss(outputs: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    found = probabilities(outputs.double(), temperature)
    return -float(found[torch.arange(len(labels)), labels].log().mean())


def test_probabilities_are_a_softmax_that_the_temperature_sharpens_or_flattens() -> None:
    outputs = torch.tensor([[0.0, 1.0, 2.0, 0.5]])
    assert torch.equal(probabilities(outputs, 1.0), torch.softmax(outputs, 1))
    cold, warm, hot = (probabilities(outputs, temperature) for temperature in (0.1, 1.0, 10.0))
    assert cold.max() > warm.max() > hot.max() > 0.25
    assert [row.argmax().item() for row in (cold, warm, hot)] == [2, 2, 2]
    assert float(hot.sum()) == pytest.approx(1)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_fitted_temperature_makes_the_labels_most_likely(scale: float) -> None:
    outputs, labels = outputs_and_labels(scale)
    fitted = fit_temperature(outputs, labels)
    others = [likelihood_loss(outputs, labels, factor * fitted) for factor in (0.01, 0.5, 0.999, 1.001, 2, 100)]
    assert likelihood_loss(outputs, labels, fitted) < min(others)


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


def simulate(temperature: float, images: int = 4000, seed: int = 1) -> tuple[torch.Tensor, np.ndarray]:
    """Outputs whose softmax at this temperature is the very distribution that the labels are drawn from."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(0, 1.5, (images, 4))
    probabilities = np.exp(truths) / np.exp(truths).sum(1, keepdims=True)
    labels = (rng.random((images, 1)) > probabilities.cumsum(1)).sum(1)
    return torch.from_numpy(truths * temperature), labels


def sources(images: int) -> np.ndarray:
    return np.arange(images).astype(str)


def test_a_hand_computed_example() -> None:
    """Four images: 0.9 right and 0.9 wrong in one bin, 0.6 right and 0.65 right in another."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]])
    found = measure(probabilities, np.array([0, 1, 1, 1]))
    # Bins of 1/15: 0.9 in (0.8667, 0.9333]; 0.6 in (0.5333, 0.6]; 0.65 in (0.6, 0.6667].
    filled = [(place, b.images, b.correct) for place, b in enumerate(found.bins) if b.images]
    assert filled == [(8, 1, 1), (9, 1, 1), (13, 2, 1)]
    assert found.ece == pytest.approx((1 * abs(1 - 0.6) + 1 * abs(1 - 0.65) + 2 * abs(0.5 - 0.9)) / 4)
    assert found.brier == pytest.approx((2 * 0.01 + 2 * 0.81 + 2 * 0.16 + 2 * 0.1225) / 4)
    assert found.nll == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.65]).mean())
    assert found.images == 4


def test_bins_are_open_below_and_closed_above_and_hold_every_image() -> None:
    edges = np.linspace(0, 1, BINS + 1)[8:]  # confidences of two classes are above one half
    found = measure(np.stack([edges, 1 - edges], axis=1), np.zeros(len(edges), int))
    assert [b.images for b in found.bins] == [0] * 7 + [1] * 8
    assert all(b.low < b.confidence <= b.high + 1e-12 for b in found.bins if b.confidence is not None)


@pytest.mark.parametrize("temperature", [0.2, 5.0])
def test_the_true_temperature_leaves_no_more_error_than_chance(temperature: float) -> None:
    outputs, labels = simulate(temperature)
    found = assess(outputs, labels, sources(len(labels)), temperature, np.zeros(len(labels), bool))
    assert found.before.ece > 0.1
    assert found.before.ece > 5 * found.before.by_chance_high
    assert found.after.ece < found.after.by_chance_high
    assert found.after.brier < found.before.brier
    assert found.after.nll == pytest.approx(
        log_loss(labels, torch.softmax(outputs / temperature, 1).numpy(), labels=range(4))
    )
    assert found.fitted_on == 0
    assert found.crossed is None, "the temperature was fitted on other images"
    assert "fitted on other images" in found.line()


def test_chance_is_what_perfect_models_show_on_average() -> None:
    errors, expected = [], []
    for seed in range(40):
        outputs, labels = simulate(1.0, images=300, seed=seed)
        found = measure(torch.softmax(outputs, 1).numpy(), labels)
        errors.append(found.ece)
        expected.append(found.by_chance)
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.08)
    assert np.mean(expected) > 0.03, "on few images a perfect model shows an error too"


def test_cross_fitting_scores_no_image_at_a_temperature_that_has_seen_its_source() -> None:
    outputs, labels = simulate(3.0, images=600)
    groups = np.repeat(np.arange(200), 3).astype(str)
    crossed, (first, second) = cross_fit(outputs, labels, groups)
    at_first = np.isclose(crossed, torch.softmax(outputs / first, 1).numpy()).all(1)
    at_second = np.isclose(crossed, torch.softmax(outputs / second, 1).numpy()).all(1)
    assert (at_first ^ at_second).all()
    assert at_first.sum() == 300
    assert all(len(set(at_first[groups == group])) == 1 for group in np.unique(groups))
    assert first == pytest.approx(fit_temperature(outputs[~at_first], torch.from_numpy(labels[~at_first])))
    assert second == pytest.approx(fit_temperature(outputs[at_first], torch.from_numpy(labels[at_first])))
    assert first == pytest.approx(3.0, rel=0.2)
    assert second == pytest.approx(3.0, rel=0.2)


def test_a_fit_on_few_images_flatters_itself_and_cross_fitting_does_not() -> None:
    """The likelihood at the fitted temperature is the best there is; that of the halves is no better."""
    for seed in range(5):
        outputs, labels = simulate(1.0, images=40, seed=seed)
        fitted = fit_temperature(outputs, torch.from_numpy(labels))
        found = assess(outputs, labels, sources(40), fitted, np.ones(40, bool))
        assert found.crossed.nll > found.after.nll
        assert f"fitted on 40 of these 40 images; {found.crossed.ece:.2%} cross-fitted" in found.line()


def test_what_is_not_known_is_said() -> None:
    outputs, labels = simulate(2.0, images=100)
    unknown = assess(outputs, labels, sources(100), 2.0, None)
    assert unknown.crossed is None
    assert "on images that are unknown" in unknown.line()
    none = assess(outputs, labels, sources(100), 1.0, np.ones(100, bool))
    assert none.before == none.after
    assert "states no temperature" in none.line()
    alone = assess(outputs[:3], labels[:3], np.array(["a"] * 3), 2.0, np.ones(3, bool))
    assert alone.crossed is None, "images of one source have no halves"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(2, 7), st.floats(0.001, 1000), st.integers(0, 1000))
def test_any_outputs_give_figures_in_their_ranges(images: int, classes: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = torch.softmax(torch.from_numpy(scale * rng.normal(size=(images, classes))), 1).numpy()
    found = measure(probabilities, rng.integers(0, classes, images))
    assert sum(b.images for b in found.bins) == images
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 2
    assert 0 <= found.nll < float("inf")
