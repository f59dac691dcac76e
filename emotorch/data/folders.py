"""Class folders: `<folder>/<class>/*.png`, as most datasets are handed around; with given splits or without."""

from collections.abc import Iterator
from pathlib import Path

from emotorch.data.formats import is_picture
from emotorch.data.layouts import Folder, Recognised, class_folders, count_pictures, split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import visible
from emotorch.labels import LabelScheme, known_emotions


def list_images(folder: Path, scheme: LabelScheme) -> tuple[list[SourceImage], list[str]]:
    """The images of a scheme's classes, and the folders that are none of them.

    A class folder has the scheme's name of the class, or a dataset's.

    Raises:
        EmoTorchError: no class folder at all, or a file that is no image.
    """
    images, left_out = [], []
    for class_folder in _subfolders(folder):
        label = scheme.label_of(class_folder.name)
        if label is None:
            left_out.append(class_folder.name)
        else:
            images += _list_class(class_folder, label, usage="")
    if not images:
        raise EmoTorchError(f"{folder}: no images in class folders ({', '.join(scheme.labels)})")
    return images, sorted(left_out)


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Recognised]:
    """Class folders of known emotions, or of a scheme's labels, by themselves or in given splits."""
    classes = class_folders(folder, lambda name: name if scheme.knows(name) else None)
    if classes:
        splits = sorted({found.split_name for found in classes} - {""})
        names = ", ".join(sorted({found.folder.name for found in classes}))
        yield Recognised(
            "",
            folder.path,
            f"class folders ({names})" + (f" in {', '.join(splits)}" if splits else ""),
            covers=frozenset({folder.path}),
            images=lambda: list_dataset(folder.path, scheme),
            count=lambda: count_pictures(classes),
        )


def list_dataset(folder: Path, scheme: LabelScheme) -> list[SourceImage]:
    """The images of `<folder>/<class>/` or `<folder>/<split>/<class>/`, each with the name of its class folder.

    Args:
        folder: Of one dataset.
        scheme: Whose labels class folders may be called by.

    Raises:
        EmoTorchError: a folder of no known emotion, splits beside other folders, a file that is no image, or
            no image at all.
    """
    split_folders = [path for path in _subfolders(folder) if split_of(path.name)]
    for path in _subfolders(folder) if split_folders else ():
        if path not in split_folders:
            raise EmoTorchError(
                f"{path}: no folder of a given split (train, val, test), as others beside it; move it away"
            )
    images: list[SourceImage] = []
    for path in split_folders or [folder]:
        for class_folder in _subfolders(path):
            if not scheme.knows(class_folder.name):
                raise EmoTorchError(
                    f"{class_folder}: no known emotion ({', '.join(known_emotions())}) and no label of scheme "
                    f"{scheme.name} ({', '.join(scheme.labels)}); rename it, or move it away"
                )
            usage = split_of(path.name) or "" if split_folders else ""
            images += _list_class(class_folder, class_folder.name.lower(), usage)
    if not images:
        raise EmoTorchError(f"{folder}: no images in its class folders; put them in, or move the folder away")
    return images


def _list_class(folder: Path, emotion: str, usage: str) -> list[SourceImage]:
    images = []
    for path in visible(folder):
        if not is_picture(path):
            raise EmoTorchError(f"{path}: not an image; move it away")
        images.append(SourceImage(path, emotion, Reading.CROP, usage=usage))
    return images


def _subfolders(folder: Path) -> list[Path]:
    """Without files: a licence or read-me beside them is no fault."""
    return [path for path in visible(folder) if path.is_dir()] if folder.is_dir() else []
