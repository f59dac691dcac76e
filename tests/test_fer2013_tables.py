"""FER-2013 as tables in the forms that it is republished in: split over files, in words, with other columns."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, images_of, refusal
from running import call_script, error_line

from emotorch.data import audit, fer2013
from emotorch.data.images import hash_pixels
from emotorch.data.recognition import Recognition, find_copies, recognise
from emotorch.datasets import CKP, FER, FER_USAGES
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_1, STAGE_2, Paths

SPELT = ("Anger", "DISGUST", "fearful", "Happiness", "sad", "Surprised", "neutral")
FACES = draw_images(14, seed=7)
TOGETHER = "Training", "PublicTest", "PrivateTest"


def numbers(face: int) -> list[str]:
    return [str(value) for value in FACES[face].ravel().tolist()]


def write(
    paths: Paths,
    name: str,
    faces: Sequence[int],
    header: str = "emotion,pixels",
    row: str = "{emotion},{pixels}",
    end: str = "\n",
) -> Path:
    """A table of these faces, of each class in turn; `row` may have `word`, `usage`, `list` and `columns` too."""
    lines = [header]
    for face in faces:
        emotion, pixels = face % 7, numbers(face)
        told = {"emotion": emotion, "word": SPELT[emotion], "usage": FER_USAGES[face % 3], "pixels": " ".join(pixels)}
        lines.append(row.format(**told, list=", ".join(pixels), columns=",".join(pixels)))
    file = paths.raw / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(end.join([*lines, ""]).encode())
    return file


def look(paths: Paths) -> Recognition:
    return recognise(paths, get_scheme("seven"))


def convert(paths: Paths, *, skip_bad_rows: bool = False) -> fer2013.Summary:
    (taken, *_) = find_copies(paths, FER)
    return fer2013.convert(paths, csvs=taken.tables, workers=1, force=False, skip_bad_rows=skip_bad_rows)


def read(paths: Paths) -> dict[int, tuple[str, str]]:
    """What is read after stage 1: class and usage of each face, by its number."""
    convert(paths)
    number_of = {hash_pixels(face): number for number, face in enumerate(FACES)}
    images = images_of(paths, FER)
    found = {number_of[image.hash or ""]: (image.emotion, image.usage) for image in images}
    assert len(found) == len(images)
    assert all(emotion == FER.classes[number % 7] for number, (emotion, _) in found.items())
    return found


def usages(paths: Paths) -> dict[str, int]:
    return Counter(usage for _, usage in read(paths).values())


# A table for each split.


@pytest.mark.parametrize(
    ("names", "tests", "found"),
    [
        (("train", "val", "test"), (2, 2), TOGETHER),
        (("Training", "validation", "Testing"), (2, 2), TOGETHER),
        (("fer2013_train", "fer2013_valid", "fer2013_test"), (2, 2), TOGETHER),
        (("train", "publictest", "privatetest"), (2, 3), TOGETHER),
        (("Training", "PublicTest", "PrivateTest"), (2, 3), TOGETHER),
        (("train", "test_public", "test_private"), (2, 3), TOGETHER),
        (("train", "val", "test"), (2, 3), ("Training", "validation", "PublicTest+PrivateTest")),
    ],
)
def test_tables_of_the_splits_are_read_together_with_usages_as_folders_have_them(
    paths: Paths, names: Sequence[str], tests: tuple[int, int], found: Sequence[str]
) -> None:
    first, second = tests
    for name, faces in zip(names, (range(5), range(5, 5 + first), range(9, 9 + second)), strict=True):
        write(paths, f"x/{name}.csv", faces)
    assert usages(paths) == dict(zip(found, (5, first, second), strict=True))
    (taken,) = find_copies(paths, FER)
    said = ", ".join(f"{name}.csv as {usage}" for name, usage in zip(names, found, strict=True))
    assert taken.notes == (f"read together: {said}",)


def test_two_tables_are_what_two_folders_are(paths: Paths) -> None:
    write(paths, "x/train.csv", range(5))
    write(paths, "x/test.csv", range(5, 9))
    assert usages(paths) == {"Training": 5, "PublicTest+PrivateTest": 4}
    (paths.raw / "x" / "test.csv").rename(paths.raw / "x" / "validation.csv")
    assert usages(paths) == {"Training": 5, "validation": 4}


def test_rows_count_on_in_the_official_order_of_usages(paths: Paths) -> None:
    """FER+'s votes are joined by the row."""
    for name, faces in (("privatetest", (7, 8)), ("publictest", (5, 6)), ("train", range(5))):
        write(paths, f"x/{name}.csv", faces)
    done = call_script(paths, STAGE_1)
    assert done.stdout.splitlines() == [
        f"{paths.raw / 'x' / 'train.csv'}: read together: train.csv as Training, publictest.csv as PublicTest, "
        "privatetest.csv as PrivateTest",
        f"{paths.fer_images}: 9 images written",
    ]
    with (paths.fer_images / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(9))
    assert [row["hash"] for row in rows] == [hash_pixels(face) for face in FACES[:9]]
    assert call_script(paths, STAGE_1).stdout.endswith(": 9 images up to date\n")


