"""Tables of labelled pictures: `labels.csv` with `path,label` and, where they are there, `split,person,box`."""

import csv
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath

from emotorch.data.faces import Box
from emotorch.data.formats import PICTURE_SUFFIXES, read_start
from emotorch.data.known import are_named_as, ask_whose, called_after, class_number, class_of, usage_of
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised, plain_class, split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import AFFECTNET, DATASETS, Dataset
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, printable
from emotorch.labels import EMOTIONS, LabelScheme, emotion_name

logger = logging.getLogger(__name__)

# What columns are called, in lower case and without anything but letters.
_COLUMNS = {
    "path": {"path", "pth", "file", "filename", "filepath", "image", "imagename", "imagepath", "imagefile", "img"}
    | {"imgname", "imgpath", "imageid", "imgid", "picture", "photo", "subdirectoryfilepath"},
    "label": {"label", "labels", "emotion", "emotions", "class", "classname", "expression", "category", "target"}
    | {"emotionlabel", "emotionclass", "emotionname"},
    "split": {"split", "usage", "set", "subset", "partition"},
    "person": {"person", "personid", "subject", "subjectid", "identity", "participant", "actor"},
    "box": {"box", "bbox", "boundingbox", "facebox"},
}
# Boxes in four columns: from the upper left corner width and height, or the lower right corner.
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("facex", "facey", "facewidth", "faceheight"))
_CORNERS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
# Columns that only lists of AffectNet have: its authors', and a copy's.
_AFFECTNETS_OWN = ("subdirectory_filepath", "relfcs")
_SEPARATORS = ",;\t|"
_ENDINGS = (".csv", ".tsv")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Table:
    """A table whose header tells that it labels pictures.

    Attributes:
        path: The file.
        columns: The place of each column that is read, by what it tells; boxes in four columns as `box0` to `box3`.
        has_corners: Whether a box is left, top, right, bottom; else left, top, width, height.
        rows: Line number and cells.
    """

    path: Path
    columns: Mapping[str, int]
    has_corners: bool
    rows: Sequence[tuple[int, Sequence[str]]] = field(repr=False)

    def cell(self, cells: Sequence[str], column: str) -> str:
        place = self.columns.get(column)
        return cells[place].strip() if place is not None and place < len(cells) else ""

    @cached_property
    def labels(self) -> list[str]:
        return [self.cell(cells, "label") for _, cells in self.rows]

    def error(self, line: int, message: str) -> EmoTorchError:
        return EmoTorchError(f"{self.path}, line {line}: {message}")


def read_table(path: Path) -> Table | None:
    """A table of labelled pictures; None of a file that is none.

    Raises:
        EmoTorchError: it has such a header, but is no text in columns.
    """
    start = read_start(path)
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        header = start.decode(encoding, "ignore").splitlines()[0]
    except (IndexError, UnicodeError):
        return None
    separator = max(_SEPARATORS, key=header.count)
    names = [
        "".join(filter(str.isalnum, name.lower()))
        for name in next(csv.reader([header], delimiter=separator, skipinitialspace=True))
    ]
    columns = {
        told: next(place for place, name in enumerate(names) if name in known)
        for told, known in _COLUMNS.items()
        if not known.isdisjoint(names)
    }
    if not {"path", "label"} <= columns.keys() or "pixels" in names:
        return None
    corners = next((box for box in (*_SIZES, *_CORNERS) if set(box) <= set(names)), None)
    if corners and "box" not in columns:
        columns |= {f"box{number}": names.index(name) for number, name in enumerate(corners)}
    try:
        # Names that are no UTF-8 stand for files whose names are not.
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            next(reader)
            rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except (csv.Error, UnicodeError) as error:
        raise EmoTorchError(f"{path}: no text in columns ({error}); save it as CSV in UTF-8") from error
    return Table(path, columns, corners in _CORNERS, rows)


def tables_in(folder: Folder) -> list[Table]:
    """The tables of labelled pictures in a folder itself."""
    if STAMP_NAME in folder.files:
        return []  # a stage's own
    paths = (folder.path / name for name in folder.files if name.lower().endswith(_ENDINGS))
    return [table for path in paths if (table := read_table(path)) is not None]


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Finding]:
    """Tables in a folder that label pictures below it, in a subfolder beside those of pictures, or in given splits."""
    tables = tables_in(folder)
    if folder.path != folder.raw:
        in_splits = [tables_in(sub) for sub in folder.folders if sub.has_pictures and split_of(sub.name)]
        beside = [tables_in(sub) for sub in folder.folders if not sub.has_pictures]
        tables += chain(*beside, *(in_splits if all(in_splits) else ()))
    tables = [table for table in tables if table.rows]
    if not tables:
        return
    finder = _Finder(folder)
    found = [path for table in tables for _, cells in table.rows if (path := finder.find(table, cells)) is not None]
    if not found:
        for table in tables:
            where = printable(table.cell(table.rows[0][1], "path"))
            yield Incomplete(table.path, f"a table of labels, without its pictures (first: {where})")
        return
    covers = folder.parts(found) | {table.path for table in tables}
    dataset = _dataset_of(folder, tables, found)
    numbers = {number for table in tables for label in table.labels if (number := class_number(label)) is not None}
    if numbers and dataset is None:
        yield ask_whose(folder, numbers, f"labels in {tables[0].path.name}")
        return
    names = ", ".join(table.path.relative_to(folder.path).as_posix() for table in tables)
    yield Recognised(
        dataset.name if dataset else "",
        folder.path,
        f"the labels in {names}",
        covers=covers,
        images=lambda: list_images(tables, finder, dataset, scheme),
        count=lambda: len(found),
    )


