"""RAF-DB's list file: which images there are, of which class and split."""

from pathlib import Path

import pytest
from conftest import refusal, write_small_rafdb

from emotorch.data.rafdb import list_images
from emotorch.data.sources import Reading
from emotorch.datasets import RAF
from emotorch.paths import Paths


@pytest.fixture
def listing(paths: Paths) -> Path:
    write_small_rafdb(paths)
    return paths.raw / RAF.folder / "EmoLabel" / "list_patition_label.txt"


def test_the_list_tells_class_and_split(paths: Paths, listing: Path) -> None:
    images = list_images(paths.raw / RAF.folder)
    assert [image.emotion for image in images] == ["surprise", "fear", "disgust", "happiness", "sadness", "anger"]
    assert [image.usage for image in images] == ["train"] * 4 + ["test"] * 2
    assert images[4].path == paths.raw / RAF.folder / "Image" / "aligned" / "test_00001_aligned.jpg"
    assert {image.reading for image in images} == {Reading.CROP}


def test_the_folder_may_hold_basic(paths: Paths, listing: Path) -> None:
    direct = [image.emotion for image in list_images(paths.raw / RAF.folder)]
    (paths.raw / RAF.folder / "basic").mkdir()
    for folder in ("Image", "EmoLabel"):
        (paths.raw / RAF.folder / folder).rename(paths.raw / RAF.folder / "basic" / folder)
    assert [image.emotion for image in list_images(paths.raw / RAF.folder)] == direct


def test_pictures_are_shrunk_to_faces(paths: Paths, listing: Path) -> None:
    read = list_images(paths.raw / RAF.folder)[0].read()
    assert read.face.shape == read.stored.shape == (48, 48)
    assert read.found


def test_blank_lines_and_other_line_ends_are_read(paths: Paths, listing: Path) -> None:
    listing.write_bytes(b"\xef\xbb\xbf" + listing.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(list_images(paths.raw / RAF.folder)) == 6


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
        list_images(paths.raw / RAF.folder)


def test_a_list_that_is_no_text_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text(listing.read_text(), encoding="utf-16")
    with refusal(f"{listing}, line 1: "):
        list_images(paths.raw / RAF.folder)


def test_a_missing_or_empty_list_is_named(paths: Paths, listing: Path) -> None:
    listing.write_text("\n")
    with refusal(f"{listing}: the file is empty"):
        list_images(paths.raw / RAF.folder)
    listing.unlink()
    with refusal(f"{listing} does not exist"):
        list_images(paths.raw / RAF.folder)
