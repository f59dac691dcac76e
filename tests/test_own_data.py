"""Data of the user's own: persons' folders, given splits, and tables of labels, as people write them."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import draw, put
from PIL import Image
from running import call_script

from emotorch.analyses.reference import Reference
from emotorch.data import dataset
from emotorch.data.faces import Box
from emotorch.data.images import PixelForm
from emotorch.data.recognition import recognise
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import SourceImage, read_manifest
from emotorch.errors import EmoTorchError
from emotorch.evaluation.seen import seen_in_training
from emotorch.evaluation.sets import load_set
from emotorch.labels import get_scheme
from emotorch.paths import SHIPPED_MODELS, STAGE_2, Paths
from emotorch.runs.usage import TrainingImages
from emotorch.training.checkpoints import load_model

SEVEN = get_scheme("seven")
EMOTIONS = ("happy", "sad", "angry")


def images_of(paths: Paths) -> list[SourceImage]:
    """Of the only dataset that is there, which is the user's own."""
    (found,) = recognise(paths, SEVEN).datasets.values()
    return found.images()


@pytest.mark.parametrize("named", ["{name}", "{originals}/{name}", "{raw}/{name}"])
@pytest.mark.parametrize("name", ["mine", "AffectNet"])
def test_what_a_run_was_trained_on_is_known_at_any_size_and_however_it_is_read(
    paths: Paths, name: str, named: str
) -> None:
    """Stage 2 has shrunk it, and an evaluation of a raw folder may look for faces where stage 2 did not."""
    put(paths.raw / name, [f"{emotion}/{number}.png" for number, emotion in enumerate(3 * EMOTIONS)], side=160)
    dataset.create(paths, SEVEN, workers=1, force=False, faces="none")
    own, index = paths.for_scheme("seven"), DatasetIndex.load(paths, SEVEN)
    known = TrainingImages(dict(zip(index.files[1:].tolist(), index.hashes[1:].tolist(), strict=True)))
    form = PixelForm(64, 1)
    images = load_set(paths, named.format(name=name, originals=own.originals, raw=paths.raw), SEVEN, form, "none")
    other = replace(images, hashes=np.array(["other pixels"] * len(images.files)))  # as where faces are cut out
    for read in (images, other) if "/" in named else (images,):
        trained_on, _ = seen_in_training(read, known, own, by_name=False)
        assert trained_on.tolist().count(False) == 1


def test_others_of_a_person_who_was_trained_on_are_seen_too(paths: Paths) -> None:
    put(
        paths.raw / "mine",
        (f"{emotion}/P{person:02d}/{n}.jpg" for emotion in EMOTIONS for person in (1, 2) for n in (1, 2)),
    )
    dataset.create(paths, SEVEN, workers=1, force=False, faces="none")
    own, index = paths.for_scheme("seven"), DatasetIndex.load(paths, SEVEN)
    known = TrainingImages({index.files[0]: index.hashes[0]})
    for place in ("mine", str(paths.raw / "mine")):
        images = load_set(paths, place, SEVEN, faces="none")
        seen, _ = seen_in_training(images, known, own, by_name=place == "mine")
        assert seen.sum() == 6, place
        compact = load_model(SHIPPED_MODELS / "compact" / "model.pth")
        assert Reference("compact", compact, "", known, own).has_seen(images).sum() == 6, place


# Class folders.


