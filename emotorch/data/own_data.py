"""Data of the user's own: a table of labels, class folders, or pictures whose names tell what they show."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from emotorch.data import file_names, label_tables, yolo
from emotorch.data.class_folders import ClassFolders, joined_splits
from emotorch.data.file_names import person_of
from emotorch.data.known import as_read, ask_whose, class_of, numbered_classes
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised
from emotorch.data.names import class_number, is_nameless, plain_class, split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS, LabelScheme


def list_images(folder: Path, scheme: LabelScheme) -> tuple[list[SourceImage], list[str]]:
    """The images of a scheme's classes, and the folders that are none of them.

    A class folder has the scheme's name of the class, or a dataset's; persons may have folders in it.

    Raises:
        EmoTorchError: no class folder at all, class folders in given splits, or a file that is no image.
    """
    root = Folder.read(folder)
    classes = ClassFolders(root, scheme.label_of)
    if splits := classes.split_names:
        remedy = f"name one of them, as {folder / splits[0]}"
        if classes.joined_name:
            remedy = f"their names join split and class ({classes.joined_name}), which stage 2 reads below FER-Datasets"
        raise EmoTorchError(f"{folder}: its class folders are in given splits ({', '.join(splits)}); {remedy}")
    images = classes.images(Reading.SCENE, folder.name, others=True) if classes else []
    taken = [found.folder.path for found in classes]
    left_out = [sub.name for sub in root.folders if not any(path.is_relative_to(sub.path) for path in taken)]
    if not images:
        remedy = "data in another layout goes below FER-Datasets, through stage 2, and is named as that calls it"
        raise EmoTorchError(f"{folder}: no images in class folders ({', '.join(scheme.labels)}); {remedy}")
    return images, left_out


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Finding]:
    """Data of the user's own: a table of labels; class folders of emotions or a scheme's labels; pictures' names."""
    if boxes := list(yolo.recognise(folder, scheme)):
        yield from boxes
        return
    tables = list(label_tables.recognise(folder, scheme))
    classes = ClassFolders(folder, class_of(scheme))
    if classes and any(isinstance(found, Incomplete) and found.is_question for found in tables):
        tables = []  # of numbers alone nobody knows what they mean; the folders' names say it
    yield from tables
    if any(isinstance(found, Recognised) or found.is_question for found in tables):
        return
    if classes:
        yield _own(classes, scheme)
    elif not split_of(folder.name) or folder.path.parent == folder.raw:  # else it was asked of the folder above
        numbered = numbered_classes(folder)
        numbers = {number for found in numbered if (number := class_number(found.emotion)) is not None}
        if named := list(file_names.recognise_own(folder)):
            yield from named
        elif len(numbers) > 1 and numbered.pictures:
            yield ask_whose(folder, numbers, "class folders")


def _own(classes: ClassFolders, scheme: LabelScheme) -> Recognised:
    persons = {found.person for found in classes} - {""}
    why = f"class folders ({', '.join(as_read((found.emotion for found in classes), scheme))})"
    if splits := classes.split_names:
        why += f" in {', '.join(splits)}"
    if persons:
        why += f", with folders of {len(persons)} persons ({min(persons)}, …)"
    notes = joined_splits(classes)
    if levels := _levels(classes):
        notes += (f"{', '.join(levels)}: taken for no persons",)
    files = [] if persons else [path for path in classes.pictures if person_of(path.name)]
    if files:
        notes += (f"{len(files)} of its files, like {files[0].name}, have names that tell who is shown",)
    unknown = (
        f"no known emotion ({', '.join(EMOTIONS)}, however spelt) and no label of scheme {scheme.name} "
        f"({', '.join(scheme.labels)})"
    )

    def images() -> list[SourceImage]:
        listed = classes.images(Reading.SCENE, classes.folder.name, unknown)
        return listed if persons else [replace(image, subject=person_of(image.path.name)) for image in listed]

    return classes.recognised("", why, images, notes=notes)


def _levels(classes: ClassFolders) -> list[str]:
    """The names of folders between the dataset's and its pictures that are of no split, class or person; sorted."""
    return sorted(
        {
            name
            for one in classes
            for name in one.folder.path.relative_to(classes.folder.path).parts
            if not (
                is_nameless(name) or split_of(name) or name == one.person or plain_class(name).endswith(one.emotion)
            )
        }
    )
