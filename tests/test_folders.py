"""Class folders as datasets of their own, with given splits or without, and as FER-2013 itself."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import (
    draw_images,
    prepare,
    refusal,
    the_error,
    tree,
    write_small_ckplus,
    write_small_fer,
    write_small_rafdb,
)
from PIL import Image
from running import call_script

from emotorch.data import dataset, fer2013
from emotorch.data.images import Pixels, encode_png, hash_pixels, read_face, read_picture, resize
from emotorch.data.operations import OPERATIONS
from emotorch.data.own_data import list_images
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import Reading, read_manifest
from emotorch.data.synthetic import Identity, draw_face
from emotorch.datasets import FER
from emotorch.evaluation.sets import load_set
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_1, STAGE_2, STAGE_3, Paths
from emotorch.seeding import generator

EMOTORCH4, SEVEN, MOOD4 = (get_scheme(name) for name in ("emotorch4", "seven", "mood4"))


def draw(emotion: str, number: int) -> Pixels:
    rng = generator("test faces", emotion, number)
    return draw_face(emotion, Identity(rng), rng)


def faces(emotion: str) -> Iterator[Pixels]:
    number = 0
    while True:
        yield draw(emotion, number)
        number += 1


def put(folder: Path, emotion: str, count: int, *, first: int = 0) -> list[Path]:
    """`count` drawn faces of one of FER-2013's emotions, as 48×48 grey PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"face{number:03d}.png" for number in range(first, first + count)]
    for number, file in enumerate(files, start=first):
        file.write_bytes(encode_png(draw(emotion, number)))
    return files


@pytest.fixture
def raw(paths: Paths) -> Paths:
    """FER-2013 after stage 1."""
    write_small_fer(paths, rows=28, twins=0)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    return paths


def create(paths: Paths, scheme: str = "emotorch4", faces: str = "auto") -> dict[str, dict[str, int]]:
    return dataset.create(paths, get_scheme(scheme), workers=1, force=False, faces=faces).counts


def manifest(paths: Paths, name: str, scheme: str = "emotorch4") -> list[dict[str, str]]:
    folder = paths.for_scheme(scheme).originals
    rows = read_manifest(folder, dataset.MANIFEST_COLUMNS, STAGE_2)
    for row in rows:
        assert row["hash"] == hash_pixels(read_face(folder / row["file"]))
    assert set(tree(folder)) == {"manifest.csv", "stage.json", *(row["file"] for row in rows)}
    return [row for row in rows if row["dataset"] == name]


# Datasets of their own.


def test_flat_class_folders_are_a_dataset(raw: Paths) -> None:
    folder = raw.raw / "Studio_faces"
    put(folder / "Anger", "angry", 2)
    put(folder / "angry", "angry", 1, first=2)
    put(folder / "calm", "neutral", 1)
    put(folder / "Neutral", "neutral", 1, first=1)
    put(folder / "surprised", "surprise", 3)
    (folder / "licence.txt").write_text("mine")
    (folder / "calm" / ".DS_Store").write_text("")
    (folder / ".hidden").mkdir()
    assert create(raw)["Studio_faces"] == {"anger": 3, "fear": 0, "calm": 2, "surprise": 3}
    rows = manifest(raw, "Studio_faces")
    assert {row["usage"] for row in rows} == {""}
    meaning = {"Anger": "anger", "angry": "anger", "calm": "calm", "Neutral": "calm", "surprised": "surprise"}
    for row in rows:
        source = raw.root / row["source"]
        assert row["emotion"] == meaning[source.parent.name] == Path(row["file"]).parent.name
        assert (read_face(raw.originals / row["file"]) == read_face(source)).all()
    numbered = [Path(row["file"]).stem for row in rows if row["emotion"] == "anger"]
    assert numbered == ["1", "2", "3"]