@pytest.mark.parametrize(
    ("layout", "splits"),
    [
        ("{emotion}/{person}/{n}.jpg", {""}),
        ("{person}/{emotion}/{n}.jpg", {""}),
        ("{split}/{emotion}/{person}/{n}.jpg", {"train", "val"}),
        ("{split}/{person}/{emotion}/{n}.jpg", {"train", "val"}),
        ("{emotion}/{split}/{person}/{n}.jpg", {"train", "val"}),
        ("{emotion}/{person}/session/{n}.jpg", {""}),
        ("images/{emotion}/images/{person}/{n}.jpg", {""}),
    ],
)
def test_persons_may_have_folders_below_the_classes_or_above(paths: Paths, layout: str, splits: set[str]) -> None:
    names = [
        layout.format(emotion=emotion, person=f"P{person:02d}", n=n, split="valid" if person == 3 else "Train")
        for emotion in EMOTIONS
        for person in range(4)
        for n in range(2)
    ]
    put(paths.raw / "my people", names)
    images = images_of(paths)
    assert len(images) == len(names)
    for image in images:
        assert image.emotion in image.path.parts
        assert image.subject in image.path.parts
    assert Counter(image.subject for image in images) == dict.fromkeys(("P00", "P01", "P02", "P03"), 6)
    assert {image.usage for image in images} == splits
    dataset.create(paths, SEVEN, workers=1, force=False)
    rows = read_manifest(paths.for_scheme("seven").originals, dataset.MANIFEST_COLUMNS, STAGE_2)
    assert {row["dataset"] for row in rows} == {"my-people"}
    assert all(row["subject"] in row["source"] for row in rows)


@pytest.mark.parametrize("layout", ["{emotion}/{emotion}/{n}.jpg", "{emotion}/pictures of {emotion}/{n}.jpg"])
def test_one_folder_more_in_each_class_is_nobody_s(paths: Paths, layout: str) -> None:
    put(paths.raw / "mine", (layout.format(emotion=emotion, n=n) for emotion in EMOTIONS for n in range(3)))
    assert {(image.emotion, image.subject) for image in images_of(paths)} == {(emotion, "") for emotion in EMOTIONS}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "valid", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "Val", "test_set"),
        ("x_train", "dev", ""),
        ("trainset", "valset", "testset"),
        ("Trains", "vals", "TestData"),
    ],
)
def test_given_splits_are_known_by_many_names(paths: Paths, train: str, val: str, test: str) -> None:
    splits = {train: "train", val: "val", test: "test"} if test else {train: "train", val: "val"}
    put(paths.raw / "mine", (f"{split}/0_{emotion.title()}/1.jpg" for split in splits for emotion in EMOTIONS))
    assert {image.path.parts[-3]: image.usage for image in images_of(paths)} == splits


def test_folders_that_are_one_split_together_are_said(paths: Paths) -> None:
    for place in ("fer2013", "mine", "raf"):
        put(
            paths.raw / place,
            (f"{split}/{emotion}/1.png" for split in ("train", "train_aug", "test") for emotion in EMOTIONS),
        )
    put(paths.raw / "fer2013", (f"PrivateTest/{emotion}/1.png" for emotion in EMOTIONS))
    assert [found.notes for found in recognise(paths, SEVEN).datasets.values()] == [
        ("train, train_aug together are train",)
    ] * 3


@pytest.mark.parametrize("split", ["", "train/"])
def test_persons_above_the_classes_may_have_any_names(paths: Paths, split: str) -> None:
    names = ("anna", "Ben K", "čeněk")
    put(paths.raw / "lab", (f"{split}{name}/{emotion}/1.jpg" for name in names for emotion in EMOTIONS))
    found = recognise(paths, SEVEN).datasets
    assert set(found) == {"lab"}
    assert "folders of 3 persons" in found["lab"].why
    assert {image.path.parts[-3]: image.subject for image in images_of(paths)} == {name: name for name in names}


@pytest.mark.parametrize(
    "files",
    [
        ("studio/{}/1.jpg", "street/{}/1.jpg"),  # no more than two
        ("studio/{}/1.jpg", "street/{}/1.jpg", "affectnet/{}/1.jpg"),
        ("studio/{}/1.jpg", "street/{}/1.jpg", "third/{}/S010_004_00000017.png"),
        ("studio/{}/1.jpg", "street/{}/1.jpg", "third/train/{}/PublicTest_1.png"),
    ],
)
def test_datasets_beside_each_other_are_no_persons(paths: Paths, files: tuple[str, ...]) -> None:
    put(paths.raw / "all", (file.format(emotion) for file in files for emotion in EMOTIONS))
    found = recognise(paths, SEVEN).datasets
    assert len(found) == len(files)
    assert {"studio", "street"} <= set(found)


