"""RAF-DB by its list or as class folders: which images there are, of which class and split."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from conftest import images_of, refusal, write_small_rafdb
from layouts import put, raf_names

from emotorch.data.images import GREY_FACE
from emotorch.data.recognition import find_copies, recognise
from emotorch.data.sources import Reading
from emotorch.datasets import RAF
from emotorch.labels import get_scheme
from emotorch.paths import Paths


@pytest.fixture
def listing(paths: Paths) -> Path:
    write_small_rafdb(paths)
    return paths.raw / "RAF-DB" / "EmoLabel" / "list_patition_label.txt"


def test_the_list_tells_class_and_split(paths: Paths, listing: Path) -> None:
    images = images_of(paths, RAF)
    assert [image.emotion for image in images] == ["surprise", "fear", "disgust", "happiness", "sadness", "anger"]
    assert [image.usage for image in images] == ["train"] * 4 + ["test"] * 2
    assert images[4].path == paths.raw / "RAF-DB" / "Image" / "aligned" / "test_00001_aligned.jpg"
    assert {image.reading for image in images} == {Reading.CROP}


def test_the_folder_may_hold_basic(paths: Paths, listing: Path) -> None:
    direct = [image.emotion for image in images_of(paths, RAF)]
    (paths.raw / "RAF-DB" / "basic").mkdir()
    for folder in ("Image", "EmoLabel"):
        (paths.raw / "RAF-DB" / folder).rename(paths.raw / "RAF-DB" / "basic" / folder)
    assert [image.emotion for image in images_of(paths, RAF)] == direct


def test_pictures_are_shrunk_to_faces(paths: Paths, listing: Path) -> None:
    assert images_of(paths, RAF)[0].read_as(GREY_FACE).shape == (48, 48)


def test_blank_lines_and_other_line_ends_are_read(paths: Paths, listing: Path) -> None:
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(images_of(paths, RAF)) == 6


@pytest.mark.parametrize(
    "line",
    [
        *("train_00009.jpg", "train_00009.jpg 0", "train_00009.jpg 8", "train_00009.jpg happy", "valid_00009.jpg 1"),
        *("train_00009.jpg 1 2", "train_00009.jpg -1", "train_00009.jpg 1.0", "train_00009.jpg ²", "\x00"),
    ],
)
def test_a_line_that_is_none_is_named(paths: Paths, listing: Path, line: str) -> None:
    listing.write_text(listing.read_text() + line + "\n")
    with refusal(f"{listing}, line 7: {line!r} is not like 'train_00001.jpg 5'"):
        images_of(paths, RAF)


@pytest.mark.parametrize(
    ("line", "says"), [("train_00001.jpg 3", "stands in an earlier line too"), ("train_00077.jpg 3", "no file")]
)
def test_a_picture_that_is_listed_twice_or_is_not_there_is_named(
    paths: Paths, listing: Path, line: str, says: str
) -> None:
    listing.write_text(listing.read_text() + line + "\n")
    with refusal(f"{listing}, line 7: ") as error:
        images_of(paths, RAF)
    assert says in str(error.value)


def test_pictures_that_no_line_lists_are_counted(paths: Paths, listing: Path, caplog: pytest.LogCaptureFixture) -> None:
    listing.write_text("".join(listing.read_text().splitlines(keepends=True)[:-2]))
    assert len(images_of(paths, RAF)) == 4
    assert "pictures that are in no line, left out: 2 (first: " in caplog.text


def test_a_list_that_is_no_text_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text(listing.read_text(), encoding="utf-16")
    with refusal(f"{listing}, line 1: "):
        images_of(paths, RAF)


def test_a_missing_or_empty_list_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text("\n")
    with refusal(f"{listing}: the file is empty"):
        images_of(paths, RAF)


# Other layouts.


@pytest.mark.parametrize("spelling", ["list_patition_label.txt", "List_partition_label.txt"])
def test_the_list_is_known_in_both_spellings_and_pictures_lie_deeper(
    paths: Paths, listing: Path, spelling: str
) -> None:
    listing.rename(listing.with_name(spelling))
    aligned = paths.raw / "RAF-DB" / "Image" / "aligned"
    aligned.rename(aligned.with_name("moved"))
    (aligned.parent / "aligned").mkdir()
    aligned.with_name("moved").rename(aligned / "aligned")
    (paths.raw / "RAF-DB").rename(paths.raw / "a download")
    images = images_of(paths, RAF)
    assert len(images) == 6
    assert all(image.path.is_file() for image in images)


def test_a_list_without_its_pictures_is_incomplete(paths: Paths, listing: Path) -> None:
    shutil.rmtree(paths.raw / "RAF-DB" / "Image")
    assert find_copies(paths, RAF) == []
    (missing,) = recognise(paths, get_scheme("seven")).passed_over
    assert (missing.where, missing.found) == (
        listing,
        "RAF-DB's list, without the pictures of Image/aligned/ beside it; unpack aligned.zip",
    )


@pytest.mark.parametrize("tables", [None, "empty", "short", "full", "inside"])
@pytest.mark.parametrize("base", ["RAF-DB/DATASET", "archive (4)/DATASET", "x"])
def test_class_folders_by_number_are_known_by_file_names(paths: Paths, base: str, tables: str | None) -> None:
    files = put(paths.raw / base, raf_names({"train": 14, "test": 7}), side=100)
    where = paths.raw / base if tables == "inside" or "/" not in base else paths.raw / Path(base).parent
    for split in ("train", "test") if tables else ():
        rows = [f"{file.name},{file.parent.name}" for file in files if file.parents[1].name == split]
        text = "\n".join(["image,label", *rows[: {"empty": 0, "short": 1}.get(tables)]])
        (where / f"{split}_labels.csv").write_text(text + "\n")
    images = images_of(paths, RAF)
    assert Counter((image.usage, image.emotion) for image in images) == {
        **{("train", emotion): 2 for emotion in RAF.classes},
        **{("test", emotion): 1 for emotion in RAF.classes},
    }
    for image in images:
        assert RAF.classes[int(image.path.parent.name) - 1] == image.emotion
    recognition = recognise(paths, get_scheme("seven"))
    assert list(recognition.datasets) == ["RAF"]
    assert recognition.passed_over == []


def test_class_folders_by_name_are_known_too(paths: Paths) -> None:
    names = ("Surprise", "Fear", "Disgust", "Happy", "Sad", "Angry", "Neutral")
    put(paths.raw / "x", raf_names({"Train": 14}, names))
    assert [image.emotion for image in images_of(paths, RAF)] == [
        emotion for name in sorted(names) for emotion in 2 * [RAF.classes[names.index(name)]]
    ]


def test_a_table_that_says_otherwise_than_the_folders_is_named(paths: Paths) -> None:
    put(paths.raw / "DATASET", raf_names({"train": 7}))
    table = paths.raw / "train_labels.csv"
    table.write_text("image,label\nDATASET\\train\\1\\train_00001_aligned.jpg,1.0\ntrain_00002_aligned.jpg,5\n")
    folder = paths.raw / "DATASET" / "train" / "2"
    with refusal(f"{table}, line 3: train_00002_aligned.jpg is in the folder {folder}, which says fear"):
        images_of(paths, RAF)
    table.write_text("image,label\ntrain_00009_aligned.jpg,1\n")
    with refusal(f"{table}, line 2: no file 'train_00009_aligned.jpg' in the class folders of"):
        images_of(paths, RAF)


def test_a_folder_of_no_class_is_named(paths: Paths) -> None:
    put(paths.raw / "RAF", [*raf_names({"train": 7}), "train/0/train_00008_aligned.jpg"])
    with refusal(f"{paths.raw / 'RAF' / 'train' / '0'}: not a class of RAF-DB (surprise, fear, disgust, "):
        images_of(paths, RAF)
