"""Class folders of the known datasets: the meaning of their names and numbers, and whose they are.

A number stands for another emotion in every dataset. It is read as one dataset's where there is other evidence: the
names of the files, their number in each class, or the name of a folder. Else the user is asked.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from emotorch.data.class_folders import ClassFolders, ClassOf, joined_splits
from emotorch.data.layouts import Finding, Folder, Incomplete
from emotorch.data.names import class_number, plain_class, split_of
from emotorch.data.sources import Reading
from emotorch.datasets import CKP, DATASETS, Dataset, datasets_called, is_called_ferplus
from emotorch.emotion_names import emotion_name
from emotorch.labels import LabelScheme

_SHORT_NUMBER = re.compile(r"\d|class\D?\d+")
# Number of file names in a folder that are enough to know their pattern.
_NAMES = 200
# Copies leave out a damaged file or two.
_COUNT_TOLERANCE = 0.01


def class_of(whose: Dataset | LabelScheme) -> ClassOf:
    """A function from a folder's name, a number or any spelling of an emotion, to the dataset's own class or None.

    Of the user's own data the name itself is the class, where it is an emotion or a label of the scheme.
    """
    if isinstance(whose, LabelScheme):
        return lambda name: name if whose.knows(name) else None
    by_emotion = {emotion_name(own): own for own in whose.classes}

    def find(name: str) -> str | None:
        number = class_number(name)
        if number is None:
            return by_emotion.get(emotion_name(name))
        return whose.classes[whose.numbers.index(number)] if number in whose.numbers else None

    return find


def count_from_1(numbers: set[int], dataset: Dataset) -> bool:
    """Whether numbers are as if counted from 1, where the dataset counts from 0 and its first class may be missing."""
    return dataset.first_number == 0 and min(numbers, default=0) == 1 and max(numbers) >= dataset.numbers[-1]


def as_read(names: Iterable[str], scheme: LabelScheme) -> list[str]:
    """The names of classes, sorted: `angry`, or `colère as angry` where FER-2013 calls the emotion otherwise."""
    emotions = {name: emotion_name(name) for name in sorted(set(names))}
    return [
        name if emotion == name or name in scheme.labels else f"{name} as {emotion}"
        for name, emotion in emotions.items()
    ]


def usage_of(dataset: Dataset, given: str) -> str:
    """A dataset's own name of a usage that is given by that name or as `train`, `val` or `test`; empty for none.

    Splits that copies add to a dataset without one are not kept: whose they are nobody knows.
    """
    own = {usage.lower(): usage for usage in (*dataset.training, *dataset.selecting, *dataset.tests)}
    general = {"train": dataset.training, "val": dataset.selecting, "test": dataset.tests}
    # FER-2013's last test is both of its tests.
    return own.get(given.lower()) or next(reversed(general.get(split_of(given), ())), "")


def usage_of_file(dataset: Dataset, given: str, name: str) -> str:
    """The same for a file: its name tells the usage where what is given says nothing, or training."""
    usage = usage_of(dataset, given)
    named = dataset.split_of_file(name) if usage in ("", *dataset.training) else ""
    return usage_of(dataset, named) if named else usage


def are_named_as(names: Sequence[str], dataset: Dataset) -> bool:
    """Whether most files have such names as the dataset's."""
    some = names[:_NAMES]
    return sum(dataset.match_file(name) is not None for name in some) > len(some) / 2


def called_after(folder: Folder, dataset: Dataset) -> str:
    """The name of the folder, or of one above it, that is one of the dataset; empty where none is.

    A folder within one that is called after another dataset is not that one's: `fer2013/CK+48`.
    """
    called = folder.called(datasets_called)
    return called if datasets_called(called) == [dataset] else ""  # of several, put together, it is none of them


def name_sign(classes: ClassFolders, dataset: Dataset) -> str:
    """The evidence of folders' names that class folders are the dataset's, in words; empty without it.

    It is in the name of a folder above them, or in those of all given splits, as `RAF-DB_train`.
    """
    called = called_after(classes.folder, dataset)
    splits = classes.split_names
    if not called and splits and all(datasets_called(name) == [dataset] for name in splits):
        called = splits[0]
    return called and f"the name of the folder {called}"


