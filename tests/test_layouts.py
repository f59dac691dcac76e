"""Layouts that people have on their disks: what each picture is taken for, its given split, and who is shown."""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from conftest import refusal
from layouts import put
from PIL import ExifTags, Image

from emotorch.data.faces import Box
from emotorch.data.own_data import list_images
from emotorch.data.recognition import recognise
from emotorch.datasets import FER
from emotorch.labels import get_scheme
from emotorch.paths import Paths

SEVEN = get_scheme("seven")
# Of a picture: its dataset, class, given split and person.
Told = tuple[str, str, str, str]


def told(paths: Paths) -> dict[str, Told]:
    """What is told of every picture, by its path below FER-Datasets."""
    return {
        image.path.relative_to(paths.raw).as_posix(): (name, image.emotion, image.usage, image.subject)
        for name, found in recognise(paths, SEVEN).datasets.items()
        for image in found.images()
    }


def lay(paths: Paths, pictures: Iterable[str], tables: dict[str, Sequence[str]] | None = None, side: int = 48) -> None:
    put(paths.raw, pictures, side=side)
    for name, lines in (tables or {}).items():
        file = paths.raw / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")


def in_classes(layout: str, emotions: Sequence[str] = ("angry", "happy")) -> list[str]:
    return [layout.format(emotion) for emotion in emotions]


@pytest.mark.parametrize("name", ["sample_submission.csv", "predictions.csv", "val_preds.csv", "my-guesses.csv"])
def test_a_model_s_guesses_are_no_labels(paths: Paths, name: str) -> None:
    folders = ("train", "test")
    rows = [f"{folder}/{emotion}/1.jpg,sad" for folder in folders for emotion in ("angry", "happy")]
    pictures = [file for folder in folders for file in in_classes(f"comp/{folder}/{{}}/1.jpg")]
    lay(paths, pictures, {f"comp/{name}": ["image,label", *rows]})
    assert told(paths) == {file: ("comp", file.split("/")[2], file.split("/")[1], "") for file in pictures}
    said = {part.where.name: part.found for part in recognise(paths, SEVEN).passed_over}
    assert said == {name: "called like a model's predictions, no labels (rename it if it has them)"}


def test_a_column_of_guesses_is_no_label(paths: Paths) -> None:
    lay(
        paths,
        ["mine/1.jpg", "mine/2.jpg"],
        {"mine/a.csv": ["file,pred_label,truth", "1.jpg,sad,happy", "2.jpg,sad,fear"]},
    )
    assert [one[1] for one in told(paths).values()] == ["happy", "fear"]


def test_columns_beyond_a_long_header_are_read(paths: Paths) -> None:
    points = ",".join(f"landmark_{number}_x" for number in range(200))
    rows = [f"{number}.jpg,{'0,' * 200}sad,val,ann" for number in (1, 2)]
    lay(paths, ["mine/1.jpg", "mine/2.jpg"], {"mine/labels.csv": [f"image,{points},emotion,split,subject", *rows]})
    assert set(told(paths).values()) == {("mine", "sad", "val", "ann")}
    (note,) = recognise(paths, SEVEN).datasets["mine"].notes
    assert note.startswith("columns image, emotion, split, subject; not read: landmark_0_x, ")
    assert note.endswith(" and 196 more")


@pytest.mark.parametrize(
    ("pictures", "table", "row", "missing"),
    [
        (["mine/sad/1.png", "mine/angry/2.png"], "labels.csv", "angry/1.png,angry", "angry/1.png"),
        (["mine/train/2.png", "mine/test/3.png"], "train.csv", "3.png,sad", "3.png"),
    ],
    ids=["class", "split"],
)
def test_a_row_takes_no_picture_of_another_class_or_of_the_test_set(
    paths: Paths, pictures: list[str], table: str, row: str, missing: str
) -> None:
    lay(paths, pictures, {f"mine/{table}": ["image,label", "2.png,angry", row]})
    with refusal(f"{paths.raw / 'mine' / table}, line 3: no file '{missing}'"):
        told(paths)


def test_a_table_of_numbers_gives_way_to_folders_that_have_names(paths: Paths) -> None:
    pictures = [file for split in ("train", "val") for file in in_classes(f"mine/{split}/{{}}/{split}.jpg")]
    lay(paths, pictures, {"mine/meta.csv": ["filename,label", "train.jpg,0"]})
    assert {one[:3] for one in told(paths).values()} == {
        ("mine", emotion, split) for emotion in ("angry", "happy") for split in ("train", "val")
    }


def test_splits_that_a_table_does_not_list_are_read_by_their_folders(paths: Paths) -> None:
    pictures = [*in_classes("mine/Train/{}/1.jpg"), *in_classes("mine/Test/{}/2.jpg")]
    lay(paths, pictures, {"mine/labels.csv": ["path,label", "Train/angry/1.jpg,happy", "Train/happy/1.jpg,sad"]})
    assert told(paths) == {
        "mine/Train/angry/1.jpg": ("mine", "happy", "train", ""),
        "mine/Train/happy/1.jpg": ("mine", "sad", "train", ""),
        "mine/Test/angry/2.jpg": ("mine", "angry", "test", ""),
        "mine/Test/happy/2.jpg": ("mine", "happy", "test", ""),
    }


@pytest.mark.parametrize("above", ["", "downloads/"])
def test_folders_called_after_a_dataset_and_a_split_are_one_dataset(paths: Paths, above: str) -> None:
    numbers = range(1, 8)
    pictures = [
        *(f"{above}RAF-DB_{split}/{number}/{split}{number}.jpg" for split in ("train", "test") for number in numbers),
        *in_classes(f"{above}studio-train/{{}}/1.jpg", ("angry", "happy", "sad")),
        *in_classes(f"{above}studio-val/{{}}/2.jpg", ("angry", "happy", "sad")),
    ]
    lay(paths, pictures)
    found = told(paths)
    assert {(one[0], one[2]) for one in found.values()} == {
        ("RAF", "train"),
        ("RAF", "test"),
        ("studio", "train"),
        ("studio", "val"),
    }
    assert found[f"{above}RAF-DB_test/3/test3.jpg"] == ("RAF", "disgust", "test", "")


@pytest.mark.parametrize("between", ["aligned", "faces", "Train_Aligned"])
def test_a_level_between_split_and_classes_is_no_dataset_of_its_own(paths: Paths, between: str) -> None:
    other = between.replace("Train", "Val")
    lay(paths, [*in_classes(f"mine/Train/{between}/{{}}/1.jpg"), *in_classes(f"mine/Val/{other}/{{}}/2.jpg")])
    assert {one[0::2] for one in told(paths).values()} == {("mine", "train"), ("mine", "val")}


