"""Which images train and which are held out: nobody and no copy on both sides, for any data and any seed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import prepare, the_error, write_small_fer
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import put
from running import COMPARE, SWEEP, TRAIN, call_script, last_line
from test_duplicates import cut, photo

from emotorch.data import copies, dataset
from emotorch.data.copies import PhotoPairs
from emotorch.data.images import write_png
from emotorch.data.selection import DatasetIndex, Factors, Selection, select
from emotorch.data.split import join_sources
from emotorch.errors import EmoTorchError, UsageError
from emotorch.labels import get_scheme
from emotorch.paths import Paths
from emotorch.runs.folder import Run

SCHEME = get_scheme("emotorch4")
SEEDS = st.integers(0, 2**32 - 1)
EVERYTHING = Factors(1.0, 0.0, 1.0, 0.0)
any_data = settings(derandomize=True, deadline=None, max_examples=40)
OWN = "mine"


@pytest.fixture(scope="module")
def index(prepared: Paths) -> DatasetIndex:
    return DatasetIndex.load(prepared, SCHEME)


def random_index(index: DatasetIndex, seed: int, dataset: str, usages: list[str]) -> DatasetIndex:
    """Its content replaced by one dataset's: few persons, some images of none, twins of other persons, photo pairs."""
    rng = np.random.default_rng(seed)
    images = int(rng.integers(40, 200))
    persons = rng.integers(0, rng.integers(2, 30), images).astype(str)
    known = rng.random(images) < rng.choice([0.0, 0.5, 1.0])
    hashes = np.where(rng.random(images) < 0.1, rng.integers(0, 6, images), np.arange(10, images + 10))
    pairs = rng.integers(0, images, (8, 2))
    return replace(
        index,
        files=np.array([f"{dataset}/{number}.png" for number in range(images)]),
        datasets=np.full(images, dataset),
        labels=rng.integers(0, 4, images),
        hashes=np.array([f"hash {value}" for value in hashes]),
        usages=rng.choice(usages, images),
        subjects=np.where(known, persons, ""),
        pairs=PhotoPairs(pairs[pairs[:, 0] != pairs[:, 1]], rng.random(8)[pairs[:, 0] != pairs[:, 1]] < 0.5),
    )


def chosen(index: DatasetIndex, dataset: str, **options: str) -> Selection | None:
    """None where a class has no image left that may train."""
    try:
        return select(index, EVERYTHING, train_on=dataset, seed=7, **options)
    except EmoTorchError as error:
        if "the training set has no image of class" not in str(error):
            raise
        return None


def held_out(selection: Selection, dataset: str) -> np.ndarray:
    """What validates; nothing, where all images are of one source."""
    images = selection.reference.get(dataset.lower())
    return images.rows if images else np.empty(0, np.int64)


def shared(index: DatasetIndex, training: np.ndarray, others: np.ndarray) -> tuple[set[str], set[str], int]:
    """Persons, pixels, and pairs of one photo that are on both sides."""
    assert index.pairs is not None
    ours, theirs = (set(index.hashes[rows]) for rows in (training, others))
    photos = index.hashes[index.pairs.rows].tolist()
    crossing = sum({a, b} & ours != set() and {a, b} & theirs != set() for a, b in photos)
    persons = (set(index.subjects[training]) & set(index.subjects[others])) - {""}
    return persons, ours & theirs, crossing


@any_data
@given(seed=SEEDS, dataset=st.sampled_from(["CKP", OWN]))
def test_where_no_split_is_given_no_person_and_no_equal_pixels_are_on_both_sides(
    index: DatasetIndex, seed: int, dataset: str
) -> None:
    data = random_index(index, seed, dataset, [""])
    selection = chosen(data, dataset)
    if selection is None:
        return
    persons, pixels, photos = shared(data, selection.training.rows, held_out(selection, dataset))
    assert (persons, pixels) == (set(), set())
    assert photos == 0 or dataset == "CKP"


