"""FER-2013 as tables of faces: a whole one, or one for each of its splits, as `train.csv`, `val.csv` and `test.csv`."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from emotorch.data import pixel_csv
from emotorch.data.fer2013_folders import usage_of_split
from emotorch.data.known import ask_from_1, class_of
from emotorch.data.layouts import Folder, Incomplete
from emotorch.data.names import beside_split, split_of
from emotorch.data.pixel_csv import PixelTable, read_head, readable_head
from emotorch.data.table_columns import LABEL_NAMES, is_emotion, plain_name
from emotorch.datasets import FER, FER_BOTH_TESTS, FER_USAGES
from emotorch.emotion_names import emotion_name
from emotorch.files import printable

# In the order of the official file, by which FER+'s votes are joined.
_USAGES = (*FER.training, *FER.selecting, *FER.tests)
_COMPARED = 100  # rows
_END = 1 << 20  # bytes at a table's end, in which the official one has its tests
_OFFICIAL_TEST = re.compile(r"(public|private)[\s_-]*test|test[\s_-]*(public|private)", re.IGNORECASE)


def find_tables(folder: Folder) -> Iterator[Incomplete | list[Path]]:
    """The tables of FER-2013 in a folder: those that are one together, and what is wrong with others.

    Those in its folders of given splits count where they are one together; else they are found there.
    """
    whole = []
    splits: dict[str, list[Path]] = {}
    for place in (folder, *(sub for sub in folder.folders if _split_of(sub.name))):
        for csv in place.tables:
            if pixel_csv.dataset_of(csv, place) != FER.name:
                continue
            table = readable_head(csv)
            if table is not None and (fault := _fault(table, place)) is not None:
                yield fault
            elif table is not None and _is_of_its_split(table):
                splits.setdefault(beside_split(_OFFICIAL_TEST.sub("", csv.stem)), []).append(csv)
            else:
                whole.append(csv)
    for named_alike in splits.values():
        joined = _joined(named_alike)
        if joined:
            yield joined
        whole += [csv for csv in named_alike if csv not in joined]
    yield from ([csv] for csv in whole if csv.parent == folder.path)


def _fault(table: PixelTable, folder: Folder) -> Incomplete | None:
    """Why a table of faces is not read as FER-2013's."""
    if other := pixel_csv.called_after_another(table.path, folder):
        return Incomplete(
            table.path,
            f"faces as numbers, called after another dataset than FER-2013 ({other}): its numbers may stand for other "
            "emotions; write them as pictures in folders called by the emotions, or, where they are FER-2013's, call "
            "it fer2013.csv",
            is_question=True,
        )
    if table.emotion is None:
        numbered = [name for name in table.columns if plain_name(name) in LABEL_NAMES]
        if not numbered:
            return Incomplete(table.path, "faces without a column emotion: nothing says what they show")
        return Incomplete(
            table.path,
            f"faces whose column {printable(numbered[0])} has numbers, which copies count differently: where they are "
            f"{', '.join(f'{number} {name}' for number, name in enumerate(FER.classes))}, call it emotion; else write "
            "the emotions' names there",
            is_question=True,
        )
    if other := _contradicted_by(table, table.emotion):
        return Incomplete(
            table.path,
            f"faces whose columns {printable(table.columns[table.emotion])} and {printable(other)} tell different "
            "emotions: take out the one that is not meant",
            is_question=True,
        )
    if not pixel_csv.is_called_fer2013(table.path) and table.counts_from_1(len(FER.classes) - 1):
        return ask_from_1(table.path, table.highest_code(), FER.classes)
    if pixel_csv.has_other_labels(table):
        return Incomplete(
            table.path,
            "faces with an eighth class, which FER-2013 has not, in more rows than CK+ has: its numbers may be FER+'s, "
            "whose votes are read beside FER-2013's own CSV; else write it as pictures in folders called by the "
            "emotions",
        )
    return None


def _contradicted_by(table: PixelTable, emotion: int) -> str:
    """Another column of classes whose words tell other emotions than the one that is read, in some rows; or empty."""
    read = class_of(FER)
    for place, name in enumerate(table.columns):
        if place != emotion and plain_name(name) in LABEL_NAMES:
            cells = zip(table.read_column(emotion), table.read_column(place), strict=True)
            for own, other in islice(cells, _COMPARED):
                if is_emotion(other) and read(own) not in (None, emotion_name(other)):
                    return name
    return ""