@pytest.mark.parametrize(
    "layout", ["{who}/{no}/{emotion}/1.jpg", "{emotion}/{no}/{who}/1.jpg", "{emotion}/{who}/{no}/1.jpg"]
)
@pytest.mark.parametrize(
    "levels",
    [
        *(("session0", "session1"), ("front", "left"), ("48x48", "96x96"), ("Strong", "Weak")),
        *(("day1", "day2"), ("Take 1", "Take 2"), ("NI", "VL"), ("NI/Dark", "VL/Dark")),
    ],
)
def test_views_and_sessions_are_no_persons_but_those_beside_them_are(
    paths: Paths, layout: str, levels: tuple[str, str]
) -> None:
    persons = ("P01", "P02")
    lay(
        paths,
        [
            f"lab/{layout.format(who=who, no=no, emotion=emotion)}"
            for who in persons
            for no in levels
            for emotion in ("angry", "happy")
        ],
    )
    found = told(paths)
    assert {one[0] for one in found.values()} == {"lab"}
    assert all(one[3] in Path(file).parts and one[3] in persons for file, one in found.items())


def test_groups_within_classes_are_no_persons(paths: Paths) -> None:
    lay(paths, [file for group in ("man", "woman") for file in in_classes(f"mine/{{}}/{group}/1.jpg")])
    assert {one[3] for one in told(paths).values()} == {""}


@pytest.mark.parametrize("column", ["participant_id", "Subject Number", "speaker_id"])
@pytest.mark.parametrize("split", ["data_split", "type"])
def test_persons_and_splits_are_found_under_other_names(paths: Paths, column: str, split: str) -> None:
    rows = [f"{number}.jpg,sad,{which},p{number}" for number, which in ((1, "train"), (2, "Validation"))]
    lay(paths, ["mine/1.jpg", "mine/2.jpg"], {"mine/x.csv": [f"image,mood,{split},{column}", *rows]})
    assert list(told(paths).values()) == [("mine", "sad", "train", "p1"), ("mine", "sad", "val", "p2")]


def test_roboflow_s_names_tell_fer_2013_s_usages(paths: Paths) -> None:
    usages = ("Training", "PublicTest", "PrivateTest")
    lay(
        paths,
        [
            f"export/{split}/{emotion}/{usage}_{number}_jpg.rf.0a1b{number}.jpg"
            for split in ("train", "valid", "test")
            for emotion in ("angry", "happy")
            for number, usage in enumerate(usages)
        ],
    )
    assert {(one[0], one[2], usage) for file, one in told(paths).items() for usage in usages if usage in file} == {
        ("FER", usage, usage) for usage in usages
    }