def _dataset_of(folder: Folder, tables: Sequence[Table], files: Sequence[Path]) -> Dataset | None:
    """The dataset that tables are of, where a column, the files' names or a folder's name says so."""
    header = read_start(tables[0].path).decode("utf-8", "ignore").lower()
    if any(column in header for column in _AFFECTNETS_OWN):
        return AFFECTNET
    names = [path.name for path in files]
    by_names = (dataset for dataset in DATASETS.values() if are_named_as(names, dataset))
    by_folder = (dataset for dataset in DATASETS.values() if called_after(folder, dataset))
    return next((dataset for found in (by_names, by_folder) for dataset in found), None)


class _Finder:
    """Finds a table's pictures below a folder, by their paths from wherever, or by their names alone."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.by_name: dict[str, list[Path]] = {}
        for below in folder.walk():
            for name in below.files:
                self.by_name.setdefault(name.lower(), []).append(below.path / name)
                stem, dot, ending = name.lower().rpartition(".")
                if dot and f".{ending}" in PICTURE_SUFFIXES:
                    self.by_name.setdefault(stem, []).append(below.path / name)

    def find(self, table: Table, cells: Sequence[str]) -> Path | None:
        """The file that a row means; None when it is not there, or several may be meant."""
        candidates = self._candidates(table, cells)
        return candidates[0] if len(candidates) == 1 else None

    def find_or_raise(self, table: Table, line: int, cells: Sequence[str]) -> Path:
        candidates = self._candidates(table, cells)
        named = printable(table.cell(cells, "path"))
        if not candidates:
            remedy = "put it there, or remove the row"
            if named != table.cell(cells, "path"):
                remedy = "as its name is no UTF-8, save the table as CSV in UTF-8"
            raise table.error(line, f"no file '{named}' below {self.folder.path}; {remedy}")
        if len(candidates) > 1:
            raise table.error(line, f"{named!r} may be {candidates[0]} or {candidates[1]}; give its path")
        return candidates[0]

    def _candidates(self, table: Table, cells: Sequence[str]) -> list[Path]:
        wanted = PurePosixPath(table.cell(cells, "path").replace("\\", "/"))
        if not wanted.name:
            return []
        named = self.by_name.get(wanted.name.lower(), [])
        exact = table.path.parent / wanted
        if exact in named:
            return [exact]
        if told := _split_of_names(wanted.parts[:-1]):  # of another split a file of the same name is another picture
            named = [path for path in named if self.place(path) in ("", told)]
        agreeing = [_equal_ends(path, wanted) for path in named]
        found = [path for path, count in zip(named, agreeing, strict=True) if count == max(agreeing)]
        if len(found) > 1 and (told := self.split_of(table, cells)):
            return [path for path in found if self.place(path) == told] or found
        return found

    def split_of(self, table: Table, cells: Sequence[str]) -> str:
        """The given split that a row, its table's name or the folders of its path or its table say; or empty."""
        if "split" in table.columns:
            return split_of(table.cell(cells, "split")) or ""
        names = (table.path.stem, *PurePosixPath(table.cell(cells, "path").replace("\\", "/")).parts[:-1])
        return _split_of_names(names) or self.place(table.path)

    def place(self, path: Path) -> str:
        """The given split that the folders say in which a file lies, below this one; or empty."""
        return _split_of_names(path.relative_to(self.folder.path).parts[:-1])


def _equal_ends(path: Path, wanted: PurePosixPath) -> int:
    """How many folders above a file are called as those of another path."""
    pairs = zip(reversed(path.parts[:-1]), reversed(wanted.parts[:-1]), strict=False)
    count = 0
    for ours, theirs in pairs:
        if ours.lower() != theirs.lower():
            break
        count += 1
    return count


