import math

import numpy as np
import pytest

from emotorch.metrics import intervals
from emotorch.metrics.intervals import RESAMPLES, distance_interval, proportion, wilson_interval
from emotorch.seeding import generator

ORIGINAL = np.array(
    [(0.66, 0.16, 0.10, 0.08), (0.31, 0.32, 0.11, 0.26), (0.31, 0.17, 0.43, 0.09), (0.07, 0.1, 0.03, 0.8)]
)
TRUTH = np.array(
    [(0.60, 0.15, 0.19, 0.06), (0.33, 0.36, 0.15, 0.16), (0.32, 0.15, 0.48, 0.05), (0.14, 0.16, 0.09, 0.61)]
)
# As many validation images as FER-2013 and CK+ give.
FER, CKP = (743, 768, 930, 600), (135, 75, 207, 249)


def counts(images: tuple[int, ...], key: object = 0) -> np.ndarray:
    return generator("counts", key).multinomial(images, TRUTH)


def normals(key: object = 0) -> np.ndarray:
    return intervals.draw_normals(generator("draws", key), 4)


def distances(proportions: np.ndarray) -> np.ndarray:
    """Of (K, R, K) proportions."""
    return np.square(proportions - ORIGINAL[:, None, :]).mean(axis=(0, 2))


def interval(table: np.ndarray, key: object = 0) -> tuple[float, float]:
    return intervals.distance_interval(distances(intervals.resample(table, normals(key))))


def test_resampled_proportions_have_the_multinomial_s_mean_and_covariance() -> None:
    table = counts(CKP)
    measured, resampled = np.split(intervals.resample(table, normals()), [1], axis=1)
    assert measured[:, 0, :] == pytest.approx(table / table.sum(axis=1, keepdims=True))
    assert resampled.sum(axis=2) == pytest.approx(1)
    for row, images, proportions in zip(resampled, table.sum(axis=1), measured[:, 0, :], strict=True):
        covariance = (np.diag(proportions) - np.outer(proportions, proportions)) / images
        assert row.mean(axis=0) == pytest.approx(proportions, abs=4 * np.sqrt(0.25 / images / len(row)))
        assert np.cov(row.T) == pytest.approx(covariance, abs=0.1 * covariance.max())


@pytest.mark.parametrize("images", [FER, CKP])
def test_the_interval_is_that_of_images_drawn_with_repetition(images: tuple[int, ...]) -> None:
    table = counts(images)
    again = generator("again").multinomial(images, table / table.sum(axis=1, keepdims=True), size=(20000, 4))
    proportions = np.concatenate([table[None], again]) / np.array(images)[:, None]
    expected = distances(proportions.transpose(1, 0, 2))
    low, high = np.quantile(expected[1:], [0.025, 0.975]) - 2 * (expected[1:].mean() - expected[0])
    assert interval(table) == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.parametrize("images", [FER, CKP])
def test_95_of_100_intervals_hold_the_true_distance(images: tuple[int, ...]) -> None:
    truth, fixed = float(np.square(TRUTH - ORIGINAL).mean()), normals()
    held = 0
    for trial in range(400):
        low, high = intervals.distance_interval(distances(intervals.resample(counts(images, trial), fixed)))
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.985


def test_of_many_images_the_interval_shrinks_to_the_measured_distance() -> None:
    widths = []
    for scale in (1, 100, 10000):
        table = (TRUTH * 1000 * scale).round().astype(np.int64)
        measured = float(np.square(TRUTH - ORIGINAL).mean())
        low, high = interval(table)
        assert low < measured < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.1)
    assert widths[1] / widths[2] == pytest.approx(10, rel=0.1)
    assert widths[2] < 0.01 * measured


def test_equal_seeds_give_equal_intervals_and_others_nearly_so() -> None:
    table = counts(FER)
    assert interval(table) == interval(table)
    low, high = interval(table)
    other = interval(table, key=1)
    assert other != (low, high)
    assert other == pytest.approx((low, high), abs=0.1 * (high - low))


def test_squared_distances_are_those_of_the_resampled_proportions() -> None:
    for table in (counts(CKP), np.array([(10, 0, 0, 0), (0, 0, 0, 0), (7, 0, 0, 0), (3, 0, 0, 0)])):
        expected = 16 * distances(intervals.resample(table, normals()))
        found = intervals.squared_distances(table, ORIGINAL, intervals.products(normals()))
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_one_predicted_class_has_no_spread_and_a_class_without_images_stays_so() -> None:
    table = np.array([(10, 0, 0, 0), (0, 0, 0, 0), (7, 0, 0, 0), (3, 0, 0, 0)])
    proportions = intervals.resample(table, normals())
    assert (proportions == proportions[:, :1, :]).all()
    assert (proportions[1] == 0).all()
    low, high = interval(table)
    assert low == pytest.approx(high) == pytest.approx(distances(proportions)[0])


def test_a_run_like_the_original_has_an_interval_from_0() -> None:
    low, high = interval(generator("alike").multinomial(FER, ORIGINAL))
    assert low == 0.0
    assert 0 <= high < 0.001


def test_the_interval_leaves_50_of_2000_resamples_on_either_side() -> None:
    resampled = np.arange(1.0, RESAMPLES + 1)  # of mean 1000, as measured: nothing is by chance
    assert distance_interval(np.concatenate([[1000.0], resampled])) == (50.0, 1950.0)
    assert distance_interval(np.concatenate([[990.0], resampled])) == (30.0, 1930.0)


def test_a_class_of_one_image_has_its_proportions() -> None:
    proportions = intervals.resample(np.diag([1, 4, 4, 4]), normals())
    assert proportions[0, 0].tolist() == [1, 0, 0, 0]


def test_of_no_images_an_accuracy_is_unknown() -> None:
    assert np.isnan([*vars(proportion(0, 0)).values()]).all()
    assert proportion(3, 4).value == 75.0


def test_interval_at_the_test_set_s_size_is_the_known_one() -> None:
    low, high = wilson_interval(round(0.73 * 3589), 3589)
    assert (high - low) / 2 == pytest.approx(1.45, abs=0.005)
    assert low < 73 < high


@pytest.mark.parametrize(("accuracy", "images"), [(0.5, 1000), (0.73, 3589), (0.95, 1000)])
def test_interval_holds_the_true_accuracy_95_times_of_100(accuracy: float, images: int) -> None:
    correct, times = np.unique(np.random.default_rng(9).binomial(images, accuracy, 20000), return_counts=True)
    intervals = [wilson_interval(number, images) for number in correct.tolist()]
    coverage = np.average([low <= 100 * accuracy <= high for low, high in intervals], weights=times)
    assert 0.945 < coverage < 0.955


@pytest.mark.parametrize("correct", [0, 7])
def test_interval_stays_within_0_and_100(correct: int) -> None:
    low, high = wilson_interval(correct, 7)
    assert 0 <= low < high <= 100
    assert math.isnan(wilson_interval(0, 0)[0])