@any_data
@given(seed=SEEDS, usages=st.sampled_from([["train", "val"], ["train", "test"], ["train", "val", "test"]]))
def test_a_given_split_of_own_data_loses_what_it_shares_from_its_training_side(
    index: DatasetIndex, seed: int, usages: list[str]
) -> None:
    data = random_index(index, seed, OWN, usages)
    selection = chosen(data, OWN)
    if selection is None:
        return
    unseen = np.union1d(np.flatnonzero(np.isin(data.usages, ["val", "test"])), held_out(selection, OWN))
    assert shared(data, selection.training.rows, unseen) == (set(), set(), 0)
    left_out = selection.shared
    assert left_out is not None
    assert sum(left_out.counts.values()) == len(left_out.rows)
    everything = np.concatenate([selection.training.rows, left_out.rows, unseen])
    assert sorted(everything) == list(range(len(data.files)))
    for row in left_out.rows:
        assert shared(data, np.array([row]), unseen) != (set(), set(), 0)


@any_data
@given(seed=SEEDS)
def test_an_official_split_stays_whole_unless_copies_are_dropped(index: DatasetIndex, seed: int) -> None:
    data = random_index(index, seed, "FER", ["Training", "PublicTest", "PrivateTest"])
    whole = chosen(data, "FER", fer_usage="official")
    if whole is not None:
        assert whole.shared is None
        assert set(whole.training.rows) == set(np.flatnonzero(data.usages == "Training"))
    for usage in ("official", "training", "all"):
        dropped = chosen(data, "FER", fer_usage=usage, copies="drop")
        if dropped is not None:
            unseen = np.flatnonzero(data.usages != "Training") if usage != "all" else np.empty(0, np.int64)
            unseen = np.union1d(unseen, held_out(dropped, "fer"))
            assert shared(data, dropped.training.rows, unseen) == (set(), set(), 0)


def test_sources_joined_do_not_depend_on_the_order_of_the_list() -> None:
    rng = np.random.default_rng(5)
    keys, hashes = (rng.integers(0, 40, 90).astype(str) for _ in range(2))
    pairs = rng.integers(0, 90, (5, 2))
    groups = join_sources(keys, hashes, pairs)
    order = rng.permutation(90)
    places = np.argsort(order)
    assert np.array_equal(join_sources(keys[order], hashes[order], places[pairs]), groups[order])
    alone = join_sources(keys, np.arange(90).astype(str), np.empty((0, 2), np.int64))
    assert np.array_equal(alone, np.unique(keys, return_inverse=True)[1])


@pytest.mark.parametrize(
    ("persons", "validate"),
    [
        ("aaabbbccc", 3),  # each has a third
        ("aaaaaabbbccc", 3),  # the least of those with enough
        ("aaaaaaaaab", 1),  # at most half of all
        ("aaaaaaaaa", 0),  # nobody else is left
    ],
)
def test_of_few_persons_one_is_held_out(index: DatasetIndex, persons: str, validate: int) -> None:
    data = random_index(index, 1, OWN, [""])
    number = len(persons)
    few = replace(
        data,
        files=data.files[:number],
        datasets=data.datasets[:number],
        labels=np.arange(number) % 3,
        hashes=np.arange(number).astype(str),
        usages=data.usages[:number],
        subjects=np.array(list(persons)),
        pairs=PhotoPairs(np.empty((0, 2), np.int64), np.empty(0, bool)),
        scheme=replace(SCHEME, labels=SCHEME.labels[:3]),
    )
    selection = select(few, EVERYTHING, train_on=OWN, seed=1)
    assert len(selection.validation.get(OWN, [])) == validate


