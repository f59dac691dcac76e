"""Stage 2: every source's images in one folder of a scheme's classes, each traced to where it is from."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    Script,
    draw_images,
    refusal,
    the_error,
    tree,
    write_fer_csv,
    write_small_ckplus,
    write_small_fer,
    write_small_rafdb,
)
from PIL import Image
from running import call_script, error_line

from emotorch.data import dataset, fer2013
from emotorch.data.images import encode_png, hash_pixels, read_face, read_stored
from emotorch.data.sources import read_manifest
from emotorch.datasets import FER
from emotorch.files import STAMP_NAME, read_json, write_json
from emotorch.labels import LabelScheme, get_scheme
from emotorch.paths import STAGE_1, STAGE_2, Paths

SCHEME = get_scheme("emotorch4")


def manifest(paths: Paths) -> list[dict[str, str]]:
    return read_manifest(paths.originals, dataset.MANIFEST_COLUMNS, STAGE_2)


def create(paths: Paths) -> dataset.Summary:
    return dataset.create(paths, SCHEME, workers=1, force=False)


@pytest.fixture
def raw(paths: Paths) -> Paths:
    """FER-2013 after stage 1 (eight images of every emotion), and CK+."""
    write_small_fer(paths, rows=56, twins=3)
    write_small_ckplus(paths)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    return paths


# What is in it.


def test_every_image_is_traced_to_its_source(raw: Paths) -> None:
    write_small_rafdb(raw)
    create(raw)
    sources = {
        str(raw.relative(raw.fer_images / row["file"])): row
        for row in read_manifest(raw.fer_images, fer2013.MANIFEST_COLUMNS, STAGE_1)
    }
    rows = manifest(raw)
    assert Counter(row["dataset"] for row in rows) == {"FER": 32, "CKP": 12, "RAF": 3}
    for row in rows:
        source = Path(row["source"])
        pixels = read_face(raw.originals / row["file"])
        assert row["hash"] == hash_pixels(pixels)
        if row["dataset"] == "RAF":
            assert row["usage"] == source.name.split("_")[0]
            continue
        assert np.array_equal(pixels, read_face(raw.root / source))
        assert SCHEME.sources[row["dataset"]][source.parent.name] == row["emotion"]
        if row["dataset"] == "FER":
            assert (row["usage"], row["subject"]) == (sources[row["source"]]["usage"], "")
        else:
            assert (row["usage"], row["subject"]) == ("", source.name.split("_")[0])


def test_the_images_of_a_class_are_numbered_from_one_in_the_sources_order(raw: Paths) -> None:
    create(raw)
    seen: dict[Path, list[tuple[int, str]]] = {}
    for row in manifest(raw):
        file = Path(row["file"])
        seen.setdefault(file.parent, []).append((int(file.stem), Path(row["source"]).name))
    assert set(seen) == {Path("FER", label) for label in SCHEME.labels} | {Path("CKP/anger"), Path("CKP/surprise")}
    for numbered in seen.values():
        assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
        assert [name for _, name in numbered] == sorted(name for _, name in numbered)


def test_nothing_is_there_but_what_the_manifest_lists(raw: Paths) -> None:
    create(raw)
    assert set(tree(raw.originals)) == {"manifest.csv", "stage.json", *(row["file"] for row in manifest(raw))}


def test_an_empty_class_is_no_error(paths: Paths) -> None:
    write_fer_csv(paths.fer_csv, draw_images(3, seed=1), [0, 0, 6], ["Training"] * 3)
    write_small_ckplus(paths)
    (paths.ckplus / "fear").mkdir()
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    done = call_script(paths, STAGE_2)
    assert done.returncode == 0
    assert "FER: 3 images (anger 2, fear 0, calm 1, surprise 0)" in done.stdout
    assert "CKP: 12 images (anger 6, fear 0, calm 0, surprise 6)" in done.stdout
    assert (paths.originals / "FER" / "fear").is_dir()


def test_without_ckplus_it_runs_and_says_so(paths: Paths) -> None:
    write_small_fer(paths, rows=28, twins=0)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    done = call_script(paths, STAGE_2)
    assert done.returncode == 0
    csv = paths.relative(paths.fer_csv)
    assert done.stderr.splitlines() == [
        f"{csv}: FER-2013, a table of faces with the columns emotion, pixels, Usage",
        f"no CK+ in {paths.raw}: everything runs without it",
        "FER: 12 images take no part in emotorch4 (disgust 4, happy 4, sad 4)",
    ]
    assert done.stdout.splitlines() == [
        f"{paths.originals}: written",
        "  FER: 16 images (anger 4, fear 4, calm 4, surprise 4)",
    ]
    assert not (paths.originals / "CKP").exists()


# Again, and anew.


def test_the_files_are_the_same_for_any_number_of_workers(tmp_path: Path, script: Script) -> None:
    trees = []
    for workers in (1, 2):
        paths = Paths(tmp_path / str(workers))
        write_small_fer(paths, rows=600)
        write_small_ckplus(paths)
        fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
        assert script(paths, STAGE_2, "--workers", workers).returncode == 0
        trees.append(tree(paths.originals))
    assert len(trees[0]) > 300
    assert trees[0] == trees[1]


def test_the_second_run_rewrites_nothing(raw: Paths) -> None:
    assert not create(raw).up_to_date
    before = {path: path.stat().st_mtime_ns for path in raw.originals.rglob("*")}
    again = create(raw)
    assert again.up_to_date
    assert again.counts["CKP"]["anger"] == 6
    assert {path: path.stat().st_mtime_ns for path in raw.originals.rglob("*")} == before


@pytest.mark.parametrize("dataset_folder", ["CK+", "FER2013img"])
def test_changed_sources_make_everything_anew(raw: Paths, dataset_folder: str) -> None:
    create(raw)
    old = {row["hash"] for row in manifest(raw)}
    if dataset_folder == "CK+":
        (raw.ckplus / "anger" / "S005_001_00000015.png").write_bytes(encode_png(draw_images(1, seed=77)[0]))
    else:
        write_small_fer(raw, rows=56, twins=3, seed=9)
        fer2013.convert(raw, workers=1, force=False, skip_bad_rows=False)
    assert not create(raw).up_to_date
    new = [row["dataset"] for row in manifest(raw) if row["hash"] not in old]
    assert Counter(new) == ({"CKP": 1} if dataset_folder == "CK+" else {"FER": 32})
    assert all(row["hash"] == hash_pixels(read_face(raw.originals / row["file"])) for row in manifest(raw))


def test_each_scheme_has_a_dataset_folder_of_its_own(raw: Paths) -> None:
    create(raw)
    before = tree(raw.originals)
    ours = raw.for_scheme("seven")
    dataset.create(raw, get_scheme("seven"), workers=1, force=False)
    assert ours.originals == raw.root / "FER-Original-Dataset-seven"
    assert {row["emotion"] for row in manifest(ours) if row["dataset"] == "FER"} == set(FER.classes)
    assert {row["emotion"] for row in manifest(ours) if row["dataset"] == "CKP"} == {"angry", "surprise"}
    assert tree(raw.originals) == before
    assert create(raw).up_to_date


def test_a_scheme_that_changed_under_its_name_is_made_anew(raw: Paths) -> None:
    labels = ("joy", "grief")
    first = LabelScheme("two", labels, {"FER": {"happy": "joy", "sad": "grief"}, "CKP": {}, "RAF": {}})
    second = replace(first, sources={"FER": {"happy": "joy", "fear": "grief"}, "CKP": {"contempt": "grief"}, "RAF": {}})
    ours = raw.for_scheme("two")
    for scheme, datasets in ((first, {"FER"}), (second, {"FER", "CKP"}), (first, {"FER"})):
        assert not dataset.create(raw, scheme, workers=1, force=False).up_to_date
        assert {row["dataset"] for row in manifest(ours)} == datasets
        for row in manifest(ours):
            assert scheme.sources[row["dataset"]][Path(row["source"]).parent.name] == row["emotion"]
        assert set(tree(ours.originals)) == {"manifest.csv", "stage.json", *(row["file"] for row in manifest(ours))}


def test_every_classs_pixels_end_in_its_own_folder(paths: Paths) -> None:
    """By what the pictures show: row k of the CSV has the grey value k, and is of FER-2013's class number k."""
    pixels = np.stack([np.full((48, 48), code, np.uint8) for code in range(7)])
    write_fer_csv(paths.fer_csv, pixels, list(range(7)), ["Training"] * 7)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    greys = {
        "emotorch4": {"anger": 0, "fear": 2, "calm": 6, "surprise": 5},
        "seven": {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "sad": 4, "surprise": 5, "neutral": 6},
        "mood4": {"happy": 3, "neutral": 6, "sad": 4, "surprise": 5},
    }
    for name, expected in greys.items():
        dataset.create(paths, get_scheme(name), workers=1, force=False)
        folder = paths.for_scheme(name).originals / "FER"
        assert {path.parent.name: int(read_stored(path)[0, 0]) for path in folder.rglob("*.png")} == expected