def _split_of(name: str) -> str:
    """The split that a table or a folder is called by: `train`, `val` or `test`; empty for none."""
    return "test" if _OFFICIAL_TEST.search(name) else split_of(name)


def _told_by(csv: Path) -> tuple[str, str]:
    """The split that a table is called by, or else its folder, and that name; empty where neither tells one."""
    names = csv.stem, csv.parent.name
    return next(((split, name) for name in names if (split := _split_of(name))), ("", ""))


def names_of(csvs: Sequence[Path]) -> list[str]:
    """The names of tables that are one together, with their folders' where these are several."""
    common = os.path.commonpath([csv.parent for csv in csvs])
    return [csv.relative_to(common).as_posix() for csv in csvs]


def _is_of_its_split(table: PixelTable) -> bool:
    """Whether a table is called by a split and has its rows alone: a whole one may be called `train.csv` too."""
    split, _ = _told_by(table.path)
    if not split or table.usage is None:
        return bool(split)
    return {split_of(usage) == "train" for usage in table.read_column(table.usage)} == {split == "train"}


def _joined(csvs: Sequence[Path]) -> list[Path]:
    """Of tables that are called alike but for their splits the fullest of each usage; none where there is one usage."""
    usage_of = _usages_by_name(csvs)
    taken: dict[str, Path] = {}
    for csv in sorted(csvs, key=lambda csv: -read_head(csv).count_rows()):
        taken.setdefault(usage_of[csv], csv)
    if taken.keys() & set(FER_USAGES[1:]):
        taken.pop(FER_BOTH_TESTS, None)
    return [taken[usage] for usage in _USAGES if usage in taken] if len(taken) > 1 else []


def _usages_by_name(csvs: Sequence[Path]) -> dict[Path, str]:
    """The usage that each table's name says, by how large those are that are read with it; empty for none."""
    told = {csv: _told_by(csv) for csv in csvs}
    sizes = Counter[str]()
    for csv, (split, _) in told.items() if len(csvs) > 1 else ():
        sizes[split] += read_head(csv).count_rows()
    return {csv: usage_of_split(split, name, sizes) for csv, (split, name) in told.items()}


def read_tables(csvs: Sequence[Path]) -> list[PixelTable]:
    """The heads of tables that are one together, each with what the usages of its rows are called.

    Raises:
        EmoTorchError: one is empty, or has another header.
    """
    tables = []
    for csv, usage in _usages_by_name(csvs).items():
        table = read_head(csv)
        splits = {} if table.usage is None else _splits_of(table)
        if splits and len(csvs) > 1:  # which its name says too
            table = replace(table, usage=None)
        usages = (usage,) if table.usage is None else FER_USAGES
        tables.append(replace(table.of(len(FER.classes), usages), splits=splits))
    return tables


def _splits_of(table: PixelTable) -> dict[str, str]:
    """FER-2013's usages for train, val and test, where the rows say these in the place of its own; else empty."""
    own = {usage.lower() for usage in FER_USAGES}
    tests = own - {FER_USAGES[0].lower()}
    end = max(0, table.path.stat().st_size - _END)
    if not tests.isdisjoint(map(plain_name, table.read_column(table.usage, end))):
        return {}
    given = Counter(table.read_column(table.usage))
    words = set(map(plain_name, given))
    if words <= own or words & tests:
        return {}
    sizes = Counter[str]()
    for usage, count in given.items():
        sizes[split_of(usage)] += count
    return {split: usage_of_split(split, split, sizes) for split in ("train", "val", "test") if sizes[split]}


def describe(tables: Sequence[PixelTable]) -> str:
    """What says the usage of the rows; empty where FER-2013's own words in a column do."""
    if len(tables) > 1:
        usages = [
            f"as {table.usages[0]}" if table.usage is None else f"by its column {printable(table.columns[table.usage])}"
            for table in tables
        ]
        names = names_of([table.path for table in tables])
        said = [f"{printable(name)} {usage}" for name, usage in zip(names, usages, strict=True)]
        return f"read together: {', '.join(said)}"
    (table,) = tables
    if table.usage is None:
        return f"no column Usage: {table.usages[0] or 'no given split'}"
    splits = [f"{split} as {usage}" for split, usage in table.splits.items()]
    return f"its column {printable(table.columns[table.usage])}: {', '.join(splits)}" if splits else ""
