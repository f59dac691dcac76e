"""FER-2013 as class folders, in whatever splits and names it is handed around."""

import re

from emotorch.data.layouts import ClassFolder, Folder, Recognised, class_folders, class_pictures, count_pictures
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import FER, FER_BOTH_TESTS, FER_USAGES
from emotorch.labels import emotion_name

_CALLED = re.compile(r"fer[\s_-]*(20)?13", re.IGNORECASE)
# As one common copy names its files.
_FILE = re.compile(rf"({'|'.join(FER_USAGES)})_\d+$", re.IGNORECASE)
_USAGE_OF_NAME = {usage.lower(): usage for usage in FER_USAGES}


def recognise(folder: Folder) -> Recognised | None:
    """Class folders of FER-2013's emotions, by the names of their files or of the folder that they are in."""
    classes = class_folders(folder, _class_of)
    if not classes:
        return None
    files = [path for found in classes for path in found.folder.pictures]
    by_file = sum(_FILE.match(path.stem) is not None for path in files)
    if by_file > 0.95 * len(files):
        why = "class folders with file names like PublicTest_12345.jpg"
    elif folder.is_called(_CALLED):
        why = "class folders of its emotions, in a folder called like it"
    else:
        return None
    return Recognised(
        FER.name,
        folder.path,
        why,
        covers=frozenset({folder.path}),
        images=lambda: list_images(folder, classes),
        count=lambda: count_pictures(classes),
        preference=3,
    )


def list_images(folder: Folder, classes: list[ClassFolder]) -> list[SourceImage]:
    """The images of class folders, each with the usage that its file's name or its folder tells."""
    splits = {found.split for found in classes}
    return [
        SourceImage(path, found.emotion, Reading.FACE, usage=_usage(path.stem, found, splits))
        for found, path in class_pictures(folder, classes, FER.full_title)
    ]


def _usage(stem: str, found: ClassFolder, splits: set[str]) -> str:
    match = _FILE.match(stem)
    if match is not None:
        return _USAGE_OF_NAME[match[1].lower()]
    if found.split == "train":
        return FER_USAGES[0]
    if {"val", "test"} <= splits:
        return FER_USAGES[1 if found.split == "val" else 2]
    return FER_BOTH_TESTS if found.split else ""


def _class_of(name: str) -> str | None:
    emotion = emotion_name(name)
    return emotion if emotion in FER.classes else None