@pytest.mark.parametrize("whole", ["fer2013.csv", "train.csv", "other.csv"])
def test_parts_beside_a_whole_table_are_not_read_twice(paths: Paths, whole: str) -> None:
    for name, faces in (("train", range(5)), ("val", (5, 6)), ("test", (7, 8))):
        write(paths, f"x/{name}.csv", faces)
    file = write(paths, f"x/{whole}", range(9), "emotion,pixels,Usage", "{emotion},{pixels},{usage}")
    assert usages(paths) == dict.fromkeys(FER_USAGES, 3)
    found = look(paths)
    assert found.datasets["FER"].where == file
    (other,) = found.others
    assert other.where.name == ("val.csv" if whole == "train.csv" else "train.csv")
    assert other.why.endswith("with test.csv" if whole == "train.csv" else "with val.csv, test.csv")


def test_parts_are_taken_where_they_are_fuller_than_a_cut_table(paths: Paths) -> None:
    write(paths, "x/train.csv", range(5))
    write(paths, "x/test.csv", (5, 6))
    write(paths, "x/fer2013.csv", range(6), "emotion,pixels,Usage", "{emotion},{pixels},{usage}")
    assert usages(paths) == {"Training": 5, "PublicTest+PrivateTest": 2}


def test_parts_that_keep_their_column_are_read_by_it(paths: Paths) -> None:
    columns = {"header": ",emotion,pixels,Usage", "row": ",{emotion},{pixels},{usage}"}
    write(paths, "x/train.csv", (0, 3, 6), **columns)
    write(paths, "x/test.csv", (1, 2, 4, 5), **columns)
    assert usages(paths) == {"Training": 3, "PublicTest": 2, "PrivateTest": 2}
    (taken,) = find_copies(paths, FER)
    assert taken.notes == ("read together: train.csv by its column Usage, test.csv by its column Usage",)


def test_parts_with_a_column_of_their_split_are_as_those_without(paths: Paths) -> None:
    for split, faces in (("train", range(5)), ("val", (5, 6)), ("test", (7, 8))):
        write(paths, f"x/{split}.csv", faces, "emotion,pixels,split", f"{{emotion}},{{pixels}},{split}")
    assert usages(paths) == dict(zip(FER_USAGES, (5, 2, 2), strict=True))


@pytest.mark.parametrize("names", ["{}.csv", "fer2013.csv", "data.csv"])
def test_tables_in_folders_of_splits_are_read_together(paths: Paths, names: str) -> None:
    files = [
        write(paths, f"x/{split}/{names.format(split)}", faces)
        for split, faces in (("train", range(5)), ("PublicTest", (5, 6)), ("private_test", (7, 8)))
    ]
    assert usages(paths) == dict(zip(FER_USAGES, (5, 2, 2), strict=True))
    (taken,) = find_copies(paths, FER)
    assert taken.tables == tuple(files)
    listed = [entry.file for entry in audit.read(paths.raw / "x", paths).entries]
    assert listed[-1] == f"private_test/{names.format('private_test')}, line 3"
    files[1].unlink()
    files[2].unlink()
    assert usages(paths) == {"Training": 5}


