"""AffectNet by numbers, names, counts or annotations; and numbers that could be anybody's."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import images_of, refusal
from layouts import put
from running import call_script, error_line

from emotorch.data.known import recognise_class_folders, usage_of
from emotorch.data.layouts import Folder, Recognised
from emotorch.data.recognition import recognise
from emotorch.datasets import AFFECTNET, CKP, EXPW, FER, FER_USAGES, JAFFE, KDEF, RAF, Dataset
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_2, Paths

SEVEN = get_scheme("seven")
NAMES = ("Neutral", "happiness", "Sad", "surprise", "fear", "disgust", "Anger", "contempt")
HEX = "0123456789abcdef" * 3 + "01234567"


@pytest.mark.parametrize(
    ("root", "splits", "name"),
    [
        ("AffectNet", ("train_class", "val_class"), lambda n: f"class00{n}"),
        ("some affectnet (1)/x", ("Train", "Test"), str),
        ("affectnet-hq", ("train", "val"), lambda n: NAMES[n]),
        ("archive/AffectNet-8Labels/images", ("training", "validation"), lambda n: f"{n}_{NAMES[n]}"),
        ("Affect_Net", ("train", "valid"), lambda n: f"Class {n}"),
    ],
)
def test_class_folders_are_known_by_their_folder(
    paths: Paths, root: str, splits: tuple[str, str], name: Callable[[int], str]
) -> None:
    put(paths.raw / root, (f"{split}/{name(n)}/{n}.jpg" for split in splits for n in range(8)))
    images = images_of(paths, AFFECTNET)
    usage = {"Test": "test", "Train": "train"}.get(splits[1], "val")
    assert Counter(image.usage for image in images) == {"train": 8, usage: 8}
    for image in images:
        assert image.emotion == AFFECTNET.classes[int(image.path.stem)]


def test_class_folders_are_known_by_file_names(paths: Paths) -> None:
    put(paths.raw / "x", (f"{n}/{HEX[:-1]}{n}.jpg" for n in range(8)))
    assert [image.emotion for image in images_of(paths, AFFECTNET)] == list(AFFECTNET.classes)


@pytest.mark.parametrize("dataset", [replace(AFFECTNET, counts={"training set": tuple(range(200, 208))}), RAF])
def test_class_folders_are_known_by_how_many_they_hold(paths: Paths, dataset: Dataset) -> None:
    """By names alone: nobody draws the pictures for a test."""
    (what, counts), *_ = reversed(dataset.counts.items())

    def holding(emotions: int, fewer: int = 0) -> Folder:
        path = paths.raw / "x"
        numbered = enumerate(counts[:emotions], start=dataset.first_number or 0)
        folders = (
            Folder(path / str(number), paths.raw, tuple(f"{name}.png" for name in range(count - fewer)), ())
            for number, count in numbered
        )
        return Folder(path, paths.raw, (), tuple(folders))

    (found,) = recognise_class_folders(holding(8), dataset)
    assert isinstance(found, Recognised)
    assert found.why == f"class folders, as many pictures of each class as its {what} has"
    assert not list(recognise_class_folders(holding(8), AFFECTNET if dataset is RAF else RAF))
    assert not list(recognise_class_folders(holding(8, fewer=4), dataset))
    assert not list(recognise_class_folders(holding(5), dataset))


def test_annotations_beside_the_pictures_tell(paths: Paths) -> None:
    for split, numbers in (("train_set", (0, 3, 7, 8)), ("val_set", (6,))):
        put(paths.raw / "download" / split / "images", (f"{n}.jpg" for n in numbers))
        (paths.raw / "download" / split / "annotations").mkdir()
        for n in numbers:
            np.save(paths.raw / "download" / split / "annotations" / f"{n}_exp.npy", np.array(str(n)))
    found = [(image.emotion, image.usage) for image in images_of(paths, AFFECTNET)]
    assert found == [("neutral", "train"), ("surprise", "train"), ("contempt", "train"), ("anger", "val")]
    broken = paths.raw / "download" / "val_set" / "annotations" / "6_exp.npy"
    broken.write_bytes(b"")
    with refusal(f"{broken}: no annotation of a picture"):
        images_of(paths, AFFECTNET)


def test_the_official_lists_tell(paths: Paths) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    folder = paths.raw / "from the authors"
    put(folder / "Manually_Annotated_Images" / "1", ["a.jpg", "b.jpg", "c.jpg"], side=90)
    (folder / "training.csv").write_text(f"{header}\n1/a.jpg,10,20,50,60,1;2,6,0,0\n1/b.jpg,0,0,90,90,1;2,10,-2,-2\n")
    (folder / "validation.csv").write_text(f"{header}\n1/c.jpg,0,0,40,40,1;2,1,0,0\n")
    recognition = recognise(paths, SEVEN)
    images = recognition.datasets["AffectNet"].images()
    assert [(image.path.name, image.emotion, image.usage) for image in images] == [
        ("a.jpg", "anger", "train"),
        ("c.jpg", "happy", "val"),
    ]
    assert images[0].read().shape[:2] == (60, 50)


def test_a_copy_s_table_tells_before_the_folders(paths: Paths) -> None:
    put(paths.raw / "archive (3)", (f"{emotion}/image0000006.jpg" for emotion in ("anger", "contempt")))
    rows = "0,anger/image0000006.jpg,surprise,0.87\n1,contempt/image0000006.jpg,contempt,0.9\n"
    (paths.raw / "archive (3)" / "labels.csv").write_text(f",pth,label,relFCs\n{rows}")
    found = recognise(paths, SEVEN).datasets["AffectNet"].images()
    assert [(image.path.parent.name, image.emotion) for image in found] == [
        ("anger", "surprise"),
        ("contempt", "contempt"),
    ]


@pytest.mark.parametrize(
    ("dataset", "given", "usage"),
    [
        *((FER, usage.lower(), usage) for usage in FER_USAGES),
        *((FER, split, usage) for split, usage in (("train", "Training"), ("test", "PublicTest+PrivateTest"))),
        *((RAF, given, usage) for given, usage in (("Train", "train"), ("valid", "val"), ("test", "test"), ("", ""))),
        *((AFFECTNET, given, usage) for given, usage in (("train_class", "train"), ("Validation", "val"))),
        *((dataset, split, "") for dataset in (JAFFE, KDEF, CKP, EXPW) for split in ("train", "val", "test")),
    ],
)
def test_a_usage_is_one_of_the_record_s(dataset: Dataset, given: str, usage: str) -> None:
    """What is no usage of the record would neither train nor validate, without a word."""
    assert usage_of(dataset, given) == usage


# Numbers that nothing else tells about.


@pytest.mark.parametrize("splits", [("",), ("train/", "val/")])
def test_numbers_alone_are_asked_about(paths: Paths, splits: tuple[str, ...]) -> None:
    put(paths.raw / "faces", (f"{split}{n}/{n}.jpg" for split in splits for n in range(8)))
    assert error_line(call_script(paths, STAGE_2), 2) == (
        f"error: {paths.raw / 'faces'}: which dataset is it? Its class folders are numbers, 0 to 7, which stand for "
        "other emotions in every dataset; such are in AffectNet. If they are a dataset's own, rename the folder so "
        "that its name has the dataset's in it, as faces-AffectNet; if not, call the classes by the emotions"
    )
    (paths.raw / "faces").rename(paths.raw / "faces-AffectNet")
    assert call_script(paths, STAGE_2).returncode == 0


def test_a_dataset_s_folders_by_other_numbers_are_not_taken_for_another_s(paths: Paths) -> None:
    put(paths.raw / "fer2013", (f"train/{n}/{n}.jpg" for n in range(1, 8)))
    (missing,) = recognise(paths, SEVEN).passed_over
    assert missing.is_question
    assert missing.found == (
        "its class folders are numbers, 1 to 7, which are not those of FER-2013, after which it is called; call the "
        "classes by the emotions"
    )


@pytest.mark.parametrize(("numbers", "whose"), [(range(7), "FER-2013, AffectNet, ExpW"), (range(1, 8), "RAF-DB")])
def test_the_question_names_those_that_have_such_numbers(paths: Paths, numbers: range, whose: str) -> None:
    put(paths.raw / "download" / "faces", (f"train/{n}/{n}.jpg" for n in numbers))
    (missing,) = recognise(paths, SEVEN).passed_over
    assert missing.where == paths.raw / "download" / "faces"
    assert whose in missing.found
    assert recognise(paths, SEVEN).datasets == {}


def test_numbers_from_1_are_not_taken_for_affectnet_s_from_0(paths: Paths) -> None:
    put(paths.raw / "AffectNet", (f"class00{n}/{n}.jpg" for n in range(1, 8)))
    (missing,) = recognise(paths, SEVEN).passed_over
    assert missing.is_question
    put(paths.raw / "AffectNet", ["class000/0.jpg", "class008/8.jpg"])
    with refusal(f"{paths.raw / 'AffectNet' / 'class008'}: not a class of AffectNet (neutral, happy, sad, "):
        images_of(paths, AFFECTNET)


def test_persons_and_sequences_are_no_classes(paths: Paths) -> None:
    put(paths.raw / "clips", (f"clip{n}/{m:03d}/{m}.jpg" for n in range(3) for m in range(1, 3)))
    (missing,) = recognise(paths, SEVEN).passed_over
    assert missing.found.startswith("6 pictures, and no class folders or names")