def test_all_formats_are_read_also_without_an_ending(paths: Paths) -> None:
    kinds = {
        "1.tiff": "TIFF",
        "2.webp": "WEBP",
        "3.bmp": "BMP",
        "4.jpg": "PNG",
        "5": "JPEG",
        "6.gif": "GIF",
        "7.ppm": "PPM",
    }
    for name, kind in kinds.items():
        put(paths.raw / "mine" / "happy", [name], kind=kind)
    assert dataset.create(paths, SEVEN, workers=1, force=False).counts["mine"]["happy"] == len(kinds)


def test_misnamed_pictures_are_told_of_in_one_line_also_beside_a_damaged_one(paths: Paths) -> None:
    folder = paths.raw / "mine" / "happy"
    put(folder, ["1.jpg", "2.jpg", "3.jpg"], kind="WEBP")
    put(folder, ["4.jpg"], kind="PNG")
    (last,) = put(folder, ["5.jpg"])
    damaged = last.read_bytes()
    last.write_bytes(damaged[:-300])
    line = (
        "pictures that hold another format than their names say, read by what they hold: 4 (WebP as .jpg 3, "
        f"PNG as .jpg 1; first: {folder / '1.jpg'})"
    )
    done = call_script(paths, STAGE_2, "--scheme", "seven", "--workers", 1)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2] == line
    assert done.stderr.splitlines()[-1].startswith(f"error: {last}: damaged image (")
    assert not paths.for_scheme("seven").originals.exists()
    last.write_bytes(damaged)
    done = call_script(paths, STAGE_2, "--scheme", "seven", "--workers", 1)
    assert done.stderr.count("hold another format") == 1
    assert "mine: 5 images (angry 0, disgust 0, fear 0, happy 5, " in done.stdout


def test_a_picture_that_is_a_line_harms_no_other(paths: Paths) -> None:
    put(paths.raw / "mine" / "happy", ["1.png", "2.png"])
    for number, size in enumerate(((1, 3000), (30000, 20), (1, 1))):
        Image.new("L", size, 90).save(paths.raw / "mine" / "happy" / f"thin{number}.png")
    for scheme, faces, expected in (("seven", "none", 5), ("mood4", "none", 5), ("seven", "auto", 3)):
        done = dataset.create(paths, get_scheme(scheme), workers=1, force=False, faces=faces)
        assert done.counts["mine"]["happy"] == expected


def test_names_that_are_no_utf_8_are_read_and_recorded(paths: Paths) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    put(paths.raw / "mine" / "happy", [name, "plain.png"])
    assert dataset.create(paths, SEVEN, workers=1, force=False).counts["mine"]["happy"] == 2
    rows = read_manifest(paths.for_scheme("seven").originals, dataset.MANIFEST_COLUMNS, STAGE_2)
    assert [Path(row["source"]).name for row in rows] == [r"caf\udce9.png", "plain.png"]


def test_all_damaged_files_are_named_at_once(paths: Paths) -> None:
    files = put(paths.raw / "mine", (f"{emotion}/{n}.jpg" for emotion in EMOTIONS for n in range(2)))
    for file in (files[0], files[2], files[5]):
        file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(EmoTorchError) as caught:
        dataset.create(paths, SEVEN, workers=1, force=False)
    first, *others = sorted((files[0], files[2], files[5]))
    assert str(caught.value).startswith(f"{first}: damaged image (")
    assert str(caught.value).endswith(f"(2 more cannot be read: {', '.join(file.name for file in others)})")