def test_a_test_set_without_labels_is_passed_over(paths: Paths) -> None:
    write(paths, "x/train.csv", range(5))
    write(paths, "x/val.csv", (5, 6))
    write(paths, "x/test.csv", (7, 8), "pixels", "{pixels}")
    assert usages(paths) == {"Training": 5, "validation": 2}
    assert [(part.where.name, part.found) for part in look(paths).passed_over] == [
        ("test.csv", "faces without a column emotion: nothing says what they show")
    ]


def test_other_copies_of_a_split_are_no_parts(paths: Paths) -> None:
    for name in ("train", "train (1)", "train_balanced"):
        write(paths, f"x/{name}.csv", range(5))
    write(paths, "x/test.csv", (5, 6))
    write(paths, "x/privatetest.csv", (5, 6))
    assert usages(paths) == {"Training": 5, "PrivateTest": 2}
    assert sorted(copy.where.name for copy in look(paths).others) == ["test.csv", "train (1).csv", "train_balanced.csv"]


def test_a_bad_row_is_named_with_its_file(paths: Paths) -> None:
    write(paths, "x/train.csv", range(5))
    file = write(paths, "x/test.csv", (5, 6))
    file.write_text(file.read_text().replace("\n6,", "\n9,"))
    line = error_line(call_script(paths, STAGE_1))
    assert line.startswith(f"error: {file}, line 3 (row 6): unknown emotion '9', not 0-6; mend it")
    assert convert(paths, skip_bad_rows=True) == fer2013.Summary(6, 1, up_to_date=False)
    listed = (paths.fer_images / "skipped_rows.csv").read_text()
    assert listed == "row,line,reason\n6,3,\"test.csv: unknown emotion '9', not 0-6\"\n"


@pytest.mark.parametrize("change", ["more", "less", "other"])
def test_parts_that_are_not_those_of_stage_1_end_stage_2(paths: Paths, change: str) -> None:
    files = [write(paths, "x/train.csv", range(5)), write(paths, "x/test.csv", (5, 6))]
    convert(paths)
    if change == "more":
        files.insert(1, write(paths, "x/val.csv", (7,)))
    elif change == "less":
        files.pop().unlink()
    else:
        write(paths, "x/test.csv", (7, 8))
    names = ", ".join(map(str, [files[0], *(file.name for file in files[1:])]))
    with refusal(f"{paths.fer_images} was not made from {names}: run {STAGE_1} again"):
        images_of(paths, FER)


def test_an_audit_reads_parts_together(paths: Paths) -> None:
    write(paths, "x/train.csv", range(5))
    file = write(paths, "x/test.csv", (5, 6))
    found = audit.read(paths.raw / "x", paths)
    assert [entry.file for entry in found.entries][4:] == ["train.csv, line 6", "test.csv, line 2", "test.csv, line 3"]
    assert Counter(found.splits) == {"Training": 5, "PublicTest+PrivateTest": 2}
    assert len(audit.read(file, paths).entries) == 2


# Other columns and rows.

PIXEL_COLUMNS = ",".join(f"pixel{number}" for number in range(48 * 48))
PLACES = ",".join(f"p{row}_{column}" for row in range(48) for column in range(48))