def test_the_pixels_of_every_class_end_in_its_label_s_folder(raw: Paths) -> None:
    """Known by what is drawn, whatever the class folders' order and spelling."""
    spelling = {"angry": "Anger", "happy": "HAPPINESS", "sad": "sadness", "fear": "Fearful"}
    drawn = {}
    for emotion in FER.classes:
        put(raw.raw / "Faces" / spelling.get(emotion, emotion), emotion, 2)
        drawn.update({hash_pixels(draw(emotion, number)): emotion for number in range(2)})
    for scheme in (EMOTORCH4, SEVEN, MOOD4):
        create(raw, scheme.name)
        labels = {drawn[row["hash"]]: row["emotion"] for row in manifest(raw, "Faces", scheme.name)}
        assert labels == scheme.sources["FER"]


def test_given_splits_are_kept(raw: Paths) -> None:
    folder = raw.raw / "Split"
    for split, count in (("train", 4), ("Validation", 2), ("TEST", 1)):
        for emotion in ("fear", "happy"):
            put(folder / split / emotion, emotion, count, first=ord(split[0]))
    assert create(raw, "mood4")["Split"]["happy"] == 7
    rows = manifest(raw, "Split", "mood4")
    assert Counter(row["usage"] for row in rows) == {"train": 4, "val": 2, "test": 1}
    for row in rows:
        assert row["usage"] == {"train": "train", "Validation": "val", "TEST": "test"}[Path(row["source"]).parts[2]]
    index = DatasetIndex.load(raw.for_scheme("mood4"), MOOD4)
    assert len(index.originals_of("Split", "val")) == 2


def test_colour_jpegs_of_odd_sizes_are_read(raw: Paths) -> None:
    folder = raw.raw / "web" / "val" / "surprise"
    folder.mkdir(parents=True)
    sizes = [(200, 131), (31, 31), (48, 48), (49, 300)]
    for number, (size, face) in enumerate(zip(sizes, faces("surprise"), strict=False)):
        coloured = cv2.applyColorMap(cv2.resize(face, size), cv2.COLORMAP_BONE)
        cv2.imwrite(str(folder / f"{number}.{('jpg', 'JPEG', 'png', 'jpeg')[number]}"), coloured)
    assert create(raw, faces="none")["web"]["surprise"] == 4
    for row in manifest(raw, "web"):
        assert row["usage"] == "val"
        pixels = read_face(raw.originals / row["file"])
        assert (pixels == resize(read_picture(raw.root / row["source"]))).all()
        original = draw("surprise", int(Path(row["source"]).stem))
        assert np.corrcoef(pixels.ravel(), original.ravel())[0, 1] > 0.8


def test_an_emotion_that_the_scheme_leaves_out_is_counted(raw: Paths, caplog: pytest.LogCaptureFixture) -> None:
    folder = raw.raw / "Split"
    caplog.set_level("INFO")
    put(folder / "train" / "fear", "fear", 1)
    put(folder / "train" / "Contempt", "disgust", 2)
    put(folder / "train" / "happy", "happy", 3)
    put(folder / "val" / "happy", "happy", 1, first=3)
    create(raw)
    assert "Split: 6 images take no part in emotorch4 (contempt 2, happy 4)" in caplog.messages
    assert len(manifest(raw, "Split")) == 1


def test_a_dataset_of_none_of_the_schemes_classes_takes_no_part(raw: Paths) -> None:
    put(raw.raw / "Smiles" / "happy", "happy", 2)
    assert set(create(raw)) == {"FER"}
    assert create(raw, "mood4")["Smiles"] == {"happy": 2, "neutral": 0, "sad": 0, "surprise": 0}


