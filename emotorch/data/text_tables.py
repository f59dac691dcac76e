"""Tables as text: in columns, however they are separated, or as JSON Lines, an object for each row."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

from emotorch.data.formats import read_start
from emotorch.errors import EmoTorchError
from emotorch.typed import JsonObject, parse_json

SEPARATORS = ",;\t|"
_JSON_LINES = ".jsonl"
_LONGEST_LINE = 1 << 20  # characters, of a line that names columns
_LOOKED_AT = 100  # objects of JSON Lines whose keys are the columns
ENDINGS = (".csv", ".tsv", _JSON_LINES)
_LIST_ENDINGS = (".txt", ".lst")


def is_list(path: Path) -> bool:
    """Whether a file ends like a list, whose columns may have spaces between them."""
    return path.name.lower().endswith(_LIST_ENDINGS)


def read_header(path: Path) -> list[str]:
    """The names of a table's columns, in JSON Lines the keys of its first objects; empty where there are none."""
    try:
        with path.open(encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            if not _has_objects(path):
                return next(_reader(file, path), [])
            keys: dict[str, None] = {}
            with suppress(EmoTorchError):  # whoever reads the rows is told of the line
                for _, told in islice(_objects(file, path), _LOOKED_AT):
                    keys.update(dict.fromkeys(told))
            return list(keys)
    except (OSError, UnicodeError, csv.Error):
        return []


def read_rows(path: Path, header: list[str], most: int | None = None) -> list[tuple[int, list[str]]]:
    """Each row's line, from 1, and its cells, in the order of the header; rows without a filled cell are left out.

    Args:
        header: As `read_header` gives it; empty where its first row is one like the others.
        most: So many rows at most; None for all.

    Raises:
        EmoTorchError: it is no text in columns, or a line is no object.
    """
    try:
        # The names of files need not be UTF-8.
        with path.open(encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            rows: Iterator[tuple[int, list[str]]]
            if _has_objects(path):
                rows = ((line, [_cell(told.get(name)) for name in header]) for line, told in _objects(file, path))
            else:
                reader = _reader(file, path)
                rows = ((reader.line_num, cells) for cells in islice(reader, 1 if header else 0, None))
            filled = ((line, cells) for line, cells in rows if any(map(str.strip, cells)))
            return list(islice(filled, most))
    except (csv.Error, UnicodeError) as error:
        raise EmoTorchError(f"{path}: no text in columns ({error}); save it as CSV in UTF-8") from error


def _has_objects(path: Path) -> bool:
    return path.name.lower().endswith(_JSON_LINES)


def _encoding(path: Path) -> str:
    return "utf-16" if read_start(path).startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _reader(file: IO[str], path: Path) -> Any:
    """A CSV reader from the file's begin, with the separator of its first line."""
    first = file.readline(_LONGEST_LINE)
    file.seek(0)
    separators = f"{SEPARATORS} " if is_list(path) else SEPARATORS
    return csv.reader(file, delimiter=max(separators, key=first.count), skipinitialspace=True)


def _objects(file: IO[str], path: Path) -> Iterator[tuple[int, JsonObject]]:
    for line, text in enumerate(file, 1):
        if text.strip():
            try:
                value = parse_json(text, path)
            except EmoTorchError:
                value = None
            if not isinstance(value, JsonObject):
                raise EmoTorchError(f"{path}, line {line}: no JSON object; mend the line")
            yield line, value


def _cell(value: object) -> str:
    """A value of JSON as a cell of a table: a list's or an object's values with spaces between them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)
