"""The images of a raw dataset, and the manifest in which a stage lists the images that it wrote."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from emotorch.data.faces import Box, cut_out
from emotorch.data.images import PixelForm, Pixels, bring_to, hash_pixels, read_face, read_picture, undo_enlarging
from emotorch.errors import EmoTorchError
from emotorch.files import check_stamped

MANIFEST = "manifest.csv"


class Reading(Enum):
    """How a file becomes a face: it is one already, 48×48 in grey; it is one that was enlarged; it is a crop of any
    size; or it is a scene, in which `scenes` finds the face first.
    """

    FACE = "face"
    ENLARGED = "enlarged"
    CROP = "crop"
    SCENE = "scene"


@dataclass(frozen=True)
class SourceImage:
    """An image of a raw dataset: where it is, what it shows, and how it is read.

    Attributes:
        emotion: The dataset's own name of its class.
        reading: See Reading.
        usage: The dataset's own split (`Training`, `PublicTest`, `train`, …), or empty.
        subject: The person shown, where the dataset tells, or empty.
        hash: What the pixels must hash to, where that is known.
        pixels: (48, 48), where the file is a table, which has a row for it.
        row: Of that, from 0 after the header.
        box: Where the face is in the picture, where the dataset tells or `scenes` has found it; it is cut out then.
        votes: FER+'s counts, as `ferplus` writes them; empty for all but FER-2013 in its scheme.
        turn: By so many degrees, counter-clockwise, the face in the box is turned; see `faces.Face.turn`.
    """

    path: Path
    emotion: str
    reading: Reading
    usage: str = ""
    subject: str = ""
    hash: str | None = None
    box: Box | None = None
    turn: float = 0.0
    votes: str = ""
    pixels: Pixels | None = field(default=None, repr=False, compare=False)
    row: int | None = None

    @property
    def place(self) -> str:
        """The file, and the row of a table."""
        return str(self.path) if self.row is None else f"{self.path}#{self.row}"

    @property
    def is_face(self) -> bool:
        """Whether it comes as a grey face of 48×48."""
        return self.reading in (Reading.FACE, Reading.ENLARGED)

    def read(self) -> Pixels:
        """The face with its size and colours: (48, 48), (H, W) or (H, W, 3).

        Raises:
            EmoTorchError: the file is missing, damaged, not of the right size, or not the expected picture.
        """
        if self.pixels is not None:
            return self.pixels
        if self.reading is Reading.ENLARGED:
            return undo_enlarging(read_picture(self.path))
        if self.reading is Reading.FACE:
            face = read_face(self.path)
            if self.hash is not None and hash_pixels(face) != self.hash:
                raise EmoTorchError(
                    f"{self.path}: not the picture that the manifest tells of; rerun its stage with --force"
                )
            return face
        picture = read_picture(self.path, colour=True)
        if self.box is None:
            return picture
        height, width = picture.shape[:2]
        box = self.box.within(width, height)  # detectors draw some boxes beyond the edge
        if not box.area:
            given = self.box.x, self.box.y, self.box.width, self.box.height
            raise EmoTorchError(
                f"{self.path}: its box {given} is outside of the picture, {width}×{height} pixels; mend its row"
            )
        return cut_out(picture, box, self.turn)

    def read_as(self, form: PixelForm) -> Pixels:
        """The face in a form; see `read`."""
        return bring_to(self.read(), form)


def read_manifest(folder: Path, columns: Sequence[str], command: str) -> list[dict[str, str]]:
    """The manifest of a folder that `command` wrote.

    Raises:
        EmoTorchError: there is none, it is not one, or not the one that was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise EmoTorchError(f"{folder} has no {MANIFEST}: run {command} (again)")
    check_stamped(path, f"run {command} --force")
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