def test_a_whole_table_of_pixels_is_not_named_beside_a_damaged_picture(paths: Paths) -> None:
    (file,) = put(paths.raw / "mine" / "happy", ["1.jpg"])
    (paths.raw / "ckextended.csv").write_text(f"emotion,pixels,Usage\n3,{' '.join(['9'] * 48**2)},Training\n")
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(EmoTorchError) as caught:
        dataset.create(paths, SEVEN, workers=1, force=False)
    assert str(caught.value).startswith(f"{file}: damaged image (")
    assert "more cannot be read" not in str(caught.value)
    assert not paths.for_scheme("seven").originals.exists()


# Tables of labels.

ROWS = [
    ("a/1.jpg", "happy", "train", "ann", "1 2 30 40"),
    ("a/2.jpg", "Sad", "valid", "ben", ""),
    ("3.jpg", "anger", "TEST", "cy", ""),
]
HEADER = ("path", "label", "split", "person", "box")


def write(
    path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]], separator: str = ",", **options: str
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(row) + "\n" for row in (header, *rows)), **options)
    return path


def test_a_table_tells_class_split_person_and_box(paths: Paths) -> None:
    folder = paths.raw / "mine"
    put(folder, [row[0] for row in ROWS], side=60)
    write(folder / "labels.csv", HEADER, ROWS)
    found = [(image.emotion, image.usage, image.subject, image.box) for image in images_of(paths)]
    assert found == [
        ("happy", "train", "ann", Box(1, 2, 30, 40)),
        ("sad", "val", "ben", None),
        ("anger", "test", "cy", None),
    ]
    done = dataset.create(paths, SEVEN, workers=1, force=False)
    assert done.counts["mine"] == {**dict.fromkeys(SEVEN.labels, 0), "happy": 1, "sad": 1, "angry": 1}
    write(folder / "labels.csv", HEADER, [(*ROWS[0][:3], "dan", ROWS[0][4]), *ROWS[1:]])
    assert not dataset.create(paths, SEVEN, workers=1, force=False).up_to_date
    rows = read_manifest(paths.for_scheme("seven").originals, dataset.MANIFEST_COLUMNS, STAGE_2)
    assert [row["subject"] for row in rows if row["emotion"] == "happy"] == ["dan"]


def one_hot(label: str) -> tuple[str, ...]:
    return tuple(f" {int(label.lower() == emotion)}" for emotion in ("anger", "happy", "sad"))


@pytest.mark.parametrize(
    ("name", "header", "rewrite", "options"),
    [
        ("Labels.CSV", ("Path", "LABEL"), lambda row: row[:2], {"separator": ";"}),
        ("list.tsv", ("File Name", "Emotion"), lambda row: row[:2], {"separator": "\t"}),
        ("labels.csv", ("", "pth", "label", "relFCs"), lambda row: ("0", *row[:2], "0.8"), {}),
        (
            "labels.csv",
            ("image_name", "expression"),
            lambda row: (f'"{row[0]}"', f' "{row[1]}"'),
            {"encoding": "utf-8-sig"},
        ),
        ("labels.csv", ("path", "label"), lambda row: row[:2], {"encoding": "utf-16"}),
        ("labels.csv", ("user.id", "image", "emotion"), lambda row: ("7", Path(row[0]).name, row[1].upper()), {}),
        ("labels.csv", ("path", "label"), lambda row: (rf"C:\\pictures\\{row[0]}".replace("/", "\\"), row[1]), {}),
        ("labels.csv", ("path", "label"), lambda row: (row[0].removesuffix(".jpg"), row[1]), {}),
        ("tables/labels.csv", ("path", "label"), lambda row: row[:2], {}),
        ("_classes.csv", ("filename", " anger", " happy", " sad"), lambda row: (row[0], *one_hot(row[1])), {}),
    ],
    ids=[
        "capitals",
        "tabs",
        "index",
        "quotes and BOM",
        "UTF-16",
        "names alone",
        "Windows",
        "no endings",
        "folder of its own",
        "one-hot",
    ],
)
def test_tables_are_read_as_people_write_them(
    paths: Paths,
    name: str,
    header: tuple[str, ...],
    rewrite: Callable[[tuple[str, ...]], tuple[str, ...]],
    options: dict[str, str],
) -> None:
    put(paths.raw / "mine", [row[0] for row in ROWS])
    write(paths.raw / "mine" / name, header, [rewrite(row) for row in ROWS], **options)
    assert [(image.path.name, image.emotion) for image in images_of(paths)] == [
        ("1.jpg", "happy"),
        ("2.jpg", "sad"),
        ("3.jpg", "anger"),
    ]