def test_every_class_of_ckplus_and_rafdb_ends_in_its_own_folder(paths: Paths) -> None:
    write_small_fer(paths, rows=7, twins=0)
    fer2013.convert(paths, workers=1, force=False, skip_bad_rows=False)
    for grey, emotion in enumerate(("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")):
        file = paths.ckplus / emotion / "S010_004_00000017.png"
        file.parent.mkdir(parents=True)
        file.write_bytes(encode_png(np.full((48, 48), grey, np.uint8)))
    aligned, labels = paths.raw / "RAF-DB" / "Image" / "aligned", paths.raw / "RAF-DB" / "EmoLabel"
    aligned.mkdir(parents=True)
    labels.mkdir()
    for code in range(1, 8):
        Image.new("L", (100, 100), code).save(aligned / f"train_{code:05d}_aligned.png")
    (labels / "list_patition_label.txt").write_text("".join(f"train_{code:05d}.png {code}\n" for code in range(1, 8)))
    ckplus = {
        "emotorch4": {"anger": 0, "fear": 3, "calm": 4, "surprise": 6},
        "seven": {"angry": 0, "disgust": 2, "fear": 3, "happy": 4, "sad": 5, "surprise": 6},
        "mood4": {"happy": 4, "sad": 5, "surprise": 6},
    }
    rafdb = {
        "emotorch4": {"anger": 6, "fear": 2, "calm": 7, "surprise": 1},
        "seven": {"angry": 6, "disgust": 3, "fear": 2, "happy": 4, "sad": 5, "surprise": 1, "neutral": 7},
        "mood4": {"happy": 4, "neutral": 7, "sad": 5, "surprise": 1},
    }
    for name in ckplus:
        dataset.create(paths, get_scheme(name), workers=1, force=False)
        for source, expected in (("CKP", ckplus[name]), ("RAF", rafdb[name])):
            folder = paths.for_scheme(name).originals / source
            assert {path.parent.name: int(read_stored(path)[0, 0]) for path in folder.rglob("*.png")} == expected


