"""What others have annotated of images: a CSV with a row for each, brought together with the images of a dataset.

The row's image is named in the column `source_hash` (the hash of its pixels, as in image_usage.csv), or else in
`image_path`: the path as image_usage.csv and the manifests have it, the raw dataset's file that it came from, or the
end of either, the file's name at least. `img_path` is the same in the form of the published `faces_gender_race.csv`,
whose numbers are those of the published stage 2. Every other column is an attribute.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emotorch.data.sources import read_manifest
from emotorch.data.split import Indices
from emotorch.datasets import CKP, FER
from emotorch.errors import EmoTorchError, UsageError
from emotorch.evaluation.sets import EvaluationSet
from emotorch.labels import LabelScheme, command
from emotorch.paths import STAGE_2, Paths

_PUBLISHED_KEY = "img_path"
_KEYS = ("source_hash", "image_path", _PUBLISHED_KEY)
_UNKNOWN = ("", "nan")

# A column of numbers with more different values than this is binned, one of words is no attribute.
_MOST_NUMBERS = 10
_MOST_WORDS = 30
_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class AttributeTable:
    """A CSV of attributes: what names each row's image, the rows' lines, and by attribute the values as written."""

    path: Path
    key: str
    keys: Sequence[str]
    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Attribute:
    """Images in groups.

    Attributes:
        groups: Their names, in order.
        members: (N,) each image's group; -1 where the attribute is unknown.
        how: How numbers were binned; empty for words.
    """

    name: str
    groups: Sequence[str]
    members: Indices
    how: str


def read_attributes(path: Path, only: Sequence[str] = ()) -> AttributeTable:
    """The CSV's attributes, or only the named ones.

    Raises:
        UsageError: there is no such file, or no column of a name.
        EmoTorchError: it is no CSV with a key column, or two columns have one name; a row names no image, or is too
            short or too long.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            (_, header), *rows = [(reader.line_num, row) for row in reader if row] or [(1, [])]
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: name a CSV with a column image_path or source_hash") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmoTorchError(f"{path}: not a CSV in UTF-8 ({error})") from None
    key = next((name for name in _KEYS if name in header), None)
    if key is None:
        raise EmoTorchError(
            f"{path}: no column {', '.join(_KEYS[:-1])} or {_KEYS[-1]} that says which image a row is of"
        )
    if twice := [name for name in header if header.count(name) > 1]:
        raise EmoTorchError(f"{path}: two columns are called {twice[0]}: rename one")
    for number, row in rows:
        if len(row) != len(header):
            raise EmoTorchError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
        if not row[header.index(key)].strip():
            raise EmoTorchError(f"{path}, line {number}: no {key}")
    columns = {name: [row[place].strip() for _, row in rows] for place, name in enumerate(header)}
    keys = columns[key]
    for name in _KEYS:
        columns.pop(name, None)
    for name in only:
        if name not in columns:
            raise UsageError(f"{path} has no attribute {name!r}; it has {', '.join(columns) or 'none'}")
    chosen = {name: columns[name] for name in only} if only else columns
    return AttributeTable(path, key, keys, [number for number, _ in rows], chosen)


def match(paths: Paths, table: AttributeTable, images: EvaluationSet, scheme: LabelScheme) -> tuple[Indices, list[str]]:
    """Which row of the table tells of each image: (N,), -1 for none; and what is left over, in words.

    Raises:
        EmoTorchError: a row's path is that of several images; two rows say different things of one image; or no
            row is of any image.
    """
    if table.key == "source_hash":
        twins = pd.Series(images.hashes).groupby(images.hashes).groups
        named: Iterable[Sequence[int]] = (list(twins.get(key, ())) for key in table.keys)
    else:
        named = _by_path(paths, table, images, scheme)
    rows = np.full(len(images.labels), -1, dtype=np.int64)
    unmatched = 0
    for row, places in enumerate(named):
        unmatched += not places
        for place in places:
            earlier = int(rows[place])
            if earlier >= 0 and any(values[row] != values[earlier] for values in table.columns.values()):
                both = f"lines {table.lines[earlier]} and {table.lines[row]}"
                raise EmoTorchError(f"{table.path}, {both} say different things of {images.files[place]}")
            rows[place] = row
    without = int((rows < 0).sum())
    if without == len(rows):
        raise EmoTorchError(
            f"{table.path}: none of its {len(table.keys):,} rows is of any of these {len(rows):,} images"
        )
    return rows, [
        f"{len(table.keys):,} rows in {table.path.name}: {unmatched:,} are of none of these images; "
        f"{without:,} of {len(rows):,} images have no row"
    ]


def _by_path(
    paths: Paths, table: AttributeTable, images: EvaluationSet, scheme: LabelScheme
) -> Iterator[Sequence[int]]:
    whole: dict[str, list[int]] = defaultdict(list)
    ends: dict[str, list[int]] = defaultdict(list)
    sources = _raw_files(paths, images, scheme)
    if table.key == _PUBLISHED_KEY:
        _check_numbering(paths, table, sources)
    for place, file in enumerate(images.files):
        for name in {file, sources.get(file, file)}:
            whole[name].append(place)
            for end in _ends(name):
                ends[end].append(place)
    for number, key in zip(table.lines, table.keys, strict=True):
        name = key.replace("\\", "/").removeprefix("./")
        # Another root's path ends in a name that is known whole.
        found = whole.get(name) or ends.get(name) or next((whole[end] for end in _ends(name) if end in whole), [])
        if len(found) > 1:
            several = ", ".join(images.files[place] for place in found[:2])
            raise EmoTorchError(f"{table.path}, line {number}: {key!r} may be {several}: give more of the path")
        yield found


