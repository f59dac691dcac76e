"""What lies in FER-Datasets, under whatever name: what each folder is taken for, and what is said of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, images_of, refusal, write_fer_csv, write_small_ckplus, write_small_fer
from layouts import draw, put
from PIL import Image
from running import call_script, error_line

from emotorch.data import fer2013, fer2013_folders, pixel_csv
from emotorch.data.dataset import training_dataset
from emotorch.data.images import SIZE, hash_pixels
from emotorch.data.recognition import Recognition, recognise
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import CKP, FER, FER_USAGES
from emotorch.errors import UsageError
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_1, STAGE_2, STAGE_4, Paths

SEVEN = get_scheme("seven")
NUMBERS = [str(number) for number in range(7)]


def look(paths: Paths) -> Recognition:
    return recognise(paths, SEVEN)


def kinds(paths: Paths) -> dict[str, str]:
    """What was found, by its name: where it lies, below FER-Datasets."""
    return {name: found.where.relative_to(paths.raw).as_posix() for name, found in look(paths).datasets.items()}


def usages(images: Sequence[SourceImage]) -> dict[str, int]:
    return Counter(image.usage for image in images)


def fer_names(splits: dict[str, int], classes: Sequence[str] = FER.classes, file: str = "im{number}.png") -> list[str]:
    """`train/angry/im0.png`: so many images of each class for each split."""
    return [
        f"{split}/{name}/{file.format(number=number, split=split)}"
        for split, count in splits.items()
        for name in classes
        for number in range(count)
    ]


# FER-2013 as class folders.


@pytest.mark.parametrize("place", ["fer2013", "FER-2013 (1)/images", "downloads/archive/fer 2013", "x/Fer_13"])
@pytest.mark.parametrize(
    "classes", [FER.classes, [name.capitalize() for name in FER.classes], NUMBERS, ["anger", "Happiness", "4_sad"]]
)
def test_class_folders_of_fer_2013_are_known_by_a_folder_s_name(
    paths: Paths, place: str, classes: Sequence[str]
) -> None:
    put(paths.raw / place, fer_names({"Train": 2, "TEST": 1}, classes))
    images = images_of(paths, FER)
    assert usages(images) == {"Training": 2 * len(classes), "PublicTest+PrivateTest": len(classes)}
    assert {image.emotion for image in images} <= set(FER.classes)
    assert kinds(paths) == {"FER": place}


@pytest.mark.parametrize(
    ("splits", "found"),
    [
        (("train", "test"), ("Training", "PublicTest+PrivateTest")),
        (("train", "validation"), ("Training", "validation")),
        (("train", "val", "test"), ("Training", "PublicTest", "PrivateTest")),
        (("Training", "PublicTest", "PrivateTest"), ("Training", "PublicTest", "PrivateTest")),
        (("train", "public_test", "private_test"), ("Training", "PublicTest", "PrivateTest")),
        (("FER2013Train", "FER2013Valid", "FER2013Test"), ("Training", "PublicTest", "PrivateTest")),
    ],
)
def test_every_naming_of_its_splits_is_read(paths: Paths, splits: Sequence[str], found: Sequence[str]) -> None:
    put(paths.raw / "fer2013", fer_names(dict.fromkeys(splits, 1)))
    assert usages(images_of(paths, FER)) == dict.fromkeys(found, 7)


def test_other_datasets_in_a_folder_called_after_it_are_those(paths: Paths) -> None:
    shuffled_table(paths, "fer2013/fer2013.csv", header="emotion,pixels,Usage", row="{emotion},{pixels},{usage}")
    put(paths.raw / "fer2013", [f"{place}/anger/S010_004_0000001{n}.png" for n in range(3) for place in ("CK+48", "x")])
    put(paths.raw / "fer2013" / "AffectNet", [f"train/{n}/{n}.png" for n in range(7)])
    assert kinds(paths) == {"FER": "fer2013/fer2013.csv", "CKP": "fer2013/CK+48", "AffectNet": "fer2013/AffectNet"}


def test_a_validation_set_of_another_size_than_the_test_is_nobody_s_publictest(paths: Paths) -> None:
    put(paths.raw / "fer2013", fer_names({"train": 4, "val": 1, "test": 2}))
    assert usages(images_of(paths, FER)) == {"Training": 28, "validation": 7, "PublicTest+PrivateTest": 14}


def test_the_names_of_its_files_tell_more_than_the_folders(paths: Paths) -> None:
    names = [f"test/{NUMBERS[n % 7]}/{FER_USAGES[1 + n % 2]}_{n:07d}.jpg" for n in range(8)]
    put(paths.raw / "archive" / "images", [*names, "train/0/Training_9.jpg"])
    assert usages(images_of(paths, FER)) == {"PublicTest": 4, "PrivateTest": 4, "Training": 1}
    # A folder of the user's own may hold some of them.
    put(paths.raw / "mine", ["happy/Training_1.jpg", "happy/holiday.jpg", "sad/Training_2.jpg"])
    assert kinds(paths) == {"FER": "archive/images", "mine": "mine"}


def test_a_nameless_folder_with_its_classes_and_size_is_fer_2013_and_one_with_a_name_is_the_user_s(
    paths: Paths,
) -> None:
    for place in ("mine", "archive (2)", "face-expression-recognition-dataset"):
        put(paths.raw / place, fer_names({"train": 1, "validation": 1}))
    put(paths.raw / "archive", fer_names({"train": 1, "test": 1}), side=96)
    put(paths.raw / "data", fer_names({"train": 1, "test": 1}, [*NUMBERS, "7"]))
    found = look(paths)
    assert {name: one.where.name for name, one in found.datasets.items()} == {
        "FER": "archive (2)",
        "archive": "archive",
        "mine": "mine",
    }
    assert [copy.where.name for copy in found.others] == ["face-expression-recognition-dataset"]
    assert ["which dataset is it" in part.found for part in found.passed_over] == [True]


def test_what_only_looks_like_fer_2013_is_the_user_s(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """FER+'s images under FER+'s labels, and a larger dataset of the same size and classes."""
    put(paths.raw / "fer2013plus" / "fer2013", [*fer_names({"train": 1, "test": 1}), "train/contempt/fer0000001.png"])
    put(paths.raw / "archive", fer_names({"train": 1, "valid": 1, "test": 1}))
    assert kinds(paths) == {"FER": "archive", "fer2013": "fer2013plus/fer2013"}
    (paths.raw / "archive" / "train" / "contempt").mkdir()  # an empty folder is no class
    assert kinds(paths) == {"FER": "archive", "fer2013": "fer2013plus/fer2013"}
    monkeypatch.setattr(fer2013_folders, "_LARGEST", 20)
    assert kinds(paths) == {"archive": "archive", "fer2013": "fer2013plus/fer2013"}


def test_a_copy_in_a_nameless_folder_beside_is_named_and_a_test_set_without_labels_passed_over(paths: Paths) -> None:
    names = fer_names({"train": 1, "validation": 1})
    put(paths.raw / "archive" / "images", names)
    put(paths.raw / "archive" / "images" / "images", names[:-1])
    put(paths.raw / "archive" / "images" / "test", ["1.png", "2.png"])
    found = look(paths)
    assert len(found.datasets["FER"].images()) == 14
    assert [copy.where for copy in found.others] == [paths.raw / "archive" / "images" / "images"]
    assert [(part.where.name, part.found[:10]) for part in found.passed_over] == [("test", "2 pictures")]


def test_enlarged_faces_are_brought_back_and_what_it_cost_is_said(paths: Paths) -> None:
    files = put(paths.raw / "fer2013_224", fer_names({"train": 1, "test": 1}))
    for number, file in enumerate(files):
        Image.fromarray(draw(number)).resize((224, 224), Image.Resampling.BILINEAR).save(file)
    (note,) = look(paths).datasets["FER"].notes
    assert note.startswith("enlarged to 224×224 and brought back to 48×48, which is not quite what they were")
    for image in images_of(paths, FER):
        assert image.reading is Reading.ENLARGED
        face = image.read()
        assert face.shape == (48, 48)
        assert np.abs(face.astype(int) - draw(files.index(image.path))).mean() < 0.8


# Tables.


def shuffled_table(paths: Paths, name: str, *, header: str, row: str, start: bytes = b"", end: str = "\n") -> Path:
    """Seven faces, of each class one; `row` is filled with number, emotion, pixels and usage."""
    file = paths.raw / name
    file.parent.mkdir(parents=True)
    lines = [header]
    for number in range(7):
        pixels = " ".join(map(str, draw(number).ravel().tolist()))
        lines.append(row.format(n=number, emotion=number, pixels=pixels, usage=FER_USAGES[number % 3]))
    file.write_bytes(start + end.join([*lines, ""]).encode())
    return file


@pytest.mark.parametrize(
    ("name", "header", "row", "start", "end"),
    [
        ("x/icml_face_data.csv", "emotion, Usage, pixels", "{emotion},{usage},{pixels}", b"", "\n"),
        ("x y (1)/data.csv", ",emotion,pixels,Usage", "{n},{emotion},{pixels},{usage}", b"\xef\xbb\xbf", "\r\n"),
        ("a/FER2013 (1).csv", '"emotion";"pixels";"usage"', '"{emotion}";"{pixels}";"{usage}"', b"", "\n"),
        ("a/fer.tsv", "Usage\temotion\tpixels", "{usage}\t{emotion}\t{pixels}", b"", "\n"),
        ("a/fer.csv", "emotion|pixels|Usage", "{emotion}|{pixels}|{usage}", b"", "\n"),
    ],
)
def test_a_table_of_fer_2013_may_have_its_columns_otherwise(
    paths: Paths, name: str, header: str, row: str, start: bytes, end: str
) -> None:
    file = shuffled_table(paths, name, header=header, row=row, start=start, end=end)
    assert call_script(paths, STAGE_1).stdout == f"{paths.fer_images}: 7 images written\n"
    images = images_of(paths, FER)
    assert [image.emotion for image in images] == list(FER.classes)
    assert [image.usage for image in images] == [FER_USAGES[number % 3] for number in range(7)]
    assert [image.hash for image in images] == [hash_pixels(draw(number)) for number in range(7)]
    assert kinds(paths)["FER"] == file.relative_to(paths.raw).as_posix()


def test_of_the_competition_s_files_the_fullest_is_taken_and_the_others_are_named(paths: Paths) -> None:
    folder = paths.raw / "competition"
    shuffled_table(
        paths, "competition/icml_face_data.csv", header="emotion, Usage, pixels", row="{emotion},{usage},{pixels}"
    )
    shuffled_table(paths, "train only/train.csv", header="emotion,pixels", row='{emotion},"{pixels}"')
    (paths.raw / "train only" / "train.csv").rename(folder / "train.csv")
    train = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join(train[:5]))
    (folder / "test.csv").write_text("pixels\n" + train[1].partition(",")[2] + "\n")
    found = look(paths)
    assert found.datasets["FER"].where.name == "icml_face_data.csv"
    assert [copy.where.name for copy in found.others] == ["train.csv"]
    assert [(part.where.name, part.found) for part in found.passed_over] == [
        ("test.csv", "faces without a column emotion: nothing says what they show")
    ]
    (folder / "icml_face_data.csv").unlink()
    assert call_script(paths, STAGE_1).returncode == 0
    assert usages(images_of(paths, FER)) == {"Training": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fer2013/fer2013.csv".ljust(257, b"\0") + b"ustar", ": no table but a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ": no table but a Git LFS pointer"),
        ("emotion,pixels,Usage\n0,1 2,Training\n".encode("utf-16"), ": text in UTF-16, which is not read"),
        ("emotion,pixels,Usage\n0,1 2,Training\n".encode("utf-16-le"), ": text in UTF-16, which is not read"),
        (b"emotion:pixels:Usage\n0:1 2:Training\n", ", line 1: the header is 'emotion:pixels:Usage'"),
    ],
    ids=["tar", "lfs", "utf-16", "utf-16 without a mark", "another separator"],
)
def test_what_is_no_table_in_its_place_is_named_by_both_stages(paths: Paths, content: bytes, message: str) -> None:
    paths.fer_csv.parent.mkdir(parents=True)
    paths.fer_csv.write_bytes(content)
    for stage in (STAGE_1, STAGE_2):
        assert error_line(call_script(paths, stage)).startswith(f"error: {paths.fer_csv}{message}")
    assert not paths.fer_images.exists()
    assert not paths.originals.exists()


def test_a_table_that_stage_1_has_not_converted_as_it_is_ends_stage_2(paths: Paths) -> None:
    write_small_fer(paths, rows=14, twins=0)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    assert len(images_of(paths, FER)) == 14
    write_small_fer(paths, rows=21, twins=0)
    with refusal(f"{paths.fer_images} was not made from {paths.fer_csv}: run {STAGE_1} again"):
        images_of(paths, FER)


# CK+.


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_ckplus_is_known_by_its_file_names(paths: Paths, ending: str) -> None:
    names = [f"{name}/S{who:03d}_001_0000001{n}.{ending}" for who in (5, 130) for name in CKP.classes for n in (1, 2)]
    put(paths.raw / "some faces (1)" / "all", [name.replace("happy", "Happiness") for name in names])
    images = images_of(paths, CKP)
    assert len(images) == len(names)
    assert {image.subject for image in images} == {"S005", "S130"}
    assert {image.emotion for image in images} == set(CKP.classes)
    assert {image.reading for image in images} == {Reading.FACE}
    assert kinds(paths) == {"CKP": "some faces (1)/all"}


def test_a_large_table_with_an_eighth_class_is_of_other_labels(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_csv, "_LARGEST_CKP", 4 * SIZE * SIZE)
    file = paths.raw / "archive" / "faces.csv"
    file.parent.mkdir(parents=True)
    rows = [f"{code},{' '.join(['7'] * SIZE * SIZE)},Training" for code in (7, 0, 1)]
    file.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    found = look(paths)
    assert not found.datasets
    (missing,) = (part for part in found.passed_over if part.where == file)
    assert missing.found.startswith("faces with an eighth class, which FER-2013 has not")


def test_numbers_of_ckplus_s_class_folders_are_not_guessed(paths: Paths) -> None:
    """Copies count its classes from 0, from 1, with neutral or in the order of the alphabet."""
    put(paths.raw / "CK+", (f"{number}/S010_00{number}_00000017.png" for number in range(8)))
    (missing,) = look(paths).passed_over
    assert missing.is_question
    assert missing.found == (
        "CK+ by its file names, but its class folders are numbers, which copies of it count differently: call them by "
        "the emotions"
    )


@pytest.mark.parametrize(
    ("name", "beside"),
    [("ckextended.csv", ""), ("data.csv", ""), ("CK+/faces.csv", ""), ("ckextended.csv", "fer2013.csv")],
)
def test_ckplus_as_a_table_is_told_from_fer_2013_by_its_name_or_its_contempt(
    paths: Paths, name: str, beside: str
) -> None:
    codes = [0, 1, 2, 3, 4, 5, 6, 7 if name == "data.csv" else 6]
    write_fer_csv(paths.raw / name, draw_images(8, seed=1), codes, ["Training"] * 8)
    if beside:
        write_fer_csv(paths.raw / beside, draw_images(7, seed=2), list(range(7)), ["Training"] * 7)
    images = images_of(paths, CKP)
    assert [image.emotion for image in images] == [
        *("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral"),
        "contempt" if name == "data.csv" else "neutral",
    ]
    assert [hash_pixels(image.read()) for image in images] == [hash_pixels(face) for face in draw_images(8, seed=1)]
    assert {image.place for image in images[:1]} == {f"{paths.raw / name}#0"}
    assert {(image.usage, image.subject) for image in images} == {("", "")}
    assert set(kinds(paths)) == ({"FER", "CKP"} if beside else {"CKP"})


def test_a_bad_row_of_ckplus_s_table_is_named(paths: Paths) -> None:
    file = paths.raw / "ckextended.csv"
    write_fer_csv(file, draw_images(3, seed=1), [0, 8, 1], ["Training"] * 3)
    line = error_line(call_script(paths, STAGE_2))
    assert line == f"error: {file}, line 3 (row 1): unknown emotion '8', not 0-7; mend it"


def test_ckplus_s_neutral_faces_take_part_where_a_scheme_has_them(paths: Paths) -> None:
    put(paths.raw / "CK+", [f"{name}/S005_00{n}_00000017.png" for n, name in enumerate(CKP.classes)])
    done = call_script(paths, STAGE_2, "--scheme", "seven")
    assert done.stdout.endswith("CKP: 7 images (angry 1, disgust 1, fear 1, happy 1, sad 1, surprise 1, neutral 1)\n")
    assert "CKP: 1 image takes no part in seven (contempt 1)" in done.stderr
    done = call_script(paths, STAGE_2)
    assert done.stdout.endswith("CKP: 4 images (anger 1, fear 1, calm 1, surprise 1)\n")


@pytest.mark.parametrize(
    ("frames", "labels"),
    [
        ("cohn-kanade-images", "Emotion"),
        ("cohn-kanade-images", "Emotion_labels/Emotion"),
        ("download/extended-cohn-kanade-images/cohn-kanade-images", "download/Emotion_labels (1)"),
        ("../cohn-kanade-images", "../Emotion"),
    ],
)
def test_the_parts_of_ckplus_s_archive_meet_wherever_they_lie(paths: Paths, frames: str, labels: str) -> None:
    root = paths.raw / "CK+"
    put(root / frames, [f"S005/001/S005_001_0000000{frame}.png" for frame in range(1, 5)], side=100)
    put(root / frames, ["S005/002/S005_002_00000001.png"])
    label = root / labels / "S005" / "001" / "S005_001_00000004_emotion.txt"
    label.parent.mkdir(parents=True)
    label.write_text("   3.0000000e+00\n")
    images = images_of(paths, CKP)
    assert [(image.path.stem[-1], image.emotion, image.subject) for image in images] == [
        (frame, "disgust", "S005") for frame in "234"
    ]
    write_small_ckplus(Paths(paths.root / "other"))
    (paths.root / "other" / "FER-Datasets" / "CK+").rename(paths.raw / "CK+48")
    found = look(paths)
    assert found.datasets["CKP"].where == paths.raw / "CK+48", "it is fuller"
    assert len(found.others) == 1


# What is said, and what trains.


def test_what_is_no_dataset_is_named_with_what_it_holds(paths: Paths) -> None:
    write_small_fer(paths, rows=7, twins=0)
    put(paths.raw / "loose", ["a.png", "sub/b.webp"])
    put(paths.raw / "one", ["c.png"])
    (paths.raw / "archive.zip").write_bytes(b"PK\x03\x04")
    (paths.raw / "columns").mkdir()
    (paths.raw / "columns" / "train.parquet").write_bytes(b"PAR1")
    put(paths.raw / "sheet", ["d.png"])
    (paths.raw / "sheet" / "labels.xlsx").write_bytes(b"PK\x03\x04")
    (paths.raw / "sheet" / "empty.csv").write_text("path,label\n")
    (paths.raw / "sheet" / "other.csv").write_text("time,value\n1,2\n")
    (paths.raw / "links").mkdir()
    (paths.raw / "links" / "gone").symlink_to(paths.root / "nowhere")
    (paths.raw / "fer-2013" / "readme.txt").write_text("x")
    said = {part.where.name: part.found for part in look(paths).passed_over}
    assert said == {
        "loose": "2 pictures, and no class folders or names that tell what they show",
        "one": "1 picture, and no class folders or names that tell what they show",
        "columns": "train.parquet is of a kind that is not read; write it as pictures in class folders",
        "FER-Datasets": "archive.zip is a zip archive (unpack it)",
        "sheet": "1 picture, and no class folders or names that tell what they show; empty.csv is a table of labels "
        "without rows; labels.xlsx is a spreadsheet (save it as CSV); other.csv has no columns that are known here "
        "(path and label): time, value",
        "links": "gone leads nowhere (a broken link)",
    }


def test_folders_that_link_to_one_above_end(paths: Paths) -> None:
    put(paths.raw / "Faces" / "happy", ["1.png"])
    (paths.raw / "Faces" / "happy" / "all").symlink_to(paths.raw, target_is_directory=True)
    assert kinds(paths) == {"Faces": "Faces"}


def test_datasets_may_lie_in_fer_datasets_itself(paths: Paths) -> None:
    put(paths.raw, fer_names({"train": 2, "test": 1}))
    put(paths.raw / "CK+", ["anger/S005_001_00000017.png"])
    put(paths.raw / "mine", ["happy/1.png"])
    assert kinds(paths) == {"FER": ".", "CKP": "CK+", "mine": "mine"}
    assert len(images_of(paths, FER)) == 21


def test_the_only_dataset_trains_and_of_several_one_is_to_be_named(paths: Paths) -> None:
    scheme = ("--scheme", "seven")
    put(paths.raw / "mine", fer_names({"train": 1, "val": 1}))
    assert "nothing to do: no FER-2013" in call_script(paths, STAGE_1).stdout
    assert call_script(paths, STAGE_2, *scheme).returncode == 0
    ours = paths.for_scheme("seven")
    assert [training_dataset(ours, given) for given in (None, "mine", "MINE", "fer")] == ["mine", "mine", "mine", "fer"]
    put(paths.raw / "CK+48", ["anger/S005_001_00000017.png"])
    done = call_script(paths, STAGE_2, *scheme)
    assert f"no FER-2013 in {paths.raw}: everything runs without it; name what trains by --train-on" in done.stderr
    line = f"--train-on: name one of the datasets in {ours.originals}: CKP, mine"
    assert line in error_line(call_script(paths, STAGE_4, "--recipe", "speedrun"), 2)
    with pytest.raises(UsageError, match="CKP, mine"):
        training_dataset(ours, None)
    write_small_fer(paths, rows=7, twins=0)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    call_script(paths, STAGE_2, *scheme)
    assert training_dataset(ours, None) == "FER"


def test_a_broken_dataset_ends_it_with_nothing_written(paths: Paths) -> None:
    put(paths.raw / "mine", ["happy/1.png"])
    broken = put(paths.raw / "CK+48", ["anger/S005_001_00000017.png", "anger/S005_001_00000018.png"])[1]
    broken.write_bytes(broken.read_bytes()[:60])
    assert error_line(call_script(paths, STAGE_2)).startswith(f"error: {broken}: damaged image")
    assert not paths.originals.exists()


# Names that say several things, or another than they seem to.

EMOTION_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    "name",
    [
        "FER2013Plus/{split}/{number}/{n}.png",
        "FER+/{split}/{number}/{n}.png",
        "archive/{split}/{number}/{n}.png",
        "AffectNet and FER2013/{number}/{n}.png",
    ],
)
def test_numbers_under_a_name_that_is_of_another_or_of_several_are_asked_about(paths: Paths, name: str) -> None:
    put(paths.raw, (name.format(split=split, number=n, n=n) for split in ("train", "test") for n in range(7)))
    found = look(paths)
    assert not found.datasets
    assert found.passed_over[0].is_question


def test_fer_plus_s_seven_names_are_not_fer_2013_s(paths: Paths) -> None:
    names = [f"{split}/{emotion}/1.png" for split in ("train", "test") for emotion in EMOTION_FOLDERS]
    put(paths.raw / "FER2013Plus", names)
    put(paths.raw / "FERPlus-master" / "fer2013", names)
    assert kinds(paths) == {"FER": "FERPlus-master/fer2013", "FER2013Plus": "FER2013Plus"}


@pytest.mark.parametrize(
    ("table", "asked"),
    [
        ("affectnet/affectnet.csv", True),
        ("RAF-DB/data.csv", True),
        ("ferplus/fer2013plus.csv", True),
        ("affectnet/fer2013.csv", False),
        ("x/faces.csv", False),
        ("FER2013 and CK+/fer2013_clean.csv", False),
    ],
)
def test_a_table_of_faces_that_is_called_after_another_dataset_is_asked_about(
    paths: Paths, table: str, asked: bool
) -> None:
    (paths.raw / table).parent.mkdir(parents=True)
    rows = [f"{code},{' '.join(['9'] * SIZE**2)},Training" for code in range(7)]
    (paths.raw / table).write_text("\n".join(["emotion,pixels,Usage", *rows]))
    found = look(paths)
    assert list(found.datasets) == [] if asked else ["FER"]
    assert any(missing.is_question for missing in found.passed_over) == asked


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("archive/{split}/{split}/{emotion}/1.jpg", "archive"),
        ("mine/{split}/images/{emotion}/1.jpg", "mine"),
        ("SFEW_2/{split}/{split}_Aligned_Faces/{emotion}/1.jpg", "SFEW_2"),
    ],
)
def test_splits_that_are_nested_stay_one_dataset(paths: Paths, layout: str, expected: str) -> None:
    put(paths.raw, (layout.format(split=s, emotion=e) for s in ("train", "test") for e in ("happy", "sad")), side=60)
    (found,) = look(paths).datasets.values()
    assert found.where.name == expected
    assert usages(found.images()) == {"train": 2, "test": 2}


def test_downloads_folds_and_sources_are_nobody(paths: Paths) -> None:
    """Twice the number, or sources beside each other, are no persons."""
    emotions = ("happy", "sad")
    put(paths.raw / "k", (f"archive ({n})/{s}/{e}/1.jpg" for n in (1, 2) for s in ("train", "test") for e in emotions))
    put(paths.raw / "f", (f"fold{n}/{s}/{e}/1.jpg" for n in (1, 2, 3) for s in ("train", "val") for e in emotions))
    put(paths.raw / "m", (f"{s}/{e}/{of}/1.jpg" for s in ("train", "test") for e in emotions for of in ("fer", "raf")))
    assert all("persons" not in found.why for found in look(paths).datasets.values())


def test_a_split_s_word_in_a_dataset_s_name_divides_nothing(paths: Paths) -> None:
    put(paths.raw, (f"{name}/{e}/1.jpg" for name in ("my training faces", "webcam test") for e in ("happy", "sad")))
    assert sorted(kinds(paths).values()) == ["my training faces", "webcam test"]


def test_a_table_beside_affectnet_s_class_folders_counts_before_them(paths: Paths) -> None:
    folder = paths.raw / "affectnet-training-data"
    put(folder, ("anger/1.jpg", "sad/2.jpg"), side=96)
    (folder / "labels.csv").write_text(",pth,label,relFCs\n0,anger/1.jpg,surprise,0.8\n1,sad/2.jpg,sad,0.9\n")
    (found,) = look(paths).datasets.values()
    assert found.dataset == "AffectNet"
    assert [image.emotion for image in found.images()] == ["surprise", "sad"]


def test_of_several_columns_that_which_looks_like_it_is_taken(paths: Paths) -> None:
    put(paths.raw / "mine", ("1.jpg", "2.jpg"))
    text = "image_id,filename,label,emotion\n2,1.jpg,4,happy\n1,2.jpg,5,sad\n"
    (paths.raw / "mine" / "labels.csv").write_text(text)
    (found,) = look(paths).datasets.values()
    assert [(image.path.name, image.emotion) for image in found.images()] == [("1.jpg", "happy"), ("2.jpg", "sad")]


def test_persons_that_are_numbers_are_no_classes(paths: Paths) -> None:
    put(paths.raw / "my-affectnet-finetune", (f"{n}/{e}/1.jpg" for n in range(4) for e in ("anger", "happiness")))
    (found,) = look(paths).datasets.values()
    images = found.images()
    assert {image.subject for image in images} == {"0", "1", "2", "3"}
    assert all(image.emotion in ("anger", "happiness", "happy", "angry") for image in images)
    put(paths.raw / "archive" / "images", (f"{n}/{e}.jpg" for n in range(4) for e in ("Anger", "Happy", "Sad")))
    assert {(image.subject, image.emotion) for image in look(paths).datasets["archive"].images()} == {
        (str(n), emotion) for n in range(4) for emotion in ("angry", "happy", "sad")
    }


def test_a_class_folder_called_after_a_split_too_is_not_passed_over(paths: Paths) -> None:
    put(paths.raw / "mine", ("happy_train/1.jpg", "sad/1.jpg", "angry/1.jpg"))
    (found,) = look(paths).datasets.values()
    with refusal(f"{paths.raw / 'mine' / 'happy_train'}: "):
        found.images()


def test_ckplus_names_with_an_ending_tell_the_persons(paths: Paths) -> None:
    put(paths.raw / "CK+48" / "anger", ("S010_004_00000017_crop.png", "S011_004_00000018_crop.png"))
    (found,) = look(paths).datasets.values()
    assert found.dataset == "CKP"
    assert [image.subject for image in found.images()] == ["S010", "S011"]