def test_a_class_of_one_person_trains(index: DatasetIndex) -> None:
    data = random_index(index, 2, OWN, [""])
    number = len(data.files)
    persons = (np.arange(number) % 9).astype(str)
    for alone in range(9):
        labels = np.where(persons == str(alone), 3, np.arange(number) // 9 % 3)
        selection = select(replace(data, labels=labels, subjects=persons), EVERYTHING, train_on=OWN, seed=1)
        assert min(selection.training.class_counts()) > 0


# --- From files to a run ------------------------------------------------------------------------------------

LABELS = ("angry", "fear", "neutral", "surprise")


def write_own(paths: Paths) -> dict[str, int]:
    """Own data whose `val` holds an exact, a mirrored and a near copy of each class's training images."""
    seeds = iter(range(100))
    for label in LABELS:
        folder = paths.raw / OWN
        pictures = [photo(next(seeds)) for _ in range(6)]
        for number, picture in enumerate(pictures):
            write_png(_made(folder / "train" / label / f"{number}.png"), cut(picture))
        write_png(_made(folder / "val" / label / "exact.png"), cut(pictures[0]))
        write_png(folder / "val" / label / "mirrored.png", np.ascontiguousarray(cut(pictures[1])[:, ::-1]))
        write_png(folder / "val" / label / "near.png", (cut(pictures[2], 9, 8) * 0.8).astype(np.uint8))
        for number in range(2):
            write_png(folder / "val" / label / f"new{number}.png", cut(photo(next(seeds))))
    return {"exact": 4, "mirrored": 4, "near": 4, "person": 0}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# Where the persons of each dataset are told, and how the file of one of theirs is called.
PEOPLE = ("F01", "F02", "M01", "M02", "M03")
TOLD = {
    "CKP": ("CK+48", lambda who, label: f"{label}/S{'MF'.index(who[0])}{who[1:]}_001_00000011.png"),
    "JAFFE": ("jaffe", lambda who, label: f"{who[0]}{'XABC'[int(who[2])]}.{label[:2].upper()}1.{int(who[2])}.tiff"),
    "KDEF": ("KDEF", lambda who, label: f"A{who}/A{who}{KDEF_CODES[label]}S.JPG"),
    OWN: (OWN, lambda who, label: f"{label}/{who}/1.png"),
    "listed": ("listed", lambda who, label: f"{who}-{label}.png"),
}
KDEF_CODES = {"anger": "AN", "fear": "AF", "neutral": "NE", "surprise": "SU"}
EMOTIONS = {"CKP": ("anger", "fear", "happy", "surprise"), "JAFFE": ("AN", "FE", "NE", "SU")}


@pytest.mark.parametrize("name", TOLD)
def test_whoever_tells_the_person_nobody_is_on_both_sides_nor_a_twin_of_another_s(paths: Paths, name: str) -> None:
    folder, called = TOLD[name]
    emotions = EMOTIONS.get(name, ("anger", "fear", "neutral", "surprise"))
    files = [called(who, emotion) for who in PEOPLE for emotion in emotions]
    put(paths.raw / folder, files)
    # The first person's first picture is another's too.
    shutil.copy(paths.raw / folder / files[0], paths.raw / folder / files[4])
    if name == "listed":
        rows = [f"{file},{file[4:-4]},{file[:3]}" for file in files]
        (paths.raw / folder / "labels.csv").write_text("\n".join(["path,label,person", *rows]) + "\n")
    dataset.create(paths, SCHEME, workers=1, force=False)
    data = DatasetIndex.load(paths, SCHEME)
    assert len(set(data.subjects)) == len(PEOPLE)
    selection = select(data, EVERYTHING, train_on=name, seed=1)
    held_out = selection.reference[name.lower()]
    assert len(held_out) > 0
    assert not set(data.subjects[held_out.rows]) & set(data.subjects[selection.training.rows])
    assert not set(held_out.hashes) & set(selection.training.hashes)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, dict[str, int]]:
    paths = Paths(tmp_path_factory.mktemp("own"))
    write_small_fer(paths)
    counts = write_own(paths)
    prepare(paths, variants=False)
    return paths, counts


