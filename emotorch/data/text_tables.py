"""Tables as text: in columns, however they are separated, or as JSON Lines, an object for each row."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from emotorch.data.formats import read_start
from emotorch.errors import EmoTorchError
from emotorch.typed import JsonObject, parse_json

_SEPARATORS = ",;\t|"
_JSON_LINES = ".jsonl"
_LONGEST_HEADER = 1 << 16  # characters
ENDINGS = (".csv", ".tsv", _JSON_LINES)


def read_header(path: Path) -> list[str]:
    """The names of a table's columns, in JSON Lines its first object's keys; empty where there are none."""
    try:
        with path.open(encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            first = file.readline(_LONGEST_HEADER)
        if _has_objects(path):
            return list(_object(first, path))
        return next(csv.reader([first], delimiter=_separator(first), skipinitialspace=True), [])
    except (OSError, UnicodeError, csv.Error, EmoTorchError):
        return []


def read_rows(path: Path, header: list[str], most: int | None = None) -> list[tuple[int, list[str]]]:
    """Each row's line, from 1, and its cells, in the order of the header; rows without a filled cell are left out.

    Args:
        path: Of the table.
        header: As `read_header` gives it.
        most: So many rows at most; None for all.

    Raises:
        EmoTorchError: it is no text in columns, or a line is no object.
    """
    try:
        # The names of files need not be UTF-8.
        with path.open(encoding=_encoding(path), errors="surrogateescape", newline="") as file:
            found = _objects(file, header, path) if _has_objects(path) else _columns(file)
            filled = ((line, cells) for line, cells in found if any(map(str.strip, cells)))
            return list(islice(filled, most))
    except (csv.Error, UnicodeError) as error:
        raise EmoTorchError(f"{path}: no text in columns ({error}); save it as CSV in UTF-8") from error


def _has_objects(path: Path) -> bool:
    return path.name.lower().endswith(_JSON_LINES)


def _encoding(path: Path) -> str:
    return "utf-16" if read_start(path).startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _columns(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file, delimiter=_separator(file.readline()), skipinitialspace=True)
    for cells in reader:
        yield reader.line_num + 1, cells


def _objects(file: IO[str], header: list[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(file, 1):
        if text.strip():
            told = _object(text, f"{path}, line {line}")
            yield line, ["" if told.get(name) is None else str(told[name]) for name in header]


def _object(text: str, file: object) -> JsonObject:
    value = parse_json(text, file)
    if not isinstance(value, JsonObject):
        raise EmoTorchError(f"{file}: no JSON object; mend the line")
    return value
