"""Class folders: `<folder>/<class>/*.png`, as most datasets are handed around; with given splits or without."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from emotorch.data import label_tables
from emotorch.data.known import ask_whose, class_number, list_pictures
from emotorch.data.layouts import (
    ClassFolder,
    Finding,
    Folder,
    Recognised,
    class_folders,
    class_pictures,
    count_pictures,
    joined_splits,
    parts_of,
    split_of,
)
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS, LabelScheme

# Class folders that are numbers; persons and sequences have longer ones.
_CLASS_NUMBER = re.compile(r"\d|class\D?\d+")


def list_images(folder: Path, scheme: LabelScheme) -> tuple[list[SourceImage], list[str]]:
    """The images of a scheme's classes, and the folders that are none of them.

    A class folder has the scheme's name of the class, or a dataset's; persons may have folders in it.

    Raises:
        EmoTorchError: no class folder at all, class folders in given splits, or a file that is no image.
    """
    root = Folder.read(folder)
    classes = class_folders(root, scheme.label_of)
    splits = sorted({found.split_name for found in classes} - {""})
    if splits:
        remedy = f"name one of them, as {folder / splits[0]}"
        raise EmoTorchError(f"{folder}: its class folders are in given splits ({', '.join(splits)}); {remedy}")
    images = list_pictures(class_pictures(root, classes, folder.name, others=True), Reading.SCENE) if classes else []
    taken = [found.folder.path for found in classes]
    left_out = [sub.name for sub in root.folders if not any(path.is_relative_to(sub.path) for path in taken)]
    if not images:
        remedy = "data in another layout goes below FER-Datasets, through stage 2, and is named as that calls it"
        raise EmoTorchError(f"{folder}: no images in class folders ({', '.join(scheme.labels)}); {remedy}")
    return images, left_out


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Finding]:
    """Data of the user's own: a table of labels, or class folders of known emotions or of a scheme's labels."""
    tables = list(label_tables.recognise(folder, scheme))
    yield from tables
    if any(isinstance(found, Recognised) or found.is_question for found in tables):
        return
    classes = class_folders(folder, lambda name: name if scheme.knows(name) else None)
    if classes:
        yield _class_folders(folder, classes, scheme)
    elif not split_of(folder.name) or folder.path.parent == folder.raw:  # else it was asked of the folder above
        numbered = class_folders(folder, lambda name: name if _CLASS_NUMBER.fullmatch(name) else None)
        numbers = {number for found in numbered if (number := class_number(found.emotion)) is not None}
        if len(numbers) > 1 and count_pictures(numbered):
            yield ask_whose(folder, numbers, "class folders")


def _class_folders(folder: Folder, classes: Sequence[ClassFolder], scheme: LabelScheme) -> Recognised:
    splits = sorted({found.split_name for found in classes} - {""})
    persons = {found.person for found in classes} - {""}
    names = ", ".join(sorted({found.emotion for found in classes}))
    what = f"class folders ({names})" + (f" in {', '.join(splits)}" if splits else "")
    unknown = (
        f"no known emotion ({', '.join(EMOTIONS)}, however spelt) and no label of scheme {scheme.name} "
        f"({', '.join(scheme.labels)})"
    )
    return Recognised(
        "",
        folder.path,
        what + (f", with folders of {len(persons)} persons ({min(persons)}, …)" if persons else ""),
        covers=parts_of(folder, classes),
        images=lambda: list_pictures(class_pictures(folder, classes, folder.name, unknown), Reading.SCENE),
        count=lambda: count_pictures(classes),
        notes=joined_splits(classes),
    )