# Bad input.


def test_without_any_dataset_it_fails(paths: Paths) -> None:
    line = the_error(call_script(paths, STAGE_2))
    assert line == f"error: {paths.raw}: no dataset in it; docs/datasets.md says what goes there"


def test_without_stage_1_it_says_what_to_run(paths: Paths) -> None:
    write_small_fer(paths, rows=28, twins=0)
    line = error_line(call_script(paths, STAGE_2))
    assert line == f"error: {paths.fer_images} does not exist: run {STAGE_1} first"


def test_an_unknown_scheme_is_wrong_usage(paths: Paths) -> None:
    assert "unknown label scheme 'emotorch5'" in the_error(
        call_script(paths, STAGE_2, "--scheme", "emotorch5"), status=2
    )


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-900])


def make_text(file: Path) -> None:
    file.write_text("not a picture")


def make_larger(file: Path) -> None:
    Image.fromarray(read_face(file)).resize((64, 64)).save(file)


@pytest.mark.parametrize("place", ["CK+/anger/S010_001_00000016.png", "FER2013img/fear/fear_000009.png"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, "damaged image "),
        (make_text, "not a readable image"),
        (make_larger, "64×64 pixels where 48×48 are expected"),
    ],
)
def test_a_spoilt_picture_is_named(raw: Paths, place: str, spoil: Callable[[Path], None], message: str) -> None:
    file = raw.raw / place
    good = file.read_bytes()
    spoil(file)
    assert error_line(call_script(raw, STAGE_2)).startswith(f"error: {file}: {message}")
    assert not raw.originals.exists()
    file.write_bytes(good)
    create(raw)
    assert all(row["hash"] == hash_pixels(read_face(raw.originals / row["file"])) for row in manifest(raw))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("CK+/anger/notes.txt", "not named like S010_004_00000017.png"),
        ("CK+/boredom/S010_001_00000016.png", "not a class of CK+"),
        ("FER2013img/fear/notes.txt", "not from the CSV"),
        ("FER2013img/fear/fear_000003.png", "not from the CSV"),
    ],
)
def test_a_foreign_file_is_named(raw: Paths, place: str, message: str) -> None:
    file = raw.raw / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(encode_png(draw_images(1, seed=5)[0]))
    named = file.parent if "boredom" in place else file
    assert error_line(call_script(raw, STAGE_2)).startswith(f"error: {named}: {message}")
    assert not raw.originals.exists()