def test_twins_across_given_splits_are_kept_and_counted(raw: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folder = raw.raw / "Split"
    put(folder / "train" / "fear", "fear", 3)
    put(folder / "test" / "fear", "fear", 2)
    (folder / "train" / "fear" / "again.png").write_bytes((folder / "train" / "fear" / "face002.png").read_bytes())
    create(raw)
    assert len(manifest(raw, "Split")) == 6
    (line,) = (message for message in caplog.messages if "exact twin" in message)
    assert (
        line == "Split: 4 images have an exact twin in another given split; training will leave out those of its side"
    )


def test_what_is_no_dataset_is_passed_over_and_said(raw: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    put(raw.raw / "papers" / "figures" / "2013", "fear", 2)
    (raw.raw / "papers" / "paper.csv").write_text("title,year\n")
    (raw.raw / "empty").mkdir()
    (raw.raw / "notes.txt").write_text("x")
    assert set(create(raw)) == {"FER"}
    (line,) = (message for message in caplog.messages if "not recognised" in message)
    assert line == (
        "FER-Datasets/papers: not recognised, passed over: 2 pictures, and no class folders or names that tell what "
        "they show; paper.csv has no columns that are known here (path and label): title, year"
    )


def test_datasets_stand_side_by_side_and_get_variants(raw: Paths) -> None:
    write_small_ckplus(raw)
    write_small_rafdb(raw)
    put(raw.raw / "alpha" / "sad", "sad", 1)
    put(raw.raw / "Beta" / "train" / "surprise", "surprise", 2)
    done = call_script(raw, STAGE_2, "--scheme", "seven")
    assert done.returncode == 0
    folder = raw.for_scheme("seven").originals
    assert done.stdout.splitlines()[0] == f"{folder}: written"
    assert [line.split(":")[0].strip() for line in done.stdout.splitlines()[1:]] == [
        "FER",
        "CKP",
        "RAF",
        "Beta",
        "alpha",
    ]
    done = call_script(raw, STAGE_3, "--scheme", "seven", "--workers", 1)
    assert done.stdout == f"{folder}-Augmented: {(28 + 12 + 6 + 3) * len(OPERATIONS)} images written\n"
    flipped = read_face(raw.for_scheme("seven").augmented / "alpha" / "sad" / "1_flip.png")
    assert (flipped == draw("sad", 0)[:, ::-1]).all()
    assert not raw.originals.exists()


def test_a_users_own_scheme_goes_through_stages_2_and_3(raw: Paths, tmp_path: Path) -> None:
    own = tmp_path / "valence.toml"
    own.write_text(
        'labels = ["good", "bad"]\n[sources.FER]\nhappy = "good"\nsad = "bad"\nangry = "bad"\n[sources.CKP]\n'
    )
    assert the_error(call_script(raw, STAGE_3, "--scheme", own)) == (
        f"error: {raw.root / 'FER-Original-Dataset-valence'} does not exist: run {STAGE_2} --scheme valence.toml first"
    )
    done = call_script(raw, STAGE_2, "--scheme", own)
    assert "FER: 12 images (good 4, bad 8)" in done.stdout
    done = call_script(raw, STAGE_3, "--scheme", own, "--workers", 1)
    assert done.stdout.endswith(f"FER-Original-Dataset-valence-Augmented: {12 * len(OPERATIONS)} images written\n")


def test_stage_3_tells_the_command_with_the_scheme(raw: Paths) -> None:
    line = the_error(call_script(raw, STAGE_3, "--scheme", "mood4"))
    assert line.endswith(f"FER-Original-Dataset-mood4 does not exist: run {STAGE_2} --scheme mood4 first")
    create(raw, "mood4")
    file = raw.for_scheme("mood4").originals / "FER" / "sad" / "1.png"
    file.write_bytes(encode_png(draw_images(1, seed=9)[0]))
    line = the_error(call_script(raw, STAGE_3, "--scheme", "mood4", "--workers", 1))
    assert line == f"error: {file}: changed since it was written; run {STAGE_2} --scheme mood4 --force"


# What is refused.


@pytest.mark.parametrize(
    ("stray", "message"),
    [
        ("Faces/hapy/1.png", "no known emotion (angry, disgust, fear, happy, sad, surprise, neutral, contempt, "),
        ("Faces/7/1.png", "no known emotion ("),
        ("Faces/fear/notes.txt", "not an image; move it away"),
        ("Split/train/hapy/1.png", "no known emotion ("),
        ("Split/fear/1.png", "{raw}/Split/train: a folder of a given split beside class folders that are in none"),
        ("Split/extra/1.png", "beside the given split train, and called like none (train, val, test)"),
        ("Parts/eval/fear/1.png", "{raw}/Parts/eval: beside the given split train, and called like none (train, val, "),
    ],
)
def test_what_does_not_belong_there_is_named(raw: Paths, stray: str, message: str) -> None:
    put(raw.raw / "Faces" / "fear", "fear", 1)
    put(raw.raw / "Split" / "train" / "fear", "fear", 1)
    put(raw.raw / "Parts" / "train" / "fear", "fear", 1)
    file = raw.raw / stray
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"text" if file.suffix == ".txt" else encode_png(draw_images(1, seed=5)[0]))
    named = file if file.suffix == ".txt" else file.parent
    with refusal(message.format(raw=raw.raw) if message.startswith("{raw}") else f"{named}: {message}"):
        create(raw)
    assert not raw.originals.exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my faces (2)", "my-faces-2"),
        ("Gesichter für mich", "Gesichter-fur-mich"),
        ("表情", "own"),
        ("Ckp", "Ckp-2"),
        ("fer", "fer-2"),
        ("faces/archive (1)/images", "faces-2"),
        ("x" * 60, "x" * 40),
        ("a--b", "a--b"),
    ],
)
def test_a_name_is_made_plain_and_is_no_other_s(raw: Paths, folder: str, name: str) -> None:
    put(raw.raw / "Faces" / "fear", "fear", 1)
    put(raw.raw / folder / "fear", "fear", 1)
    assert set(create(raw)) == {"FER", "Faces", name}