@pytest.mark.parametrize(
    ("header", "row", "end"),
    [
        ("emotion,pixels,Usage", "{word},{pixels},{usage}", "\n"),
        ("label,pixels,Usage", "{word},{pixels},{usage}", "\n"),
        ("pixels,Facial Expression,Usage", '"{pixels}","{word}",{usage}', "\n"),
        ("emotion,label,pixels,Usage", "{emotion},{word},{pixels},{usage}", "\n"),
        ("emotion,pixels,Usage", "{emotion},{pixels},{usage}", "\r"),
        ("emotion,pixels,Usage", "{word},{pixels},{usage}", "\r\r\n"),
        (f"emotion,{PIXEL_COLUMNS},Usage", "{emotion},{columns},{usage}", "\n"),
        (f"Usage,{','.join(map(str, range(48 * 48)))},label", "{usage},{columns},{word}", "\r"),
        (f"emotion,{PLACES},Usage", '"{emotion}",{columns},"{usage}"', "\r\n"),
        ("emotion,pixels,Usage", '{emotion},"[{list}]",{usage}', "\n"),
        ("emotion;pixels;Usage", "{emotion};[{list}];{usage}", "\n"),
        ("emotion,pixels,Usage", '{emotion},"{columns}",{usage}', "\n"),
        ("emotion,image,Usage", "{emotion},{pixels},{usage}", "\n"),
        ("Emotion,Pixel,split", "{emotion},{pixels},{usage}", "\n"),
    ],
    ids=[
        *("words", "label", "label last", "both", "CR", "CR CR LF", "pixel columns", "numbered columns", "by place"),
        *("list", "list without quotes", "commas", "image", "pixel and split"),
    ],
)
def test_a_table_may_say_the_same_otherwise(paths: Paths, header: str, row: str, end: str) -> None:
    write(paths, "x/fer.csv", range(14), header, row, end)
    assert read(paths) == {face: (FER.classes[face % 7], FER_USAGES[face % 3]) for face in range(14)}


def test_columns_of_pixels_are_said_in_short(paths: Paths) -> None:
    write(paths, "x/fer.csv", range(3), f"emotion,{PIXEL_COLUMNS}", "{emotion},{columns}")
    assert find_copies(paths, FER)[0].why == "a table of faces with the columns emotion, pixel0 to pixel2303"


def test_columns_of_other_numbers_are_no_faces(paths: Paths) -> None:
    file = write(paths, "x/features.csv", range(3), f"emotion,{PIXEL_COLUMNS}", "{emotion},{columns}")
    file.write_text(file.read_text().replace(",", ",0.").replace(",0.pixel", ",pixel"))
    assert not look(paths).datasets


def test_whole_numbers_may_be_written_with_a_point_and_no_others(paths: Paths) -> None:
    file = write(paths, "x/fer.csv", range(3))
    file.write_text(file.read_text().replace(" ", ".0 "))
    assert set(read(paths)) == {0, 1, 2}
    file.write_text(file.read_text().replace(".0 ", ".5 ", 1))
    assert f"pixel 0 is '{numbers(0)[0]}.5', not a whole number" in error_line(call_script(paths, STAGE_1))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("Usage", ("training", "Public Test", "PRIVATE_TEST")),
        ("Usage", ("Training", "Validation", "Test")),
        ("split", ("train", "val", "test")),
    ],
)
def test_usages_may_be_called_otherwise(paths: Paths, column: str, words: Sequence[str]) -> None:
    file = write(paths, "x/fer.csv", range(12), f"emotion,pixels,{column}", "{emotion},{pixels},{usage}")
    for usage, word in zip(FER_USAGES, words, strict=True):
        file.write_text(file.read_text().replace(f",{usage}\n", f",{word}\n"))
    assert read(paths) == {face: (FER.classes[face % 7], FER_USAGES[face % 3]) for face in range(12)}


def test_splits_in_a_column_are_what_folders_are(paths: Paths) -> None:
    file = write(paths, "x/fer.csv", range(12), "emotion,pixels,Usage", "{emotion},{pixels},{usage}")
    file.write_text(file.read_text().replace("PublicTest", "test").replace("PrivateTest", "Testing"))
    assert usages(paths) == {"Training": 4, "PublicTest+PrivateTest": 8}
    note = "its column Usage: train as Training, test as PublicTest+PrivateTest"
    assert find_copies(paths, FER)[0].notes == (note,)


