"""What an audit finds in a folder of labelled images, a stage's or anyone's."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, refusal, write_fer_csv, write_small_ckplus, write_small_fer
from PIL import Image

from emotorch.analyses.dataset import describe, make_audit
from emotorch.data import audit, duplicates, faults
from emotorch.data.images import Pixels, encode_png
from emotorch.errors import UsageError
from emotorch.labels import get_scheme
from emotorch.paths import Paths


def write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))


def findings(folder: Path) -> dict[str, list[str]]:
    """The files of each kind of fault that some file has."""
    read = audit.read(folder, faces="none")
    photos = faults.photos_of(duplicates.find(read, threshold=1.0))
    found = faults.inspect(read, faults.measure(read.faces), photos, faults.people_in_several_splits(read))
    return {kind.name: [image.entry.file for image in kind.images] for kind in found if kind.images}


# --- Reading any folder -------------------------------------------------------------------------------------


def test_faulty_files_are_listed_and_the_others_read(tmp_path: Path) -> None:
    faces = draw_images(2, seed=7)
    write(tmp_path / "joy" / "1.png", faces[0])
    write(tmp_path / "fear" / "1.png", cv2.resize(faces[1], (64, 64)))
    Image.fromarray(np.zeros((90, 60, 3), np.uint8)).save(tmp_path / "joy" / "2.jpg")
    (tmp_path / "joy" / "3.png").write_bytes(b"no picture")
    (tmp_path / "joy" / "notes.txt").write_text("no picture either")
    (tmp_path / "README.md").write_text("beside the classes")
    read = audit.read(tmp_path)
    assert [(entry.file, entry.label, entry.split) for entry in read.entries] == [
        ("fear/1.png", "fear", ""),
        ("joy/1.png", "joy", ""),
        ("joy/2.jpg", "joy", ""),
    ]
    assert read.sizes.tolist() == [[64, 64], [48, 48], [90, 60]]
    assert read.faces.shape == (3, 48, 48)
    assert [file.entry.file for file in read.unreadable] == ["joy/3.png", "joy/notes.txt"]


def test_folders_of_another_shape_are_refused(tmp_path: Path) -> None:
    with refusal(f"{tmp_path / 'none'} does not exist"):
        audit.read(tmp_path / "none")
    with refusal(f"{tmp_path}: no readable image"):
        audit.read(tmp_path)
    (face,) = draw_images(1, seed=8)
    write(tmp_path / "deep" / "set" / "of" / "things" / "1.png", face)
    with refusal(f"{tmp_path / 'deep' / 'set' / 'of' / 'things'}: a folder where images are expected"):
        audit.read(tmp_path / "deep")
    for file in ("train/joy/1.png", "joy/1.png"):
        write(tmp_path / "mixed" / file, face)
    with refusal(f"{tmp_path / 'mixed' / 'joy'}: stands beside train/"):
        audit.read(tmp_path / "mixed")
    write(tmp_path / "bad" / "joy" / "1.png", face)
    (tmp_path / "bad" / "joy" / "1.png").write_bytes(b"")
    with refusal(f"{tmp_path / 'bad'}: no readable image: {tmp_path / 'bad' / 'joy' / '1.png'}"):
        audit.read(tmp_path / "bad")


def test_a_dataset_is_recognised_wherever_it_lies_and_its_persons_and_splits_are_read(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "root")
    write_small_ckplus(paths)
    paths.ckplus.rename(paths.raw / "CK+48 (1)")
    read = audit.read(paths.raw / "CK+48 (1)", paths)
    assert {entry.person for entry in read.entries} == {"S005", "S010"}
    assert {entry.label for entry in read.entries} == {"anger", "surprise", "contempt"}
    (origin,) = read.origins
    assert (origin.title, origin.refused, origin.formats) == ("CK+", "", {"PNG": 18})
    by_name = audit.read_dataset("ckp", paths, get_scheme("emotorch4"))
    assert [entry.file for entry in by_name.entries] == [entry.file for entry in read.entries]
    with pytest.raises(UsageError, match=r"^other: neither a folder or file, nor a dataset of .* \(CKP\)"):
        audit.read_dataset("other", paths, get_scheme("emotorch4"))


def test_the_rows_of_a_csv_are_read_before_stage_1_and_bad_ones_are_named(paths: Paths) -> None:
    write_small_fer(paths, rows=20, twins=4)
    with paths.fer_csv.open("a") as file:
        file.write("3,1 2 3,Training\n")
    read = audit.read(paths.fer_csv, paths)
    assert len(read.entries) == 20
    assert (read.entries[0].file, read.entries[0].label, read.entries[0].split) == (
        "fer2013.csv, line 2",
        "angry",
        "Training",
    )
    (bad,) = read.unreadable
    assert bad.detail == f"{paths.fer_csv}, line 22: 3 pixels instead of 2304"
    table = paths.raw / "notes.csv"
    table.write_text("a,b\n1,2\n")
    with refusal(f"{table}: no table of a known dataset"):
        audit.read(table, paths)


def test_rows_of_any_dataset_s_table_and_faces_in_boxes_are_read(paths: Paths) -> None:
    faces = draw_images(4, seed=11)
    table = paths.raw / "ckextended.csv"
    write_fer_csv(table, faces, [0, 3, 5, 7], ["Training", "Training", "PublicTest", "Training"])
    read = audit.read(table, paths)
    assert read.origins[0].title == "CK+"
    assert [(entry.file, entry.label) for entry in read.entries] == [
        (f"ckextended.csv, line {number}", label)
        for number, label in enumerate(("anger", "happy", "surprise", "contempt"), start=2)
    ]
    assert np.array_equal(read.faces, faces)
    scene = np.concatenate([cv2.resize(face, (60, 60)) for face in faces[:2]], axis=1)
    write(paths.raw / "party" / "both.png", scene)
    rows = ["path,label,box", 'both.png,happy,"0 0 60 60"', 'both.png,fear,"60 0 60 60"']
    (paths.raw / "party" / "labels.csv").write_text("\n".join(rows) + "\n")
    boxes = audit.read(paths.raw / "party", paths)
    assert [(entry.file, entry.label) for entry in boxes.entries] == [
        ("both.png, face at 0,0", "happy"),
        ("both.png, face at 60,0", "fear"),
    ]
    assert boxes.sizes.tolist() == [[60, 60], [60, 60]]
    assert boxes.hashes[0] != boxes.hashes[1]
    assert boxes.origins[0].formats == {"PNG": 2}


def test_what_stage_2_would_refuse_is_audited_with_its_reason(paths: Paths) -> None:
    faces = draw_images(5, seed=9)
    for number, file in enumerate(("happy/anna/1.png", "happy/ben/1.png", "fear/anna/1.png", "holiday/anna/1.png")):
        write(paths.raw / "mine" / file, faces[number])
    read = audit.read(paths.raw / "mine", paths)
    assert sorted((entry.label, entry.person) for entry in read.entries) == [
        ("fear", "anna"),
        ("happy", "anna"),
        ("happy", "ben"),
        ("holiday", "anna"),
    ]
    (origin,) = read.origins
    assert "holiday" in origin.refused


def test_what_nobody_recognises_is_named_beside_what_is_read(paths: Paths) -> None:
    faces = draw_images(4, seed=12)
    write(paths.raw / "mine" / "happy" / "1.png", faces[0])
    for number in range(3):
        write(paths.raw / "numbers" / str(number) / "1.png", faces[number + 1])
    write(paths.raw / "photos" / "1.png", faces[0])
    read = audit.read(paths.raw, paths)
    assert [(entry.file, entry.label) for entry in read.entries] == [("mine/happy/1.png", "happy")]
    assert sorted(missing.where.name for missing in read.passed_over) == ["numbers", "photos"]
    write(paths.raw / "mine" / "happy" / "wide.png", cv2.resize(faces[1], (90, 40)))
    with_photo = audit.read(paths.raw / "mine", paths)
    assert with_photo.found.tolist() == [1, 0]
    found = {kind.name: kind.images for kind in faults.inspect(with_photo, faults.measure(with_photo.faces), [], [])}
    assert [image.entry.file for image in found["no face"]] == ["happy/wide.png"]
    alone = audit.read(paths.raw / "photos", paths)
    assert [(entry.file, entry.label) for entry in alone.entries] == [("1.png", "no label")]


def test_a_person_in_two_splits_of_a_dataset_is_found(paths: Paths) -> None:
    faces = draw_images(4, seed=10)
    files = ("train/happy/anna/1.png", "train/happy/ben/1.png", "val/happy/anna/1.png", "val/fear/carl/1.png")
    for file, face in zip(files, faces, strict=True):
        write(paths.raw / "mine" / file, face)
    found = findings(paths.raw / "mine")
    assert found == {"people, other split": ["train/happy/anna/1.png", "val/happy/anna/1.png"]}


# --- Measures -----------------------------------------------------------------------------------------------


def test_measures_are_those_of_each_image_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_BLOCK", 3)
    faces = draw_images(8, seed=1)
    measures = faults.measure(faces)
    for position, face in enumerate(faces.astype(np.float64)):
        laplacian = cv2.Laplacian(face, cv2.CV_64F)[1:-1, 1:-1]
        expected = face.mean(), face.std(), laplacian.var()
        values = (getattr(measures, name)[position] for name in ("brightness", "contrast", "sharpness"))
        assert tuple(values) == pytest.approx(expected, rel=1e-5)


def test_blur_lowers_sharpness_and_darkening_brightness() -> None:
    face = draw_images(1, seed=2)[0]
    noisy = np.clip(face.astype(int) + np.random.default_rng(0).integers(-20, 21, face.shape), 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(noisy, (0, 0), 1.5)
    measures = faults.measure(np.stack([noisy, blurred, noisy // 2]))
    assert measures.sharpness[1] < 0.2 * measures.sharpness[0]
    assert measures.brightness[2] == pytest.approx(measures.brightness[0] / 2, abs=1)


def test_what_hinders_reading_is_said(tmp_path: Path) -> None:
    """Of a table its row, of an archive that it is one, and what stage 2 says of class folders."""
    for folder in ("table", "unknown"):
        write(tmp_path / folder / "joy" / "1.png", draw_images(1, seed=1)[0])
    (tmp_path / "table" / "labels.csv").write_text("path,label\njoy/1.png,bored\n")
    with refusal(f"{tmp_path / 'table' / 'labels.csv'}, line 2: 'bored' is not"):
        audit.read(tmp_path / "table")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "archive.zip").write_bytes(b"PK\x03\x04")
    with refusal(f"{tmp_path / 'empty'}: no readable image: archive.zip is a zip archive (unpack it)"):
        audit.read(tmp_path / "empty")
    write(tmp_path / "unknown" / "hapy" / "1.png", draw_images(1, seed=2)[0])
    said = describe(make_audit(audit.read(tmp_path / "unknown"))).splitlines()[0]
    assert f"; stage 2 refuses it: {tmp_path / 'unknown' / 'hapy'}: no known emotion" in said


# --- Findings -----------------------------------------------------------------------------------------------


def test_a_sound_dataset_has_no_findings(tmp_path: Path) -> None:
    for number, face in enumerate(draw_images(6, seed=3)):
        write(tmp_path / ("joy" if number % 2 else "fear") / f"{number}.png", face)
    assert findings(tmp_path) == {}


def test_each_fault_is_found_in_the_very_files_that_have_it(tmp_path: Path) -> None:
    faces = draw_images(5, seed=4)
    for name, pixels in {
        "train/joy/sound.png": faces[0],
        "train/joy/twin.png": faces[1],
        "test/joy/twin.png": faces[1],
        "train/joy/other_label.png": faces[2],
        "train/fear/other_label.png": faces[2],
        "train/joy/blank.png": np.full((48, 48), 128, np.uint8),
        "train/joy/black.png": faces[3] // 16,
        "train/joy/white.png": 255 - faces[3] // 16,
        "train/joy/faint.png": 100 + faces[3] // 16,
        "train/joy/small.png": cv2.resize(faces[4], (40, 44)),
        "train/joy/wide.png": cv2.resize(faces[4], (200, 100)),
    }.items():
        write(tmp_path / name, pixels)
    (tmp_path / "train/joy/broken.png").write_bytes(encode_png(faces[0])[:-30])
    found = findings(tmp_path)
    assert found.pop("low contrast") == ["train/joy/black.png", "train/joy/faint.png", "train/joy/white.png"]
    assert {kind: sorted(files) for kind, files in found.items()} == {
        "unreadable": ["train/joy/broken.png"],
        "twins": [
            "test/joy/twin.png",
            "train/fear/other_label.png",
            "train/joy/other_label.png",
            "train/joy/twin.png",
        ],
        "twins, other label": ["train/fear/other_label.png", "train/joy/other_label.png"],
        "twins, other split": ["test/joy/twin.png", "train/joy/twin.png"],
        "blank": ["train/joy/blank.png"],
        "black": ["train/joy/black.png"],
        "white": ["train/joy/white.png"],
        "small": ["train/joy/small.png"],
        "not square": ["train/joy/wide.png"],
    }


def test_two_datasets_that_spell_an_emotion_otherwise_do_not_contradict_each_other(tmp_path: Path) -> None:
    same, other = draw_images(2, seed=6)
    for folder, emotion, face in (
        ("ours", "angry", same),
        ("ours", "happy", other),
        ("theirs", "Anger", same),
        ("theirs", "sadness", other),
    ):
        write(tmp_path / folder / emotion / "1.png", face)
    found = findings(tmp_path)
    assert len(found["twins"]) == 4
    assert found["twins, other label"] == ["ours/happy/1.png", "theirs/sadness/1.png"]


def test_twins_stand_together(tmp_path: Path) -> None:
    faces = draw_images(3, seed=5)
    for number in range(9):
        write(tmp_path / "joy" / f"{number}.png", faces[number % 3])
    assert findings(tmp_path)["twins"] == [f"joy/{number}.png" for number in (0, 3, 6, 1, 4, 7, 2, 5, 8)]


def test_a_stage_s_image_that_changed_or_went_is_found(root: Paths) -> None:
    before = findings(root.fer_images)
    files = [entry.file for entry in audit.read(root.fer_images).entries]
    for file in files[20], files[21], files[22]:
        (root.fer_images / file).unlink()
    write(root.fer_images / files[21], draw_images(1, seed=9)[0])
    write(root.fer_images / files[22], draw_images(1, seed=9)[0][:40])
    found = findings(root.fer_images)
    assert "changed" not in before
    assert found["changed"] == [files[21]]
    assert found["unreadable"] == [files[20], files[22]]