def test_class_folders_without_an_image_are_named(raw: Paths) -> None:
    (raw.raw / "Faces" / "fear").mkdir(parents=True)
    (raw.raw / "Faces" / "happy").mkdir()
    with refusal(f"{raw.raw / 'Faces'}: no images in its class folders"):
        create(raw)


def test_an_empty_or_cut_picture_is_named(raw: Paths) -> None:
    file = put(raw.raw / "Faces" / "fear", "fear", 1)[0]
    whole = file.read_bytes()
    for spoilt, message in ((b"", "not a readable image"), (whole[:-900], "damaged image")):
        file.write_bytes(spoilt)
        with refusal(f"{file}: {message}"):
            create(raw)
    file.write_bytes(whole)
    assert create(raw)["Faces"]["fear"] == 1


@pytest.mark.parametrize("change", ["pixels", "split", "emotion"])
def test_changed_class_folders_make_everything_anew(raw: Paths, change: str) -> None:
    file = put(raw.raw / "Split" / "train" / "fear", "fear", 2)[0]
    create(raw)
    if change == "pixels":
        file.write_bytes(encode_png(draw("fear", 77)))
    else:
        where = {"split": "test/fear", "emotion": "train/surprise"}[change]
        (raw.raw / "Split" / where).mkdir(parents=True)
        file.rename(raw.raw / "Split" / where / file.name)
    assert not dataset.create(raw, EMOTORCH4, workers=1, force=False).up_to_date
    assert len(manifest(raw, "Split")) == 2
    assert dataset.create(raw, EMOTORCH4, workers=1, force=False).up_to_date


# FER-2013 as class folders.


def put_fer(folder: Path, train: int = 3, test: int = 1) -> None:
    for emotion in FER.classes:
        put(folder / "train" / emotion, emotion, train)
        put(folder / "test" / emotion, emotion, test, first=train)


@pytest.mark.parametrize("place", ["fer-2013", "fer2013"])
def test_fer2013_may_be_class_folders(paths: Paths, place: str) -> None:
    put_fer(paths.raw / place)
    stage_1 = call_script(paths, STAGE_1)
    assert (stage_1.returncode, stage_1.stdout.split(":")[0]) == (0, "nothing to do")
    done = call_script(paths, STAGE_2, "--scheme", "seven")
    assert done.returncode == 0
    assert "FER: 28 images (angry 4, disgust 4, fear 4, happy 4, sad 4, surprise 4, neutral 4)" in done.stdout
    rows = manifest(paths, "FER", "seven")
    assert Counter(row["usage"] for row in rows) == {"Training": 21, "PublicTest+PrivateTest": 7}
    for row in rows:
        number = int(Path(row["source"]).stem.removeprefix("face"))
        assert row["hash"] == hash_pixels(draw(row["emotion"], number))
        assert (row["usage"] == "Training") == (number < 3)
    assert set(create(paths)) == {"FER"}
    assert len(load_set(paths, "fer-test", SEVEN).labels) == 7
    with refusal(
        "FER-2013's class folders do not tell PublicTest from the other test, only its CSV does: score both as"
    ):
        load_set(paths, "fer-public", SEVEN)


