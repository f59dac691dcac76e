"""ExpW: a list of faces with their boxes in photos."""

from pathlib import Path

import numpy as np
import pytest
from conftest import images_of, refusal
from layouts import draw, put

from emotorch.data import dataset
from emotorch.data.faces import Box
from emotorch.data.images import GREY_FACE, resize
from emotorch.data.recognition import find_copies, recognise
from emotorch.datasets import EXPW
from emotorch.labels import get_scheme
from emotorch.paths import Paths

# Two faces in the first photo; name, number of the face, top, left, right, bottom, confidence, label.
LINES = [
    "angry_actor_104.jpg 0 10 20 70 60 99 0",
    "angry_actor_104.jpg 1 0 50 100 50 80 6",
    "b.jpg 0 5 5 45 45 9e1 3",
]


def write(folder: Path, listing: str = "data/label/label.lst", pictures: str = "data/image/origin") -> Path:
    put(folder / pictures, ["angry_actor_104.jpg", "b.jpg", "c.jpg"], side=100)
    path = folder / listing
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.mark.parametrize(
    ("listing", "pictures"),
    [("data/label/label.lst", "data/image/origin"), ("label.lst", "origin"), ("LABEL.txt", ""), ("l/x.lst", "i")],
)
def test_the_list_tells_class_and_box(paths: Paths, listing: str, pictures: str) -> None:
    write(paths.raw / "expression in the wild", listing, pictures)
    images = images_of(paths, EXPW)
    assert [(image.path.name, image.emotion, image.box) for image in images] == [
        ("angry_actor_104.jpg", "angry", Box(20, 10, 50, 50)),
        ("angry_actor_104.jpg", "neutral", Box(50, 0, 50, 50)),
        ("b.jpg", "happy", Box(5, 5, 40, 40)),
    ]
    assert np.abs(images[2].read().astype(int) - draw(1, 100)[5:45, 5:45]).max() < 16
    assert np.abs(images[0].read_as(GREY_FACE).astype(int) - resize(draw(0, 100)[10:60, 20:70])).max() < 16


def test_it_goes_through_stage_2_and_another_box_makes_it_anew(paths: Paths) -> None:
    listing, seven = write(paths.raw / "downloads" / "ExpW"), get_scheme("seven")
    assert dataset.create(paths, seven, workers=1, force=False).counts["ExpW"]["neutral"] == 1
    assert dataset.create(paths, seven, workers=1, force=False).up_to_date
    listing.write_text(listing.read_text().replace("b.jpg 0 5 5", "b.jpg 0 6 5"))
    assert not dataset.create(paths, seven, workers=1, force=False).up_to_date


@pytest.mark.parametrize(
    "line", ["b.jpg 0 5 5 45 45 90 7", "b.jpg 0 5 5 45 45 90", "b.jpg happy", "b.jpg 0 a 5 4 4 9 1"]
)
def test_a_line_that_is_none_is_named(paths: Paths, line: str) -> None:
    listing = write(paths.raw / "ExpW")
    listing.write_text("\n".join([*LINES, line]))
    with refusal(f"{listing}, line 4: {line!r} is not like 'name.jpg 0 30 40 140 150 99.5 3' (label 0-6)"):
        images_of(paths, EXPW)


def test_a_missing_picture_is_named_and_a_list_alone_is_incomplete(paths: Paths) -> None:
    listing = write(paths.raw / "ExpW")
    (paths.raw / "ExpW" / "data" / "image" / "origin" / "b.jpg").unlink()
    with refusal(f"{listing}, line 3: no picture b.jpg below"):
        images_of(paths, EXPW)
    for path in listing.parents[1].rglob("*.jpg"):
        path.unlink()
    assert find_copies(paths, EXPW) == []
    (missing,) = recognise(paths, get_scheme("seven")).passed_over
    assert (missing.where, missing.found) == (listing, "ExpW's list without its pictures, image/origin/, beside it")


def test_class_folders_are_known_by_their_folder_s_name_and_splits_are_not_its_own(paths: Paths) -> None:
    put(paths.raw / "ExpW", (f"{split}/{number}/1.jpg" for split in ("train", "test") for number in range(7)))
    (found,) = find_copies(paths, EXPW)
    assert found.notes == ("the folders test, train are no split of its own, and not kept",)
    assert [(image.emotion, image.usage) for image in found.images()] == 2 * [(name, "") for name in EXPW.classes]
