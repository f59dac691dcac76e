"""KDEF: file names that tell person, expression and angle; a person's two sessions are one person."""

from collections import Counter
from pathlib import Path

import pytest
from conftest import images_of
from layouts import kdef_names, put
from PIL import Image
from scenes import SyntheticFace, draw_scene

from emotorch.data.recognition import find_copies, recognise
from emotorch.data.scenes import search
from emotorch.data.sources import Reading
from emotorch.datasets import KDEF
from emotorch.labels import get_scheme
from emotorch.paths import Paths


@pytest.mark.parametrize("prefix", ["KDEF_and_AKDEF/KDEF/", "kdef (2)/", "pictures of faces/"])
def test_file_names_tell_person_and_class(paths: Paths, prefix: str) -> None:
    put(paths.raw, (prefix + name for name in kdef_names()))
    images = images_of(paths, KDEF)
    assert Counter(image.emotion for image in images) == {"afraid": 4, "angry": 4, "neutral": 4}
    assert Counter(image.subject for image in images) == {"F01": 6, "M02": 6}
    assert {image.reading for image in images} == {Reading.SCENE}
    assert {image.usage for image in images} == {""}


def test_files_in_one_folder_and_of_all_angles_are_read(paths: Paths) -> None:
    names = [f"AF01{code}{angle}.JPG" for code in ("AF", "SU") for angle in ("FL", "HL", "S", "HR", "FR")]
    put(paths.raw / "KDEF", names)
    assert Counter(image.emotion for image in images_of(paths, KDEF)) == {"afraid": 5, "surprised": 5}


def test_average_faces_beside_it_are_passed_over_and_odd_names_are_counted(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    folder = paths.raw / "KDEF_and_AKDEF"
    put(folder / "KDEF", [*kdef_names(), "AF31/AF31V.JPG", "AF31/AF31AFS.JPG", "AF31/AF31ANS.JPG"])
    put(folder / "AKDEF", ["F/AVFAFFL.JPG", "M/AVMNES.JPG"])
    (found,) = find_copies(paths, KDEF)
    assert found.where == folder / "KDEF"
    assert len(found.images()) == 14
    assert caplog.messages == [
        f"KDEF: files that are not named like AF01ANS.JPG, left out: 1 (first: {folder}/KDEF/AF31/AF31V.JPG)"
    ]
    assert [missing.where for missing in recognise(paths, get_scheme("seven")).passed_over] == [folder / "AKDEF"]


def test_a_folder_of_something_else_among_the_persons_splits_nothing(paths: Paths) -> None:
    """Else every person's folder was taken for a copy, and one of them for all of KDEF."""
    put(paths.raw / "KDEF", [*kdef_names(), "AF31/AF31V.JPG", "figures/1.png"])
    put(paths.raw / "mine", ["happy/1.png", "sad/1.png"])
    found = recognise(paths, get_scheme("seven"))
    assert found.datasets["KDEF"].where == paths.raw / "KDEF"
    assert len(found.datasets["KDEF"].images()) == 12
    assert (set(found.datasets), found.others) == ({"KDEF", "mine"}, [])
    assert [missing.where.name for missing in found.passed_over] == ["AF31", "figures"]


def test_the_face_is_cut_from_the_photo(tmp_path: Path, paths: Paths) -> None:
    face = SyntheticFace(150, 220, 260)
    (paths.raw / "KDEF").mkdir(parents=True)
    Image.fromarray(draw_scene([face], 762, 562)).save(paths.raw / "KDEF" / "AF01ANS.JPG")
    (found,) = search(images_of(paths, KDEF))
    assert found.largest is not None
    assert 0.5 * face.side < found.largest.read().shape[0] < 1.1 * face.side