def list_images(
    tables: Sequence[Table], finder: _Finder, dataset: Dataset | None, scheme: LabelScheme
) -> list[SourceImage]:
    """Every row's image, in the tables' order.

    Args:
        tables: All of one dataset.
        finder: Of its pictures.
        dataset: Whose numbers or names the labels are; None for the names of emotions, or the scheme's labels.
        scheme: Whose labels may stand in the tables.

    Raises:
        EmoTorchError: a row has no such file, label, split or box; or a picture is there twice.
    """
    images: list[SourceImage] = []
    lines: dict[tuple[Path, Box | None], tuple[Table, int]] = {}
    without_emotion: list[Path | None] = []
    for table in tables:
        for line, cells in table.rows:
            emotion = _emotion(table, line, cells, dataset, scheme)
            if emotion is None:
                without_emotion.append(finder.find(table, cells))
                continue
            path = finder.find_or_raise(table, line, cells)
            box = _box(table, line, cells)
            if (path, box) in lines:
                other, first = lines[path, box]
                raise table.error(
                    line, f"{printable(path.name)} stands in {other.path.name}, line {first}, too; remove one"
                )
            lines[path, box] = table, line
            given, person = _given_split(table, line, cells, finder, path), table.cell(cells, "person")
            usage = usage_of(dataset, given) if dataset else split_of(given) or ""
            # Known datasets whose tables are read come with their faces cut out.
            reading = Reading.SCENE if dataset is None and box is None else Reading.CROP
            images.append(SourceImage(path, emotion, reading, usage=usage, subject=person, box=box))
    if without_emotion:
        logger.info("%s: rows of no emotion, left out: %d", tables[0].path, len(without_emotion))
    _tell_unlisted(tables[0], finder, {path for path, _ in lines}.union(filter(None, without_emotion)))
    _tell_elsewhere(tables[0], images)
    return images


def _tell_unlisted(table: Table, finder: _Finder, listed: set[Path]) -> None:
    """Logs which pictures are in no row of some tables, the first of which is given."""
    tops = {path.relative_to(finder.folder.path).parts[0] for path in listed}
    unlisted = [
        path
        for paths in finder.by_name.values()
        for path in paths
        if path not in listed
        and path.suffix.lower() in PICTURE_SUFFIXES
        and path.relative_to(finder.folder.path).parts[0] in tops
    ]
    if unlisted:
        logger.warning(
            "%s: pictures that are in no row, left out: %d (first: %s)",
            table.path,
            len(set(unlisted)),
            printable(str(min(unlisted))),
        )


def _tell_elsewhere(table: Table, images: Sequence[SourceImage]) -> None:
    """Logs which pictures lie in a folder that is called like another class than the tables give them."""
    elsewhere = [
        image.path
        for image in images
        if (says := emotion_name(plain_class(image.path.parent.name))) in EMOTIONS
        and says != emotion_name(image.emotion)
    ]
    if elsewhere:
        logger.warning(
            "%s: pictures in a folder of another class than their rows say, read by their rows: %d (first: %s)",
            table.path,
            len(elsewhere),
            printable(str(elsewhere[0])),
        )


def _emotion(table: Table, line: int, cells: Sequence[str], dataset: Dataset | None, scheme: LabelScheme) -> str | None:
    """The class that a row tells; None of a number after those of AffectNet's emotions."""
    label = table.cell(cells, "label").removesuffix(".0")
    if dataset is not None:
        emotion = class_of(dataset)(label)
        if emotion is None and dataset is AFFECTNET and (class_number(label) or 0) >= len(dataset.classes):
            return None
        wanted = f"a class of {dataset.full_title} ({', '.join(dataset.classes)}, or its number)"
    else:
        emotion = label.lower() if scheme.knows(label) else None
        wanted = f"a known emotion, or a label of scheme {scheme.name} ({', '.join(scheme.labels)})"
    if emotion is None:
        raise table.error(line, f"{printable(label)!r} is not {wanted}; mend the row")
    return emotion


def _given_split(table: Table, line: int, cells: Sequence[str], finder: _Finder, path: Path) -> str:
    """The split as the column of splits has it; without one as `_Finder.split_of`, or the picture's folders, say."""
    if "split" not in table.columns:
        return finder.split_of(table, cells) or finder.place(path)
    told = table.cell(cells, "split")
    if told and split_of(told) is None:
        raise table.error(line, f"{printable(told)!r} is not a split (train, val, test); mend the row")
    return told


def _split_of_names(names: Iterable[str]) -> str:
    return next((split for name in names if (split := split_of(name))), "")


def _box(table: Table, line: int, cells: Sequence[str]) -> Box | None:
    if "box" in table.columns:
        text = table.cell(cells, "box")
    elif "box0" in table.columns:
        text = " ".join(table.cell(cells, f"box{number}") for number in range(4)).strip()
    else:
        return None
    if not text:
        return None
    found = [float(number) for number in _NUMBER.findall(text)]
    if "." in text and all(abs(number) <= 1 for number in found):
        raise table.error(line, f"{printable(text)!r} is in parts of the picture, not in pixels; mend the row")
    numbers = [round(number) for number in found]
    if len(numbers) != 4:
        raise table.error(line, f"{printable(text)!r} is not a box (x y width height, in pixels); mend the row")
    x, y, third, fourth = numbers
    box = Box(x, y, third - x, fourth - y) if table.has_corners else Box(x, y, third, fourth)
    if box.width <= 0 or box.height <= 0:
        raise table.error(line, f"{printable(text)!r} is a box without width or height; mend the row")
    return box
