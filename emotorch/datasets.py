"""The datasets that are known by name, a record each: what else has to know one asks its record.

A new dataset is a record here and a module of `emotorch.data` that reads it. Imports nothing heavy, so that the
scripts' help can name the datasets; a reader is imported when it reads.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from emotorch.data.layouts import Finding, Folder

FER_USAGES = ("Training", "PublicTest", "PrivateTest")
# FER-2013 as class folders: its `test` holds both official tests, and nothing tells which file is of which.
FER_BOTH_TESTS = "+".join(FER_USAGES[1:])
# Some copies have a validation set of their own in place of the official tests.
FER_OTHER_VALIDATION = "validation"
# The classes that FER+'s voters gave FER-2013's rows, in the order of its file.
FERPLUS_CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
# Of the files that datasets are known by; Roboflow's exports have `_jpg.rf.0a1b2c` in the midst.
_ENDING = r"(_(jpe?g|png|tiff?)\.rf)?\."
# The longer side, in pixels, of files that stage 2 stores in their own size and colour: no recipe takes more.
LONGEST_SIDE = 112


@dataclass(frozen=True)
class Dataset:
    """A dataset.

    Attributes:
        name: In stage 2's folders and manifest: `FER`.
        title: In tables and figures: `CK+`.
        full_title: In running text: `FER-2013`.
        reader: The module whose `recognise(folder)` finds it below FER-Datasets; empty for class folders.
        classes: Its own names of them, in the order of its numbers where it has numbers.
        training: Its names of the usages that train.
        selecting: Its names of the usages that choose the epoch.
        tests: Its names of the usages that only test.
        scored_apart: Usages that have a name for scoring, by the ending of that name: `fer-public`; several are
            scored together.
        called: A regular expression that matches in the names of its folders, in any letter case.
        files: Another one for the names of its files; the groups `code`, the first two letters of a class, `person` and
            `split` tell class, person and split.
        file_example: Such a name.
        first_number: Number of its first class; None where classes have no numbers.
        counts: Published number of images of each class, by the part of the dataset.
        terms: Of its use, in a few words.
        page: Its address.
        tells_persons: Whether it says who is shown: a person is then on one side of a split.
        card_id: Its name in a model card's metadata; empty for `name`.
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
    called: str = ""
    files: str = ""
    file_example: str = ""
    first_number: int | None = None
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    terms: str = ""
    page: str = ""
    tells_persons: bool = False
    card_id: str = ""

    @property
    def key(self) -> str:
        """Its name in options and in the names of files: `fer`."""
        return self.name.lower()

    @property
    def numbers(self) -> range:
        """Of its classes; none where they have none."""
        first = self.first_number
        return range(0) if first is None else range(first, first + len(self.classes))

    def is_called(self, name: str) -> bool:
        """Whether a folder of this name may be one of it."""
        return bool(self.called and re.search(self.called, name, re.IGNORECASE))

    def match_file(self, name: str) -> re.Match[str] | None:
        """The match of `files` with a file's name; None of any other."""
        return re.match(self.files, name, re.IGNORECASE) if self.files else None

    def split_of_file(self, name: str) -> str:
        """The split that a file's name tells, as `test_00001_aligned.jpg`; empty for none."""
        match = self.match_file(name)
        return (match.groupdict().get("split") if match else None) or ""

    def recognise(self, folder: "Folder") -> "Iterable[Finding]":
        """The parts of it that lie in a folder; see `emotorch.data.layouts`."""
        return cast("Iterable[Finding]", import_module(self.reader).recognise(folder))


