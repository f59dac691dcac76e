"""The datasets that are known by name, a record each: what else has to know one asks its record.

A new dataset is a record here and a module of `emotorch.data` that reads it. Imports nothing heavy, so that the
scripts' help can name the datasets; a reader is imported when it reads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from emotorch.data.layouts import Finding, Folder

FER_USAGES = ("Training", "PublicTest", "PrivateTest")
# FER-2013 as class folders: its `test` holds both official tests, and no file tells which it is of.
FER_BOTH_TESTS = "+".join(FER_USAGES[1:])
# Pixels of the longer side of what stage 2 stores, at most, where it keeps size and colour: no recipe takes more.
LONGEST_SIDE = 112


@dataclass(frozen=True)
class Dataset:
    """A dataset.

    Attributes:
        name: Of its folder in stage 2's, and in the manifest: `FER`.
        title: In tables and figures: `CK+`.
        full_title: In running text: `FER-2013`.
        reader: The module whose `recognise(folder)` finds it below FER-Datasets; empty for class folders.
        classes: Its own names of them, in the order of its own numbers where it has numbers.
        training: What its own split calls the images that train.
        selecting: And those that choose the epoch.
        tests: And those that are neither trained on nor choose anything.
        scored_apart: Usages that can be scored by a name of their own, by what that name ends in: `fer-public`;
            several are scored together.
        tells_persons: Whether it says who is shown: a person is then on one side of a split.
        card_id: What a model card's metadata call it; empty for its name.
    """

    name: str
    title: str
    full_title: str
    reader: str = ""
    classes: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    selecting: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    scored_apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tells_persons: bool = False
    card_id: str = ""

    @property
    def key(self) -> str:
        """Its name in options and in the names of files: `fer`."""
        return self.name.lower()

    def recognise(self, folder: "Folder") -> "Iterable[Finding]":
        """What of it lies in a folder; see `emotorch.data.layouts`."""
        return cast("Iterable[Finding]", import_module(self.reader).recognise(folder))


FER = Dataset(
    name="FER",
    title="FER",
    full_title="FER-2013",
    reader="emotorch.data.fer2013",
    classes=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    training=FER_USAGES[:1],
    selecting=FER_USAGES[1:2],
    tests=(FER_USAGES[2], FER_BOTH_TESTS),
    scored_apart={
        "public": FER_USAGES[1:2],
        "private": FER_USAGES[2:],
        "test": (*FER_USAGES[1:], FER_BOTH_TESTS),
    },
    card_id="fer2013",
)
CKP = Dataset(
    name="CKP",
    title="CK+",
    full_title="CK+",
    reader="emotorch.data.ckplus",
    classes=("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"),
    tells_persons=True,
    card_id="ck-plus",
)
RAF = Dataset(
    name="RAF",
    title="RAF-DB",
    full_title="RAF-DB",
    reader="emotorch.data.rafdb",
    classes=("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    training=("train",),
    tests=("test",),
    card_id="raf-db",
)
# What all class folders of the user's own have in common; their name is that of their folder.
CLASS_FOLDERS = Dataset(name="", title="", full_title="", training=("train",), selecting=("val",), tests=("test",))
DATASETS = {dataset.name: dataset for dataset in (FER, CKP, RAF)}


def find_dataset(name: str) -> Dataset:
    """The dataset of a name, as folders or as options write it; any other name is that of class folders."""
    found = DATASETS.get(name.upper())
    if found is not None:
        return found
    return replace(CLASS_FOLDERS, name=name, title=name, full_title=name)


def dataset_title(name: str) -> str:
    """What a person reads for `fer`, `ckp`, `raf` or a folder's name."""
    return find_dataset(name).title


@dataclass(frozen=True)
class Part:
    """All of a dataset, or some of its official usages."""

    dataset: Dataset
    usages: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        usages = [usage for usage in self.usages if usage != FER_BOTH_TESTS]
        return f"{self.dataset.title} {' and '.join(usages)}".rstrip()


# FER-2013's test for one look at the end, and its rows with those of the other official test.
FER_PRIVATE, FER_TEST = "fer-private", "fer-test"
# What can be scored by its name, as options write it: whole datasets first.
PARTS: dict[str, Part] = {
    **{dataset.key: Part(dataset) for dataset in DATASETS.values()},
    **{
        f"{dataset.key}-{ending}": Part(dataset, usages)
        for dataset in DATASETS.values()
        for ending, usages in dataset.scored_apart.items()
    },
}
