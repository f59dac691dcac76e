"""Which columns of a table tell a picture, its class, its split, who is shown and where the face is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.data.names import beside_split, split_of, words_of
from emotorch.emotion_names import emotion_name
from emotorch.files import printable
from emotorch.labels import EMOTIONS

# Names of columns, in lower case and only letters and digits; of equally good ones the first in this order is taken.
_PATH = (
    *("path", "pth", "file", "filename", "filepath", "filepaths", "image", "images", "imagename", "imagepath"),
    *("imagefile", "imagefilename", "img", "imgname", "imgpath", "imgfile", "imageid", "imgid", "picture", "photo"),
    "subdirectoryfilepath",
)
LABEL_NAMES = (
    *("label", "labels", "emotion", "emotions", "class", "classname", "expression", "category", "target"),
    *("emotionlabel", "emotionclass", "emotionname", "labelname", "labeltext", "classlabel", "expressionlabel"),
    *("facialexpression", "truelabel", "truth", "groundtruth", "gt", "mood"),
)
# In the names of tables of labels.
_TABLES = {*LABEL_NAMES, "classes", "expressions", "annotation", "annotations", "list"}
SPLIT_NAMES = ("split", "usage", "set", "subset", "partition", "datasplit", "datasetsplit", "splitname")
_PERSON = (
    *("person", "personid", "personname", "subject", "subjectid", "subjectnumber", "subjectcode", "subj", "identity"),
    *("identityid", "participant", "participantid", "actor", "actorid", "speakerid"),
)
_BOX = ("box", "bbox", "boundingbox", "facebox")
# Boxes in four columns: the upper left corner with width and height, or with the lower right corner.
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("facex", "facey", "facewidth", "faceheight"))
_CORNERS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_PREDICTED = "pred"  # in the names of a model's columns, which are no labels
_SHOWN = 4  # columns that are named, each by so many characters at most:
_LONGEST = 30


@dataclass(frozen=True)
class Columns:
    """Places in a table's rows, from 0; None and empty for what the table does not tell.

    Attributes:
        header: The columns' names, as they stand there; empty where no row has them.
        path: Of the picture.
        label: Of its class.
        other_labels: Of columns that are called so too.
        marked: Without such a column: of the classes, each with 1 or true in its own pictures' rows (one-hot).
        split: Of the given split.
        person: Of who is shown.
        box: Of the face, in one column or four.
        has_corners: Whether the last two of four are right and bottom.
        has_votes: Whether each row has FER+'s votes in the place of a class.
        unread: Columns without a name that tell nothing of these.
    """

    header: tuple[str, ...]
    path: int
    label: int | None
    other_labels: tuple[int, ...] = ()
    marked: tuple[int, ...] = ()
    split: int | None = None
    person: int | None = None
    box: tuple[int, ...] = ()
    has_corners: bool = False
    has_votes: bool = False
    unread: tuple[int, ...] = ()

    def label_of(self, cells: Sequence[str]) -> str:
        """The class of a row: of several columns that tell different emotions, or are marked, all; of none nothing."""
        if self.label is None:
            return " and ".join(
                self.header[place].strip() for place in self.marked if _MARKS[cell_of(cells, place).lower()]
            )
        label = cell_of(cells, self.label)
        others = [cell_of(cells, place) for place in self.other_labels] if is_emotion(label) else []
        differing = [other for other in others if is_emotion(other) and emotion_name(other) != emotion_name(label)]
        return " and ".join([label, *differing])

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether a row has marks alone where the classes are."""
        return all(cell_of(cells, place).lower() in _MARKS for place in self.marked)

    def with_split_of(self, rows: Sequence[Sequence[str]]) -> "Columns":
        """With the column of splits that all rows tell, where the first ones, of one split, did not."""
        used = {self.path, self.label, *self.marked, self.person, *self.box}
        named = (place for place, name in enumerate(self.header) if _PREDICTED not in plain_name(name))
        places = [place for place in named if place not in used] if self.header else self.unread
        split = split_by_content({place: [cell_of(cells, place) for cells in rows] for place in places})
        return replace(self, split=split, unread=tuple(place for place in self.unread if place != split))

    @property
    def said(self) -> str:
        """Which are read and which not, in words; empty where all are read."""
        if self.has_votes:
            return "labels are the majorities of FER+'s votes, by its paper's rules"
        if not self.header and self.label is not None:
            split = "" if self.split is None else f", column {self.split + 1} as given splits"
            others = ", not read: " + ", ".join(str(place + 1) for place in self.unread[:_SHOWN]) if self.unread else ""
            told = f"column {self.path + 1} read as pictures, {self.label + 1} as classes"
            return f"no columns' names: {told}{split}{others}"
        places = {self.path, self.label, *self.marked, self.split, self.person, *self.box}
        names = [" ".join(printable(name).split())[:_LONGEST] for name in self.header]
        read = [name for place, name in enumerate(names) if place in places]
        left = [name for place, name in enumerate(names) if place not in places and name]
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        return f"columns {', '.join(read)}; not read: {', '.join(left[:_SHOWN])}{more}" if left else ""