def _ends(name: str) -> list[str]:
    """`b/c.png` and `c.png` for `a/b/c.png`."""
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]


def _raw_files(paths: Paths, images: EvaluationSet, scheme: LabelScheme) -> dict[str, str]:
    """For images of the dataset folder: the raw dataset's file that each came from."""
    originals = paths.for_scheme(scheme.name).originals
    folder = f"{paths.relative(originals)}/"
    if not any(file.startswith(folder) for file in images.files):
        return {}
    rows = read_manifest(originals, ("file", "source"), command(STAGE_2, scheme.name))
    return {folder + row["file"]: row["source"] for row in rows}


def _check_numbering(paths: Paths, table: AttributeTable, sources: Mapping[str, str]) -> None:
    """Refuses a root whose files are not those that the published numbers count: stage 1's, and those of CK+'s class
    folders, in their order."""
    for file, source in sources.items():
        dataset = file.split("/")[1]
        if dataset == FER.name:
            counted = source.startswith(f"{paths.relative(paths.fer_images)}/")
        else:
            counted = dataset != CKP.name or source.split("/")[-2] in CKP.classes
        if not counted:
            raise EmoTorchError(
                f"{table.path}: its numbers are of FER-2013's CSV and of CK+'s class folders, and {source} is of "
                "neither: name the images by their files, in a column image_path"
            )


def make_attributes(
    table: AttributeTable, rows: Indices, edges: Mapping[str, Sequence[float]]
) -> tuple[list[Attribute], list[str]]:
    """The attributes of images, and which columns are none, in words.

    Words are groups, and so are up to 10 different numbers. More numbers are binned at the given edges (rising, by the
    column's name), else at the quartiles of these images. The rows are those that `match` gave.

    Raises:
        UsageError: edges for a column that is not there, or is not of numbers.
        EmoTorchError: no column is an attribute.
    """
    for name in edges:
        if name not in table.columns:
            raise UsageError(f"{table.path} has no attribute {name!r} to cut; it has {', '.join(table.columns)}")
    attributes, notes = [], []
    for name, column in table.columns.items():
        values = np.array([column[row] if row >= 0 else "" for row in rows.tolist()])
        known = ~np.isin(np.char.lower(values), _UNKNOWN)
        numbers = _numbers(values[known])
        if name in edges and numbers is None:
            raise UsageError(f"{table.path}: {name} is not of numbers: it cannot be cut at {edges[name]}")
        different = len(np.unique(values[known]))
        if numbers is not None and (name in edges or different > _MOST_NUMBERS):
            attribute = _binned(name, numbers, known, edges.get(name))
        elif different > _MOST_WORDS:
            notes.append(f"{name} is no attribute: it has {different:,} different values")
            continue
        else:
            groups = sorted({str(value) for value in values[known]}, key=_in_order if numbers is None else float)
            places = [groups.index(value) if value in groups else -1 for value in values.tolist()]
            attribute = Attribute(name, groups, np.array(places, dtype=np.int64), "")
        if len(attribute.groups) < 2:
            notes.append(f"{name} is no attribute: these images are all of one group")
        else:
            attributes.append(attribute)
    if not attributes:
        raise EmoTorchError(f"{table.path}: no column to compare groups by ({'; '.join(notes) or 'there is none'})")
    return attributes, notes


def _numbers(values: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """The values as numbers; None when one is none, or there are none."""
    try:
        numbers = values.astype(float)
    except ValueError:
        return None
    return numbers if len(numbers) and np.isfinite(numbers).all() else None


def _in_order(group: str) -> tuple[float, str]:
    """Groups like `3-9` and `10-19` by their first number, before words."""
    number = re.match(r"\d+", group)
    return (float(number[0]) if number else math.inf, group)


def _binned(
    name: str, numbers: NDArray[np.float64], known: NDArray[np.bool_], given: Sequence[float] | None
) -> Attribute:
    cuts = np.asarray(given, float) if given is not None else np.unique(np.quantile(numbers, _QUANTILES))
    members = np.full(len(known), -1, dtype=np.int64)
    bins = np.digitize(numbers, cuts)
    # Only bins that hold an image: a quartile may be the smallest value.
    present, members[known] = np.unique(bins, return_inverse=True)
    edges = [f"{cut:.4g}" for cut in cuts.tolist()]
    middle = [f"{low} to below {high}" for low, high in pairwise(edges)]
    names = [f"below {edges[0]}", *middle, f"{edges[-1]} and above"]
    groups = [names[number] for number in present.tolist()]
    return Attribute(name, groups, members, "cut at the given edges" if given is not None else "cut at its quartiles")