PLAIN = ("--train-on", OWN, "--fer-aug", 0, "--ckp-aug", 0, "--epochs", 1, "--threads", 1)


def test_no_image_that_trains_validates(own: tuple[Paths, dict[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    paths, counts = own
    data = DatasetIndex.load(paths, SCHEME)
    selection = select(data, EVERYTHING, train_on=OWN, seed=1)
    assert selection.shared is not None
    assert dict(selection.shared.counts) == counts
    assert len(selection.training) == 4 * 3
    assert len(selection.validation[OWN]) == 4 * 5
    monkeypatch.setattr(copies, "find_alike", None)  # they are looked for once
    assert len(select(data, EVERYTHING, train_on=OWN, seed=2).training) == 12
    table = copies._file(data, OWN)
    table.write_bytes(table.read_bytes()[:-9])
    monkeypatch.undo()
    assert len(select(data, EVERYTHING, train_on=OWN, seed=2).training) == 12


@pytest.mark.slow
def test_a_run_leaves_copies_out_or_keeps_them_and_is_marked(own: tuple[Paths, dict[str, int]]) -> None:
    paths, counts = own
    done = call_script(paths, TRAIN, *PLAIN)
    clean = Run(Path(last_line(done)))
    assert "12 training images show held-out photos or people, and are left out (4 exact, 4 mirrored," in done.stderr
    assert clean.record["copies"] == {**counts, "kept": False}
    assert "leaky" not in clean.record
    kept = Run(Path(last_line(call_script(paths, TRAIN, *PLAIN, "--keep-copies"))))
    assert kept.name.endswith("_leaky")
    assert kept.record["copies"] == {**counts, "kept": True}
    assert kept.record["counts"]["training"] == 24
    compared = call_script(paths, COMPARE).stdout
    assert f"{kept.name} (leaky: trained on copies of held-out images)" in compared
    assert clean.name in compared
    call_script(paths, "develop_baseline_model/models/write_model_card.py", kept.name, "--threads", 1)
    card = (kept.folder / "README.md").read_text()
    assert "**Leaky.**" in card
    assert "were trained on all the same" in card


def test_a_class_that_empties_names_the_option(own: tuple[Paths, dict[str, int]], tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    shutil.copytree(own[0].raw / OWN, paths.raw / OWN)
    for number in range(6):
        source = paths.raw / OWN / "train" / "fear" / f"{number}.png"
        shutil.copy(source, paths.raw / OWN / "val" / "fear" / f"copy{number}.png")
    dataset.create(paths, SCHEME, workers=1, force=False)
    line = the_error(call_script(paths, TRAIN, *PLAIN))
    assert line.startswith("error: the training set has no image of class 'fear'")
    assert "--keep-copies" in line
    assert not list(paths.models.glob("model_*"))
    shutil.rmtree(paths.raw / OWN / "train" / "fear")
    images = len(list((paths.raw / OWN).glob("*/fear/*")))
    for held_out, message in (
        (images, f"all that {OWN} has of it, {images}, validate or test"),
        (0, "has none; add some"),
    ):
        if not held_out:
            for folder in (paths.raw / OWN).glob("*/fear"):
                shutil.rmtree(folder)
        dataset.create(paths, SCHEME, workers=1, force=False)
        with pytest.raises(EmoTorchError, match=f"no image of class 'fear': .*{message}"):
            select(DatasetIndex.load(paths, SCHEME), EVERYTHING, train_on=OWN, seed=1)


def test_options_that_exclude_each_other_are_wrong_usage(own: tuple[Paths, dict[str, int]]) -> None:
    for script in (TRAIN, SWEEP):
        assert call_script(own[0], script, "--keep-copies", "--drop-copies").returncode == 2
    with pytest.raises(UsageError, match="--drop-copies: the published split has copies on both sides"):
        select(DatasetIndex.load(own[0], SCHEME), EVERYTHING, split="published", copies="drop", seed=1)
