"""Scenes, pictures with a face somewhere in them: it is found and cut out as prediction does, before all else.

Finder and crop are those of `inference` (`face_search.find_faces`, `faces.cut_out`), so that a model is trained and
scored on what it gets to see of a user's photo.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TypedDict

from emotorch.data.detectors import Detector, open_detector
from emotorch.data.face_search import find_faces
from emotorch.data.faces import Box
from emotorch.data.images import picture_size, read_picture
from emotorch.data.sources import Reading, SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import StageBuild, printable, write_csv
from emotorch.workers import progress, work_through

logger = logging.getLogger(__name__)

# A square of at most so many pixels a side is a face that is cut out already: photos are larger.
LARGEST_CROP = 112
FACES_LIST = "faces.csv"
_LIST_COLUMNS = ("source", "faces", "x", "y", "width", "height", "turn")
_PICTURES_PER_CHUNK = 16


@dataclass(frozen=True)
class Searched:
    """A scene that was searched.

    Attributes:
        faces: How many were found.
        largest: The image as it is to be read: with the place of the largest face; None where there is no face.
    """

    image: SourceImage
    faces: int
    largest: SourceImage | None

    @property
    def box(self) -> Box | None:
        """The place of the largest face."""
        return None if self.largest is None else self.largest.box


class _Record(TypedDict):
    faces: int
    box: tuple[int, int, int, int] | None
    turn: float


def scene_detector() -> Detector:
    """The best detector that is installed; a process opens it once."""
    detector = open_detector("auto")
    assert detector is not None, "only `none` is no detector"
    return detector


def as_asked(images: Iterable[SourceImage], faces: str) -> list[SourceImage]:
    """Images as `--faces` wants them read; 48×48 grey faces of a dataset stay, and so does a face whose box is known.

    Args:
        images: As their dataset says: a crop, a scene, or with the face's box.
        faces: `auto` follows that, but for scenes that are small squares, which are crops; `find` searches all others,
            and `none` takes them as they are.
    """
    return [image if image.is_face else replace(image, reading=_asked(image, faces)) for image in images]


def _asked(image: SourceImage, faces: str) -> Reading:
    if image.box is not None or faces == "none":
        return Reading.CROP
    if faces == "find":
        return Reading.SCENE
    size = picture_size(image.path) if image.reading is Reading.SCENE else None
    is_small_square = size is not None and size[0] == size[1] <= LARGEST_CROP
    return Reading.CROP if is_small_square else image.reading


def search(images: Sequence[SourceImage]) -> list[Searched]:
    """Searches scenes in this process."""
    return [search_one(image) for image in progress(images, total=len(images), description="faces", unit="picture")]


def search_one(image: SourceImage) -> Searched:
    return _searched(image, _record(image))


def search_in_stage(build: StageBuild, images: Sequence[SourceImage], workers: int) -> list[Searched]:
    """The same in several processes, where a stage that was interrupted goes on from what it has found."""
    chunks = work_through(build, images, _records, workers, chunk_size=_PICTURES_PER_CHUNK, description="faces")
    records: list[_Record] = [record for chunk in chunks for record in chunk]
    return [_searched(image, record) for image, record in zip(images, records, strict=True)]


def _records(images: Sequence[SourceImage]) -> list[_Record]:
    return list(map(_record, images))


def _record(image: SourceImage) -> _Record:
    faces = find_faces(read_picture(image.path, colour=True), scene_detector())
    if not faces:
        return {"faces": 0, "box": None, "turn": 0.0}
    largest = max(faces, key=lambda face: face.box.area)  # of equal ones the left one
    return {"faces": len(faces), "box": astuple(largest.box), "turn": largest.turn}


def _searched(image: SourceImage, record: _Record) -> Searched:
    if record["box"] is None:
        return Searched(image, 0, None)
    located = replace(image, reading=Reading.CROP, box=Box(*record["box"]), turn=record["turn"])
    return Searched(image, record["faces"], located)


def located(images: Iterable[SourceImage], searched: Iterable[Searched]) -> list[SourceImage]:
    """The images, scenes with the place of their largest face; without the scenes in which no face was found."""
    largest = {one.image: one.largest for one in searched}
    return [image for image in (largest.get(image, image) for image in images) if image is not None]


def require_faces(searched: Sequence[Searched], images: int, where: str) -> None:
    """Raises EmoTorchError where most of so many images were searched and none has a face: `where` names the data."""
    if 2 * len(searched) > images and all(one.largest is None for one in searched):
        raise EmoTorchError(
            f"{where}: no face found in any of {len(searched)} pictures; if they are faces that are cut out already, "
            "--faces none of stage 2 and evaluate_model.py takes them as they are"
        )


def describe(searched: Sequence[Searched], listed: str = "") -> str:
    """In one line: in how many pictures (at least one) faces were looked for, and in how many there is none or several.

    `listed` is the path of the list by `write_list`, if there is one.
    """
    without = [one.image.path for one in searched if not one.faces]
    several = sum(one.faces > 1 for one in searched)
    said = f"faces are looked for in {len(searched)} pictures, by {scene_detector().name}"
    said += f" ({listed} lists what is found)" if listed else ""
    if several:
        said += f"; several in {several}, of which the largest is taken"
    if without:
        first = printable(str(without[0]))
        said += f"; none in {len(without)}, left out (first: {first}; faces cut out already: --faces none)"
    return said


def write_list(path: Path, searched: Sequence[Searched], names: Iterable[str]) -> None:
    """A CSV of what was found where, by the pictures' names, those without a face first.

    `x`, `y`, `width` and `height`, in pixels, and `turn`, in degrees, are of the face that is taken.
    """
    named = sorted(zip(searched, names, strict=True), key=lambda pair: pair[0].faces)
    rows: list[tuple[object, ...]] = []
    for one, name in named:
        if one.largest is None or one.box is None:
            rows.append((name, one.faces, "", "", "", "", ""))
        else:
            rows.append((name, one.faces, *astuple(one.box), f"{one.largest.turn:.1f}"))
    write_csv(path, _LIST_COLUMNS, rows)
