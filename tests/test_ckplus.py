"""CK+ in its two layouts."""

import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, images_of, refusal, write_small_ckplus

from emotorch.data.faces import Box
from emotorch.data.images import GREY_FACE, Pixels, encode_png, resize
from emotorch.data.recognition import recognise
from emotorch.data.scenes import search
from emotorch.data.sources import Reading
from emotorch.datasets import CKP
from emotorch.labels import get_scheme
from emotorch.paths import Paths


def draw_scene(right: int = 0) -> Pixels:
    """490×640 grey, as the original's frames, with one plain face, `right` pixels from the middle."""
    scene = np.full((490, 640), 110, np.uint8)
    x, y = 320 + right, 245
    cv2.ellipse(scene, (x, y), (96, 132), 0, 0, 360, 200, -1)
    for side in (-1, 1):
        cv2.ellipse(scene, (x + side * 42, y - 24), (22, 11), 0, 0, 360, 60, -1)
        cv2.ellipse(scene, (x + side * 42, y - 50), (29, 7), 0, 0, 360, 70, -1)
    cv2.ellipse(scene, (x, y + 24), (14, 6), 0, 0, 360, 140, -1)
    cv2.ellipse(scene, (x, y + 66), (36, 10), 0, 0, 360, 80, -1)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 2))


def write_sequence(root: Path, subject: str, sequence: str, frames: list[Pixels], label: str | None) -> Path:
    """One sequence of the original layout; returns the folder of its frames."""
    folder = root / "cohn-kanade-images" / subject / sequence
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        (folder / f"{subject}_{sequence}_{number:08d}.png").write_bytes(encode_png(frame))
    labels = root / "Emotion" / subject / sequence
    labels.mkdir(parents=True)
    if label is not None:
        (labels / f"{subject}_{sequence}_{len(frames):08d}_emotion.txt").write_text(label)
    return folder


# Class folders.


def test_class_folders_tell_emotion_and_subject(paths: Paths) -> None:
    write_small_ckplus(paths)
    images = images_of(paths, CKP)
    assert len(images) == 18
    assert {(image.emotion, image.subject) for image in images} == {
        (emotion, subject) for emotion in ("anger", "contempt", "surprise") for subject in ("S005", "S010")
    }
    assert all(image.path.parent.name == image.emotion for image in images)
    assert [image.path.name for image in images] == sorted(image.path.name for image in images)
    assert {image.reading for image in images} == {Reading.FACE}


def test_persons_are_the_same_whatever_the_case_of_the_names(paths: Paths) -> None:
    write_small_ckplus(paths)
    for path in sorted((paths.ckplus / "anger").iterdir()):
        path.rename(path.with_name(path.name.lower()))
    assert {image.subject for image in images_of(paths, CKP)} == {"S005", "S010"}


def test_files_beside_the_class_folders_are_no_images(paths: Paths) -> None:
    write_small_ckplus(paths)
    (paths.ckplus / "README.txt").write_text("The licence.")
    (paths.ckplus / "anger" / ".DS_Store").write_text("")
    assert len(images_of(paths, CKP)) == 18


def test_an_unknown_class_is_named(paths: Paths) -> None:
    write_small_ckplus(paths)
    (paths.ckplus / "boredom").mkdir()
    (paths.ckplus / "boredom" / "S005_002_00000001.png").write_bytes(b"")
    with refusal(f"{paths.ckplus}/boredom: not a class of CK+"):
        images_of(paths, CKP)


def test_a_file_without_a_subject_is_named(paths: Paths) -> None:
    write_small_ckplus(paths)
    (paths.ckplus / "anger" / "holiday.png").write_bytes(b"")
    with refusal(f"{paths.ckplus}/anger/holiday.png: not named like S010_004_00000017"):
        images_of(paths, CKP)


# The original's sequences.


def test_the_last_three_frames_of_a_labelled_sequence_are_the_peak(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    frames = list(draw_images(5, seed=1))
    write_sequence(paths.ckplus, "S010", "002", frames, "   7.0000000e+00\n")
    write_sequence(paths.ckplus, "S010", "003", frames, None)
    write_sequence(paths.ckplus, "S005", "001", frames, "   3.0000000e+00\n")
    with caplog.at_level(logging.INFO):
        images = images_of(paths, CKP)
    assert [(image.path.name, image.emotion, image.subject) for image in images] == [
        (f"{subject}_{sequence}_{frame:08d}.png", emotion, subject)
        for subject, sequence, emotion in (("S005", "001", "disgust"), ("S010", "002", "surprise"))
        for frame in (3, 4, 5)
    ]
    assert "CK+: 1 of 3 sequences have no emotion label and are left out" in caplog.text


@pytest.mark.parametrize("code", ["0", "8", "-1", "anger", "", "nan", "inf", "1e400"])
def test_a_label_that_is_no_emotion_is_named(paths: Paths, code: str) -> None:
    write_sequence(paths.ckplus, "S005", "001", list(draw_images(3, seed=1)), code)
    label = paths.ckplus / "Emotion" / "S005" / "001" / "S005_001_00000003_emotion.txt"
    with refusal(f"{label}: '{code}' is not an emotion number from 1 to 7"):
        images_of(paths, CKP)


def test_a_sequence_without_a_peak_is_named(paths: Paths) -> None:
    folder = write_sequence(paths.ckplus, "S005", "001", list(draw_images(2, seed=1)), "3")
    with refusal(f"{folder}: 2 frames, fewer than the 3 of a peak"):
        images_of(paths, CKP)


def test_sequences_without_any_label_are_said_to_lack_them(paths: Paths) -> None:
    write_sequence(paths.ckplus, "S005", "001", list(draw_images(3, seed=1)), None)
    found = recognise(paths, get_scheme("seven"))
    assert not found.datasets
    assert [(part.where, part.found) for part in found.passed_over] == [
        (paths.ckplus, "CK+'s frames (S005/001/…) without its labels, the folder Emotion")
    ]


def test_labels_without_frames_are_counted(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    for subject in ("S005", "S006"):
        folder = write_sequence(paths.ckplus, subject, "001", list(draw_images(3, seed=1)), "3")
    shutil.rmtree(folder)
    assert {image.subject for image in images_of(paths, CKP)} == {"S005"}
    assert "CK+: 1 sequences have a label and no frames (first: " in caplog.text


@pytest.mark.parametrize("right", [-150, 0, 150])
def test_the_face_is_cut_out_wherever_it_is(paths: Paths, right: int) -> None:
    scene = draw_scene(right)
    write_sequence(paths.ckplus, "S005", "001", 3 * [scene], "1")
    found = search(images_of(paths, CKP))
    assert [one.faces for one in found] == [1, 1, 1]
    image = found[0].largest
    assert image is not None
    box = image.box
    assert box is not None
    assert abs(box.x + box.width / 2 - (320 + right)) < 20
    face = image.read_as(GREY_FACE)
    # The same face in the same frame of its own, wherever it stood in the scene.
    in_the_middle = resize(Box(box.x - right, box.y, box.width, box.height).cut(draw_scene()))
    assert np.abs(face.astype(int) - in_the_middle).max() <= 1