def counts_sign(dataset: Dataset, classes: ClassFolders) -> str:
    """The evidence that a split has the published number of images of each class, in words; empty without it."""
    counts: dict[str, Counter[str]] = {}
    for found in classes:
        counts.setdefault(found.split, Counter())[found.emotion] += len(found.folder.pictures)
    parts = [part for of_split in counts.values() if (part := published_part(of_split, dataset))]
    return f"as many pictures of each class as its {parts[0]} has" if parts else ""


def published_part(counts: Counter[str], dataset: Dataset) -> str:
    """The part of a dataset that is published with so many images of each class; empty for none."""
    for part, published in dataset.counts.items():
        expected = zip(dataset.classes, published, strict=True)
        if all(abs(counts[emotion] - count) <= _COUNT_TOLERANCE * count for emotion, count in expected):
            return part
    return ""


def numbered_classes(folder: Folder) -> ClassFolders:
    """Class folders that are called by numbers: persons and sequences have longer ones."""
    return ClassFolders(folder, lambda name: name if _SHORT_NUMBER.fullmatch(name) else None)


def recognise_class_folders(folder: Folder, dataset: Dataset, *, notes: tuple[str, ...] = ()) -> Iterator[Finding]:
    """A dataset as class folders of its classes, by name or number, in given splits or without."""
    classes = ClassFolders(folder, class_of(dataset))
    if not classes:
        return
    names = [path.name for found in classes for path in found.folder.pictures[: _NAMES // len(classes) + 1]]
    if names and are_named_as(names, dataset):
        why = f"file names like {dataset.file_example}"
    else:
        why = name_sign(classes, dataset) or counts_sign(dataset, classes)
    numbers = {number for found in classes if (number := class_number(plain_class(found.folder.name))) is not None}
    if why and count_from_1(numbers, dataset):
        yield ask_whose(folder, numbers, "class folders")
    elif why:
        if dataset.training:
            notes += joined_splits(classes)
        elif classes.split_names:
            notes += (f"the folders {', '.join(classes.split_names)} are no split of its own, and not kept",)
        yield classes.recognised(
            dataset.name,
            f"class folders, {why}",
            lambda: [
                replace(image, usage=usage_of_file(dataset, image.usage, image.path.name))
                for image in classes.images(Reading.CROP, dataset.full_title)
            ],
            notes=notes,
        )


def ask_from_1(table: Path, highest: int, classes: Sequence[str]) -> Incomplete:
    """The question that classes with numbers from 1 leave open in a table of faces, where the dataset's are from 0."""
    own = ", ".join(f"{number} {name}" for number, name in enumerate(classes))
    return Incomplete(
        table,
        f"faces whose classes are the numbers 1 to {highest}: others than {own}, or without the first; write the "
        "emotions' names in their place",
        is_question=True,
    )


def ask_whose(folder: Folder, numbers: Iterable[int], what: str) -> Incomplete:
    """The question that numbers alone leave open, with the way out; `what` has them, say `class folders`."""
    found = set(numbers)
    are = f"{what} are numbers, {min(found)} to {max(found)}, which"
    named = [data.full_title for data in DATASETS.values() if called_after(folder, data)]
    named += ["FER+"] if folder.called(is_called_ferplus) else []
    if named:  # by another name they would be read, and wrongly
        question = f"its {are} are not those of {named[0]}, after which it is called; call the classes by the emotions"
        return Incomplete(folder.path, question, is_question=True)
    # CK+'s class folders are known by the names of their files alone.
    numbered = [data for data in DATASETS.values() if data is not CKP]
    fitting = [data.full_title for data in numbered if found <= set(data.numbers)]
    such = f"; such are in {', '.join(fitting)}" if fitting else ""
    if folder.path == folder.raw:
        remedy = "put them into a folder that is called after it, as AffectNet"
    else:
        remedy = f"rename the folder so that its name has the dataset's in it, as {folder.name}-AffectNet"
    return Incomplete(
        folder.path,
        f"which dataset is it? Its {are} stand for other emotions in every dataset{such}. If they are a "
        f"dataset's own, {remedy}; if not, call the classes by the emotions",
        is_question=True,
    )
