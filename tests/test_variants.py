"""Stage 3: every operation applied to every image of the dataset."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Script, draw_images, prepare, refusal, the_error, tree, write_fer_csv, write_small_fer
from running import call_script

from emotorch.data import dataset, variants
from emotorch.data.images import encode_png, read_face
from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import read_manifest
from emotorch.data.variants import is_variant, operation_of, original_of, variant_file
from emotorch.labels import get_scheme
from emotorch.paths import STAGE_2, STAGE_3, Paths

SCHEME = get_scheme("emotorch4")


@pytest.fixture
def few(paths: Paths) -> Paths:
    """A dataset of five images, two of them twins, before stage 3."""
    pixels = draw_images(5, seed=3)
    pixels[4] = pixels[0]
    write_fer_csv(paths.fer_csv, pixels, [0, 2, 5, 6, 2], ["Training"] * 5)
    prepare(paths, variants=False)
    return paths


def create(paths: Paths, seed: int = 42) -> variants.Summary:
    return variants.create(paths, seed=seed, workers=1, force=False)


def files(paths: Paths) -> list[str]:
    return [row["file"] for row in read_manifest(paths.originals, dataset.MANIFEST_COLUMNS, STAGE_2)]


@pytest.mark.parametrize(
    "folder", ["FER-Original-Dataset{}/", "FER-Original-Dataset-seven{}/", "C:\\data\\FER-Original-Dataset{}\\"]
)
def test_a_variant_and_its_original_are_told_by_their_paths(folder: str) -> None:
    original, variant = folder.format("") + "FER/anger/12.png", folder.format("-Augmented") + "FER/anger/12_zoom_in.png"
    for file in (original, variant, original.replace("/", "\\"), variant.replace("/", "\\")):
        assert original_of(file) == "FER/anger/12.png"
    assert [is_variant(file) for file in (original, variant)] == [False, True]
    assert [operation_of(file) for file in (original, variant)] == ["", "zoom_in"]
    assert not is_variant(folder.format("") + "photos-Augmented/anger/12.png")  # a dataset of one's own
    assert variant_file("FER/anger/12.png", "zoom_in") == original_of(original).replace("12", "12_zoom_in")


def test_every_image_has_28_variants(few: Paths) -> None:
    assert create(few).images == 5 * 28
    written = [variant_file(file, operation) for file in files(few) for operation in OPERATIONS]
    assert written[:2] == ["FER/anger/1_rotation.png", "FER/anger/1_flip.png"]
    assert sorted(tree(few.augmented)) == sorted([*written, "stage.json"])


def test_a_variant_is_what_its_operation_makes_of_its_image(few: Paths) -> None:
    create(few)
    for file in files(few):
        pixels = read_face(few.originals / file)
        assert np.array_equal(read_face(few.augmented / variant_file(file, "invert")), 255 - pixels)
        assert np.array_equal(read_face(few.augmented / variant_file(file, "flip")), pixels[:, ::-1])


def test_a_variant_depends_on_pixels_not_on_place(few: Paths) -> None:
    """The first and the last image are twins, in two classes."""
    create(few)
    made = tree(few.augmented)
    for operation in OPERATIONS:
        assert made[f"FER/anger/1_{operation}.png"] == made[f"FER/fear/2_{operation}.png"]


@pytest.mark.slow
def test_the_files_are_the_same_for_any_number_of_workers(paths: Paths, script: Script) -> None:
    write_small_fer(paths, rows=77)
    prepare(paths, variants=False)
    trees = []
    for workers in (1, 2):
        done = script(paths, STAGE_3, "--workers", workers, "--force")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{paths.augmented}: {44 * 28} images written\n"
        trees.append(tree(paths.augmented))
    assert trees[0] == trees[1]


def test_the_second_run_rewrites_nothing(few: Paths) -> None:
    create(few)
    before = {path: path.stat().st_mtime_ns for path in few.augmented.rglob("*")}
    assert create(few).up_to_date
    assert {path: path.stat().st_mtime_ns for path in few.augmented.rglob("*")} == before


def test_another_seed_makes_everything_anew(few: Paths) -> None:
    trees = {}
    for seed in (42, 7, 42):
        done = call_script(few, STAGE_3, "--seed", seed, "--workers", 1)
        assert done.stdout == f"{few.augmented}: {5 * 28} images written\n"
        made = tree(few.augmented)
        assert made == trees.setdefault(seed, made)
    unchanged = {name for name, data in trees[7].items() if trees[42][name] == data}
    without_draw = [Path(name).stem.split("_", 1)[1] for name in unchanged]
    assert set(without_draw) == {"flip", "posterize", "equalize", "invert"}


def test_variants_of_another_dataset_are_refused(few: Paths) -> None:
    create(few)
    DatasetIndex.load(few, SCHEME).check_augmented()
    write_fer_csv(few.fer_csv, draw_images(5, seed=4), [0, 2, 5, 6, 2], ["Training"] * 5)
    prepare(few, variants=False)
    index = DatasetIndex.load(few, SCHEME)
    with refusal(f"{few.augmented} was made from another dataset: run {STAGE_3} again"):
        index.check_augmented()
    create(few)
    index.check_augmented()
    pixels = read_face(few.originals / "FER/anger/1.png")
    assert np.array_equal(read_face(few.augmented / "FER/anger/1_flip.png"), pixels[:, ::-1])


def test_without_stage_2_it_says_what_to_run(paths: Paths) -> None:
    line = the_error(call_script(paths, STAGE_3))
    assert line == f"error: {paths.originals} does not exist: run {STAGE_2} first"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, ": No such file or directory"),
        (b"not a picture", ": not a readable image"),
        (encode_png(draw_images(1, seed=9)[0])[:-500], ": damaged image"),
        (encode_png(draw_images(1, seed=9)[0]), ": changed since it was written; run "),
    ],
    ids=["missing", "text", "cut", "another picture"],
)
def test_a_spoilt_original_is_named(few: Paths, data: bytes | None, message: str) -> None:
    file = few.originals / "FER" / "calm" / "1.png"
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)
    assert the_error(call_script(few, STAGE_3)).startswith(f"error: {file}{message}")
    assert not few.augmented.exists()