def test_json_lines_tell_what_a_table_does(paths: Paths) -> None:
    put(paths.raw / "mine", ["train/1.jpg", "train/2.jpg", "test/3.jpg"], side=60)
    for folder, lines in {
        "train": [
            {"file_name": "1.jpg", "label": "joy", "box": [1, 2, 30, 40]},
            {"label": "sad", "file_name": "2.jpg"},
        ],
        "test": [{"file_name": "3.jpg", "label": "fear"}],
    }.items():
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (paths.raw / "mine" / folder / "metadata.jsonl").write_text(text)
    found = [(image.path.name, image.usage, image.emotion, image.box) for image in images_of(paths)]
    assert found == [
        ("3.jpg", "test", "fear", None),
        ("1.jpg", "train", "joy", Box(1, 2, 30, 40)),
        ("2.jpg", "train", "sad", None),
    ]


def test_a_line_that_is_no_object_is_named(paths: Paths) -> None:
    put(paths.raw / "mine", ["1.jpg", "2.jpg"])
    for line in ("[1]", "{", "[" * 100_000):
        file = paths.raw / "mine" / "metadata.jsonl"
        file.write_text(f'{{"file_name": "1.jpg", "label": "sad"}}\n{line}\n')
        with refusal(f"{file}, line 2: "):
            images_of(paths)


@pytest.mark.parametrize(
    ("cells", "message"), [(("0", "0"), "'' is not"), (("1", "1"), "'angry and happy' is not")], ids=["none", "two"]
)
def test_a_row_is_of_one_class(paths: Paths, cells: tuple[str, ...], message: str) -> None:
    put(paths.raw / "mine", ["1.jpg", "2.jpg"])
    rows = [("1.jpg", "1", "0"), ("2.jpg", *cells)]
    file = write(paths.raw / "mine" / "_classes.csv", ("filename", "angry", "happy"), rows)
    with refusal(f"{file}, line 3: {message}"):
        images_of(paths)


def test_probabilities_and_votes_are_no_labels(paths: Paths) -> None:
    put(paths.raw / "mine", ["happy/1.jpg", "sad/2.jpg"])
    rows = [("1.jpg", "0.9", "0.1"), ("2.jpg", "1", "0")]
    write(paths.raw / "mine" / "predictions.csv", ("file", "sad", "happy"), rows)
    assert [image.emotion for image in images_of(paths)] == ["happy", "sad"]


def test_a_table_for_each_split_and_corners_of_boxes(paths: Paths) -> None:
    folder = paths.raw / "mine"
    put(folder, ["images/1.jpg", "images/2.jpg"], side=60)
    header = ("image", "xmin", "ymin", "xmax", "ymax", "class")
    write(folder / "train.csv", header, [("images/1.jpg", "5", "6", "25", "46", "joy")])
    write(folder / "test.csv", header, [("2.jpg", "0.0", "0", "9.6", "10", "fear")])
    found = {(image.path.name, image.usage, image.emotion, image.box) for image in images_of(paths)}
    assert found == {("1.jpg", "train", "joy", Box(5, 6, 20, 40)), ("2.jpg", "test", "fear", Box(0, 0, 10, 10))}


