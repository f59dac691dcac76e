import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from emotorch.metrics import confusion, paired
from emotorch.metrics.intervals import RESAMPLES
from emotorch.seeding import generator


def single(n: int) -> np.ndarray:
    """Every image a source of its own."""
    return np.arange(n)


# --- McNemar ------------------------------------------------------------------------------------------------


def test_mcnemar_of_a_known_table() -> None:
    """5 against 15 of 100: twice the binomial tail of 5 of 20, 0.0414."""
    first = np.array([True] * 5 + [False] * 15 + [True] * 60 + [False] * 20)
    second = np.array([False] * 5 + [True] * 15 + [True] * 60 + [False] * 20)
    test = paired.mcnemar(first, second, single(100))
    assert (test.only_first, test.only_second) == (5, 15)
    assert test.p == pytest.approx(2 * stats.binom.cdf(5, 20, 0.5)) == pytest.approx(0.041389, abs=1e-6)
    assert paired.mcnemar(second, first, single(100)).p == test.p


def test_mcnemar_of_equal_predictions_is_1() -> None:
    right = np.array([True, False, True])
    assert paired.mcnemar(right, right, single(3)) == paired.McNemar(0, 0, 1.0)


def test_copies_of_an_image_add_nothing_to_mcnemar() -> None:
    rng = generator("copies")
    first, second = rng.random((2, 50)) < 0.6
    alone = paired.mcnemar(first, second, single(50))
    copied = paired.mcnemar(np.repeat(first, 7), np.repeat(second, 7), np.repeat(single(50), 7))
    assert copied == alone
    assert paired.mcnemar(np.repeat(first, 7), np.repeat(second, 7), single(350)).p < alone.p


def test_mcnemar_rejects_at_most_5_of_100_without_a_difference_and_often_with_one() -> None:
    rng = generator("mcnemar")
    p_values, with_difference = [], []
    for _ in range(400):
        hard = rng.random(300)  # some images are hard for both
        first, second, better = (rng.random(300) < np.clip(hard + shift, 0, 1) for shift in (0, 0, 0.15))
        p_values.append(paired.mcnemar(first, second, single(300)).p)
        with_difference.append(paired.mcnemar(first, better, single(300)).p)
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 400)
    assert np.mean(np.array(with_difference) <= 0.05) > 0.8


# --- Holm ---------------------------------------------------------------------------------------------------


def test_holm_of_a_known_table() -> None:
    """Holm's procedure as R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives it."""
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.6, 0.7]) == [1.0, 1.0]
    assert paired.holm([0.03]) == [0.03]
    assert paired.holm([]) == []


def test_holm_rejects_any_true_hypothesis_in_at_most_5_of_100() -> None:
    p_values = generator("holm").random((2000, 6))
    rejected = np.mean([min(paired.holm(row)) <= 0.05 for row in p_values.tolist()])
    assert rejected == pytest.approx(0.05, abs=0.015)


# --- Bootstrap ----------------------------------------------------------------------------------------------


