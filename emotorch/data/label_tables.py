"""Tables of labelled pictures: `labels.csv` with `path,label` and, where they are there, `split,person,box`."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, takewhile
from pathlib import Path, PurePath, PurePosixPath

from emotorch.data.class_folders import ClassFolders, ClassOf
from emotorch.data.faces import Box
from emotorch.data.file_names import person_of
from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.data.known import (
    are_named_as,
    as_read,
    ask_whose,
    called_after,
    class_of,
    count_from_1,
    usage_of,
    usage_of_file,
)
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised, warn_of
from emotorch.data.names import class_number, first_split, plain_class, split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.table_columns import plain_name
from emotorch.data.table_rows import GUESSES, LabelTable, Row, holds_guesses, read_table, tables_in
from emotorch.datasets import AFFECTNET, CLASS_FOLDERS, DATASETS, Dataset
from emotorch.emotion_names import emotion_name
from emotorch.files import printable
from emotorch.labels import EMOTIONS, LabelScheme

logger = logging.getLogger(__name__)

# Columns that only lists of AffectNet have: its authors', and a copy's.
_AFFECTNETS_OWN = {"subdirectoryfilepath", "relfcs"}
# Labels of pictures that show no emotion, or that nobody has labelled.
_NO_EMOTION = {"unlabeled", "unlabelled", "unknown", "uncertain", "none", "nf", "no face", "no-face", "noface"}
_LONGEST = 100  # of a picture's name in a remark: it may be none
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def recognise(folder: Folder, scheme: LabelScheme) -> Iterator[Finding]:
    """Tables in a folder that label pictures below it, in a subfolder beside those of pictures, or in given splits."""
    yield from (Incomplete(path, GUESSES) for path in folder.tables if holds_guesses(path) and read_table(path))
    folder, tables = _tables_of(folder, class_of(scheme))
    if not tables:
        return
    finder = _Finder(folder)
    rows = [row for table in tables for row in table.rows]
    finder.needs_folders = any(row.path.parent.name and finder.is_exact(row) for row in rows)
    found = [path for row in rows if (path := finder.find(row)) is not None]
    if not found:
        for table in tables:
            first = printable(table.rows[0].picture)[:_LONGEST]
            yield Incomplete(table.path, f"a table of labels, without its pictures (first: {first})")
        return
    has_votes = any(table.columns.has_votes for table in tables)
    has_names = any(table.columns.header for table in tables) or has_votes
    if not has_names and 2 * len(found) < len(ClassFolders(folder, class_of(scheme)).pictures):  # corrections, say
        remark = "without columns' names, and for few of the pictures in class folders, which are read"
        yield from (Incomplete(table.path, remark) for table in tables)
        return
    dataset = None if has_votes else _dataset_of(folder, tables[0], found)
    numbers = {number for row in rows if (number := class_number(row.label)) is not None}
    is_from_1 = dataset is not None and count_from_1(numbers, dataset) and not _is_affectnets_own(tables[0])
    if numbers and (dataset is None or is_from_1):
        yield ask_whose(folder, numbers, f"labels in {tables[0].path.name}")
        return
    names = ", ".join(table.path.relative_to(folder.path).as_posix() for table in tables)
    labels = as_read(filter(scheme.knows, {row.label.lower() for row in rows}), scheme)
    told = f" ({', '.join(labels)})" if labels and dataset is None else ""
    others = _other_splits(folder, {finder.place(path) for path in found}, class_of(dataset or scheme))
    in_folders = [path for classes in others for path in classes.pictures]
    notes = [table.columns.said for table in tables]
    if others:
        splits = ", ".join(classes.folder.name for classes in others)
        notes.append(f"the class folders in {splits}, which no table lists")
    yield Recognised(
        dataset.name if dataset else "",
        folder.path,
        f"the labels in {names}{told}",
        covers=folder.parts([*found, *in_folders]) | {table.path for table in tables},
        images=lambda: list_images(rows, finder, dataset, scheme) + _images_of(others, dataset),
        count=lambda: len(found) + len(in_folders),
        notes=tuple(filter(None, dict.fromkeys(notes))),
        name="FERPlus" if has_votes else "",
    )


def _tables_of(folder: Folder, known: ClassOf) -> tuple[Folder, list[LabelTable]]:
    """The tables with rows of one dataset, and its folder: of one right in FER-Datasets only its splits.

    Below that some splits may have none: class folders, or pictures that nobody has labelled.
    """
    tables = tables_in(folder)
    is_raw = folder.path == folder.raw
    if is_raw:  # where other datasets may lie beside the splits of one
        groups = ([sub for sub in group if sub.has_pictures] for group in folder.split_groups.values())
        splits = [sub for group in groups if len(group) > 1 for sub in group]
    else:
        splits = [sub for sub in folder.folders if split_of(sub.name) and sub.has_pictures]
    in_splits = [tables_in(sub) for sub in splits]
    listed = [sub for sub, found in zip(splits, in_splits, strict=True) if found]
    is_listed = not is_raw and listed and not any(ClassFolders(sub, known).pictures for sub in listed)
    if in_splits and (all(in_splits) or is_listed):
        if is_raw and not tables:
            folder = replace(folder, files=(), folders=tuple(splits))
        tables = [*tables, *chain(*in_splits)]
    if not is_raw:
        tables = [*tables, *chain(*(tables_in(sub) for sub in folder.folders if not sub.has_pictures))]
    return folder, [table for table in tables if table.rows]


def _other_splits(folder: Folder, listed: set[str], known: ClassOf) -> list[ClassFolders]:
    """The class folders in each given split of which a table lists no picture; none where its pictures lie in none."""
    others = [sub for sub in folder.folders if "" not in listed and split_of(sub.name) not in {"", *listed}]
    return [classes for classes in (ClassFolders(sub, known) for sub in others) if classes.pictures]


def _images_of(splits: Sequence[ClassFolders], dataset: Dataset | None) -> list[SourceImage]:
    """The images of class folders, whose folder is called like their given split."""
    reading, title = (Reading.CROP, dataset.full_title) if dataset else (Reading.SCENE, "a known dataset")
    return [
        replace(image, usage=usage_of(dataset or CLASS_FOLDERS, classes.folder.name))
        for classes in splits
        for image in classes.images(reading, title)
    ]


def _dataset_of(folder: Folder, table: LabelTable, files: Sequence[Path]) -> Dataset | None:
    """The dataset that tables are of, where a column of the first, the files' names or a folder's name says so."""
    if _is_affectnets_own(table):
        return AFFECTNET
    names = [path.name for path in files]
    by_names = (dataset for dataset in DATASETS.values() if are_named_as(names, dataset))
    named = [folder] if folder.path != folder.raw else [sub for sub in folder.folders if sub.has_pictures]
    by_folder = (data for data in DATASETS.values() if named and all(called_after(sub, data) for sub in named))
    return next(chain(by_names, by_folder), None)


def _is_affectnets_own(table: LabelTable) -> bool:
    return not _AFFECTNETS_OWN.isdisjoint(map(plain_name, table.columns.header))


class _Finder:
    """Finds a table's pictures below a folder, by their paths from wherever, or by their names alone.

    Attributes:
        needs_folders: Whether a row's folders must be those of its picture, since other rows' are.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.needs_folders = False
        self.splits = {split for sub in folder.folders if (split := split_of(sub.name)) and sub.has_pictures}
        self.by_name: dict[str, list[Path]] = {}
        for below in folder.walk():
            for path in below.paths:
                self.by_name.setdefault(path.name.lower(), []).append(path)
                if path.suffix.lower() in PICTURE_SUFFIXES:
                    self.by_name.setdefault(path.stem.lower(), []).append(path)

    def find(self, row: Row) -> Path | None:
        """The file that a row means; None when it is not there, or several may be meant."""
        candidates = self._candidates(row)
        return candidates[0] if len(candidates) == 1 else None

    def find_or_raise(self, row: Row) -> Path:
        candidates = self._candidates(row)
        named = printable(row.picture)
        if not candidates:
            remedy = "put it there, or remove the row"
            if named != row.picture:
                remedy = "as its name is no UTF-8, save the table as CSV in UTF-8"
            raise row.error(f"no file '{named}' below {self.folder.path}; {remedy}")
        if len(candidates) > 1:
            raise row.error(f"{named!r} may be {candidates[0]} or {candidates[1]}; give its path")
        return candidates[0]

    def _candidates(self, row: Row) -> list[Path]:
        wanted = row.path
        if not wanted.name:
            return []
        named = self.by_name.get(wanted.name.lower(), [])
        if self.is_exact(row):
            return [row.table.parent / wanted]
        if told := first_split(wanted.parts[:-1]):  # of another split a file of the same name is another picture
            named = [path for path in named if self.place(path) in ("", told)]
        elif row.split is None and (listed := split_of(row.table.stem)) in self.splits:
            # `train.csv` lists no picture of a test set, where there is a folder of training images.
            named = [
                path for path in named if (place := self.place(path)) in ("", listed) or "test" not in (place, listed)
            ]
        says = _emotion_of_folder(wanted.parent)
        if says and says == emotion_name(row.label):
            named = [path for path in named if _emotion_of_folder(path.parent) in ("", says)]
        agreeing = [_equal_ends(path, wanted) for path in named]
        if self.needs_folders and wanted.parent.name and not any(agreeing):
            return []
        found = [path for path, count in zip(named, agreeing, strict=True) if count == max(agreeing)]
        if len(found) > 1 and (told := self.split_of(row)):
            return [path for path in found if self.place(path) == told] or found
        return found

    def is_exact(self, row: Row) -> bool:
        """Whether its picture lies where it says, seen from its table."""
        return row.table.parent / row.path in self.by_name.get(row.path.name.lower(), [])

    def split_of(self, row: Row) -> str:
        """The given split that a row, its table's name or the folders of its path or its table say; or empty."""
        if row.split is not None:
            return split_of(row.split)
        listed, placed = split_of(row.table.stem), first_split(row.path.parts[:-1])
        # A list called after training may hold all; one called `val` may choose from the folder of training images.
        told = placed or listed if listed == "train" else listed or placed
        return told or self.place(row.table)

    def place(self, path: Path) -> str:
        """The given split that the folders say in which a file lies, below this one; or empty."""
        return first_split(self.folder.way_to(path))