@pytest.mark.parametrize(
    ("tables", "row"),
    [
        (("train.csv", "test.csv"), "{n}.jpg"),
        (("train/_annotations.csv", "test/_annotations.csv"), "{n}.jpg"),
        (("labels.csv",), "{split}/{n}.jpg"),
    ],
    ids=["a table beside each folder", "a table in each", "one table"],
)
def test_pictures_of_equal_names_in_given_splits_are_told_apart(
    paths: Paths, tables: tuple[str, ...], row: str
) -> None:
    folder = paths.raw / "mine"
    put(folder, [f"{split}/{n}.jpg" for split in ("train", "test") for n in range(2)])
    for table in tables:
        splits = ["test" if "test" in table else "train"] if len(tables) > 1 else ["train", "test"]
        rows = [(row.format(split=split, n=n), EMOTIONS[n]) for split in splits for n in range(2)]
        write(folder / table, ("image", "label"), rows)
    assert set(recognise(paths, SEVEN).datasets) == {"mine"}
    found = {(image.path.relative_to(folder).as_posix(), image.usage, image.emotion) for image in images_of(paths)}
    assert found == {(f"{split}/{n}.jpg", split, EMOTIONS[n]) for split in ("train", "test") for n in range(2)}


def test_a_split_is_told_by_the_folders_that_a_table_s_pictures_lie_in(paths: Paths) -> None:
    put(paths.raw / "mine", ["images/train/1.jpg", "images/val/2.jpg"])
    write(paths.raw / "mine" / "labels.csv", ("Image Path", "Emotion Label"), [("1.jpg", "happy"), ("2.jpg", "sad")])
    assert [image.usage for image in images_of(paths)] == ["train", "val"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("b.jpg", "happy", "", "", ""), "line 5: no file 'b.jpg' below"),
        (("a/1.jpg", "hapy", "", "", ""), "line 5: 'hapy' is not a known emotion, or a label of scheme seven (angry, "),
        (("a/1.jpg", "happy", "", "", "1 2 30 40"), "line 5: 1.jpg stands in labels.csv, line 2, too; remove one"),
        (("a/1.jpg", "happy", "fold", "", "1 2 3 4"), "line 5: 'fold' is not a split (train, val, test)"),
        (("a/1.jpg", "happy", "", "", "1 2 3"), "line 5: '1 2 3' is not a box (x y width height, in pixels)"),
        (("a/1.jpg", "happy", "", "", "1 2 0 4"), "line 5: '1 2 0 4' is a box without width or height"),
        (("a/1.jpg", "happy", "", "", "0.1 0.2 0.9 1"), "line 5: '0.1 0.2 0.9 1' is in parts of the picture, not in"),
        (("test/5.jpg", "happy", "", "", ""), "line 5: no file 'test/5.jpg' below"),
        (("twice.jpg", "happy", "", "", ""), "line 5: 'twice.jpg' may be "),
    ],
)
def test_a_bad_row_is_named(paths: Paths, row: tuple[str, ...], message: str) -> None:
    folder = paths.raw / "mine"
    put(folder, [*(row[0] for row in ROWS), "x/twice.jpg", "y/twice.jpg", "train/5.jpg"])
    table = write(folder / "labels.csv", HEADER, [*ROWS, row])
    with refusal(f"{table}, {message}"):
        images_of(paths)