def test_two_columns_that_tell_two_emotions_are_refused(paths: Paths) -> None:
    rows = ["image,emotion,label", "1.jpg,sad,sad", "2.jpg,sad,happy"]
    lay(paths, ["mine/1.jpg", "mine/2.jpg"], {"mine/labels.csv": rows})
    with refusal(f"{paths.raw / 'mine' / 'labels.csv'}, line 3: 'happy and sad' is not a known emotion"):
        told(paths)


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_marks_may_be_written_in_any_way_and_unlabelled_rows_are_left_out(
    paths: Paths, yes: str, no: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rows = [f"1.jpg,{yes},{no},{no}", f"2.jpg,{no},{yes},{no}", f"3.jpg,{no},{no},{yes}"]
    lay(paths, [f"mine/{n}.jpg" for n in (1, 2, 3)], {"mine/_classes.csv": ["filename,angry,happy,Unlabeled", *rows]})
    assert [one[1] for one in told(paths).values()] == ["angry", "happy"]
    assert f"{paths.raw / 'mine' / '_classes.csv'}: rows of no emotion, left out: 1" in caplog.messages


def test_what_two_tables_say_alike_is_read_once(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    table = ["image,label", "1.jpg,sad", "2.jpg,happy"]
    lay(paths, ["mine/1.jpg", "mine/2.jpg"], {"mine/a.csv": table, "mine/b.csv": table})
    assert [one[1] for one in told(paths).values()] == ["sad", "happy"]
    assert any("a further table lists alike, read once: 2" in message for message in caplog.messages)
    lay(paths, [], {"mine/b.csv": [*table[:2], "2.jpg,fear"]})
    with refusal(f"{paths.raw / 'mine' / 'b.csv'}, line 3: 2.jpg stands in a.csv, line 3, too"):
        told(paths)


def test_a_split_in_the_folder_of_another_is_no_part_of_that(paths: Paths) -> None:
    splits = ("train/train", "train/val", "test/test")
    lay(paths, [file for split in splits for file in in_classes(f"mine/{split}/{{}}/1.jpg")])
    assert {file.split("/")[2]: one[2] for file, one in told(paths).items()} == {
        "train": "train",
        "val": "val",
        "test": "test",
    }


def test_a_test_set_without_labels_may_lie_a_level_deeper(paths: Paths) -> None:
    pictures = [*in_classes("mine/Train/{}/1.jpg"), *in_classes("mine/Val/{}/2.jpg"), "mine/Test/Test_Faces/3.jpg"]
    lay(paths, pictures)
    assert set(told(paths)) == set(pictures[:-1])


@pytest.mark.parametrize("name", ["{}Faces", "{} person", "{}_People"])
def test_words_without_meaning_in_a_class_folder_s_name_are_passed_over(paths: Paths, name: str) -> None:
    lay(paths, [f"mine/{name.format(emotion)}/1.jpg" for emotion in ("Happy", "Sad")])
    assert [one[1] for one in told(paths).values()] == ["happy", "sad"]


def test_what_may_have_labels_is_said(paths: Paths) -> None:
    lay(
        paths,
        ["yolo/images/1.jpg", "yolo/more/2.jpg", "bare/1.jpg", "bare/2.jpg"],
        {
            "yolo/labels/1.txt": ["3 0.5 0.5 1 1"],
            "yolo/labels/2.txt": ["0 0.5 0.5 1 1"],
            "bare/list.csv": ["1.jpg,male"],
        },
    )
    (paths.raw / "films").mkdir()
    (paths.raw / "films" / "1.MP4").write_bytes(b"\0")
    said = {part.where.name: part.found for part in recognise(paths, SEVEN).passed_over}
    nothing = "2 pictures, and no class folders or names that tell what they show"
    assert said == {
        "yolo": f"{nothing} (in folders images, more); 1.txt and 1 more may have the labels, and is not read: write a "
        "labels.csv (path,label)",
        "bare": f"{nothing}; list.csv begins with a row, where its columns' names should stand (path,label): 1.jpg, "
        "male",
        "films": "1 video (write frames of them as pictures in class folders)",
    }


def by_folders(paths: Paths, *tables: str) -> None:
    """Whether pictures in class folders are read by these, and so alone."""
    found = told(paths)
    assert {file: one[1] for file, one in found.items()} == {file: Path(file).parts[-2] for file in found}, tables
    assert len(found) == 4


@pytest.mark.parametrize(
    "table",
    [
        ["img_path,dominant_emotion,angry,happy", "train/angry/1.jpg,happy,0.1,0.9"],
        ["image,background", "train/angry/1.jpg,neutral", "val/happy/2.jpg,neutral"],
        ["image_id,male,smiling,happy,sad", "train/angry/1.jpg,1,1,1,0", "val/angry/2.jpg,0,1,1,0"],
        ["image,happy,sad", *["train/angry/1.jpg,1,0"] * 120, "val/angry/2.jpg,3,7"],
        ["image,happy,sad,contempt", "train/angry/1.jpg,1,0,0.2", "val/angry/2.jpg,0,1,0.7"],
    ],
    ids=["a model's", "another thing's", "attributes", "votes", "shares"],
)
def test_a_table_of_something_else_changes_nothing(paths: Paths, table: list[str]) -> None:
    lay(paths, [*in_classes("mine/train/{}/1.jpg"), *in_classes("mine/val/{}/2.jpg")], {"mine/some.csv": table})
    by_folders(paths)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("images.csv", b"emotion,base64\nsad," + b"A" * 200_000),
        ("odd.csv", b"\xff\xfea\0,\0b"),
        ("log.jsonl", b'{"step": 1}\n{"step": \n'),
        ("deep.jsonl", b"[" * 100_000),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_damaged_table_of_something_else_ends_nothing(paths: Paths, name: str, content: bytes) -> None:
    lay(paths, [*in_classes("mine/train/{}/1.jpg"), *in_classes("mine/val/{}/2.jpg")])
    (paths.raw / "mine" / name).write_bytes(content)
    by_folders(paths)


def test_a_pair_of_folders_is_one_dataset_where_both_are_read(paths: Paths) -> None:
    emotions = ("angry", "happy")
    lay(
        paths,
        ["a_train/1.png", "a_train/2.png", *in_classes("a_test/{}/3.png", emotions)],
        {"a_train/labels.csv": ["image,label", "1.png,sad", "2.png,happy"]},
    )
    assert {(one[0], one[1]) for one in told(paths).values()} == {
        ("a_train", "sad"),
        ("a_train", "happy"),
        ("a_test", "angry"),
        ("a_test", "happy"),
    }


def test_a_table_beside_pairs_counts_before_them(paths: Paths) -> None:
    pairs = ("a_train", "a_test", "b_train", "b_test")
    rows = [f"{pair}/{emotion}/{pair}.png,{emotion},p1" for pair in pairs for emotion in ("angry", "happy")]
    lay(paths, (f"x/{row.split(',')[0]}" for row in rows), {"x/labels.csv": ["path,label,person", *rows]})
    assert {(one[0], one[3]) for one in told(paths).values()} == {("x", "p1")}


def test_other_splits_beside_a_pair_stay_together(paths: Paths) -> None:
    folders = ("train", "test", "a_train", "a_test")
    lay(
        paths,
        [file for folder in folders for file in in_classes(f"{folder}/{{}}/{folder}.png", ("angry", "happy", "sad"))],
    )
    assert {(one[0], one[2], Path(file).parts[0]) for file, one in told(paths).items()} == {
        ("a", "train", "a_train"),
        ("a", "test", "a_test"),
        ("FER-Datasets", "train", "train"),
        ("FER-Datasets", "test", "test"),
    }


@pytest.mark.parametrize("part", ["part", "", "gray"])
def test_parts_of_one_dataset_are_not_torn_apart(paths: Paths, part: str) -> None:
    folders = (f"train_{part}1", f"train_{part}2", f"test_{part}1", f"test_{part}2")
    lay(paths, [file for folder in folders for file in in_classes(f"mine/{folder}/{{}}/{folder}.png")])
    assert {(one[0], one[2]) for one in told(paths).values()} == {("mine", "train"), ("mine", "test")}


@pytest.mark.parametrize("names", [("man1", "man2", "woman1"), ("White", "Young", "Chen")])
@pytest.mark.parametrize("layout", ["happy/{}/1.jpg", "{}/happy/1.jpg"])
def test_people_may_be_called_like_kinds_of_people(paths: Paths, names: Sequence[str], layout: str) -> None:
    lay(paths, [f"mine/{layout.format(name)}" for name in names])
    assert {one[3] for one in told(paths).values()} == set(names)


@pytest.mark.parametrize("words", [("valid", "valid"), ("train", ""), ("train", "train")])
def test_a_column_of_one_split_word_is_no_split(paths: Paths, words: tuple[str, str]) -> None:
    rows = [f"{number}.jpg,sad,{word}" for number, word in enumerate(words)]
    lay(paths, ["mine/0.jpg", "mine/1.jpg"], {"mine/labels.csv": ["image,label,status", *rows]})
    assert {one[2] for one in told(paths).values()} == {""}


def test_lists_of_both_splits_may_be_of_one_folder(paths: Paths) -> None:
    tables = {f"mine/{split}.csv": ["image,label", f"{split}.png,sad"] for split in ("train", "test")}
    lay(paths, ["mine/train/train.png", "mine/train/test.png"], tables)
    assert {Path(file).stem: one[2] for file, one in told(paths).items()} == {"train": "train", "test": "test"}


def test_a_picture_that_was_moved_to_its_row_s_class_is_found(paths: Paths) -> None:
    lay(paths, ["mine/sad/1.png", "mine/sad/2.png"], {"mine/labels.csv": ["image,label", "angry/1.png,sad"]})
    assert told(paths) == {"mine/sad/1.png": ("mine", "sad", "", "")}


def test_one_level_more_that_tells_nothing_takes_its_siblings_along(paths: Paths) -> None:
    lay(paths, [file for kind in ("original", "flipped") for file in in_classes(f"mine/train/{kind}/{{}}/1.png")])
    assert {(one[0], one[2], one[3]) for one in told(paths).values()} == {("mine", "train", "")}


def test_headers_and_objects_of_odd_forms(paths: Paths) -> None:
    lay(paths, ["a/1.png", "b/1.png", "b/2.png"], {"a/labels.csv": ['"path","label","of\ntwo lines"', "1.png,sad,x"]})
    objects = '\n{"file_name": "1.png"}\n{"file_name": "2.png", "label": ["sad"], "split": "val"}\n'
    (paths.raw / "b" / "metadata.jsonl").write_text(objects)
    assert recognise(paths, SEVEN).datasets["b"].notes == ()
    with refusal(f"{paths.raw / 'b' / 'metadata.jsonl'}, line 2: '' is not"):
        told(paths)
    (paths.raw / "b" / "metadata.jsonl").write_text(objects.replace('"1.png"}', '"1.png", "label": "none"}'))
    assert told(paths) == {"a/1.png": ("a", "sad", "", ""), "b/2.png": ("b", "sad", "val", "")}


def test_class_folders_may_be_called_in_another_language(paths: Paths) -> None:
    pictures = [f"mes visages/{split}/{name}/1.png" for split in ("train", "test") for name in ("Colère", "joie")]
    lay(paths, pictures)
    assert {one[:3] for one in told(paths).values()} == {
        ("mes-visages", name, split) for name in ("colère", "joie") for split in ("train", "test")
    }
    assert recognise(paths, SEVEN).datasets["mes-visages"].why == (
        "class folders (colère as angry, joie as happy) in test, train"
    )


@pytest.mark.parametrize("layout", ["{who}/{emotion}/1.jpg", "{emotion}/{who}/1.jpg"])
def test_persons_may_be_called_like_emotions(paths: Paths, layout: str) -> None:
    who = ("Ira", "Joy", "Anna", "Ben")
    lay(paths, [f"mine/{layout.format(who=name, emotion=e)}" for name in who for e in ("angry", "happy", "sad")])
    assert {one[3] for one in told(paths).values()} == set(who)
    assert {one[1] for one in told(paths).values()} == {"angry", "happy", "sad"}


@pytest.mark.parametrize("place", ["mine/", ""])
@pytest.mark.parametrize(
    "name",
    ["{split}_{emotion}", "{emotion}_{split}", "{split}-{emotion}", "{split}{Emotion}", "{split}_0_{emotion} faces"],
)
def test_one_name_may_tell_split_and_class(paths: Paths, place: str, name: str) -> None:
    expected = {}
    for emotion in ("angry", "happy", "tristeza"):
        for split, usage in (("train", "train"), ("Validation", "val"), ("Testing", "test")):
            called = name.format(split=split, emotion=emotion, Emotion=emotion.title())
            expected[f"{place}{called}/1.png"] = ("mine" if place else "FER-Datasets", emotion, usage, "")
    lay(paths, [*expected, *in_classes("other/{}/1.png")])
    found = told(paths)
    assert {file: one for file, one in found.items() if one[0] != "other"} == expected
    (ours,) = (one for one in recognise(paths, SEVEN).datasets.values() if one.dataset != "other")
    assert " in Testing, Validation, train, called by split and class (" in ours.why


def test_a_name_of_split_and_class_beside_others_is_not_guessed(paths: Paths) -> None:
    joined = in_classes("mine/train_{}/1.png")
    for stray in ("test_calm", "train_not_happy", "train_happy_aug"):
        lay(paths, [*joined, f"{stray}/{stray}/1.png", f"mine/{stray}/1.png"])
        with refusal(f"{paths.raw / 'mine' / stray}: no known emotion"):
            told(paths)
        (paths.raw / "mine" / stray / "1.png").unlink()
    lay(paths, ["mine/test/1.png"])
    assert set(told(paths)) == set(joined)
    folder = paths.raw / "mine"
    with refusal(f"{folder}: its class folders are in given splits (train); their names join split and class (train_"):
        list_images(folder, SEVEN)


def test_a_folder_above_the_data_may_be_called_like_a_split(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "train")
    lay(paths, in_classes("mine/train_{}/1.png"))
    (found,) = recognise(paths, SEVEN).datasets.values()
    assert "called by split and class (train_" in found.why
    with refusal(f"{paths.raw / 'mine'}: its class folders are in given splits (train); their names join split"):
        list_images(paths.raw / "mine", SEVEN)


def test_persons_may_have_folders_below_split_and_class(paths: Paths) -> None:
    lay(paths, [file for who in ("P1", "P2") for file in in_classes(f"mine/train_{{}}/{who}/1.png")])
    assert {one[2:] for one in told(paths).values()} == {("train", "P1"), ("train", "P2")}


def test_pairs_of_datasets_may_be_called_by_emotions(paths: Paths) -> None:
    lay(paths, [file for split in ("train", "test") for file in in_classes(f"neutral_{split}/{{}}/1.png")])
    assert {one[0::2] for one in told(paths).values()} == {("neutral", "train"), ("neutral", "test")}


@pytest.mark.parametrize("layout", ["{split}/{emotion}/1.png", "archive/{split}_{emotion}/1.png"])
def test_fer_2013_s_three_usages_may_lie_beside_other_data(paths: Paths, layout: str) -> None:
    usages = ("Training", "PublicTest", "PrivateTest")
    ours = [layout.format(split=usage, emotion=emotion) for usage in usages for emotion in FER.classes]
    lay(paths, [*ours, *in_classes("other/{}/1.png")])
    found = {one[::2] for file, one in told(paths).items() if file in ours}
    assert found == {("FER", usage) for usage in usages}


@pytest.mark.parametrize("table", ["labels.csv", "metadata.jsonl"])
@pytest.mark.parametrize(
    ("place", "expected"), [("X_{}", "x"), ("{}", "FER-Datasets"), ("x/X_{}", "x"), ("AffectNet-{}", "AffectNet")]
)
def test_tables_in_the_folders_of_given_splits_are_one_dataset_s(
    paths: Paths, table: str, place: str, expected: str
) -> None:
    """Their pictures may have equal names, and other data may lie beside them."""
    splits, labels = ("train", "val", "test"), ("1", "2") if expected == "AffectNet" else ("happy", "sad")
    rows = [("images/1.png", labels[0]), ("images/2.png", labels[1])]
    lines = ["image,label", *map(",".join, rows)]
    if table.endswith("jsonl"):
        lines = [json.dumps({"file_name": name, "label": label}) for name, label in rows]
    files = [f"{place.format(split)}/{name}" for split in splits for name, _ in rows]
    lay(paths, [*files, "other/happy/1.png"], {f"{place.format(split)}/{table}": lines for split in splits})
    found = {file: one for file, one in told(paths).items() if one[0] != "other"}
    assert found == {
        f"{place.format(split)}/images/{number}.png": (expected, emotion, split, "")
        for split in splits
        for number, emotion in ((1, "happy"), (2, "sad"))
    }


def test_a_table_in_one_of_two_folders_divides_nothing(paths: Paths) -> None:
    lay(paths, ["X_train/1.png", "X_test/2.png"], {"X_train/labels.csv": ["image,label", "1.png,sad"]})
    assert told(paths) == {"X_train/1.png": ("X_train", "sad", "", "")}


@pytest.mark.parametrize("table", ["labels.csv", "data/LABELS.tsv", "all.txt", "list.lst"])
@pytest.mark.parametrize(
    "row", ["{n}.png|{emotion}", "images/{n}.png|{emotion}", "{emotion}|{n}.png", "{n}.png|{emotion}|{split}"]
)
def test_a_table_needs_no_columns_names(paths: Paths, table: str, row: str) -> None:
    separator = {"v": ",", "V": "\t"}.get(table[-1], " ")
    told_as = [(1, "happy", "train"), (2, "Trauer", "test"), (3, "anger", "train")]
    lines = [row.format(n=n, emotion=emotion, split=split).replace("|", separator) for n, emotion, split in told_as]
    lay(paths, [f"mine/images/{n}.png" for n in (1, 2, 3)], {f"mine/{table}": lines})
    assert told(paths) == {
        f"mine/images/{n}.png": ("mine", emotion.lower(), split if "split" in row else "", "")
        for n, emotion, split in told_as
    }
    found = recognise(paths, SEVEN).datasets["mine"]
    assert found.why == f"the labels in {table} (anger as angry, happy, trauer as sad)"
    assert found.notes[0].startswith("no columns' names: column ")


@pytest.mark.parametrize("test", ["PublicTest", "Private Test", "testset"])
def test_splits_in_a_column_without_a_name_are_read_in_fer_2013_s_words_too(paths: Paths, test: str) -> None:
    lay(paths, ["x/1.png", "x/2.png"], {"x/all.csv": ["1.png,angry,Training,anna", f"2.png,happy,{test},ben"]})
    (found,) = recognise(paths, SEVEN).datasets.values()
    assert found.notes == (
        "no columns' names: column 1 read as pictures, 2 as classes, column 3 as given splits, not read: 4",
    )
    assert [image.usage for image in found.images()] == ["train", "test"]


def test_a_few_rows_without_columns_names_are_no_list_of_what_is_in_class_folders(paths: Paths) -> None:
    pictures = [file for n in (1, 2) for file in in_classes(f"mine/{{}}/{n}.png")]
    lay(paths, pictures, {"mine/mislabelled.csv": ["angry/1.png,happy"]})
    assert set(told(paths)) == set(pictures)
    said = {part.where.name: part.found for part in recognise(paths, SEVEN).passed_over}
    assert said["mislabelled.csv"].startswith("without columns' names, and for few of the pictures in class folders")


def test_a_bad_row_of_a_table_without_columns_names_is_named(paths: Paths) -> None:
    rows = ["1.png,happy", "2.png,sad", "3.png,angry"]
    for row, message in (("4.png,sad", "no file '4.png'"), ("1.png,calm", "'calm' is not a known emotion")):
        lay(paths, [f"mine/{n}.png" for n in (1, 2, 3)], {"mine/labels.csv": [*rows, row]})
        with refusal(f"{paths.raw / 'mine' / 'labels.csv'}, line 4: {message}"):
            told(paths)


def test_numbers_in_a_table_without_columns_names_are_classes_where_its_name_says_so(paths: Paths) -> None:
    folders = in_classes("AffectNet/{}/1.png")
    rows = ["angry/1.png,3", "happy/1.png,0"]
    for table in ("age.csv", "gender.csv", "all.txt"):
        lay(paths, folders, {f"AffectNet/{table}": rows})
    assert {one[1] for one in told(paths).values()} == {"anger", "happy"}
    lay(paths, [], {"AffectNet/train_labels.csv": rows})
    assert {one[1:3] for one in told(paths).values()} == {("surprise", "train"), ("neutral", "train")}
    (paths.raw / "AffectNet").rename(paths.raw / "mine")
    lay(paths, ["bare/1.png"], {"bare/labels.csv": ["1.png,3"]})
    (question,) = (part for part in recognise(paths, SEVEN).passed_over if part.is_question)
    assert question.found.startswith("which dataset is it? Its labels in labels.csv are numbers, 3 to 3")


VOTES = (
    "8,0,0,1,0,0,1,0,0,0",
    "0,9,1,0,0,0,0,0,0,0",
    "3,3,2,2,0,0,0,0,0,0",
    "0,0,0,0,0,0,0,0,10,0",
    "0,0,0,0,0,0,0,7,3,0",
)


def fer_plus(place: str, votes: Sequence[str] = VOTES) -> tuple[list[str], dict[str, Sequence[str]]]:
    """FER+'s own distribution: its pictures, and a `label.csv` in each split's folder."""
    pictures, tables = [], {}
    for first, split in ((0, "Train"), (28638, "Valid"), (32220, "Test")):
        names = [f"fer{first + number:07d}.png" for number in range(len(votes))]
        pictures += [f"{place}FER2013{split}/{name}" for name in names]
        tables[f"{place}FER2013{split}/label.csv"] = [
            f'{name},"(0, 0, 48, 48)",{counts}' for name, counts in zip(names, votes, strict=True)
        ]
    return pictures, tables


@pytest.mark.parametrize("place", ["FERPlus-master/data/", "", "fer2013/"])
def test_fer_plus_s_own_folders_have_the_majorities_of_its_votes(
    paths: Paths, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lay(paths, *fer_plus(place))
    lay(paths, in_classes("other/{}/1.png"))
    found = {file: one for file, one in told(paths).items() if one[0] != "other"}
    assert set(found.values()) == {
        ("FERPlus", emotion, split, "")
        for emotion in ("neutral", "happiness", "contempt")
        for split in ("train", "val", "test")
    }
    assert found[f"{place}FER2013Valid/fer0028638.png"] == ("FERPlus", "neutral", "val", "")
    assert any("rows of no emotion, left out: 6" in message for message in caplog.messages)
    said = recognise(paths, SEVEN).datasets["FERPlus"].notes[-1]
    assert said == "labels are the majorities of FER+'s votes, by its paper's rules"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('x.png,"(0, 0, 48, 48)",1,2', "4 fields instead of 12"),
        ('x.png,"(0, 0, 48, 48)",1,0,0,0,0,0,0,0,0,x', "NF is 'x', no number of votes"),
        ('x.png,"(4, 0, 44, 48)",9,0,0,0,0,0,0,0,0,0', "the box is '(4, 0, 44, 48)', not (0, 0, 48, 48)"),
    ],
)
def test_a_bad_row_of_fer_plus_is_named(paths: Paths, row: str, message: str) -> None:
    pictures, tables = fer_plus("x/")
    table = next(iter(tables))
    lay(paths, pictures, {**tables, table: [*tables[table], row]})
    with refusal(f"{paths.raw / table}, line 6: {message}"):
        told(paths)


@pytest.mark.parametrize("place", ["Oulu-CASIA/", ""])
@pytest.mark.parametrize(
    "levels",
    [("",), ("VL/Strong/", "VL/Weak/", "NI/Strong/"), ("day1/", "day2/"), ("left/", "right/"), ("VL/Strong/",)],
    ids=["no level", "Oulu-CASIA", "days", "views", "one level"],
)
def test_persons_below_views_and_lights_are_one_dataset_s(paths: Paths, place: str, levels: Sequence[str]) -> None:
    expected = {
        f"{place}{level}P00{number}/{emotion}/000.jpeg": (emotion.lower(), "", f"P00{number}")
        for level in levels
        for number in (1, 2)
        for emotion in ("Happiness", "Anger")
    }
    lay(paths, [*expected, *(in_classes("other/{}/1.png") if not place else [])])
    found = {file: one for file, one in told(paths).items() if one[0] != "other"}
    assert {file: one[1:] for file, one in found.items()} == expected
    assert len({one[0] for one in found.values()}) == 1
    (ours,) = (one for one in recognise(paths, SEVEN).datasets.values() if one.dataset != "other")
    # Right in FER-Datasets a single level may be the dataset's name.
    names = sorted({name for level in levels for name in level.split("/") if name not in ("", ours.where.name)})
    assert ours.notes == ((f"{', '.join(names)}: taken for no persons",) if names else ())


def test_days_without_persons_are_no_persons_and_numbered_datasets_stay_apart(paths: Paths) -> None:
    lay(paths, [file for day in (1, 2) for file in in_classes(f"mine/day{day}/{{}}/1.png")])
    lay(paths, [file for number in (1, 2) for file in in_classes(f"faces{number}/{{}}/1.png")])
    assert {(one[0], one[3]) for one in told(paths).values()} == {("mine", ""), ("faces1", ""), ("faces2", "")}


def test_file_names_of_known_datasets_tell_persons_among_other_pictures(paths: Paths) -> None:
    codes = {"angry": "AN", "happy": "HA"}
    known = {
        f"mine/{emotion}/{name}": person
        for emotion, code in codes.items()
        for name, person in (
            (f"AF01{code}S.JPG", "F01"),
            (f"KA.{code}1.39.tiff", "KA"),
            (f"KM-{code}2-40.jpg", "KM"),
            ("S010_004_00000017.png", "S010"),
        )
    }
    others = [file for number in range(6) for file in in_classes(f"mine/{{}}/{number}.png")]
    lay(paths, [*known, *others])
    assert {file: one[3] for file, one in told(paths).items()} == {**known, **dict.fromkeys(others, "")}
    (note,) = recognise(paths, SEVEN).datasets["mine"].notes
    assert note == "8 of its files, like AF01ANS.JPG, have names that tell who is shown"
    rows = [f"{file.removeprefix('mine/')},sad" for file in known]
    lay(paths, [], {"mine/labels.csv": ["image,label", *rows]})
    assert {file: one[3] for file, one in told(paths).items()} == known


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("FERG_DB_256/{who}/{who}_{emotion}/{who}_{emotion}_1.png", {("", who) for who in ("aia", "mery", "ray")}),
        ("mine/{split}/{split}_{emotion}/{who}.png", {("train", ""), ("test", "")}),
        ("mine/{split} images/{split}_{emotion}/{who}.png", {("train", ""), ("test", "")}),
    ],
)
def test_a_class_folder_may_repeat_the_name_of_the_folder_that_it_is_in(
    paths: Paths, layout: str, expected: set[tuple[str, str]]
) -> None:
    names = [
        layout.format(who=who, split=split, emotion=emotion)
        for who in ("aia", "mery", "ray")
        for split in ("train", "test")
        for emotion in ("anger", "joy")
    ]
    lay(paths, dict.fromkeys(names))
    (found,) = recognise(paths, SEVEN).datasets.values()
    assert not any("no persons" in note for note in found.notes)
    assert {one[1:] for one in told(paths).values()} == {
        (emotion, *one) for emotion in ("anger", "joy") for one in expected
    }


