"""The optional helpers: the training's own split as folders."""

from pathlib import Path

import numpy as np
import pytest
from conftest import (
    draw_images,
    prepare,
    the_error,
    tree,
    write_small_ckplus,
    write_small_fer,
    write_small_rafdb,
)
from running import call_script, copy_root, read_table

from emotorch.data import dataset, variants
from emotorch.data.images import read_face, write_png
from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.labels import get_scheme
from emotorch.paths import AUGMENTED, Paths

pytestmark = pytest.mark.slow

HELPERS = "develop_baseline_model/helpers"
ORIGINALS = f"{HELPERS}/create_train_test_subsets.py"
VARIANTS = f"{HELPERS}/create_train_test_subsets_augmented.py"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Two schemes' datasets and variants, and the default's subsets by the helpers' own defaults."""
    paths = Paths(tmp_path_factory.mktemp("both"))
    write_small_fer(paths, rows=70, twins=5)
    write_small_ckplus(paths)
    prepare(paths)
    dataset.create(paths, get_scheme("mood4"), workers=1, force=False)
    variants.create(paths.for_scheme("mood4"), seed=42, workers=1, force=False)
    return paths


def run(paths: Paths, name: str, *options: object) -> dict[str, int]:
    """The folders that a helper printed, and how many images it put into each."""
    done = call_script(paths, name, *options)
    assert done.returncode == 0, done.stderr
    counts = {}
    for line in done.stdout.splitlines():
        folder, images = line.rsplit(": ", 1)
        counts[folder] = int(images.split()[0])
        assert len([file for file in tree(Path(folder)) if file.endswith(".png")]) == counts[folder]
    return counts


@pytest.mark.parametrize("scheme", ["emotorch4", "mood4"])
def test_the_folders_hold_the_training_s_own_split(both: Paths, scheme: str) -> None:
    paths = both.for_scheme(scheme)
    index = DatasetIndex.load(paths, get_scheme(scheme))
    for name, factors, suffix in (
        (ORIGINALS, Factors(1, 0, 1, 0), ""),
        (VARIANTS, Factors(0, 1, 0, 1), "-Augmented"),
    ):
        counts = run(both, name, "--scheme", scheme)
        selection = select(index, factors, fer_usage="all", seed=42)
        expected = {
            "FER-Training-Subset": selection.training,
            "FER-Validation-Subset": selection.validation["fer"],
            "CKP-Validation-Subset": selection.validation["ckp"],
        }
        assert counts == {str(paths.subsets / f"{folder}{suffix}"): len(images) for folder, images in expected.items()}
        for folder, images in expected.items():
            files = tree(paths.subsets / f"{folder}{suffix}")
            assert set(files) == {"stage.json", *("/".join(Path(file).parts[-2:]) for file in images.files)}
            for file in images.files:
                assert files["/".join(Path(file).parts[-2:])] == (both.root / file).read_bytes()


def test_no_variant_s_source_is_on_the_other_side(both: Paths) -> None:
    run(both, ORIGINALS)
    run(both, VARIANTS)
    training = {read_face(path).tobytes() for path in (both.subsets / "FER-Training-Subset").rglob("*.png")}
    held_out = both.subsets / "FER-Validation-Subset-Augmented"
    flipped = sorted(held_out.rglob("*_flip.png"))
    assert len(list(held_out.rglob("*.png"))) == len(flipped) * len(OPERATIONS) > 0
    held_out_sources = {np.ascontiguousarray(read_face(path)[:, ::-1]).tobytes() for path in flipped}
    assert training
    assert not held_out_sources & training