@pytest.mark.parametrize(
    ("name", "codes", "taken"),
    [
        ("faces.csv", "1234567", ""),  # as CK+'s without anger it would be read wrongly in silence
        ("faces.csv", "123456", ""),
        ("ckextended.csv", "1234567", ""),
        ("faces.csv", "0123456", "FER"),
        ("faces.csv", "01234567", "CKP"),
        ("faces.csv", "12345", "FER"),
        ("fer2013.csv", "123456", "FER"),  # its name tells what the numbers are
    ],
)
def test_classes_with_numbers_from_1_are_asked_about(paths: Paths, name: str, codes: str, taken: str) -> None:
    rows = [f"{codes[face % len(codes)]},{' '.join(numbers(face))}" for face in range(len(FACES))]
    (paths.raw / name).parent.mkdir(parents=True, exist_ok=True)
    (paths.raw / name).write_text("\n".join(["emotion,pixels", *rows, ""]))
    found = look(paths)
    assert list(found.datasets) == ([taken] if taken else [])
    assert any(part.is_question and "numbers 1 to" in part.found for part in found.passed_over) == (not taken)


def test_numbers_that_are_not_called_emotion_are_asked_about(paths: Paths) -> None:
    """Copies that were made of class folders count them by the alphabet: 4 is neutral then."""
    file = write(paths, "x/train.csv", range(5), "label,pixels")
    assert not look(paths).datasets
    line = error_line(call_script(paths, STAGE_2), 2)
    assert line.startswith(f"error: {file}: faces whose column label has numbers, which copies count differently: ")
    assert line.endswith("5 surprise, 6 neutral, call it emotion; else write the emotions' names there")


@pytest.mark.parametrize(("word", "says"), [("{word}", ""), ("sad", "different emotions"), ("Anna", ""), ("9", "")])
def test_numbers_that_words_beside_them_contradict_are_asked_about(paths: Paths, word: str, says: str) -> None:
    write(paths, "x/train.csv", range(7), "class,emotion,pixels", f"{word},{{emotion}},{{pixels}}")
    found = look(paths)
    assert bool(found.datasets) == (not says)
    assert [part.is_question for part in found.passed_over if says in part.found] == [True] * bool(says)


def test_numbers_by_the_alphabet_are_known_by_their_counts(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an official emotion column 4 to 6 are sad, surprise, neutral; of class folders' neutral, sad, surprise."""
    monkeypatch.setattr(fer2013, "FER", replace(FER, counts={"training set": (1, 1, 1, 1, 3, 1, 2)}))
    write(paths, "x/train.csv", [*range(7), 11, 11, 13], "emotion,pixels")
    assert convert(paths).images == 10
    file = write(paths, "x/train.csv", [*range(7), 11, 12, 12], "emotion,pixels")
    with refusal(f"{file}: as many rows of each number as FER-2013 has of 0 angry, 1 disgust, 2 fear, 3 happy, 4 neu"):
        convert(paths)


def test_ckplus_may_be_in_words_and_old_line_ends(paths: Paths) -> None:
    file = write(paths, "ckextended.csv", range(8), "emotion,pixels,Usage", "{word},{pixels},{usage}", "\r")
    file.write_bytes(file.read_bytes().replace(b"\rAnger", b"\rContempt", 1))
    images = images_of(paths, CKP)
    own = ("contempt", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "anger")
    assert [image.emotion for image in images] == list(own)
    assert [np.array_equal(image.read(), face) for image, face in zip(images, FACES, strict=False)] == [True] * 8


def test_words_of_an_eighth_class_are_no_row_of_fer_2013(paths: Paths) -> None:
    file = write(paths, "x/fer2013.csv", range(3), row="{word},{pixels}")
    file.write_text(file.read_text().replace("fearful", "contempt"))
    assert "line 4 (row 2): unknown emotion 'contempt', not 0-6" in error_line(call_script(paths, STAGE_1))


def test_rows_without_a_header_are_said_to_be_that(paths: Paths) -> None:
    file = write(paths, "x/data.csv", range(3), header="")
    file.write_text(file.read_text().lstrip())
    (missing,) = look(paths).passed_over
    start = "data.csv begins with a row, where its columns' names should stand (emotion,pixels,Usage): 0, "
    assert missing.found.startswith(start)
    assert len(missing.found) < len(start) + 50