FER = Dataset(
    name="FER",
    title="FER",
    full_title="FER-2013",
    reader="emotorch.data.fer2013",
    classes=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    training=FER_USAGES[:1],
    selecting=(FER_USAGES[1], FER_OTHER_VALIDATION),
    tests=(FER_USAGES[2], FER_BOTH_TESTS),
    scored_apart={
        "public": FER_USAGES[1:2],
        "private": FER_USAGES[2:],
        "test": (*FER_USAGES[1:], FER_BOTH_TESTS),
    },
    called=r"(?<![a-z])fer[\s_-]*(20)?13(?![\s_-]*(\+|plus))",
    files=rf"(?P<split>{'|'.join(FER_USAGES)})_\d+{_ENDING}",
    file_example="PublicTest_12345.jpg",
    counts={
        "training set": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "two tests": (958, 111, 1024, 1774, 1247, 831, 1233),
        "public test": (467, 56, 496, 895, 653, 415, 607),
        "private test": (491, 55, 528, 879, 594, 416, 626),
    },
    first_number=0,
    terms="a contest's rules",
    page="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
    card_id="fer2013",
)
CKP = Dataset(
    name="CKP",
    title="CK+",
    full_title="CK+",
    reader="emotorch.data.ckplus",
    # Some copies have a neutral class besides, which the original has no number for.
    classes=("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise", "neutral"),
    called=r"(?<![a-z])ck[\s_-]*(\+|plus|48|extended)|cohn",
    files=r"(?P<person>S\d{3})_\d{3}_\d{8}" + _ENDING,
    file_example="S010_004_00000017.png",
    first_number=1,
    terms="an agreement for research, on request",
    page="https://www.jeffcohn.net/Resources/",
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
    selecting=("val",),  # of copies that set some training images apart
    tests=("test",),
    called=r"(?<![a-z])raf(?![a-z])|raf[\s_-]?db",
    files=r"(?P<split>train|test)_\d+_aligned" + _ENDING,
    file_example="train_00001_aligned.jpg",
    first_number=1,
    counts={
        "training set": (1290, 281, 717, 4772, 1982, 705, 2524),
        "test set": (329, 74, 160, 1185, 478, 162, 680),
    },
    terms="an agreement for research, on request",
    page="http://www.whdeng.cn/RAF/model1.html",
    card_id="raf-db",
)
AFFECTNET = Dataset(
    name="AffectNet",
    title="AffectNet",
    full_title="AffectNet",
    reader="emotorch.data.affectnet",
    classes=("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    training=("train",),
    selecting=("val",),
    tests=("test",),
    called=r"affect[\s_-]*net",
    files=r"[0-9a-f]{56}\.",
    file_example="0a1b….jpg with 56 hexadecimal digits",
    counts={"training set": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)},
    first_number=0,
    terms="an agreement for research, on request",
    page="http://mohammadmahoor.com/affectnet/",
    card_id="affectnet",
)
JAFFE = Dataset(
    name="JAFFE",
    title="JAFFE",
    full_title="JAFFE",
    reader="emotorch.data.jaffe",
    classes=("neutral", "happiness", "sadness", "surprise", "anger", "disgust", "fear"),
    called="jaffe",
    files=r"(?P<person>[A-Z]{2})[.-](?P<code>AN|DI|FE|HA|NE|SA|SU)\d+[.-]\d+" + _ENDING,
    file_example="KA.AN1.39.tiff",
    terms="non-commercial research; the pictures may not be published",
    page="https://zenodo.org/records/3451524",
    tells_persons=True,
    card_id="jaffe",
)
KDEF = Dataset(
    name="KDEF",
    title="KDEF",
    full_title="KDEF",
    reader="emotorch.data.kdef",
    classes=("afraid", "angry", "disgusted", "happy", "neutral", "sad", "surprised"),
    called="kdef",
    files=r"[AB](?P<person>[FM]\d\d)(?P<code>AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)" + _ENDING,
    file_example="AF01ANS.JPG",
    terms="non-commercial research, on request",
    page="https://www.kdef.se",
    tells_persons=True,
    card_id="kdef",
)
EXPW = Dataset(
    name="ExpW",
    title="ExpW",
    full_title="ExpW",
    reader="emotorch.data.expw",
    classes=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    called=r"(?<![a-z])exp[\s_-]?w(?![a-z])|expression[\s_-]*in[\s_-]*the[\s_-]*wild",
    counts={"list": (3671, 3995, 1088, 30537, 10559, 7060, 34883)},
    first_number=0,
    terms="non-commercial research",
    page="http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html",
    card_id="expw",
)
# What all class folders of the user's own have in common; their name is that of their folder.
CLASS_FOLDERS = Dataset(name="", title="", full_title="", training=("train",), selecting=("val",), tests=("test",))
DATASETS = {dataset.name: dataset for dataset in (FER, CKP, RAF, AFFECTNET, JAFFE, KDEF, EXPW)}


def datasets_called(name: str) -> list[Dataset]:
    """The datasets that a folder of this name may be of."""
    return [dataset for dataset in DATASETS.values() if dataset.is_called(name)]


def is_called_ferplus(name: str) -> bool:
    """Whether a folder or a file is called after FER+: such have FER-2013's images, under labels of their own."""
    return re.search(r"(?<![a-z])fer[\s_-]*(20)?(13)?[\s_-]*(\+|plus)", name, re.IGNORECASE) is not None


def find_dataset(name: str) -> Dataset:
    """The dataset of a name, as folders or as options write it; any other name is that of class folders."""
    found = next((dataset for dataset in DATASETS.values() if dataset.key == name.lower()), None)
    if found is not None:
        return found
    return replace(CLASS_FOLDERS, name=name, title=name, full_title=name)


def dataset_title(name: str) -> str:
    """The title of `fer`, `ckp`, `raf` or a folder of the user's own."""
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


# FER-2013's two official tests, and both together.
FER_PUBLIC, FER_PRIVATE, FER_TEST = "fer-public", "fer-private", "fer-test"
# All that can be scored by a name, as options write it: whole datasets first.
PARTS: dict[str, Part] = {
    **{dataset.key: Part(dataset) for dataset in DATASETS.values()},
    **{
        f"{dataset.key}-{ending}": Part(dataset, usages)
        for dataset in DATASETS.values()
        for ending, usages in dataset.scored_apart.items()
    },
}
