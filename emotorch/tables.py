"""Tables: one pandas frame, and how its columns are formatted, for console, Markdown, CSV and HTML.

pandas is imported where a table is made, so that `--help` and prediction do without it.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotorch.files import write_csv

if TYPE_CHECKING:
    import pandas as pd

# '{:.2f}', as pandas' Styler.format takes it, or a function of a value.
Format = str | Callable[[Any], str]


@dataclass(frozen=True)
class Table:
    """A frame, and how its values look: said once, for every form that it is written in.

    A column of strings without a format is text and stands to the left, any other to the right. A missing value
    (NaN, None, NA) never gets to a format.

    Attributes:
        frame: Its index is no part of the table. Counts that may be missing: dtype "Int64".
        formats: By column; a column without one is written as `str` writes its values.
        csv_formats: By column, where a file is to say it otherwise than a person reads it, say with more decimals.
        unknown: What stands for a missing value, but in CSV files: see `write_table`.
    """

    frame: "pd.DataFrame"
    formats: Mapping[str, Format] = field(default_factory=dict)
    csv_formats: Mapping[str, Format] = field(default_factory=dict)
    unknown: str = "–"

    @property
    def columns(self) -> list[str]:
        return list(self.frame.columns)

    @property
    def text_columns(self) -> list[str]:
        """Those that stand to the left."""
        from pandas.api.types import is_numeric_dtype

        return [
            name
            for name in self.columns
            if name not in self.formats
            and not is_numeric_dtype(self.frame[name])
            and all(isinstance(value, str) for value in self.frame[name].dropna())
        ]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The formatted cells of each row, as console, Markdown and HTML show them."""
        return self._cells(self.formats, lambda _: self.unknown)

    def csv_rows(self) -> Iterator[tuple[str, ...]]:
        """The same as a CSV file holds them."""
        from pandas.api.types import is_float_dtype

        formats = {**self.formats, **self.csv_formats}
        return self._cells(formats, lambda column: "NaN" if is_float_dtype(column) else "")

    def _cells(
        self, formats: Mapping[str, Format], unknown: "Callable[[pd.Series[Any]], str]"
    ) -> Iterator[tuple[str, ...]]:
        columns = []
        for name in self.columns:
            column, form = self.frame[name], formats.get(name, str)
            write = form.format if isinstance(form, str) else form
            missing = unknown(column)
            values = zip(column.tolist(), column.isna().tolist(), strict=True)
            columns.append([missing if is_missing else write(value) for value, is_missing in values])
        return zip(*columns, strict=True)


def with_interval(digits: int, *, signed: bool = False) -> Callable[[Sequence[float]], str]:
    """A format of (value, low, high): `54.7 (50.1–58.2)`, or of differences `+4.7 (-0.1 to +8.2)`."""
    sign, to = ("+", " to ") if signed else ("", "–")

    def write(estimate: Sequence[float]) -> str:
        value, low, high = (f"{number:{sign}z.{digits}f}" for number in estimate)
        return f"{value} ({low}{to}{high})"

    return write


def estimates(frame: "pd.DataFrame", value: str, low: str = "low", high: str = "high") -> "pd.Series[Any]":
    """An estimate and its interval, three columns of a frame, as one for `with_interval`; None where it is NaN."""
    import pandas as pd

    rows = zip(*(frame[name].tolist() for name in (value, low, high)), strict=True)
    return pd.Series([None if math.isnan(row[0]) else row for row in rows], frame.index, dtype=object)


def counted(number: int, thing: str) -> str:
    """`1 thread`, `2 threads`, `2 classes`, `2 people`."""
    if number != 1:
        thing = "people" if thing == "person" else f"{thing}{'es' if thing.endswith('s') else 's'}"
    return f"{number:,} {thing}"


def p_value(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def to_text(table: Table) -> str:
    """For the console: columns as wide as they need."""
    return text_table([table.columns, *table.rows()], left=table.text_columns)


def escape_bars(cell: str) -> str:
    """A cell that is Markdown, so that it stays one cell."""
    return cell.replace("|", "\\|").replace("\n", " ")


def to_markdown(table: Table, escape: Callable[[str], str] = escape_bars) -> str:
    """As GitHub renders it, numbers to the right.

    Args:
        table: Its cells may hold markup.
        escape: For cells that are to be shown as they are.
    """
    text = set(table.text_columns)
    rules = ["---" if name in text else "---:" for name in table.columns]
    rows = [[escape(cell) for cell in row] for row in (table.columns, *table.rows())]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:]))


def write_table(path: Path, table: Table) -> None:
    """Writes a CSV file, whole or not at all: UTF-8, Unix line ends.

    In a column of floats a missing value is `NaN`; in any other its cell is empty.
    """
    write_csv(path, table.columns, table.csv_rows())


def text_table(rows: Sequence[Sequence[str]], left: Collection[str]) -> str:
    """Rows of one length in columns as wide as they need, for `to_text` and without pandas.

    The first row is the header; `left` are its cells over columns of text, others stand to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if title in left else cell.rjust(width)
            for cell, width, title in zip(row, widths, rows[0], strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
