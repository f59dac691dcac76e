"""Class folders: `<folder>/<class>/*.png`, as most datasets are handed around; with given splits or without."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotorch.data.formats import is_picture
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import FER_BOTH_TESTS, FER_USAGES
from emotorch.errors import EmoTorchError
from emotorch.files import visible
from emotorch.labels import LabelScheme, known_emotions

logger = logging.getLogger(__name__)

# Folders of given splits, and what the manifest calls them.
SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
FER_SPLITS = {"train": FER_USAGES[0], "test": FER_BOTH_TESTS}


@dataclass(frozen=True)
class _Found:
    """What the class folders of one folder hold.

    Attributes:
        images: With the scheme's label as `emotion`.
        unused: How many images of each class folder whose emotion takes no part in the scheme.
        unknown: The folders that are of no emotion.
    """

    images: list[SourceImage]
    unused: Counter[str]
    unknown: list[Path]


def list_images(folder: Path, scheme: LabelScheme) -> tuple[list[SourceImage], list[str]]:
    """The images of a scheme's classes, and the folders that are none of them.

    A class folder has the scheme's name of the class, or a dataset's.

    Raises:
        EmoTorchError: no class folder at all, or a file that is no image.
    """
    found = _read(folder, scheme, Reading.CROP, usage="")
    if not found.images:
        raise EmoTorchError(f"{folder}: no images in class folders ({', '.join(scheme.labels)})")
    return found.images, sorted((*found.unused, *(path.name for path in found.unknown)))


def list_dataset(
    folder: Path, scheme: LabelScheme, splits: Mapping[str, str] = SPLITS, reading: Reading = Reading.CROP
) -> list[SourceImage]:
    """The images of `<folder>/<class>/` or `<folder>/<split>/<class>/` that take part in a scheme.

    Args:
        folder: Of one dataset.
        scheme: Whose labels become the images' `emotion`.
        splits: Folders of given splits, in lower case, and the usage that each stands for.
        reading: How a file becomes a face.

    Raises:
        EmoTorchError: a folder of no known emotion, splits beside other folders, a file that is no image, or
            no image at all.
    """
    split_folders = [path for path in _subfolders(folder) if path.name.lower() in splits]
    for path in _subfolders(folder) if split_folders else ():
        if path not in split_folders:
            raise EmoTorchError(f"{path}: neither of {', '.join(splits)}, the folders of given splits; move it away")
    images: list[SourceImage] = []
    unused: Counter[str] = Counter()
    for path in split_folders or [folder]:
        found = _read(path, scheme, reading, usage=splits[path.name.lower()] if split_folders else "")
        if found.unknown:
            raise EmoTorchError(
                f"{found.unknown[0]}: no known emotion ({', '.join(known_emotions())}) and no label of scheme "
                f"{scheme.name} ({', '.join(scheme.labels)}); rename it, or move it away"
            )
        images += found.images
        unused += found.unused
    if not images and not unused:
        raise EmoTorchError(f"{folder}: no images in its class folders; put them in, or move the folder away")
    if unused:
        by_class = ", ".join(f"{name} {count}" for name, count in sorted(unused.items()))
        logger.info("%s: %d images take no part in %s (%s)", folder.name, unused.total(), scheme.name, by_class)
    return images


def has_classes(folder: Path, scheme: LabelScheme) -> bool:
    """Whether a folder holds class folders, by itself or in given splits."""
    return _holds_classes(folder, scheme) or has_splits(folder, scheme, SPLITS)


def has_splits(folder: Path, scheme: LabelScheme, splits: Mapping[str, str]) -> bool:
    """Whether a folder holds class folders in given splits."""
    return any(_holds_classes(path, scheme) for path in _subfolders(folder) if path.name.lower() in splits)


def _holds_classes(folder: Path, scheme: LabelScheme) -> bool:
    return any(scheme.knows(path.name) for path in _subfolders(folder))


def _read(folder: Path, scheme: LabelScheme, reading: Reading, usage: str) -> _Found:
    found = _Found([], Counter(), [])
    for class_folder in _subfolders(folder):
        if not scheme.knows(class_folder.name):
            found.unknown.append(class_folder)
            continue
        files = visible(class_folder)
        label = scheme.label_of(class_folder.name)
        if label is None:
            found.unused[class_folder.name] += sum(map(is_picture, files))
            continue
        for path in files:
            if not is_picture(path):
                raise EmoTorchError(f"{path}: not an image; move it away")
            found.images.append(SourceImage(path, label, reading, usage=usage))
    return found


def _subfolders(folder: Path) -> list[Path]:
    """Without files: a licence or read-me beside them is no fault."""
    return [path for path in visible(folder) if path.is_dir()] if folder.is_dir() else []
