import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from emotorch.metrics.confusion import confusion_counts, never_predicted, report, row_proportions
from emotorch.metrics.intervals import wilson_interval

FOUR = ("anger", "fear", "calm", "surprise")


def truths_and_answers(count: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truths = rng.integers(0, classes, count)
    return truths, np.where(rng.random(count) < 0.6, truths, rng.integers(0, classes, count))


def test_counts_are_those_of_scikit_learn() -> None:
    truths, predictions = truths_and_answers()
    counts = confusion_counts(truths, predictions, 4)
    assert (counts == confusion_matrix(truths, predictions)).all()
    assert np.trace(counts) / counts.sum() == accuracy_score(truths, predictions)


def test_rows_are_truths_and_columns_answers() -> None:
    counts = confusion_counts(np.array([0, 0, 1]), np.array([2, 2, 1]), 4)
    assert counts[0].tolist() == [0, 0, 2, 0]
    assert counts[1].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("truths", "predictions"),
    [([], []), ([1], [1]), ([3, 3], [0, 3]), ([0, 1], [1, 0])],
    ids=["no image", "one", "two classes", "all wrong"],
)
def test_every_label_stays_also_when_nothing_has_it(truths: list[int], predictions: list[int]) -> None:
    counts = confusion_counts(np.array(truths, int), np.array(predictions, int), 4)
    assert counts.shape == (4, 4)
    assert counts.sum() == len(truths)
    shares = row_proportions(counts)
    assert np.isfinite(shares).all()
    assert shares.sum(axis=1).tolist() == [1.0 if label in truths else 0.0 for label in range(4)]
    if truths:
        text = report(np.array(truths), np.array(predictions), FOUR)
        assert all(label in text for label in FOUR)


def test_proportions_are_of_each_row() -> None:
    counts = np.array([[3, 1], [0, 5]])
    assert row_proportions(counts).tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_report_states_scikit_learn_s_figures() -> None:
    truths, predictions = truths_and_answers()
    lines = report(truths, predictions, FOUR).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    expected = np.transpose(precision_recall_fscore_support(truths, predictions))
    for label, (precision, recall, f1, support) in zip(FOUR, expected, strict=True):
        assert rows[label] == [f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:.0f}"]
    accuracy = accuracy_score(truths, predictions)
    assert rows["accuracy"][0] == f"{accuracy:.3f}"
    assert rows["macro-F1"] == [f"{f1_score(truths, predictions, average='macro'):.4f}"]
    assert rows["micro-F1"] == [f"{accuracy:.4f}"]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[5, 0, 0], [3, 0, 0], [0, 0, 0]], ["fear", "calm"]),
        ([[5, 0, 0], [2, 1, 0], [0, 0, 0]], ["calm"]),
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0]], []),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], ["anger", "fear", "calm"]),
    ],
)
def test_labels_that_no_image_got_are_named(counts: list[list[int]], expected: list[str]) -> None:
    assert never_predicted(np.array(counts), FOUR[:3]) == expected


def test_interval_at_the_test_set_s_size_is_the_known_one() -> None:
    low, high = wilson_interval(round(0.73 * 3589), 3589)
    assert (high - low) / 2 == pytest.approx(1.45, abs=0.005)
    assert low < 73 < high


@pytest.mark.parametrize(("share", "images"), [(0.5, 1000), (0.73, 3589), (0.95, 1000)])
def test_interval_holds_the_true_accuracy_95_times_of_100(share: float, images: int) -> None:
    correct, times = np.unique(np.random.default_rng(9).binomial(images, share, 20000), return_counts=True)
    intervals = [wilson_interval(number, images) for number in correct.tolist()]
    coverage = np.average([low <= 100 * share <= high for low, high in intervals], weights=times)
    assert 0.945 < coverage < 0.955


@pytest.mark.parametrize("correct", [0, 7])
def test_interval_stays_within_0_and_100(correct: int) -> None:
    low, high = wilson_interval(correct, 7)
    assert 0 <= low < high <= 100
    assert math.isnan(wilson_interval(0, 0)[0])
