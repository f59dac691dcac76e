"""FER+: the votes of ten people on every row of FER-2013, in `fer2013new.csv`, and the labels that follow from them.

Source: Barsoum, Zhang, Canton Ferrer and Zhang, "Training deep networks for facial expression recognition with
crowd-sourced label distribution" (ICMI 2016); https://github.com/microsoft/FERPlus, which writes the faces as pictures,
with a `label.csv` in each split's folder: a name, the face's box and the votes, without columns' names.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotorch.data.fer2013 import SKIPPED_ROWS
from emotorch.data.layouts import Folder
from emotorch.data.sources import SourceImage, read_manifest
from emotorch.data.split import Indices
from emotorch.data.text_tables import read_header, read_rows
from emotorch.datasets import FER_USAGES, FERPLUS_CLASSES
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError
from emotorch.files import read_table
from emotorch.paths import STAGE_1

logger = logging.getLogger(__name__)

# Of no class: an expression that nobody can tell, and a picture without a face.
_OTHER_VOTES = ("unknown", "NF")
COLUMNS = ("Usage", "Image name", *FERPLUS_CLASSES, *_OTHER_VOTES)
ROWS = 35_887  # of FER-2013's official CSV, each of which has one row here
NO_MAJORITY = -1
_WHOLE = "(0, 0, 48, 48)"  # the box of every face
_COUNTS = len(COLUMNS) - 2

# Shares of the votes that are left when single ones are dropped: a majority, or a distribution, has more than the
# first; a distribution takes classes until it has the second, but no more classes than the third.
_HALF, _ENOUGH, _MOST_CLASSES = 0.5, 0.75, 3

# Joined to other rows, one label in six agrees; so few images tell nothing.
_LEAST_AGREEMENT, _TELLING = 0.4, 200

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Votes:
    """The content of `fer2013new.csv`.

    Attributes:
        usages: (N,) FER-2013's usage of each row.
        counts: (N, 10) votes for each of `FERPLUS_CLASSES`, for unknown and for no face.
    """

    path: Path
    usages: NDArray[np.str_]
    counts: Counts


def majorities(counts: Counts) -> Indices:
    """(N,) the class of more than half of the votes (N, 10), single votes dropped; else `NO_MAJORITY`.

    Unknown and no face are majorities too, and of no class.
    """
    left = np.where(counts > 1, counts, 0)
    winners = left.argmax(axis=1)
    wins = (left.max(axis=1) > _HALF * left.sum(axis=1)) & (winners < len(FERPLUS_CLASSES))
    return np.where(wins, winners, NO_MAJORITY).astype(np.int64)


def distributions(counts: Counts) -> NDArray[np.float32]:
    """(N, 8) the votes (N, 10) as a distribution over the classes, of sum 1, or all 0 where the rules discard them.

    Single votes are dropped. The classes with most votes are taken, equal ones together, until they have three
    quarters of all, or are three; unknown or no face among them ends it. If what is taken has no more than half of the
    votes, or is more than three classes by a tie, or if unknown or no face comes first, the row is discarded.
    """
    rows, which = np.unique(counts, axis=0, return_inverse=True)
    found = np.array([_distribution(row) for row in rows.tolist()], np.float32).reshape(-1, len(FERPLUS_CLASSES))
    return found[which.reshape(-1)]


def _distribution(votes: Sequence[int]) -> list[float]:
    left = [count if count > 1 else 0 for count in votes]
    total, taken = sum(left), [0] * len(FERPLUS_CLASSES)
    while sum(taken) < _ENOUGH * total and np.count_nonzero(taken) < _MOST_CLASSES:
        most = max(left)
        tied = [place for place, count in enumerate(left) if count == most]
        for place in tied:
            left[place] = 0
            if place < len(FERPLUS_CLASSES):
                taken[place] = most
        if tied[-1] >= len(FERPLUS_CLASSES):
            break
    if sum(taken) <= _HALF * total or np.count_nonzero(taken) > _MOST_CLASSES:
        return [0.0] * len(FERPLUS_CLASSES)
    return [count / sum(taken) for count in taken]


def read_votes(path: Path) -> Votes:
    """Reads `fer2013new.csv`.

    Raises:
        EmoTorchError: it has other columns or another number of rows, or a row is damaged (with its line).
    """
    header = read_header(path)
    if not _is_header(header):
        raise EmoTorchError(f"{path}, line 1: not FER+'s columns, {','.join(COLUMNS)}")
    rows = read_rows(path, header)
    if len(rows) != ROWS:
        raise EmoTorchError(
            f"{path}: {len(rows):,} rows; FER+ has {ROWS:,}, one for each row of FER-2013's official CSV, in its "
            "order: put the whole file there"
        )
    for line, row in rows:
        _check_votes(path, line, row)
        if row[0] not in FER_USAGES:
            raise EmoTorchError(f"{path}, line {line}: unknown usage {row[0]!r}, not {', '.join(FER_USAGES)}; mend it")
    counts = np.array([row[2:] for _, row in rows]).astype(np.int64)
    return Votes(path, np.array([row[0] for _, row in rows]), counts)


def find_votes(raw: Folder) -> Iterator[Path]:
    """The tables below FER-Datasets that are FER+'s, by their columns."""
    tables = (table for folder in raw.walk() for table in folder.tables if table.suffix.lower() == ".csv")
    return (table for table in tables if _is_header(read_header(table)))


