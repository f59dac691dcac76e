"""JAFFE: file names that tell person and expression, in one folder or in class folders."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import images_of
from layouts import draw, jaffe_names, put
from running import call_script, read_table, train

from emotorch.data import dataset
from emotorch.data.images import GREY_FACE, bring_to, hash_pixels
from emotorch.data.recognition import find_copies, recognise
from emotorch.data.sources import read_manifest
from emotorch.datasets import JAFFE
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_2, Paths

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = {"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise"}


@pytest.mark.parametrize(
    "place",
    [
        lambda name: f"jaffedbase (1)/{name}",
        lambda name: f"archive/x/{name.replace('tiff', 'png').lower()}",
        lambda name: f"any name/{CLASSES[name[3:5]]}/{name}",
        lambda name: f"any name/{name[:2]}/{name}",
    ],
    ids=["flat", "nested, lower case, as PNG", "by class", "by person"],
)
def test_file_names_tell_person_and_class(paths: Paths, place: object) -> None:
    assert callable(place)
    names = jaffe_names()
    put(paths.raw, map(place, names), side=256)
    (paths.raw / "README.txt").write_text("a licence")
    images = images_of(paths, JAFFE)
    assert Counter(image.emotion for image in images) == dict.fromkeys(JAFFE.classes, 3)
    assert Counter(image.subject for image in images) == {"KA": 7, "KL": 7, "YM": 7}
    assert {image.usage for image in images} == {""}


def test_it_goes_through_stage_2(paths: Paths) -> None:
    files = put(paths.raw / "faces from Japan", jaffe_names(), side=256)
    done = dataset.create(paths, get_scheme("seven"), workers=1, force=False)
    assert done.counts == {"JAFFE": dict.fromkeys(get_scheme("seven").labels, 3)}
    folder = paths.for_scheme("seven").originals
    for row in read_manifest(folder, dataset.MANIFEST_COLUMNS, STAGE_2):
        source = paths.root / row["source"]
        assert row["subject"] == source.name[:2]
        assert row["emotion"] == CLASSES[source.name[3:5]]
        stored = bring_to(draw(files.index(source), 256), GREY_FACE)
        assert row["hash"] == hash_pixels(stored)


def test_folders_are_no_official_split_and_persons_count(paths: Paths) -> None:
    names = jaffe_names()
    put(paths.raw / "JAFFE", (f"{'train' if number % 3 else 'Test'}/{name}" for number, name in enumerate(names)))
    (found,) = find_copies(paths, JAFFE)
    assert found.notes == ("the folders Test, train are no split of its own: persons are split",)
    assert {image.usage for image in found.images()} == {""}


def test_what_is_not_named_so_or_lies_elsewhere_is_said(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    folder = paths.raw / "jaffe"
    put(folder, (f"{CLASSES[name[3:5]]}/{name}" for name in jaffe_names()))
    put(folder, ["sad/KA.AN1.39.tiff", "sad/preview.png"])
    assert Counter(image.emotion for image in images_of(paths, JAFFE))["anger"] == 4
    assert caplog.messages == [
        f"JAFFE: files that are not named like KA.AN1.39.tiff, left out: 1 (first: {folder}/sad/preview.png)",
        "JAFFE: files in a folder of another class than their names say, read by their names: 1 "
        f"(first: {folder}/sad/KA.AN1.39.tiff)",
    ]


def test_renamed_files_in_class_folders_are_read_without_persons(paths: Paths) -> None:
    put(paths.raw / "JAFFE", (f"{name}/{number}.png" for number in range(2) for name in CLASSES.values()))
    (found,) = find_copies(paths, JAFFE)
    assert "the files' names do not tell who is shown" in found.notes
    assert {(image.emotion, image.subject) for image in found.images()} == {(name, "") for name in JAFFE.classes}


def test_one_other_folder_s_pictures_are_not_taken_for_it(paths: Paths) -> None:
    put(paths.raw / "both" / "J", jaffe_names())
    put(paths.raw / "both" / "mine", ["happy/1.png", "sad/2.png"])
    (found,) = find_copies(paths, JAFFE)
    assert found.where == Path(paths.raw / "both" / "J")
    assert np.all([image.path.parent.name == "J" for image in found.images()])


def test_files_in_fer_datasets_itself_are_known_too(paths: Paths) -> None:
    put(paths.raw, [*jaffe_names(), "mine/happy/1.png"])
    recognition = recognise(paths, get_scheme("seven"))
    assert set(recognition.datasets) == {"JAFFE", "mine"}
    assert recognition.passed_over == []


@pytest.mark.slow
def test_a_run_has_no_person_on_both_sides(paths: Paths) -> None:
    """From the files of the only dataset that is there to the run's own list of images."""
    put(paths.raw / "jaffe", jaffe_names(("KA", "KL", "KM", "YM")), side=64)
    assert call_script(paths, STAGE_2, "--scheme", "seven", "--workers", 1).returncode == 0
    run = train(paths, "--recipe", "emotion_classifier", "--seed", 1)
    people: dict[str, set[str]] = {}
    manifest = read_manifest(paths.for_scheme("seven").originals, dataset.MANIFEST_COLUMNS, STAGE_2)
    person_of = {f"FER-Original-Dataset-seven/{row['file']}": row["subject"] for row in manifest}
    for row in read_table(run / "image_usage.csv"):
        people.setdefault(row["usage"], set()).add(person_of[row["image_path"]])
    training, validation = people.values()
    assert not training & validation
    assert training | validation == {"KA", "KL", "KM", "YM"}


@pytest.mark.parametrize("copy", ["jaffedbase/jaffe", "JAFFE/jaffe", "x/by class"])
def test_of_two_copies_the_fuller_is_taken(paths: Paths, copy: str) -> None:
    put(paths.raw / "JAFFE", jaffe_names())
    names = jaffe_names()[:-2]
    put(paths.raw / copy, (f"{CLASSES[name[3:5]]}/{name}" for name in names) if "class" in copy else names)
    full, less = find_copies(paths, JAFFE)
    assert (full.where, len(full.images())) == (paths.raw / "JAFFE", 21)
    assert (less.where, len(less.images())) == (paths.raw / copy, 19)
    assert set(recognise(paths, get_scheme("seven")).datasets) == {"JAFFE"}
