"""RAF-DB's list file: which images there are, of which class and split."""

from pathlib import Path

import pytest
from conftest import images_of, refusal, write_small_rafdb

from emotorch.data.sources import Reading
from emotorch.datasets import RAF
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
    read = images_of(paths, RAF)[0].read()
    assert read.face.shape == read.stored.shape == (48, 48)


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


def test_a_list_that_is_no_text_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text(listing.read_text(), encoding="utf-16")
    with refusal(f"{listing}, line 1: "):
        images_of(paths, RAF)


def test_a_missing_or_empty_list_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text("\n")
    with refusal(f"{listing}: the file is empty"):
        images_of(paths, RAF)