def find_columns(header: Sequence[str], some: Sequence[Sequence[str]]) -> Columns | None:
    """The columns of a table of labelled pictures, by their names and by what stands in some rows.

    None for any other table: without pictures or labels, or with a model's probabilities or votes in their place.
    """
    names = list(map(plain_name, header))
    cells = [[cell_of(row, place) for row in some] for place in range(len(names))]

    def best(known: Sequence[str], places: Sequence[int], fits: Callable[[str], object]) -> int | None:
        """Of the columns with a known name the one whose cells look like it most often."""
        called = sorted((place for place in places if names[place] in known), key=lambda at: known.index(names[at]))
        return max(called, key=lambda at: sum(bool(fits(cell)) for cell in cells[at]), default=None)

    if "pixels" in names:
        return None
    own = [place for place, name in enumerate(names) if _PREDICTED not in name]
    labels = [place for place in own if names[place] in LABEL_NAMES]
    label = best(LABEL_NAMES, own, is_emotion)
    marked = () if label is not None else _one_hot(header, own, cells)
    path = best(_PATH, own, is_path)
    if path is None:  # by another name, where only one column holds pictures
        holding = [place for place in own if some and all(map(is_path, cells[place]))]
        path = holding[0] if len(holding) == 1 else None
    if path is None or (label is None and not marked):
        return None
    rest = [place for place in own if place not in (path, label, *marked)]
    split = best(SPLIT_NAMES, rest, split_of)
    sides = next((box for box in (*_SIZES, *_CORNERS) if set(box) <= set(names)), ())
    box = best(_BOX, rest, bool)
    return Columns(
        tuple(header),
        path,
        label,
        tuple(place for place in labels if place != label),
        marked,
        split_by_content({place: cells[place] for place in rest}) if split is None else split,
        best(_PERSON, rest, bool),
        tuple(names.index(name) for name in sides) if box is None else (box,),
        sides in _CORNERS and box is None,
    )


def find_unnamed(some: Sequence[Sequence[str]], table: str) -> Columns | None:
    """The columns of a table of labelled pictures without their names, by what stands in some rows.

    One column alone has pictures, and one alone emotions; or there are two, pictures and numbers of classes, and the
    table's own name says what it has (`labels`, `train`). None for any other.
    """
    places = range(max(map(len, some), default=0))
    cells = [[cell_of(row, place) for row in some] for place in places]
    paths = [place for place in places if all(map(is_path, cells[place]))]
    labels = [place for place in places if 2 * sum(map(is_emotion, cells[place])) > len(some)]
    tells_labels = bool(split_of(table)) or not _TABLES.isdisjoint(words_of(table))
    if not labels and paths == [0] and len(places) == 2 and tells_labels:
        labels = [1] if all(cell.isdecimal() and len(cell) < 3 for cell in cells[1]) else []
    if len(paths) != 1 or len(labels) != 1:
        return None
    rest = [place for place in places if place not in (*paths, *labels)]
    split = split_by_content({place: cells[place] for place in rest})
    return Columns((), paths[0], labels[0], split=split, unread=tuple(place for place in rest if place != split))


def plain_name(name: str) -> str:
    """The name of a column, in lower case and only letters and digits."""
    return "".join(filter(str.isalnum, name.lower()))


def is_path(cell: str) -> bool:
    """Whether it ends like a picture's name."""
    return PurePosixPath(cell.strip().replace("\\", "/")).suffix.lower() in PICTURE_SUFFIXES


def is_emotion(cell: str) -> bool:
    """Whether it is the name of an emotion, however spelt."""
    return emotion_name(cell.strip()) in EMOTIONS


def cell_of(cells: Sequence[str], place: int | None) -> str:
    """What stands in a row at a place; nothing beyond its end, and at none."""
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _one_hot(header: Sequence[str], places: Sequence[int], cells: Sequence[Sequence[str]]) -> tuple[int, ...]:
    """The columns of the classes: all that are called by emotions; and others of marks, if a row has one at most."""
    marks = {place: [_MARKS.get(cell.lower()) for cell in cells[place]] for place in places}
    holding = [place for place in places if marks[place] and None not in marks[place]]
    emotions = [place for place in places if is_emotion(header[place])]
    is_one = all(sum(map(bool, row)) <= 1 for row in zip(*(marks[place] for place in holding), strict=True))
    are_classes = set(emotions) == set(holding) or (is_one and set(emotions) < set(holding))
    return tuple(holding) if are_classes and len(emotions) > 1 else ()


def split_by_content(cells_in: Mapping[int, Sequence[str]]) -> int | None:
    """The only column in which nothing but given splits stand, training's and others; each by its place."""
    holding = []
    for place, cells in cells_in.items():
        splits = {"" if beside_split(cell) else split_of(cell) for cell in set(cells)}
        if "" not in splits and len(splits) > 1 and "train" in splits:
            holding.append(place)
    return holding[0] if len(holding) == 1 else None