def test_official_tests_that_do_not_train_are_a_set_of_their_own_and_go_when_they_train(both: Paths) -> None:
    usages = {row["file"]: row["usage"] for row in read_table(both.originals / "manifest.csv")}
    for usage, of_test in (("training", {"PublicTest", "PrivateTest"}), ("official", {"PrivateTest"})):
        run(both, ORIGINALS, "--fer-usage", usage)
        files = list((both.subsets / "FER-Test-Subset").rglob("*.png"))
        held = {usages[f"FER/{path.parent.name}/{path.name}"] for path in files}
        assert held == of_test
        assert len(files) == sum(found in of_test for file, found in usages.items() if file.startswith("FER/"))
    # PublicTest has twins in Training, by the official split; the helper says how many.
    done = call_script(both, ORIGINALS, "--fer-usage", "official")
    lines = {line.split(": ")[0].rsplit("/", 1)[1]: line for line in done.stdout.splitlines()}
    assert "with the pixels of a training image" in lines["FER-Test-Subset"] + lines["FER-Validation-Subset"]
    assert "CKP-Validation-Subset" not in lines
    assert not (both.subsets / "CKP-Validation-Subset").exists()
    run(both, ORIGINALS)
    assert not (both.subsets / "FER-Test-Subset").exists()
    assert (both.subsets / "CKP-Validation-Subset").is_dir()


def test_raf_db_and_own_folders_are_split_like_their_training(paths: Paths) -> None:
    write_small_fer(paths, rows=35)
    write_small_rafdb(paths, train=70, test=14)
    faces = iter(draw_images(24, seed=8))
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for emotion in ("angry", "fear", "neutral", "surprise"):
            folder = paths.raw / "own" / split / emotion
            folder.mkdir(parents=True)
            for number in range(count):
                write_png(folder / f"{number}.png", next(faces))
    prepare(paths)
    index = DatasetIndex.load(paths, get_scheme("emotorch4"))
    for name in ("RAF", "own"):
        for helper, factors, suffix in (
            (ORIGINALS, Factors(1, 0, 1, 0), ""),
            (VARIANTS, Factors(0, 1, 0, 1), AUGMENTED),
        ):
            counts = run(paths, helper, "--train-on", name)
            selection = select(index, factors, train_on=name, seed=42)
            folder = paths.subsets / f"{name}{suffix}"
            test = index.originals_of(name, "test")
            assert counts == {
                str(folder / "train"): len(selection.training),
                str(folder / "val"): len(selection.validation[name.lower()]),
                str(folder / "test"): len(test) * (len(OPERATIONS) if suffix else 1),
            }
            expected = {"/".join(Path(file).parts[-2:]) for file in selection.training.files}
            assert set(tree(folder / "train")) == {"stage.json", *expected}
            if not suffix:
                assert {"/".join(Path(file).parts[-2:]) for file in test.files} < set(tree(folder / "test"))
    failed = call_script(paths, ORIGINALS, "--train-on", "nowhere")
    assert "there are no nowhere images" in the_error(failed, 2)


def test_one_scheme_s_subsets_leave_another_s_alone(both: Paths) -> None:
    run(both, ORIGINALS)
    before = tree(both.subsets)
    run(both, ORIGINALS, "--scheme", "mood4", "--force")
    assert tree(both.subsets) == before
    labels = {path.name for path in (both.for_scheme("mood4").subsets / "FER-Training-Subset").iterdir()}
    assert labels == {"happy", "neutral", "sad", "surprise", "stage.json"}


@pytest.mark.parametrize(
    ("name", "folder"), [(ORIGINALS, "FER-Original-Dataset"), (VARIANTS, f"FER-Original-Dataset{AUGMENTED}")]
)
def test_a_damaged_image_is_not_passed_on(both: Paths, tmp_path: Path, name: str, folder: str) -> None:
    paths = copy_root(both, tmp_path / "root")
    picture = min((paths.root / folder / "FER").rglob("*.png"))
    content = bytearray(picture.read_bytes())
    content[len(content) // 2] ^= 8
    picture.unlink()  # a link to another test's
    picture.write_bytes(content)
    assert str(picture) in the_error(call_script(paths, name, "--force"))