def _emotion_of_folder(folder: PurePath) -> str:
    """The emotion that a folder is called by; empty where it is called by none."""
    emotion = emotion_name(plain_class(folder.name))
    return emotion if emotion in EMOTIONS else ""


def _equal_ends(path: Path, wanted: PurePosixPath) -> int:
    """Number of folders at the end of two paths that have equal names."""
    pairs = zip(reversed(path.parts[:-1]), reversed(wanted.parts[:-1]), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].lower() == pair[1].lower(), pairs))


def list_images(
    rows: Sequence[Row], finder: _Finder, dataset: Dataset | None, scheme: LabelScheme
) -> list[SourceImage]:
    """Every row's image, in their order; labels are the dataset's, or else names of emotions or the scheme's labels.

    Raises:
        EmoTorchError: a row has no such file, label, split or box; or a picture is there twice.
    """
    images: dict[tuple[Path, Box | None], tuple[SourceImage, Row]] = {}
    without_emotion: list[Path | None] = []
    again = []
    for row in rows:
        emotion = _emotion(row, dataset, scheme)
        if emotion is None:
            without_emotion.append(finder.find(row))
            continue
        path, box = finder.find_or_raise(row), _box(row)
        given = _given_split(row, finder, path)
        usage = usage_of_file(dataset, given, path.name) if dataset else usage_of(CLASS_FOLDERS, given)
        # Known datasets whose tables are read come with their faces cut out.
        reading = Reading.SCENE if dataset is None and box is None else Reading.CROP
        person = row.person or person_of(path.name)
        image = SourceImage(path, emotion, reading, usage=usage, subject=person, box=box)
        first, other = images.setdefault((path, box), (image, row))
        if other.table != row.table and first == image:
            again.append(path)
        elif other is not row:
            raise row.error(f"{printable(path.name)} stands in {other.table.name}, line {other.line}, too; remove one")
    table = rows[0].table
    if without_emotion:
        logger.info("%s: rows of no emotion, left out: %d", table, len(without_emotion))
    listed = {path for path, _ in images}.union(filter(None, without_emotion))
    tops = {finder.folder.way_to(path)[:1] for path in listed}  # itself or subfolders, where some are in a row
    pictures = sorted(path for below in finder.folder.walk() for path in below.pictures)
    unlisted = [path for path in pictures if path not in listed and finder.folder.way_to(path)[:1] in tops]
    warn_of(unlisted, "pictures that are in no row, left out", table)
    warn_of(again, "pictures that a further table lists alike, read once", table)
    read = [image for image, _ in images.values()]
    elsewhere = [
        image.path for image in read if _emotion_of_folder(image.path.parent) not in ("", emotion_name(image.emotion))
    ]
    warn_of(elsewhere, "pictures in a folder of another class than their rows say, read by their rows", table)
    return read


