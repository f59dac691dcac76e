"""Which columns of a table tell a picture, its class, its split, who is shown and where the face is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS, emotion_name

# Names of columns, in lower case and only letters and digits.
_PATH = (
    {"path", "pth", "file", "filename", "filepath", "filepaths", "image", "images", "imagename", "imagepath"}
    | {"imagefile", "imagefilename", "img", "imgname", "imgpath", "imgfile", "imageid", "imgid", "picture", "photo"}
    | {"subdirectoryfilepath"}
)
_LABEL = {
    "label",
    "labels",
    "emotion",
    "emotions",
    "class",
    "classname",
    "expression",
    "category",
    "target",
    "labelname",
} | {"emotionlabel", "emotionclass", "emotionname", "classlabel", "expressionlabel", "facialexpression", "labeltext"}
_SPLIT = {"split", "usage", "set", "subset", "partition", "datasplit", "datasetsplit", "splitname", "phase"}
_PERSON = {
    "person",
    "personid",
    "personname",
    "subject",
    "subjectid",
    "subjectnumber",
    "subjectcode",
    "subj",
    "identity",
} | {"identityid", "participant", "participantid", "actor", "actorid", "userid", "speaker", "speakerid"}
_BOX = {"box", "bbox", "boundingbox", "facebox"}
# Boxes in four columns: the upper left corner with width and height, or with the lower right corner.
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("facex", "facey", "facewidth", "faceheight"))
_CORNERS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_PREDICTED = "pred"  # in the names of a model's columns, which are no labels
_SHOWN = 4


@dataclass(frozen=True)
class Columns:
    """Places in a table's rows, from 0; None and empty for what the table does not tell.

    Attributes:
        header: The columns' names, as they stand there.
        path: Of the picture.
        label: Of its class.
        marked: Without such a column: of the classes, each with 1 or true in its own pictures' rows (one-hot).
        split: Of the given split.
        person: Of who is shown.
        box: Of the face, in one column or four.
        has_corners: Whether the last two of four are right and bottom.
    """

    header: tuple[str, ...]
    path: int
    label: int | None
    marked: tuple[int, ...]
    split: int | None
    person: int | None
    box: tuple[int, ...]
    has_corners: bool

    def label_of(self, cells: Sequence[str]) -> str:
        """The class of a row; of several marked ones all, of none nothing."""
        if self.label is not None:
            return _cell(cells, self.label)
        marked = [self.header[place].strip() for place in self.marked if _MARKS.get(_cell(cells, place).lower())]
        return " and ".join([name for name in marked if is_emotion(name)] or marked)

    @property
    def said(self) -> str:
        """Which are read and which not, in words; empty where all are read."""
        places = {self.path, self.label, *self.marked, self.split, self.person, *self.box}
        read = [name for place, name in enumerate(self.header) if place in places]
        left = [name for place, name in enumerate(self.header) if place not in places and name.strip()]
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        return f"columns {', '.join(read)}; not read: {', '.join(left[:_SHOWN])}{more}" if left else ""


def find_columns(header: Sequence[str], some: Sequence[Sequence[str]]) -> Columns | None:
    """The columns of a table of labelled pictures, by their names and by what stands in some rows.

    None for any other table: without pictures or labels, or with a model's probabilities or votes in their place.

    Raises:
        EmoTorchError: two columns may be the label, and differ.
    """
    names = ["".join(filter(str.isalnum, name.lower())) for name in header]
    if "pixels" in names or any(map(is_path, header)):  # without a header its first row stands there
        return None
    own = [place for place, name in enumerate(names) if _PREDICTED not in name]
    path = _best(names, _PATH, own, some, is_path)
    label = _best(names, _LABEL, own, some, is_emotion)
    marked = () if label is not None else _marked(header, own, some)
    if path is None or (label is None and not marked):
        return None
    _refuse_two_labels(header, [place for place in own if names[place] in _LABEL], some)
    rest = [place for place in own if place not in (path, label, *marked)]
    split = _named(names, _SPLIT, rest)
    if split is None:
        split = _only(place for place in rest if _all(some, place, lambda cell: cell.lower() in _SPLITS))
    sides = next((box for box in (*_SIZES, *_CORNERS) if set(box) <= set(names)), ())
    box = _named(names, _BOX, rest)
    return Columns(
        tuple(header),
        path,
        label,
        marked,
        split,
        _named(names, _PERSON, rest),
        tuple(names.index(name) for name in sides) if box is None else (box,),
        sides in _CORNERS and box is None,
    )


def is_path(cell: str) -> bool:
    """Whether it ends like a picture's name."""
    return PurePosixPath(cell.replace("\\", "/")).suffix.lower() in PICTURE_SUFFIXES


def is_emotion(cell: str) -> bool:
    """Whether it is the name of an emotion, however spelt."""
    return emotion_name(cell.strip()) in EMOTIONS


def _cell(cells: Sequence[str], place: int) -> str:
    return cells[place].strip() if place < len(cells) else ""


def _all(some: Sequence[Sequence[str]], place: int, fits: Callable[[str], bool]) -> bool:
    """Whether all that stands in a column is so, and something stands there."""
    filled = list(filter(None, (_cell(cells, place) for cells in some)))
    return bool(filled) and all(map(fits, filled))


def _named(names: Sequence[str], known: set[str], places: Sequence[int]) -> int | None:
    return next((place for place in places if names[place] in known), None)


def _only(places: Iterator[int]) -> int | None:
    found = list(places)
    return found[0] if len(found) == 1 else None


def _best(
    names: Sequence[str],
    known: set[str],
    places: Sequence[int],
    some: Sequence[Sequence[str]],
    fits: Callable[[str], bool],
) -> int | None:
    """Of columns with a known name the one whose cells look like it most; else the only one whose cells all do."""
    called = [place for place in places if names[place] in known]
    if called:
        return max(called, key=lambda place: sum(fits(_cell(cells, place)) for cells in some))
    return _only(place for place in places if _all(some, place, fits))


def _marked(header: Sequence[str], places: Sequence[int], some: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """The columns of classes in which some rows hold marks alone; at least two of them are emotions'."""
    holding = [place for place in places if not some or _all(some, place, lambda cell: cell.lower() in _MARKS)]
    return tuple(holding) if sum(is_emotion(header[place]) for place in holding) > 1 else ()


def _refuse_two_labels(header: Sequence[str], places: Sequence[int], some: Sequence[Sequence[str]]) -> None:
    told = [place for place in places if _all(some, place, is_emotion)]
    for one, other in pairwise(told):
        if any(emotion_name(_cell(cells, one)) != emotion_name(_cell(cells, other)) for cells in some):
            raise EmoTorchError(
                f"its columns {header[one]} and {header[other]} both hold emotions, and not the same: rename the one "
                "that is no label"
            )
