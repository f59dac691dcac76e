"""The rows of tables that label pictures, by the columns that they have; what is no such table is told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from emotorch.data import ferplus, text_tables
from emotorch.data.layouts import Folder
from emotorch.data.names import is_of_guesses, words_of
from emotorch.data.table_columns import Columns, cell_of, find_columns, find_unnamed, is_path
from emotorch.errors import EmoTorchError

_LOOKED_AT = 100  # rows that tell which of several columns is meant
_TRUTHS = {"label", "labels", "truth"}  # in the names of tables that are called after predictions, and hold none
GUESSES = "called like a model's predictions, no labels (rename it if it has them)"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table that labels pictures, by what its columns tell; empty where it tells nothing.

    Attributes:
        line: From 1.
        picture: The path or name of a picture.
        label: Its class, by whatever name or number.
        split: The given split; None where the table has no column of splits.
        person: Who is shown.
        box: Four numbers in words: left, top, and width and height, or right and bottom.
        has_corners: Whether the last two of these are right and bottom.
    """

    table: Path
    line: int
    picture: str
    label: str
    split: str | None = None
    person: str = ""
    box: str = ""
    has_corners: bool = False

    @property
    def path(self) -> PurePosixPath:
        """The picture's path, also as written on Windows."""
        return PurePosixPath(self.picture.replace("\\", "/"))

    def error(self, message: str) -> EmoTorchError:
        return EmoTorchError(f"{self.table}, line {self.line}: {message}")


@dataclass(frozen=True)
class LabelTable:
    """A table of labelled pictures."""

    path: Path
    columns: Columns
    rows: Sequence[Row]


def read_table(path: Path) -> LabelTable | None:
    """A table of labelled pictures; None of a file that is none.

    The label is in a column, or each class has a column, with 1 in that of the picture's (Roboflow's `_classes.csv`) or
    with FER+'s votes, whose majority it is.

    Raises:
        EmoTorchError: it has such a header, but is no text in columns.
    """
    columns = _find_columns(path)
    if columns is None:
        return None
    rows = text_tables.read_rows(path, list(columns.header))
    if columns.has_votes:
        told = ferplus.read_majorities(path, rows)
        return LabelTable(path, columns, [Row(path, line, picture, label) for line, picture, label in told])
    if not all(columns.fits(cells) for _, cells in rows):
        return None  # votes or probabilities
    if columns.split is None:
        columns = columns.with_split_of([cells for _, cells in rows])
    return LabelTable(path, columns, [_row(path, line, cells, columns) for line, cells in rows])


def _find_columns(path: Path) -> Columns | None:
    header = text_tables.read_header(path)
    has_names = not any(map(is_path, header))
    if ferplus.is_row_of_votes(header):
        return Columns((), 0, 1, has_votes=True)
    try:
        some = [cells for _, cells in text_tables.read_rows(path, header if has_names else [], _LOOKED_AT)]
    except EmoTorchError:
        if not has_names or find_columns(header, []) is None:
            return None  # whatever it is, it need not be readable
        raise
    # Numbers in a list are of a dataset that has a reader of its own, or of nobody knows what.
    return (
        find_columns(header, some) if has_names else find_unnamed(some, "" if text_tables.is_list(path) else path.stem)
    )


def _row(table: Path, line: int, cells: Sequence[str], columns: Columns) -> Row:
    picture, person = cell_of(cells, columns.path), cell_of(cells, columns.person)
    label = columns.label_of(cells).removesuffix(".0")  # as pandas writes whole numbers where a cell is empty
    split = None if columns.split is None else cell_of(cells, columns.split)
    box = " ".join(cell_of(cells, place) for place in columns.box).strip()
    return Row(table, line, picture, label, split, person, box, columns.has_corners)


def holds_guesses(path: Path) -> bool:
    """Whether a table, or its folder, is called like a model's predictions, or like what a contest wants filled in."""
    names = path.stem, path.parent.name
    return any(map(is_of_guesses, names)) and all(_TRUTHS.isdisjoint(words_of(name)) for name in names)


@cache
def tables_in(folder: Folder) -> list[LabelTable]:
    """The tables of labelled pictures in a folder itself; not those of a model's predictions."""
    read = (read_table(path) for path in folder.tables if not holds_guesses(path))
    return [table for table in read if table is not None]