def draw_predictions(key: object, images: int, *accuracies: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Truths, and the predictions of a model for each accuracy; images are hard for all models alike, in part."""
    rng = generator("answers", key)
    truths = rng.integers(classes, size=images)
    hard = rng.random(images)
    predictions = []
    for accuracy in accuracies:
        # Half of the luck is shared: the mean stays the accuracy.
        luck = np.where(rng.random(images) < 0.5, hard, rng.random(images))
        wrong = (truths + rng.integers(1, classes, size=images)) % classes
        predictions.append(np.where(luck < accuracy, truths, wrong))
    return truths, np.array(predictions)


def resample(truths: np.ndarray, predictions: np.ndarray, sources: np.ndarray, key: object = 0) -> np.ndarray:
    """(M, 1 + R, 3, 3) counts."""
    counts = paired.resampled_counts(truths * 3 + predictions, 9, sources, generator("resamples", key))
    return counts.reshape(len(predictions), -1, 3, 3)


def test_metrics_of_counts_are_those_of_scikit_learn() -> None:
    truths, predictions = draw_predictions("metrics", 200, 0.6)
    counts = resample(truths, predictions, single(200))[0, 0]
    assert confusion.accuracy(counts) == pytest.approx(100 * accuracy_score(truths, predictions[0]))
    assert confusion.macro_f1(counts) == pytest.approx(100 * f1_score(truths, predictions[0], average="macro"))
    assert confusion.recalls(counts) == pytest.approx(100 * recall_score(truths, predictions[0], average=None))


def test_a_class_without_images_has_no_recall_and_counts_0_in_macro_f1() -> None:
    counts = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert np.isnan(confusion.recalls(counts)[2])
    expected = f1_score([0] * 10 + [1] * 10, [0] * 8 + [1] * 2 + [0] + [1] * 9, average=None).sum() / 3
    assert confusion.macro_f1(counts) == pytest.approx(100 * expected)


def test_sources_are_drawn_whole_and_all_models_get_the_same() -> None:
    truths, predictions = draw_predictions("whole", 40, 0.5)
    tripled = np.repeat(truths, 3), np.repeat(predictions, 3, axis=1), np.repeat(single(40), 3)
    counts = resample(tripled[0], np.concatenate([tripled[1]] * 2), tripled[2])
    assert counts.shape == (2, 1 + RESAMPLES, 3, 3)
    assert (counts % 3 == 0).all()
    assert (counts.sum(axis=(2, 3)) == 120).all()
    assert (counts[0] == counts[1]).all()
    assert (counts[:1] == 3 * resample(truths, predictions, single(40))).all()
    assert len(np.unique(confusion.accuracy(counts[0]))) > 10


def test_amounts_are_summed_over_the_very_images_that_are_counted() -> None:
    truths, _ = draw_predictions("amounts", 60, 0.5)
    sources = single(60) // 2
    counts, sums = (
        paired.resampled_counts(truths[None], 3, sources, generator("same"), amounts=amounts)
        for amounts in (None, np.full((1, 60), 0.25))
    )
    assert sums == pytest.approx(counts / 4)


def test_an_interval_by_source_is_as_wide_as_its_sources_make_it() -> None:
    """Copies of each image leave it as it is; taken for images of their own they would halve it."""
    truths, predictions = draw_predictions("width", 300, 0.6, 0.6)
    copies = np.repeat(truths, 4), np.repeat(predictions, 4, axis=1)
    widths = []
    for chosen_truths, chosen, sources in (
        (truths, predictions, single(300)),
        (*copies, np.repeat(single(300), 4)),
        (*copies, single(1200)),
    ):
        accuracy = confusion.accuracy(resample(chosen_truths, chosen, sources))
        found = paired.percentile_interval(accuracy[1] - accuracy[0])
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.01)
    assert widths[2] == pytest.approx(widths[0] / 2, rel=0.1)


@pytest.mark.parametrize(("first", "second"), [(0.6, 0.6), (0.55, 0.65)])
def test_95_of_100_intervals_hold_the_true_difference(first: float, second: float) -> None:
    truth = 100 * (second - first)
    held, held_f1 = 0, 0
    for trial in range(160):
        truths, predictions = draw_predictions((first, second, trial), 300, first, second)
        counts = resample(truths, predictions, single(300), trial)
        for values, is_f1 in ((confusion.accuracy(counts), False), (confusion.macro_f1(counts), True)):
            found = paired.percentile_interval(values[1] - values[0])
            holds = found.low <= truth <= found.high
            held, held_f1 = held + (holds and not is_f1), held_f1 + (holds and is_f1)
    # Of classes that are alike the macro-F1 is the accuracy, but for what small numbers do.
    assert 0.91 <= held / 160 <= 0.985
    assert 0.91 <= held_f1 / 160 <= 0.985


def test_without_images_of_a_class_its_difference_is_unknown() -> None:
    found = paired.percentile_interval(np.full(1 + RESAMPLES, np.nan))
    assert np.isnan([found.value, found.low, found.high]).all()


# --- Seeds --------------------------------------------------------------------------------------------------


def test_without_a_variance_of_images_it_is_welch_s_test() -> None:
    first, second = np.array([60.0, 62.0, 61.0]), np.array([64.0, 66.5, 63.0, 65.0])
    found, p = paired.seeds_difference(first, second, np.zeros(1 + RESAMPLES))
    expected = stats.ttest_ind(second, first, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert p == pytest.approx(expected.pvalue)
    assert (found.value, found.low, found.high) == pytest.approx((second.mean() - first.mean(), low, high))


def test_a_run_alone_is_taken_to_spread_as_the_others_do() -> None:
    """Student's test of one new observation against a sample."""
    several = np.array([60.0, 62.0, 61.0, 63.0])
    found, p = paired.seeds_difference([66.0], several, np.zeros(1 + RESAMPLES))
    t = (several.mean() - 66) / (several.std(ddof=1) * np.sqrt(1 + 1 / 4))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 3))
    assert (found.value, found.high - found.value) == (-4.5, pytest.approx(4.5 / abs(t) * stats.t.ppf(0.975, 3)))


def test_runs_without_any_spread() -> None:
    assert paired.seeds_difference([50, 50], [50, 50], np.zeros(1 + RESAMPLES))[1] == 1.0
    found, p = paired.seeds_difference([50, 50], [60, 60], np.zeros(1 + RESAMPLES))
    assert (found.value, found.low, found.high, p) == (10, 10, 10, 0.0)


@pytest.mark.parametrize(("seeds", "by_seed"), [((3, 3), 0.04), ((4, 2), 0.03), ((1, 4), 0.04)])
def test_with_seeds_that_differ_p_is_at_most_uniform_and_the_interval_holds_the_truth(
    seeds: tuple[int, int], by_seed: float
) -> None:
    """Images tell the runs apart far better than their seeds allow: McNemar's test would reject nearly always."""
    trials, truth, rejected, held, naive = 80, 100 * 0.04, 0, 0, 0
    for trial in range(trials):
        rng = generator("seeds", seeds, trial)
        for shift in (0.0, 0.04):
            levels = np.concatenate(
                [rng.normal(0.6 + add, by_seed, n) for add, n in zip((0, shift), seeds, strict=True)]
            )
            truths, predictions = draw_predictions((seeds, trial, shift), 300, *levels)
            accuracy = confusion.accuracy(resample(truths, predictions, single(300), trial))
            means = [accuracy[: seeds[0]].mean(axis=0), accuracy[seeds[0] :].mean(axis=0)]
            found, p = paired.seeds_difference(accuracy[: seeds[0], 0], accuracy[seeds[0] :, 0], means[1] - means[0])
            if shift:
                held += found.low <= truth <= found.high
            else:
                rejected += p <= 0.05
                alone = paired.percentile_interval(means[1] - means[0])
                naive += not alone.low <= 0 <= alone.high
    assert rejected / trials <= 0.09
    assert held / trials >= 0.91
    assert naive > 1.5 * rejected
