"""Which images a run sees: never one source on both sides, for any seed and any factors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, prepare, refusal, the_error, write_fer_csv, write_small_fer
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from running import TRAIN, call_script

from emotorch.data.images import encode_png, read_face
from emotorch.data.selection import DatasetIndex, Factors, ImageSet, Selection, select
from emotorch.datasets import FER_USAGES
from emotorch.errors import EmoTorchError, UsageError
from emotorch.files import STAMP_NAME
from emotorch.labels import get_scheme
from emotorch.paths import Paths
from emotorch.recipes import FER_FOLDS

SCHEME = get_scheme("emotorch4")
SEEDS = st.integers(0, 2**32 - 1)
FACTORS = st.builds(Factors, *4 * [st.floats(0, 1) | st.sampled_from([0.0, 0.001, 0.01, 0.5, 1.0])])
USAGES = st.sampled_from(["all", "training", "search", *FER_FOLDS])
any_run = settings(derandomize=True, deadline=None, max_examples=80)


@pytest.fixture(scope="module")
def index(prepared: Paths) -> DatasetIndex:
    """Of a real small dataset."""
    return DatasetIndex.load(prepared, SCHEME)


def with_many_twins(index: DatasetIndex, seed: int, images: int = 300) -> DatasetIndex:
    """Its size and content replaced: every source about three times, across labels and usages as it comes."""
    rng = np.random.default_rng(seed)
    datasets = np.where(np.arange(images) < 0.9 * images, "FER", "CKP")
    return replace(
        index,
        files=np.array([f"{dataset}/{number}.png" for number, dataset in enumerate(datasets)]),
        datasets=datasets,
        labels=rng.integers(0, 4, images),
        hashes=rng.integers(0, images // 3, images).astype(str),
        usages=np.where(datasets == "FER", rng.choice(FER_USAGES, images, p=[0.8, 0.1, 0.1]), ""),
        subjects=np.where(datasets == "CKP", rng.integers(0, 5, images).astype(str), ""),
    )


def selected(index: DatasetIndex, factors: Factors, fer_usage: str, seed: int) -> Selection:
    """Rejects the examples whose factors leave a class without a training image."""
    try:
        return select(index, factors, fer_usage=fer_usage, seed=seed)
    except EmoTorchError as error:
        if "the training set has no image of class" not in str(error):
            raise
        reject()


def drawn(selection: Selection, name: str) -> ImageSet:
    """A set of the selection; empty where the factors left nothing."""
    nothing = np.zeros(0, np.int64)
    return selection.sets().get(name, ImageSet(selection.training.index, nothing, nothing))


def members(images: ImageSet) -> set[tuple[int, int]]:
    return set(zip(images.rows.tolist(), images.operations.tolist(), strict=True))


def leaked(selection: Selection) -> set[str]:
    """Sources in training and in the validation set or the reference set of FER."""
    held_out = {*drawn(selection, "fer").hashes, *selection.reference["fer"].hashes}
    return {str(source) for source in held_out & set(selection.training.hashes)}


@any_run
@given(data_seed=SEEDS, factors=FACTORS, fer_usage=USAGES, seed=SEEDS)
def test_no_source_is_on_both_sides(
    index: DatasetIndex, data_seed: int, factors: Factors, fer_usage: str, seed: int
) -> None:
    assert not leaked(selected(with_many_twins(index, data_seed), factors, fer_usage, seed))


def test_without_grouping_the_leak_is_seen(index: DatasetIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    twins = with_many_twins(index, 1)
    everything = Factors(1, 1, 1, 1)
    assert not leaked(select(twins, everything, fer_usage="all", seed=42))
    monkeypatch.setattr("emotorch.data.sides.group_sources", lambda hashes: np.arange(len(hashes)))
    assert len(leaked(select(twins, everything, fer_usage="all", seed=42))) > 10


@any_run
@given(factors=FACTORS, fer_usage=USAGES, seed=SEEDS)
def test_a_set_is_drawn_from_its_own_images_without_repeats(
    index: DatasetIndex, factors: Factors, fer_usage: str, seed: int
) -> None:
    selection = selected(index, factors, fer_usage, seed)
    for images, dataset in (
        (selection.training, "FER"),
        (drawn(selection, "fer"), "FER"),
        (drawn(selection, "ckp"), "CKP"),
    ):
        assert set(index.datasets[images.rows]) <= {dataset}
        assert len(members(images)) == len(images)


@any_run
@given(data_seed=SEEDS, factors=FACTORS, seed=SEEDS)
def test_training_usage_never_sees_the_official_tests(
    index: DatasetIndex, data_seed: int, factors: Factors, seed: int
) -> None:
    selection = selected(with_many_twins(index, data_seed), factors, "training", seed)
    for images in (selection.training, drawn(selection, "fer"), selection.reference["fer"]):
        assert set(images.usages) <= {"Training"}


@any_run
@given(factors=FACTORS, fer_usage=USAGES, seeds=st.tuples(SEEDS, SEEDS))
def test_the_reference_sets_are_the_same_for_every_run(
    index: DatasetIndex, factors: Factors, fer_usage: str, seeds: tuple[int, int]
) -> None:
    published = select(index, Factors(), fer_usage=fer_usage, seed=42)
    other = selected(index, factors, fer_usage, seeds[0])
    assert members(other.reference["fer"]) == members(published.reference["fer"])
    assert members(other.reference["ckp"]) == members(published.reference["ckp"])
    full = [select(index, replace(factors, fer=1.0), fer_usage=fer_usage, seed=seed) for seed in seeds]
    for selection in full:
        originals = {member for member in members(drawn(selection, "fer")) if member[1] == 0}
        assert originals == members(published.reference["fer"])


@any_run
@given(low=FACTORS, high=FACTORS, fer_usage=USAGES, seed=SEEDS)
def test_smaller_factors_draw_a_part_of_larger_ones(
    index: DatasetIndex, low: Factors, high: Factors, fer_usage: str, seed: int
) -> None:
    pairs = [sorted((getattr(low, name), getattr(high, name))) for name in ("fer", "fer_aug", "ckp", "ckp_aug")]
    smaller, larger = (selected(index, Factors(*(pair[side] for pair in pairs)), fer_usage, seed) for side in (0, 1))
    for name in ("training", "fer", "ckp"):
        assert members(drawn(smaller, name)) <= members(drawn(larger, name))


@any_run
@given(data_seed=SEEDS, factors=FACTORS, seed=SEEDS)
def test_the_factors_thin_every_class_alike(index: DatasetIndex, data_seed: int, factors: Factors, seed: int) -> None:
    twins = with_many_twins(index, data_seed)
    everything = select(twins, Factors(1, 0, 1, 0), fer_usage="all", seed=seed)
    thinned = selected(twins, factors, "all", seed)
    for name, originals, variants in (
        ("training", factors.fer, factors.fer_aug),
        ("fer", factors.fer, factors.fer_aug),
        ("ckp", factors.ckp, factors.ckp_aug),
    ):
        counts = np.array(drawn(thinned, name).class_counts())
        wanted = np.array(drawn(everything, name).class_counts()) * (originals + 28 * variants)
        assert np.abs(counts - wanted).max() <= 1


def test_about_fifteen_percent_of_every_class_is_held_out(index: DatasetIndex) -> None:
    selection = select(with_many_twins(index, 3, images=3000), Factors(1, 0, 1, 0), fer_usage="all", seed=1)
    training, held_out = (
        np.array(images.class_counts()) for images in (selection.training, selection.reference["fer"])
    )
    assert np.abs(held_out / (training + held_out) - 0.15).max() < 0.03


def test_a_search_sees_a_tenth_of_the_training_rows_and_no_test_image(index: DatasetIndex) -> None:
    selection = select(with_many_twins(index, 3, images=3000), Factors(1, 0, 1, 0), fer_usage="search", seed=1)
    assert set(selection.validation) == {"fer"}
    held_out = selection.validation["fer"]
    assert {*selection.training.usages, *held_out.usages} == {"Training"}
    share = len(held_out) / (len(selection.training) + len(held_out))
    assert abs(share - 0.1) < 0.02


def test_every_training_image_validates_in_one_fold_and_no_test_image_in_any(index: DatasetIndex) -> None:
    rows = with_many_twins(index, 3, images=3000)
    folds = [select(rows, Factors(1, 0, 1, 0), fer_usage=fold, seed=1) for fold in FER_FOLDS]
    everything = np.flatnonzero((rows.datasets == "FER") & (rows.usages == "Training")).tolist()
    assert sorted(np.concatenate([fold.validation["fer"].rows for fold in folds]).tolist()) == everything
    for fold in folds:
        assert set(fold.validation) == {"fer"}
        assert sorted([*fold.training.rows, *fold.validation["fer"].rows]) == everything
        assert not {*fold.training.hashes} & {*fold.validation["fer"].hashes}


def test_another_seed_draws_other_images(index: DatasetIndex) -> None:
    chosen = [
        members(select(index, Factors(0.5, 0.1, 1, 0), fer_usage="all", seed=seed).training) for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_the_files_of_a_set_are_there_and_are_read(prepared: Paths, index: DatasetIndex) -> None:
    training = select(index, Factors(0.2, 0.05, 1, 0), fer_usage="all", seed=7).training
    assert {Path(file).parts[0] for file in training.files} == {
        "FER-Original-Dataset",
        "FER-Original-Dataset-Augmented",
    }
    for file, pixels, operation in zip(training.files, training.read(), training.operations, strict=True):
        assert np.array_equal(read_face(prepared.root / file), pixels)
        assert ("_" in Path(file).stem) == bool(operation)


# What is refused.


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["fer", "fer_aug", "ckp", "ckp_aug"])
def test_a_factor_is_from_0_to_1(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"factor {name} is {value}, outside 0-1"):
        Factors(**{name: value})


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "much"])
def test_stage_4_refuses_such_a_factor_as_wrong_usage(paths: Paths, value: str) -> None:
    done = call_script(paths, TRAIN, f"--ckp-aug={value}")
    assert done.returncode == 2
    assert "argument --ckp-aug: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_unknown_fer_usage_is_refused(index: DatasetIndex) -> None:
    with pytest.raises(UsageError, match="FER usage 'test' is none of all, training"):
        select(index, Factors(), fer_usage="test", seed=1)


@pytest.fixture
def no_surprise(paths: Paths) -> Paths:
    """Eight images after stage 2, none of them surprised."""
    write_fer_csv(paths.fer_csv, draw_images(8, seed=1), [0, 2, 6, 0, 2, 6, 0, 2], ["Training"] * 8)
    prepare(paths, variants=False)
    return paths


def test_a_class_without_training_images_is_named(no_surprise: Paths) -> None:
    line = the_error(call_script(no_surprise, TRAIN, "--fer-aug", 0, "--ckp-aug", 0))
    assert line.startswith("error: the training set has no image of class 'surprise'")
    assert not list(no_surprise.models.glob("model_*"))


def test_variants_are_asked_for_only_when_they_are_drawn(no_surprise: Paths) -> None:
    index = replace(DatasetIndex.load(no_surprise, SCHEME), labels=np.array([0, 1, 2, 3] * 2))
    select(index, Factors(1, 0, 1, 0), fer_usage="all", seed=1)
    with refusal(f"{no_surprise.augmented} does not exist: run "):
        select(index, Factors(1, 1, 1, 0), fer_usage="all", seed=1)


def test_an_original_that_changed_is_not_trained_on(no_surprise: Paths) -> None:
    images = DatasetIndex.load(no_surprise, SCHEME).originals_of("FER")
    images.read()
    file = no_surprise.originals / "FER" / "fear" / "2.png"
    file.write_bytes(encode_png(draw_images(1, seed=99)[0]))
    with refusal(f"{file}: changed since it was written"):
        images.read()


def test_a_damaged_stamp_is_refused_by_its_name(no_surprise: Paths) -> None:
    stamp = no_surprise.originals / STAMP_NAME
    spoilt = stamp.read_text().replace('"fear": "fear"', '"fear": "&ear"')
    stamp.unlink()
    stamp.write_text(spoilt)
    with refusal(f"{stamp}: sources.FER.fear: '&ear' is not a label"):
        DatasetIndex.load(no_surprise, SCHEME)


def test_a_dataset_of_other_classes_is_refused(no_surprise: Paths) -> None:
    other = replace(SCHEME, name="other", labels=("fear", "anger", "calm", "surprise"))
    no_surprise.originals.rename(no_surprise.for_scheme("other").originals)
    with pytest.raises(EmoTorchError, match="was made for other classes than scheme other has; run"):
        DatasetIndex.load(no_surprise, other)


def test_the_published_split_holds_out_images_after_the_variants_are_drawn(index: DatasetIndex) -> None:
    factors = Factors(1.0, 0.5, 1.0, 0.01)
    ours = select(index, factors, fer_usage="all", seed=3)
    published = select(index, factors, fer_usage="all", split="published", seed=3)
    pool = members(published.training) | members(published.validation["fer"])
    assert not members(published.training) & members(published.validation["fer"])
    assert len(published.validation["fer"]) == pytest.approx(0.15 * len(pool), abs=4)
    assert len(leaked_by(published)) > 20
    assert "fer" not in published.reference
    assert members(published.validation["ckp"]) == members(ours.validation["ckp"])
    assert members(published.reference["ckp"]) == members(ours.reference["ckp"])


def leaked_by(selection: Selection) -> set[str]:
    return set(selection.training.hashes) & set(selection.validation["fer"].hashes)


def test_the_published_split_is_of_fer_2013_and_needs_its_variants(index: DatasetIndex, paths: Paths) -> None:
    write_small_fer(paths)
    prepare(paths, variants=False)
    bare = DatasetIndex.load(paths, SCHEME)
    with pytest.raises(UsageError, match=r"there are none: .*augment_original_dataset\.py"):
        select(bare, Factors(1.0, 0.0), split="published", seed=1)
    with pytest.raises(UsageError, match="not of CKP, all"):
        select(index, Factors(1.0, 0.0), train_on="CKP", split="published", seed=1)
    with pytest.raises(UsageError, match="not of FER, official"):
        select(index, Factors(1.0, 0.0), fer_usage="official", split="published", seed=1)