def _is_header(columns: Sequence[str]) -> bool:
    return [column.strip().lower() for column in columns] == [column.lower() for column in COLUMNS]


def is_row_of_votes(cells: Sequence[str]) -> bool:
    """Whether it is like those of `label.csv`: `fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0`."""
    return len(cells) == len(COLUMNS) and cells[1].strip() == _WHOLE and all(map(str.isdecimal, cells[2:]))


def read_majorities(path: Path, rows: Sequence[tuple[int, Sequence[str]]]) -> list[tuple[int, str, str]]:
    """The line of each row of a `label.csv`, its picture and the class of its majority; `unknown` without one.

    Raises:
        EmoTorchError: a row has no such box or votes (with its line).
    """
    for line, row in rows:
        if len(row) == len(COLUMNS) and row[1].strip() != _WHOLE:
            raise EmoTorchError(f"{path}, line {line}: the box is {row[1]!r}, not {_WHOLE}, the whole face; mend it")
        _check_votes(path, line, row)
    winners = majorities(np.array([row[2:] for _, row in rows]).astype(np.int64))
    names = [*FERPLUS_CLASSES, _OTHER_VOTES[0]]  # the last of them for NO_MAJORITY
    return [(line, row[0], names[winner]) for (line, row), winner in zip(rows, winners.tolist(), strict=True)]


def _check_votes(path: Path, line: int, row: Sequence[str]) -> None:
    if len(row) != len(COLUMNS):
        raise EmoTorchError(f"{path}, line {line}: {len(row)} fields instead of {len(COLUMNS)}; mend it")
    for column, count in zip(COLUMNS[2:], row[2:], strict=True):
        if not (count.isascii() and count.isdigit() and len(count) < 4):
            raise EmoTorchError(f"{path}, line {line}: {column} is {count!r}, no number of votes; mend it")


def labelled(images: Sequence[SourceImage], converted: Path, votes: Votes) -> list[SourceImage]:
    """FER-2013's images with the labels of FER+: those of a majority, else the largest class of the distribution.

    What has neither takes no part. How often the majority is FER-2013's own label is logged. `images` are all that
    stage 1 has written to the folder `converted`, in its order.

    Raises:
        EmoTorchError: the rows are not those of FER-2013's official CSV, in its order; or so few majorities are
            FER-2013's own labels that they cannot be.
    """
    rows = _joined_rows(converted, votes)
    counts = votes.counts[rows]
    winners, shares = majorities(counts), distributions(counts)
    classes = np.where(winners == NO_MAJORITY, shares.argmax(axis=1), winners)
    takes_part = shares.any(axis=1)
    own = np.array([emotion_name(image.emotion) for image in images])
    agree = own == np.array([emotion_name(name) for name in FERPLUS_CLASSES])[classes]
    decided = winners != NO_MAJORITY
    if decided.sum() >= _TELLING and agree[decided].mean() < _LEAST_AGREEMENT:
        raise EmoTorchError(
            f"{votes.path}: its majorities are FER-2013's own labels for {100 * agree[decided].mean():.0f}% of the "
            "images, little more than by chance: the rows of one of the two are not in the official order; download "
            "it again"
        )
    logger.info(
        "FER+: %d of %d images have a majority, which is FER-2013's own label for %.0f%%; %d more have a distribution "
        "alone (they train by targets=votes); %d are left out: no agreement, or unknown, or no face",
        decided.sum(),
        len(images),
        100 * agree[decided].mean() if decided.any() else 0,
        (takes_part & ~decided).sum(),
        (~takes_part).sum(),
    )
    names = [FERPLUS_CLASSES[number] for number in classes.tolist()]
    return [
        replace(images[place], emotion=names[place], votes=" ".join(map(str, counts[place].tolist())))
        for place in np.flatnonzero(takes_part).tolist()
    ]


def _joined_rows(converted: Path, votes: Votes) -> Indices:
    """(N,) rows of the votes for stage 1's images: whole usages may lack at FER-2013's end, no other rows."""
    listed = read_manifest(converted, ("row", "usage"), STAGE_1)
    rows, usages = np.array([int(row["row"]) for row in listed]), np.array([row["usage"] for row in listed])
    last = max(int(rows.max()), _last_skipped(converted))
    if last >= ROWS or (last + 1 < ROWS and votes.usages[last + 1] == votes.usages[last]):
        raise EmoTorchError(
            f"{votes.path}: FER-2013's CSV has {last + 1:,} rows here; FER+ is joined by row, to the official {ROWS:,} "
            "or to all of its first usages: put the official CSV there and run stage 1 on it"
        )
    others = np.flatnonzero(votes.usages[rows] != usages)
    if len(others):
        row = int(rows[others[0]])
        raise EmoTorchError(
            f"{votes.path}, line {row + 2}: {votes.usages[row]}, but row {row} of FER-2013's CSV is "
            f"{usages[others[0]]}: the rows of one of them are not in the official order; download it again"
        )
    return rows


def _last_skipped(converted: Path) -> int:
    """The last row that stage 1 has left out; -1 where it has left out none."""
    path = converted / SKIPPED_ROWS
    return max(int(row["row"]) for row in read_table(path)) if path.is_file() else -1


def parse_counts(votes: Sequence[str]) -> Counts:
    """(N, 10) of what a manifest says of N images, 0 where it says nothing; raises ValueError for no votes."""
    return np.array([[int(count) for count in row.split()] or [0] * _COUNTS for row in votes]).reshape(-1, _COUNTS)