@pytest.mark.parametrize("name", ["Angst", "Ira", "mine/Joy", "feliz"])
def test_a_folder_called_like_an_emotion_may_have_two_class_folders(paths: Paths, name: str) -> None:
    for emotions in (("fear", "neutral"), ("anger", "happiness"), ("happy", "sad")):
        lay(paths, in_classes(f"{name}/{{}}/1.png", emotions))
        assert {one[1] for one in told(paths).values()} == set(emotions)
        shutil.rmtree(paths.raw)


def test_persons_in_a_class_folder_may_mostly_be_called_like_emotions(paths: Paths) -> None:
    lay(paths, [f"mine/{emotion}/{who}/1.png" for emotion in ("happy", "sad") for who in ("Felice", "Ira", "anna")])
    assert {one[1::2] for one in told(paths).values()} == {
        (emotion, who) for emotion in ("happy", "sad") for who in ("Felice", "Ira", "anna")
    }


def test_a_name_that_only_begins_like_the_folder_s_is_another_word(paths: Paths) -> None:
    lay(paths, ["un/unhappy/1.png", "un/angry/1.png"])
    with refusal(f"{paths.raw / 'un' / 'unhappy'}: no known emotion"):
        told(paths)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("x/a/0/Anger.jpg", "x/a/0/Joy.jpg", "x/a/1/Anger.jpg", "x/a/1/Joy.jpg"), ["0", "0", "1", "1"]),
        (
            ("x/a/Anger.jpg", "x/a/Joy.jpg", "x/b/Anger.jpg", "x/b/Joy.jpg", "x/c/Joy.jpg", "x/Anger.jpg"),
            ["a", "a", "b", "b", "c", ""],
        ),
        (("x/angry_1.jpg", "x/2-happy.jpg", "x/angry (3).jpg", "x/Happy4.jpg"), [""] * 4),
        (("x/0/angry_1.jpg", "x/0/angry_2.jpg", "x/3/happy_1.jpg", "x/3/happy_2.jpg"), [""] * 4),
        (
            ("x/Rafd090_01_Caucasian_female_angry_frontal.jpg", "x/Rafd045_02_Moroccan_male_happy_left.jpg"),
            ["01", "02"],
        ),
        (("x/01F_AN_C.BMP", "x/21M_HA_O.BMP"), ["01F", "21M"]),
        (("x/F0001/F0001_AN01WH_F2D.bmp", "x/M0002/M0002_HA04AE_F2D.bmp"), ["F0001", "M0002"]),
        (("x/CFD-WM-001-014-A.jpg", "x/b/CFD-BF-002-015-HO.jpg"), ["WM-001", "BF-002"]),
    ],
    ids=["persons", "persons of one picture", "flat", "classes by number", "RaFD", "NimStim", "BU-3DFE", "CFD"],
)
def test_the_names_of_pictures_may_tell_what_they_show(
    paths: Paths, names: Sequence[str], expected: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    lay(paths, [*names, "x/logo.png"])
    found = told(paths)
    angry = [file for file in names if any(mark in file for mark in ("ngry", "Anger", "AN", "-A."))]
    assert {file: (one[1], one[3]) for file, one in found.items()} == {
        file: ("angry" if file in angry else "happy", who) for file, who in zip(names, expected, strict=True)
    }
    assert "left out: 1 (first: " in caplog.messages[-1]


def test_names_that_a_model_gave_pictures_are_no_labels(paths: Paths) -> None:
    pictures = [
        f"mine/{folder}/{emotion}_1.png" for folder in ("test/predictions", "a") for emotion in ("sad", "happy")
    ]
    lay(paths, [*pictures, "mine/a/angry_1.png"])
    assert set(told(paths)) == {*pictures[2:], "mine/a/angry_1.png"}
    lay(paths, ["other/my_predictions/sad_1.png", "other/my_predictions/happy_1.png"])
    assert "other" in {part.where.name for part in recognise(paths, SEVEN).passed_over}


@pytest.mark.parametrize("others", [(), ("mine/angry/1.png", "mine/happy/1.png")], ids=["alone", "beside others"])
def test_pictures_called_by_emotions_in_a_pair_of_splits_are_one_dataset(paths: Paths, others: Sequence[str]) -> None:
    names = [f"studio_{split}/{emotion}_1.png" for split in ("train", "test") for emotion in ("angry", "happy")]
    lay(paths, [*names, *others])
    assert {one[0::2] for one in told(paths).values() if one[0] != "mine"} == {("studio", "train"), ("studio", "test")}


def test_names_of_pictures_tell_given_splits_by_their_folders_and_give_way_to_class_folders(paths: Paths) -> None:
    lay(paths, [f"mine/{split}/{emotion}_1.png" for split in ("train", "test") for emotion in ("angry", "happy")])
    lay(paths, [f"other/faces/{emotion}/P{n}/{emotion}_{n}.png" for emotion in ("angry", "happy") for n in (1, 2)])
    lay(paths, in_classes("portraits/{}/Rafd090_07_Caucasian_female_angry_frontal.jpg"))
    found = told(paths)
    assert {one[0::2] for one in found.values() if one[0] == "mine"} == {("mine", "train"), ("mine", "test")}
    assert {one[3] for one in found.values() if one[0] == "faces"} == {"P1", "P2"}
    assert {(one[1], one[3]) for one in found.values() if one[0] == "portraits"} == {("angry", "07"), ("happy", "07")}
    lay(paths, ["bare/a/angry_1.png", "bare/a/happy_1.png"], {"bare/a/labels.csv": ["image,label", "angry_1.png,sad"]})
    assert told(paths)["bare/a/angry_1.png"][1] == "sad"


YAML = {
    "a list": ["train: ../train/images", "nc: 3", "names: ['Anger', \"happy\", Sad]"],
    "lines": ["names:", "- Anger", "- happy # smiles", "- 'Sad'", "nc: 3"],
    "a mapping": ["path: .", "names:", "  0: Anger", "  1: happy", "  2: Sad"],
    "braces": ["names: {0: Anger, 1: happy, 2: Sad}"],
}


@pytest.mark.parametrize("names", YAML.values(), ids=YAML)
@pytest.mark.parametrize("place", ["{split}/images/{n}.png", "images/{split}/{n}.png", "{split}/{n}.png"])
def test_faces_in_yolo_s_form_are_read_with_their_boxes(
    paths: Paths, names: Sequence[str], place: str, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = {1: ["0 0.5 0.5 1 1"], 2: ["1 0.25 0.5 0.5 0.5", "2 0.5 0 1 0 1 1"], 3: []}
    pictures = [place.format(split=split, n=n) for split in ("train", "valid") for n in (1, 2, 3)]
    texts = {
        f"faces/{Path(file.replace('images', 'labels')).with_suffix('.txt')}": boxes[int(Path(file).stem)]
        for file in pictures
    }
    lay(paths, [f"faces/{file}" for file in pictures], {"faces/data.yaml": names, **texts})
    (found,) = recognise(paths, SEVEN).datasets.values()
    assert found.why == "boxes of YOLO's form, of the classes in data.yaml (Anger, happy, Sad)"
    assert {(image.path.stem, image.emotion, image.usage, image.box) for image in found.images()} == {
        one
        for split in ("train", "val")
        for one in (
            ("1", "anger", split, Box(0, 0, 48, 48)),
            ("2", "happy", split, Box(0, 12, 24, 24)),
            ("2", "sad", split, Box(24, 0, 24, 48)),
        )
    }
    assert caplog.messages[-1].startswith(f"{paths.raw / 'faces'}: pictures without a box, left out: 2 (first: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5", "'0 0.5 0.5' is no box like '3 0.5 0.5 0.2 0.3'"),
        ("0 0.5 0.5 0 0", "'0 0.5 0.5 0 0' is no box"),
        ("x 1 1 1 inf", "'x 1 1 1 inf' is no box"),
        ("0 1 1 1 inf", "'0 1 1 1 inf' is no box"),
        ("3 0.5 0.5 1 1", "class 3 is 'sleepy' in "),
        ("9 0.5 0.5 1 1", "class 9 is '' in "),
    ],
)
def test_a_bad_line_of_yolo_s_form_is_named(paths: Paths, line: str, message: str) -> None:
    yaml = ["names: [angry, happy, sad, sleepy]"]
    lay(paths, ["x/1.png"], {"x/data.yaml": yaml, "x/1.txt": ["0 0.5 0.5 1 1", line]})
    with refusal(f"{paths.raw / 'x' / '1.txt'}, line 2: {message}"):
        told(paths)