def test_fer2013_s_faces_are_48_by_48(paths: Paths) -> None:
    put_fer(paths.raw / "fer-2013")
    file = paths.raw / "fer-2013" / "test" / "fear" / "face003.png"
    picture = Image.open(file).convert("RGB")
    picture.save(file.with_suffix(".jpg"))
    file.unlink()
    assert create(paths)["FER"]["fear"] == 4
    picture.resize((64, 64)).save(file.with_suffix(".jpg"))
    with refusal(f"{file.with_suffix('.jpg')}: 64×64 pixels where 48×48 are expected"):
        create(paths)


def test_the_csv_wins_over_class_folders(raw: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    put_fer(raw.raw / "fer-2013")
    create(raw)
    assert "FER-Datasets/fer-2013: FER-2013 too, " in caplog.text
    assert {Path(row["source"]).parts[1] for row in manifest(raw, "FER")} == {"FER2013img"}
    raw.fer_csv.unlink()  # stage 1 has written what was in it
    caplog.clear()
    create(raw)
    assert "FER-Datasets/FER2013img: FER-2013, written by stage 1" in caplog.text


def test_of_a_csv_and_class_folders_the_fuller_is_read(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_small_fer(paths, rows=7, twins=0)
    put_fer(paths.raw / "fer2013")
    put_fer(paths.raw / "a copy of fer-2013", train=1)
    assert "FER-2013 is here as class folders" in call_script(paths, STAGE_1).stdout
    create(paths)
    assert {Path(row["source"]).parts[1] for row in manifest(paths, "FER")} == {"fer2013"}
    assert "not taken: FER-Datasets/fer2013 is fuller" in caplog.text


# Evaluation's own listing.


def test_evaluation_reads_the_same_names(tmp_path: Path) -> None:
    for number, name in enumerate(("Anger", "fearful", "calm", "neutral", "happiness", "contempt", "elsewhere")):
        put(tmp_path / name, FER.classes[number], 1)
    images, left_out = list_images(tmp_path, EMOTORCH4)
    assert {image.path.parent.name: image.emotion for image in images} == {
        "Anger": "anger",
        "fearful": "fear",
        "calm": "calm",
        "neutral": "calm",
    }
    assert left_out == ["contempt", "elsewhere", "happiness"]
    assert {image.reading for image in images} == {Reading.SCENE}
    images, left_out = list_images(tmp_path, MOOD4)
    assert {image.path.parent.name: image.emotion for image in images} == {"neutral": "neutral", "happiness": "happy"}
    with refusal(f"{tmp_path / 'Anger'}: no images in class folders (anger, fear, calm, surprise)"):
        list_images(tmp_path / "Anger", EMOTORCH4)


def test_the_dataset_of_a_prepared_root_is_indexed_with_class_folders(paths: Paths) -> None:
    write_small_fer(paths, rows=56, twins=0)
    put(paths.raw / "Faces" / "test" / "calm", "neutral", 2)
    prepare(paths, variants=False)
    images = DatasetIndex.load(paths, EMOTORCH4).originals_of("Faces", "test")
    assert len(images) == 2
    assert (images.read() == np.stack([draw("neutral", 0), draw("neutral", 1)])).all()


def test_own_class_folders_need_no_other_dataset(paths: Paths) -> None:
    for split, count in (("train", 2), ("val", 1)):
        for emotion in MOOD4.labels:
            folder = paths.raw / "own" / split / emotion
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(encode_png(draw(emotion, number + 10 * len(split))))
    done = call_script(paths, STAGE_2, "--scheme", "mood4", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert f"no FER-2013 in {paths.raw}: everything runs without it" in done.stderr
    index = DatasetIndex.load(paths, MOOD4)
    assert set(index.datasets) == {"own"}