def _emotion(row: Row, dataset: Dataset | None, scheme: LabelScheme) -> str | None:
    """The class that a row tells; None where it tells of no emotion, as by a number after AffectNet's."""
    label = row.label
    if dataset is not None:
        emotion = class_of(dataset)(label)
        if emotion is None and dataset is AFFECTNET and (class_number(label) or 0) >= len(dataset.classes):
            return None
        wanted = f"a class of {dataset.full_title} ({', '.join(dataset.classes)}, or its number)"
    else:
        emotion = label.lower() if scheme.knows(label) else None
        if emotion is None and label.lower() in _NO_EMOTION:
            return None
        wanted = f"a known emotion, or a label of scheme {scheme.name} ({', '.join(scheme.labels)})"
    if emotion is None:
        raise row.error(f"{printable(label)!r} is not {wanted}; mend the row")
    return emotion


def _given_split(row: Row, finder: _Finder, path: Path) -> str:
    """The split as the column of splits has it; without one as `_Finder.split_of`, or the picture's folders, say."""
    if row.split is None:
        return finder.split_of(row) or finder.place(path)
    if row.split and not split_of(row.split):
        raise row.error(f"{printable(row.split)!r} is not a split (train, val, test); mend the row")
    return row.split


def _box(row: Row) -> Box | None:
    if not row.box:
        return None
    found = [float(number) for number in _NUMBER.findall(row.box)]
    if "." in row.box and all(abs(number) <= 1 for number in found):
        raise row.error(f"{printable(row.box)!r} is in parts of the picture, not in pixels; mend the row")
    numbers = [round(number) for number in found]
    if len(numbers) != 4:
        raise row.error(f"{printable(row.box)!r} is not a box (x y width height, in pixels); mend the row")
    x, y, third, fourth = numbers
    box = Box(x, y, third - x, fourth - y) if row.has_corners else Box(x, y, third, fourth)
    if box.width <= 0 or box.height <= 0:
        raise row.error(f"{printable(row.box)!r} is a box without width or height; mend the row")
    return box