def test_another_picture_in_an_images_place_is_named(raw: Paths) -> None:
    file = raw.fer_images / "fear" / "fear_000009.png"
    file.write_bytes(encode_png(draw_images(1, seed=5)[0]))
    with refusal(f"{file}: not the picture that the manifest tells of"):
        create(raw)


def test_a_missing_picture_is_named(raw: Paths) -> None:
    file = raw.fer_images / "fear" / "fear_000009.png"
    file.unlink()
    with refusal(f"{file} is missing: run {STAGE_1} again"):
        create(raw)


def test_a_missing_picture_of_rafdb_is_named(raw: Paths) -> None:
    write_small_rafdb(raw)
    file = raw.raw / "RAF-DB" / "Image" / "aligned" / "train_00001_aligned.jpg"
    file.unlink()
    listing = raw.raw / "RAF-DB" / "EmoLabel" / "list_patition_label.txt"
    said = f"error: {listing}, line 1: no file {file}; put it there, or remove the line"
    assert error_line(call_script(raw, STAGE_2)) == said


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "", ": no column 'file'"),
        (lambda text: text.replace("usage", "use", 1), ": no column 'usage'"),
        (lambda text: text[:-70], ", line 57: cut short or too long"),
        (lambda text: text.replace(",", "\udcff,", 20), ": not UTF-8 text"),
    ],
    ids=["empty", "no usage", "cut in the row", "not text"],
)
def test_a_spoilt_manifest_is_named(raw: Paths, spoil: Callable[[str], str], message: str) -> None:
    file = raw.fer_images / "manifest.csv"
    file.write_text(spoil(file.read_text()), errors="surrogateescape")
    with refusal(f"{file}: damaged, or changed by hand"):
        create(raw)
    stamp = read_json(raw.fer_images / STAMP_NAME)
    write_json(raw.fer_images / STAMP_NAME, {name: stamp[name] for name in ("made_from", "files")})  # by older code
    with refusal(f"{file}{message}"):
        create(raw)
