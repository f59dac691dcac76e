from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import assert_legible, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from emotorch.figures import reliability as pictures
from emotorch.figures.reliability import plot_reliability, write_reliability
from emotorch.metrics.calibration import BINS, assess, cross_fit, fit_temperature, measure


def simulate(temperature: float, images: int = 4000, seed: int = 1) -> tuple[torch.Tensor, np.ndarray]:
    """Outputs whose softmax at this temperature is the very distribution that the labels are drawn from."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(0, 1.5, (images, 4))
    shares = np.exp(truths) / np.exp(truths).sum(1, keepdims=True)
    labels = (rng.random((images, 1)) > shares.cumsum(1)).sum(1)
    return torch.from_numpy(truths * temperature), labels


def sources(images: int) -> np.ndarray:
    return np.arange(images).astype(str)


def test_a_hand_computed_example() -> None:
    """Four images: 0.9 right and 0.9 wrong in one bin, 0.6 right and 0.65 right in another."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]])
    found = measure(shares, np.array([0, 1, 1, 1]))
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
    shares, (first, second) = cross_fit(outputs, labels, groups)
    at_first = np.isclose(shares, torch.softmax(outputs / first, 1).numpy()).all(1)
    at_second = np.isclose(shares, torch.softmax(outputs / second, 1).numpy()).all(1)
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
    shares = torch.softmax(torch.from_numpy(scale * rng.normal(size=(images, classes))), 1).numpy()
    found = measure(shares, rng.integers(0, classes, images))
    assert sum(b.images for b in found.bins) == images
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 2
    assert 0 <= found.nll < float("inf")


# --- The diagram --------------------------------------------------------------------------------------------


def test_the_diagram_is_legible_and_says_error_and_counts() -> None:
    outputs, labels = simulate(4.0, images=20_000)
    found = assess(outputs, labels, sources(20_000), 3.7, np.ones(20_000, bool))
    figure = pictures._figure(found, "model_00001: FER validation (held out)")
    said = texts(figure)
    for calibration in (found.before, found.after, found.crossed):
        assert any(f"expected error {calibration.ece:.1%}" in text for text in said)
        for content in calibration.bins:
            assert not content.images or f"{content.images:,}" in said
    assert_legible(figure)


def test_an_uncalibrated_model_has_one_panel(tmp_path: Path) -> None:
    outputs, labels = simulate(1.0, images=50)
    found = assess(outputs, labels, sources(50), 1.0, None)
    figure = pictures._figure(found, "model_00224_final")
    assert len(figure.axes) == 2
    assert_legible(figure)
    first = plot_reliability(tmp_path / "1.png", found, "x").read_bytes()
    assert plot_reliability(tmp_path / "2.png", found, "x").read_bytes() == first


def test_the_table_holds_every_bin(tmp_path: Path) -> None:
    outputs, labels = simulate(2.0, images=500)
    found = assess(outputs, labels, sources(500), 2.0, np.ones(500, bool))
    write_reliability(tmp_path, "fer_val", found, "x")
    header, *rows = (tmp_path / "reliability_fer_val.csv").read_text().splitlines()
    assert header.startswith("calibration,confidence_above,confidence_to,images,correct")
    assert len(rows) == 3 * BINS
    after = [row.split(",") for row in rows[BINS : 2 * BINS]]
    assert sum(int(row[3]) for row in after) == 500
    gaps = [int(row[3]) * abs(float(row[6]) - float(row[5])) for row in after if row[3] != "0"]
    assert sum(gaps) / 500 == pytest.approx(found.after.ece, abs=1e-3)
