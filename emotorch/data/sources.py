"""What a dataset is made of: images of a raw dataset, and the manifest in which a stage accounts for its own."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from emotorch.data.faces import centre_square, cut_face
from emotorch.data.finding import largest_face
from emotorch.data.images import Pixels, hash_pixels, read_face, read_picture, resize
from emotorch.errors import EmoTorchError

MANIFEST = "manifest.csv"


class Reading(Enum):
    """How a file becomes a 48×48 grey face: it is one already, is a crop of any size, or a scene with a face."""

    FACE = "face"
    CROP = "crop"
    SCENE = "scene"


@dataclass(frozen=True)
class SourceImage:
    """An image of a raw dataset: where it is, what it shows, and how it is read.

    Attributes:
        path: The file.
        emotion: The dataset's own name of its class.
        reading: See Reading.
        usage: The dataset's own split (`Training`, `PublicTest`, `train`, …), or empty.
        subject: The person shown, where the dataset tells, or empty.
        hash: What the pixels must hash to, where that is known.
    """

    path: Path
    emotion: str
    reading: Reading
    usage: str = ""
    subject: str = ""
    hash: str | None = None

    def read(self) -> tuple[Pixels, bool]:
        """The (48, 48) grey face, and whether it was found (False: cropped to the centre).

        Raises:
            EmoTorchError: the file is missing, damaged, not of the right size, or not the expected picture.
        """
        if self.reading is Reading.SCENE:
            scene = read_picture(self.path)
            face = largest_face(scene)
            return cut_face(scene, face or centre_square(scene)), face is not None
        if self.reading is Reading.CROP:
            return resize(read_picture(self.path)), True
        pixels = read_face(self.path)
        if self.hash is not None and hash_pixels(pixels) != self.hash:
            raise EmoTorchError(
                f"{self.path}: not the picture that the manifest tells of; rerun its stage with --force"
            )
        return pixels, True


def read_manifest(folder: Path, columns: Sequence[str], command: str) -> list[dict[str, str]]:
    """The manifest of a folder that `command` wrote.

    Raises:
        EmoTorchError: there is none, or it is not one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise EmoTorchError(f"{folder} has no {MANIFEST}: run {command} (again)")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmoTorchError(f"{path}: not UTF-8 text in columns ({error}); run {command} --force") from error
    if missing:
        raise EmoTorchError(f"{path}: no column {missing[0]!r}; run {command} --force")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise EmoTorchError(f"{path}, line {number}: cut short or too long; run {command} --force")
    return rows