def test_what_is_in_no_row_is_said(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    folder = paths.raw / "mine"
    put(folder, [*(row[0] for row in ROWS), "a/4.jpg", "a/5.jpg"])
    table = write(folder / "labels.csv", HEADER, ROWS)
    assert len(images_of(paths)) == 3
    assert caplog.messages == [f"{table}: pictures that are in no row, left out: 2 (first: {folder / 'a' / '4.jpg'})"]


def test_pictures_in_no_row_right_beside_the_table_are_said_too(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    folder = paths.raw / "mine"
    put(folder, ["1.jpg", "2.jpg", "3.jpg", "elsewhere/4.jpg"])
    table = write(folder / "labels.csv", HEADER[:2], [("1.jpg", "happy"), ("2.jpg", "sad")])
    assert len(images_of(paths)) == 2
    assert caplog.messages == [f"{table}: pictures that are in no row, left out: 1 (first: {folder / '3.jpg'})"]


@pytest.mark.parametrize("labels", [("3", "4"), ("3.0", "4.0")])
def test_numbers_in_a_table_are_asked_about_also_as_fractions(paths: Paths, labels: tuple[str, ...]) -> None:
    put(paths.raw / "mine", ["1.jpg", "2.jpg"])
    write(paths.raw / "mine" / "labels.csv", HEADER[:2], list(zip(("1.jpg", "2.jpg"), labels, strict=True)))
    (question,) = recognise(paths, SEVEN).passed_over
    assert question.is_question


def test_a_table_is_believed_before_the_folders(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    put(paths.raw / "mine", ["happy/1.jpg", "sad/2.jpg"])
    write(paths.raw / "mine" / "labels.csv", HEADER[:2], [("happy/1.jpg", "sad"), ("sad/2.jpg", "sad")])
    with caplog.at_level("WARNING"):
        assert [image.emotion for image in images_of(paths)] == ["sad", "sad"]
    (said,) = caplog.messages
    assert "pictures in a folder of another class than their rows say, read by their rows: 1 (first: " in said


def test_a_table_of_other_pictures_hides_no_class_folders(paths: Paths) -> None:
    put(paths.raw / "mine", ["happy/1.png", "sad/2.png"])
    table = write(paths.raw / "mine" / "predictions.csv", ("image", "class"), [("/elsewhere/x.png", "sad")])
    found = recognise(paths, SEVEN)
    assert set(found.datasets) == {"mine"}
    assert [missing.where for missing in found.passed_over] == [table]


def test_a_table_in_a_folder_of_its_own_is_not_asked_again(paths: Paths) -> None:
    put(paths.raw / "mine" / "images", ["1.jpg", "2.jpg"])
    write(paths.raw / "mine" / "data" / "legend.csv", HEADER[:2], [("1.jpg", "sad"), ("2.jpg", "sad")])
    assert recognise(paths, SEVEN).passed_over == []
    assert len(images_of(paths)) == 2


def test_a_table_beside_all_datasets_is_called_after_their_folder(paths: Paths) -> None:
    put(paths.raw, ["pictures/1.jpg", "pictures/2.jpg", "mine/happy/1.jpg"])
    write(paths.raw / "labels.csv", HEADER[:2], [("pictures/1.jpg", "sad"), ("pictures/2.jpg", "sad")])
    assert set(recognise(paths, SEVEN).datasets) == {"FER-Datasets", "mine"}


def test_a_table_without_its_pictures_and_one_of_numbers(paths: Paths) -> None:
    table = write(paths.raw / "mine" / "labels.csv", HEADER[:2], [("1.jpg", "3")])
    (missing,) = recognise(paths, SEVEN).passed_over
    assert (missing.where, missing.found) == (table, "a table of labels, without its pictures (first: 1.jpg)")
    put(paths.raw / "mine", ["1.jpg", "2.jpg"])
    write(table, HEADER[:2], [("1.jpg", "3"), ("2.jpg", "0")])
    (missing,) = recognise(paths, SEVEN).passed_over
    assert missing.is_question
    assert missing.found.startswith("which dataset is it? Its labels in labels.csv are numbers, 0 to 3, ")
    (paths.raw / "mine").rename(paths.raw / "mine from AffectNet")
    found = recognise(paths, SEVEN).datasets["AffectNet"].images()
    assert [image.emotion for image in found] == ["surprise", "neutral"]


def test_names_in_a_table_that_are_no_utf_8_are_found(paths: Paths) -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    put(paths.raw / "mine", [name, "b.png"])
    rows = [(name, "sad"), ("b.png", "happy")]
    write(paths.raw / "mine" / "labels.csv", HEADER[:2], rows, encoding="utf-8", errors="surrogateescape")
    assert [image.path.name for image in images_of(paths)] == [name, "b.png"]
    (paths.raw / "mine" / name).rename(paths.raw / "mine" / "café.png")
    with pytest.raises(EmoTorchError, match=r"line 2: no file 'caf.udce9.png' .* save the table as CSV in UTF-8$"):
        images_of(paths)


def test_a_split_beside_one_without_pictures_is_a_dataset_by_itself(paths: Paths) -> None:
    put(paths.raw / "train", ["1.jpg", "2.jpg"])
    write(paths.raw / "train" / "labels.csv", HEADER[:2], [("1.jpg", "happy"), ("2.jpg", "sad")])
    (paths.raw / "test").mkdir()
    assert list(recognise(paths, SEVEN).datasets) == ["train"]


def test_a_scheme_s_own_labels_may_stand_in_a_table(paths: Paths) -> None:
    put(paths.raw / "mine", ["1.jpg", "2.jpg"])
    write(paths.raw / "mine" / "labels.csv", HEADER[:2], [("1.jpg", "Calm"), ("2.jpg", "neutral")])
    done = dataset.create(paths, get_scheme("emotorch4"), workers=1, force=False)
    assert done.counts["mine"]["calm"] == 2
    assert draw(0).shape == (48, 48)


_CELLS = st.text(max_size=6) | st.sampled_from(
    [
        *(
            "1.jpg",
            "a/2.jpg",
            "2",
            "happy",
            "3",
            "train",
            "1 2 3 4",
            '"',
            "..",
            "\\",
            "\0",
            "\udce9",
            "9" * 400,
            "1e9 1 1 1",
        )
    ]
)


@settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.sampled_from(
        ["path,label", "path;label;split;person;box", "file\tclass\tx1\ty1\tx2\ty2", "1.jpg 0 1 2 3 4 9 1", "1.jpg,sad"]
    ),
    rows=st.lists(st.lists(_CELLS, max_size=7), max_size=5),
    separator=st.sampled_from([",", ";", "\t", " "]),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
    tail=st.binary(max_size=8),
)
def test_any_table_is_read_or_refused_by_name(
    paths: Paths, header: str, rows: list[list[str]], separator: str, encoding: str, tail: bytes
) -> None:
    """Also ExpW's list: whatever is in it, no other error comes out."""
    if not (paths.raw / "mine").exists():
        put(paths.raw / "mine", ["1.jpg", "a/2.jpg"])
    text = "\n".join([header, *map(separator.join, rows)])
    file = paths.raw / "mine" / "labels.csv"
    for path in (file, file.with_suffix(".lst"), file.with_suffix(".txt")):
        path.write_bytes(text.encode(encoding, "surrogatepass") + tail)
        images, refused = [], ""
        try:
            found = recognise(paths, SEVEN)
            images = [image for one in found.datasets.values() for image in one.images()]
        except EmoTorchError as error:
            refused = str(error)
        assert str(path) in refused or not refused
        assert {image.path.name for image in images} <= {"1.jpg", "2.jpg"}
        path.unlink()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["1.jpg", "a/2.jpg", "sad", "train", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "label"]), inner, max_size=2),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(st.sampled_from(["file_name", "label", "split", "person", "box", "x", "\0"]), _VALUES)


@settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(_OBJECTS | _VALUES, max_size=5), tail=st.binary(max_size=8))
def test_any_json_lines_are_read_or_refused_by_name(paths: Paths, values: list[object], tail: bytes) -> None:
    if not (paths.raw / "mine").exists():
        put(paths.raw / "mine", ["1.jpg", "a/2.jpg"])
    file = paths.raw / "mine" / "metadata.jsonl"
    file.write_bytes("\n".join(map(json.dumps, values)).encode() + tail)
    images, refused = [], ""
    try:
        images = [image for one in recognise(paths, SEVEN).datasets.values() for image in one.images()]
    except EmoTorchError as error:
        refused = str(error)
    assert str(file) in refused or not refused
    assert {image.path.name for image in images} <= {"1.jpg", "2.jpg"}