def test_the_nearest_list_of_classes_counts_in_yolo_s_form(paths: Paths) -> None:
    lists = {"x/data.yaml": ["names: [sad, fear]"], "x/a/data.yaml": ["names: [angry, happy]"]}
    texts = {f"x/{place}labels/1.txt": ["0 0.5 0.5 1 1"] for place in ("", "a/")}
    lay(paths, ["x/images/1.png", "x/a/images/1.png"], {**lists, **texts})
    assert {file: one[1] for file, one in told(paths).items()} == {"x/images/1.png": "sad", "x/a/images/1.png": "angry"}


def test_what_yolo_wrote_is_no_label_and_other_folders_beside_its_form_are_read_or_counted(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    guessed = ("runs/detect/predict/{}", "runs/val/exp2/{}", "predictions/{}")
    pictures = ["train/images/1.png", "train/more/2.png", *(guess.format("1.png") for guess in guessed)]
    texts = ["train/labels/1.txt", *(guess.format("labels/1.txt") for guess in guessed)]
    crops = in_classes("x/crops/{}/1.png")
    lay(
        paths,
        [*(f"x/{file}" for file in pictures), *crops],
        {"x/data.yaml": ["names: [angry, happy]"], **{f"x/{text}": ["0 0.5 0.5 1 1"] for text in texts}},
    )
    assert set(told(paths)) == {"x/train/images/1.png", *crops}
    assert "pictures without a box, left out: 1 (first: " in caplog.messages[-1]
    passed = {part.where.relative_to(paths.raw).as_posix() for part in recognise(paths, SEVEN).passed_over}
    assert passed == {"x/runs", "x/predictions"}


def test_other_things_in_yolo_s_form_are_no_faces(paths: Paths) -> None:
    lay(paths, ["x/1.png"], {"x/data.yaml": ["names: [cat, happy, dog]"], "x/1.txt": ["0 0.5 0.5 1 1"]})
    lay(paths, in_classes("y/{}/1.png"), {"y/config.yml": ["names: [angry, happy]"], "y/bad.yaml": ["names: ["]})
    assert {one[0] for one in told(paths).values()} == {"y"}


def test_boxes_in_yolo_s_form_are_of_the_upright_picture(paths: Paths) -> None:
    lay(paths, ["x/1.jpg"], {"x/data.yaml": ["names: [angry, happy]"], "x/1.txt": ["0 0.5 0.25 1 0.5"]})
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.new("L", (80, 40)).save(paths.raw / "x" / "1.jpg", exif=turned)
    (image,) = recognise(paths, SEVEN).datasets["x"].images()
    assert (image.box, image.read().shape) == (Box(0, 0, 40, 40), (40, 40))


RAF_NAMES = [f"{split}_{number:05d}_aligned.jpg" for number, split in enumerate(["train", "train", "test"], start=1)]


@pytest.mark.parametrize("folder", ["RAF-DB/{}/", "archive/{}/", "RAF-DB/train/{}/"])
@pytest.mark.parametrize("classes", [("4", "5"), ("happiness", "sadness")])
def test_raf_db_s_file_names_tell_the_test_set(paths: Paths, folder: str, classes: Sequence[str]) -> None:
    lay(paths, [folder.format(own) + name for own in classes for name in RAF_NAMES], side=100)
    found = told(paths)
    assert {(file.split("/")[-1].split("_")[0], usage) for file, (_, _, usage, _) in found.items()} == {
        ("train", "train"),
        ("test", "test"),
    }
    assert {one[0] for one in found.values()} == {"RAF"}


def test_what_is_set_apart_for_validation_keeps_that(paths: Paths) -> None:
    lay(paths, [f"RAF-DB/{split}/4/{name}" for split in ("train", "val") for name in RAF_NAMES[:2]], side=100)
    assert {(file.split("/")[1], one[2]) for file, one in told(paths).items()} == {("train", "train"), ("val", "val")}


def test_fer_2013_s_file_names_tell_the_usage_in_a_table_too(paths: Paths) -> None:
    names = [f"{usage}_{number}.jpg" for usage in ("Training", "PublicTest", "PrivateTest") for number in range(4)]
    rows = [f"{name},{('angry', 'happy')[number % 2]}" for number, name in enumerate(names)]
    lay(paths, [f"m/images/{name}" for name in names], {"m/labels.csv": ["image,emotion", *rows]})
    found = told(paths)
    assert len(found) == len(names)
    assert {Path(file).name.split("_")[0] == one[2] for file, one in found.items() if one[0] == "FER"} == {True}


@pytest.mark.parametrize("names", [True, False])
def test_a_column_of_splits_is_known_where_the_first_rows_are_all_of_one(paths: Paths, names: bool) -> None:
    splits = ["train"] * 130 + ["test"] * 30
    rows = [f"{number}.jpg,{('sad', 'happy')[number % 2]},{split}" for number, split in enumerate(splits)]
    table = [*(["path,label,phase"] if names else []), *rows]
    lay(paths, [f"my/{number}.jpg" for number in range(len(splits))], {"my/labels.csv": table}, side=8)
    assert [told(paths)[f"my/{number}.jpg"][2] for number in range(len(splits))] == splits


@pytest.mark.parametrize(("table", "split"), [("train", ["train", "test"]), ("val", ["val", "val"])])
def test_a_row_s_folder_tells_the_split_under_a_list_of_training(paths: Paths, table: str, split: list[str]) -> None:
    pictures = ["train/0.jpg", "test/0.jpg"] if table == "train" else ["train/0.jpg", "train/1.jpg"]
    rows = [f"{picture},{emotion}" for picture, emotion in zip(pictures, ("sad", "happy"), strict=True)]
    lay(paths, [f"my/{picture}" for picture in pictures], {f"my/{table}.csv": ["image,label", *rows]})
    assert [told(paths)[f"my/{picture}"][2] for picture in pictures] == split


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("training", "publictest", "privatetest"), ("train", "test", "test")),
        (("trainimgs", "validimgs", "testimgs"), ("train", "val", "test")),
        (("Trainingsdaten", "Validation", "Testdaten"), ("train", "val", "test")),
        (("traindir", "valdir", "testdir"), ("train", "val", "test")),
    ],
)
def test_splits_in_one_word_are_splits(paths: Paths, folders: Sequence[str], splits: Sequence[str]) -> None:
    lay(paths, [picture for folder in folders for picture in in_classes(f"lab/{folder}/{{}}/1.jpg")])
    said = {file.split("/")[1]: (name, usage, person) for file, (name, _, usage, person) in told(paths).items()}
    assert said == {folder: ("lab", split, "") for folder, split in zip(folders, splits, strict=True)}


