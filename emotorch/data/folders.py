"""Class folders: `<folder>/<class>/*.png`, as most datasets are handed around."""

from pathlib import Path

from emotorch.data.images import SUFFIXES
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import visible
from emotorch.labels import LabelScheme


def list_images(folder: Path, scheme: LabelScheme) -> tuple[list[SourceImage], list[str]]:
    """The images of a scheme's classes, and the folders that are none of them.

    A class folder has the scheme's name of the class, or FER-2013's.

    Raises:
        EmoTorchError: no class folder at all, or a file that is no image.
    """
    aliases = {**scheme.sources["FER"], **{label: label for label in scheme.labels}}
    images: list[SourceImage] = []
    left_out: list[str] = []
    for class_folder in visible(folder):
        if not class_folder.is_dir():
            continue
        label = aliases.get(class_folder.name.lower())
        if label is None:
            left_out.append(class_folder.name)
            continue
        for path in visible(class_folder):
            if path.suffix.lower() not in SUFFIXES:
                raise EmoTorchError(f"{path}: not an image ({', '.join(SUFFIXES)} are read); move it away")
            images.append(SourceImage(path, label, Reading.CROP))
    if not images:
        raise EmoTorchError(f"{folder}: no images in class folders ({', '.join(aliases)})")
    return images, left_out
