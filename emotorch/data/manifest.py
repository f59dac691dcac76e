"""The manifest of a dataset folder: one row per image, tracing it to its source."""

import csv
from collections.abc import Sequence
from pathlib import Path

from emotorch.errors import EmoTorchError

NAME = "manifest.csv"


def read_manifest(folder: Path, columns: Sequence[str], command: str) -> list[dict[str, str]]:
    """The manifest of a folder that `command` wrote.

    Raises:
        EmoTorchError: there is none, or it is not one.
    """
    path = folder / NAME
    if not path.is_file():
        raise EmoTorchError(f"{folder} has no {NAME}: run {command} (again)")
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
