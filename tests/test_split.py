"""The split: whole sources on one side, the published share of every class, the same for every run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotorch.data.split import VALIDATION_SHARE, Indices, draw, fold_numbers, group_sources, validation_mask

SEEDS = st.integers(0, 2**32 - 1)
any_data = settings(derandomize=True, deadline=None, max_examples=60)


def random_sources(seed: int, images: int, sources: int) -> tuple[Indices, Indices]:
    """Groups of `images` random draws from so many sources, and labels; twins are labelled alike."""
    rng = np.random.default_rng(seed)
    label_of_source = rng.integers(0, 4, sources)
    drawn = rng.integers(0, sources, images)
    return group_sources(drawn.astype(str)), label_of_source[drawn].astype(np.int64)


def test_equal_pixels_are_one_source() -> None:
    groups = group_sources(np.array(["c0", "a1", "c0", "b2", "a1"]))
    assert (groups[:, None] == groups[None, :]).tolist() == [
        [True, False, True, False, False],
        [False, True, False, False, True],
        [True, False, True, False, False],
        [False, False, False, True, False],
        [False, True, False, False, True],
    ]


@any_data
@given(seed=SEEDS, images=st.integers(1, 400), sources=st.integers(1, 400))
def test_twins_are_on_one_side_however_they_are_labelled(seed: int, images: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    groups = group_sources(rng.integers(0, sources, images).astype(str))
    labels = rng.integers(0, 4, images)
    held_out = validation_mask(groups, labels)
    assert not set(groups[held_out]) & set(groups[~held_out])


@any_data
@given(seed=SEEDS, images=st.integers(1, 400))
def test_every_class_gives_its_share_to_the_image(seed: int, images: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, images)
    held_out = validation_mask(np.arange(images), labels)
    for label in range(4):
        assert held_out[labels == label].sum() == round(VALIDATION_SHARE * int((labels == label).sum()))


@any_data
@given(seed=SEEDS, images=st.integers(1, 400), sources=st.integers(50, 400))
def test_with_twins_the_share_is_short_of_less_than_one_source(seed: int, images: int, sources: int) -> None:
    groups, labels = random_sources(seed, images, sources)
    held_out = validation_mask(groups, labels)
    largest = int(np.bincount(groups).max())
    for label in range(4):
        missing = round(VALIDATION_SHARE * int((labels == label).sum())) - int(held_out[labels == label].sum())
        assert 0 <= missing < largest


@any_data
@given(seed=SEEDS, images=st.integers(1, 400))
def test_the_choice_does_not_depend_on_the_order_of_the_list(seed: int, images: int) -> None:
    groups, labels = random_sources(seed, images, 150)
    order = np.random.default_rng(seed).permutation(images)
    held_out = validation_mask(groups, labels)
    assert np.array_equal(validation_mask(groups[order], labels[order]), held_out[order])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all_may_be_held_out(share: float) -> None:
    groups, labels = random_sources(1, 100, 60)
    assert set(validation_mask(groups, labels, share).tolist()) == {bool(share)}


# Drawing.


@any_data
@given(candidates=st.integers(0, 500), factor=st.floats(0, 1), key=SEEDS)
def test_a_draw_takes_the_nearest_number_of_different_candidates(candidates: int, factor: float, key: int) -> None:
    drawn = draw(candidates, factor, key).tolist()
    assert drawn == sorted(set(drawn))
    assert set(drawn) <= set(range(candidates))
    assert abs(len(drawn) - factor * candidates) <= 0.5


@any_data
@given(candidates=st.integers(0, 500), factors=st.tuples(st.floats(0, 1), st.floats(0, 1)), key=SEEDS)
def test_a_smaller_factor_draws_a_part_of_a_larger_ones(
    candidates: int, factors: tuple[float, float], key: int
) -> None:
    assert set(draw(candidates, min(factors), key)) <= set(draw(candidates, max(factors), key))


def test_draws_for_different_purposes_differ() -> None:
    keys: list[tuple[object, ...]] = [(42, "training"), (42, "fer_validation"), (43, "training"), (42, "training", "x")]
    assert len({tuple(draw(1000, 0.1, *key).tolist()) for key in keys}) == len(keys)
    assert np.array_equal(draw(1000, 0.1, *keys[0]), draw(1000, 0.1, *keys[0]))


@any_data
@given(seed=SEEDS, images=st.integers(1, 400), sources=st.integers(1, 400), folds=st.integers(1, 7))
def test_folds_keep_sources_whole_and_are_about_equal_parts_of_every_class(
    seed: int, images: int, sources: int, folds: int
) -> None:
    groups, labels = random_sources(seed, images, sources)
    numbers = fold_numbers(groups, labels, folds)
    assert all(len(set(numbers[groups == group])) == 1 for group in range(groups.max() + 1))
    assert 0 <= numbers.min() <= numbers.max() < folds
    largest = int(np.bincount(groups).max())
    for label in range(4):
        members = labels == label
        sizes = np.bincount(numbers[members], minlength=folds)
        assert np.abs(sizes - members.sum() / folds).max() <= largest


def test_the_split_is_that_of_earlier_versions() -> None:
    """Models are scored on what this split held out when they were trained."""
    images = np.arange(24)
    assert np.flatnonzero(validation_mask(images, images % 2)).tolist() == [1, 2, 11, 14]
    expected = [2, 2, 0, 1, 1, 2, 2, 2, 0, 1, 2, 0, 0, 0, 2, 1, 1, 0, 1, 2, 1, 1, 0, 0]
    assert fold_numbers(images, images % 2, 3).tolist() == expected