def test_pictures_beside_class_folders_are_counted(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    lay(
        paths,
        [*in_classes("lab/train/{}/1.jpg"), *in_classes("lab/test/{}/1.jpg"), "lab/train/a.jpg", "lab/train/b.jpg"],
    )
    assert len(told(paths)) == 4
    (said,) = caplog.messages
    assert said == (
        f"{paths.raw / 'lab'}: pictures beside class folders, left out: 2 (first: {paths.raw / 'lab/train/a.jpg'})"
    )


@pytest.mark.parametrize("layer", ["classes", "Emotions", "anna"])
def test_one_more_layer_in_every_split_keeps_the_splits(paths: Paths, layer: str) -> None:
    lay(paths, [picture for split in ("train", "test") for picture in in_classes(f"x/{split}/{layer}/{{}}/1.jpg")])
    assert {(file.split("/")[1], *one) for file, one in told(paths).items()} == {
        (split, "x", emotion, split, "") for split in ("train", "test") for emotion in ("angry", "happy")
    }


@pytest.mark.parametrize(
    ("rest", "tells"),
    [
        (["comp/test/1.jpg", "comp/test/2.jpg"], set()),
        (in_classes("comp/test/{}/1.jpg"), {("angry", "test"), ("happy", "test")}),
    ],
)
def test_tables_in_some_of_the_splits_are_one_dataset_s(paths: Paths, rest: list[str], tells: set[object]) -> None:
    listed = [f"comp/{split}/{number}.jpg" for split in ("train", "val") for number in range(2)]
    table = ["image,label", "0.jpg,sad", "1.jpg,fear"]
    lay(paths, [*listed, *rest], {f"comp/{split}/labels.csv": table for split in ("train", "val")})
    found = told(paths).values()
    assert {name for name, *_ in found} == {"comp"}
    assert {(emotion, usage) for _, emotion, usage, _ in found} == tells | {
        (emotion, split) for emotion in ("sad", "fear") for split in ("train", "val")
    }


def test_a_row_takes_no_picture_of_the_same_name_from_another_folder(paths: Paths) -> None:
    rows = ["ben/0.jpg,sad", "ben/1.jpg,fear", "anna/0.jpg,happy"]
    lay(paths, ["my/ben/0.jpg", "my/ben/1.jpg"], {"my/labels.csv": ["image,label", *rows]})
    with refusal(f"{paths.raw / 'my' / 'labels.csv'}, line 4: no file 'anna/0.jpg'"):
        told(paths)


@pytest.mark.parametrize("word", ["Testing", "testset", "val"])
def test_a_column_of_splits_counts_before_the_files_names(paths: Paths, word: str) -> None:
    rows = [f"{name},{own},{word}" for name, own in zip(RAF_NAMES[:2], ("happiness", "sadness"), strict=True)]
    lay(paths, [f"RAF-DB/{name}" for name in RAF_NAMES[:2]], {"RAF-DB/my.csv": ["image,label,split", *rows]}, side=100)
    assert {(one[0], one[2]) for one in told(paths).values()} == {("RAF", "val" if word == "val" else "test")}
