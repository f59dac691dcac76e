"""The registry of datasets: what is known of each by name, without importing what reads it."""

import subprocess
import sys
from importlib import import_module

import pytest
from conftest import images_of, write_small_ckplus, write_small_rafdb

from emotorch.datasets import CKP, DATASETS, FER, FER_USAGES, PARTS, RAF, Dataset, dataset_title, find_dataset
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, Paths

# Written out here once more: folders, options, files and tables of finished runs are called so.


def test_the_names_of_a_dataset_stay() -> None:
    assert [(found.name, found.key, found.title, found.full_title) for found in DATASETS.values()] == [
        ("FER", "fer", "FER", "FER-2013"),
        ("CKP", "ckp", "CK+", "CK+"),
        ("RAF", "raf", "RAF-DB", "RAF-DB"),
        ("AffectNet", "affectnet", "AffectNet", "AffectNet"),
        ("JAFFE", "jaffe", "JAFFE", "JAFFE"),
        ("KDEF", "kdef", "KDEF", "KDEF"),
        ("ExpW", "expw", "ExpW", "ExpW"),
    ]
    assert {name: (part.dataset.name, part.usages) for name, part in PARTS.items()} == {
        "fer": ("FER", ()),
        "ckp": ("CKP", ()),
        "raf": ("RAF", ()),
        "affectnet": ("AffectNet", ()),
        "jaffe": ("JAFFE", ()),
        "kdef": ("KDEF", ()),
        "expw": ("ExpW", ()),
        "fer-public": ("FER", ("PublicTest",)),
        "fer-private": ("FER", ("PrivateTest",)),
        "fer-test": ("FER", ("PublicTest", "PrivateTest", "PublicTest+PrivateTest")),
    }
    assert [part.title for part in PARTS.values()][6:] == [
        "ExpW",
        "FER PublicTest",
        "FER PrivateTest",
        "FER PublicTest and PrivateTest",
    ]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_a_record_fits_its_reader_and_every_scheme(dataset: Dataset) -> None:
    assert callable(import_module(dataset.reader).recognise)
    assert len(set(dataset.classes)) == len(dataset.classes)
    for scheme in ("emotorch4", "seven", "mood4"):
        assert set(get_scheme(scheme).sources[dataset.name]) <= set(dataset.classes)
    usages = (*dataset.training, *dataset.selecting, *dataset.tests)
    assert len(set(usages)) == len(usages)
    assert set().union(*dataset.scored_apart.values()) <= set(usages)


def test_images_have_the_classes_usages_and_persons_of_the_record(paths: Paths) -> None:
    write_small_ckplus(paths)
    write_small_rafdb(paths)
    for dataset in (CKP, RAF):
        images = images_of(paths, dataset)
        assert {image.emotion for image in images} <= set(dataset.classes)
        assert {image.usage for image in images} <= {"", *dataset.training, *dataset.selecting, *dataset.tests}
        assert all(bool(image.subject) == dataset.tells_persons for image in images)


def test_each_official_usage_of_fer_has_one_part_in_a_training() -> None:
    assert (FER.training, FER.selecting[:1], FER.tests[:1]) == (FER_USAGES[:1], FER_USAGES[1:2], FER_USAGES[2:])


def test_a_name_is_found_however_it_is_written_and_any_other_is_that_of_class_folders() -> None:
    assert find_dataset("ckp") is find_dataset("CKP") is CKP
    own = find_dataset("Faces")
    assert (own.name, own.key, own.title) == ("Faces", "faces", "Faces")
    assert {*own.training, *own.selecting, *own.tests} == {"train", "val", "test"}
    assert [dataset_title(name) for name in ("fer", "ckp", "raf", "faces")] == ["FER", "CK+", "RAF-DB", "faces"]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_the_document_says_what_the_record_says(dataset: Dataset) -> None:
    rows = (REPOSITORY / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith("|") and f"`{dataset.name}` |" in row)
    for said in (dataset.full_title, dataset.terms, f"({dataset.page})", "told" if dataset.tells_persons else "–"):
        assert said in row
    for usage in (*dataset.training, *dataset.selecting[:1]):
        assert usage in row


def test_no_record_imports_numpy() -> None:
    code = "import sys, emotorch.datasets, emotorch.labels; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
