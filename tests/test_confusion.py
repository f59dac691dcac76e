import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from emotorch.metrics.confusion import (
    class_scores,
    confusion_counts,
    never_predicted,
    precisions,
    recalls,
    report,
    row_proportions,
)

FOUR = ("anger", "fear", "calm", "surprise")


def truths_and_predictions(count: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truths = rng.integers(0, classes, count)
    return truths, np.where(rng.random(count) < 0.6, truths, rng.integers(0, classes, count))


def test_counts_are_those_of_scikit_learn() -> None:
    truths, predictions = truths_and_predictions()
    counts = confusion_counts(truths, predictions, 4)
    assert (counts == confusion_matrix(truths, predictions)).all()
    assert np.trace(counts) / counts.sum() == accuracy_score(truths, predictions)


def test_rows_are_truths_and_columns_predictions() -> None:
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
    proportions = row_proportions(counts)
    assert np.isfinite(proportions).all()
    assert proportions.sum(axis=1).tolist() == [1.0 if label in truths else 0.0 for label in range(4)]
    if truths:
        text = report(np.array(truths), np.array(predictions), FOUR, 0.5)
        assert all(label in text for label in FOUR)


def test_proportions_are_of_each_row() -> None:
    counts = np.array([[3, 1], [0, 5]])
    assert row_proportions(counts).tolist() == [[0.75, 0.25], [0.0, 1.0]]


def test_report_states_scikit_learn_s_figures() -> None:
    truths, predictions = truths_and_predictions()
    lines = report(truths, predictions, FOUR, 0.12345).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    expected = np.transpose(precision_recall_fscore_support(truths, predictions))
    for label, (precision, recall, f1, support) in zip(FOUR, expected, strict=True):
        assert rows[label] == [f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{support:.0f}"]
    accuracy = accuracy_score(truths, predictions)
    assert rows["accuracy"][0] == f"{accuracy:.3f}"
    assert rows["macro-F1"] == [f"{f1_score(truths, predictions, average='macro'):.4f}"]
    assert rows["micro-F1"] == [f"{accuracy:.4f}"]
    assert rows["loss"] == ["0.1235"]


@pytest.mark.filterwarnings("error")
def test_the_report_counts_a_label_that_nothing_has_as_0() -> None:
    text = report(np.array([0, 0, 1]), np.array([0, 0, 1]), ("calm", "fear", "anger"), 0.5)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert rows["anger"] == ["0.000", "0.000", "0.000", "0"]
    assert "\nmacro-F1 0.6667 (1 class without images: F1 0)\n" in text


def test_matrices_in_a_stack_are_each_scored_by_itself() -> None:
    stack = np.random.default_rng(0).integers(1, 9, (5, 3, 3))
    for score in (precisions, recalls):
        assert np.array_equal(score(stack), np.stack([score(counts) for counts in stack]))


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    truths, predictions = truths_and_predictions()
    found = class_scores(confusion_counts(truths, predictions, 4), FOUR)
    precision, recall, f1, images = precision_recall_fscore_support(truths, predictions)
    assert [score.label for score in found] == list(FOUR)
    assert [score.images for score in found] == images.tolist()
    assert [score.correct for score in found] == [int(((truths == k) & (predictions == k)).sum()) for k in range(4)]
    assert [score.precision for score in found] == pytest.approx(100 * precision)
    assert [score.recall for score in found] == pytest.approx(100 * recall)
    assert [score.f1 for score in found] == pytest.approx(100 * f1)


def test_what_a_class_without_images_or_predictions_scores_is_unknown() -> None:
    without_images, unpredicted, neither = class_scores([[0, 0, 0], [2, 0, 0], [0, 0, 0]], FOUR[:3])
    assert (without_images.precision, without_images.f1) == (0, 0)
    assert (unpredicted.recall, unpredicted.f1) == (0, 0)
    unknown = (without_images.recall, unpredicted.precision, neither.precision, neither.recall, neither.f1)
    assert np.isnan(unknown).all()


def test_a_class_of_one_image_has_scores() -> None:
    (one, other) = class_scores([[1, 0], [0, 1]], FOUR[:2])
    assert (one.precision, one.recall, one.f1) == (other.precision, other.recall, other.f1) == (100, 100, 100)


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
