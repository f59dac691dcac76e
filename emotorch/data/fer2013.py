"""FER-2013: the official CSV, checked row by row, as PNG files with a manifest.

Source: Goodfellow et al., "Challenges in representation learning: a report on three machine learning
contests" (2013); https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
"""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypedDict

import numpy as np

from emotorch.data import fer2013_folders, fer2013_tables, pixel_csv
from emotorch.data.fer2013_tables import describe, names_of, read_tables
from emotorch.data.images import Pixels, hash_pixels, write_png
from emotorch.data.known import published_part
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised
from emotorch.data.pixel_csv import PixelTable, read_head, readable_head
from emotorch.data.sources import MANIFEST, Reading, SourceImage, read_manifest
from emotorch.datasets import FER
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, hash_file, read_stamp, stage_folder, visible, write_csv, write_text
from emotorch.paths import FER_IMAGES, STAGE_1, Paths
from emotorch.workers import work_through

logger = logging.getLogger(__name__)

MANIFEST_COLUMNS = ("file", "row", "emotion", "usage", "hash")
SKIPPED_ROWS = "skipped_rows.csv"
_ROWS_PER_CHUNK = 256
_ROWS_AT_ONCE = 16  # what is made of so many stays in the processor's cache
_BLOCK = 1 << 20


class _Row(NamedTuple):
    """A row: its number, from 0 in the first table, its line, and where in the file it begins and ends, in bytes."""

    number: int
    line: int
    start: int
    stop: int


class _ChunkRecords(TypedDict):
    manifest: str  # its lines of the chunk's images
    skipped: list[tuple[int, int, str]]  # row, line and reason


@dataclass(frozen=True)
class Summary:
    """Images and skipped rows of stage 1, and whether all was there already."""

    images: int
    skipped: int
    up_to_date: bool


def recognise(folder: Folder) -> Iterator[Finding]:
    """FER-2013 as a CSV, as what stage 1 made of one, or as class folders."""
    converted = folder.raw / FER_IMAGES
    if folder.path == converted and STAMP_NAME in folder.files:
        yield Recognised(
            FER.name,
            converted,
            "written by stage 1",
            covers=frozenset({converted}),
            images=lambda: list_images(converted),
            count=lambda: _count_existing(converted)[0],
            listing=converted / MANIFEST,
        )
        return
    for tables in fer2013_tables.find_tables(folder):
        yield tables if isinstance(tables, Incomplete) else _recognise_tables(tables, converted)
    found = fer2013_folders.recognise(folder)
    if found is not None:
        yield found


def _recognise_tables(csvs: Sequence[Path], converted: Path) -> Recognised:
    note = describe(read_tables(csvs)) if readable_head(csvs[0]) else ""
    heads = [head for csv in csvs if (head := readable_head(csv)) is not None]
    others = f", with {', '.join(names_of(csvs)[1:])}" if csvs[1:] else ""
    is_conventional = csvs[0].parts[-3:] == ("fer-2013", "fer2013", "fer2013.csv")
    return Recognised(
        FER.name,
        csvs[0],
        f"{heads[0].described if heads else 'by its name'}{others}",
        covers=frozenset({*csvs, converted}),
        images=lambda: _list_converted(csvs, converted),
        count=lambda: sum(head.count_rows() for head in heads),
        listing=converted / MANIFEST,
        preference=0 if is_conventional else min(len(csvs), 2),
        notes=(note,) if note else (),
        tables=tuple(csvs),
    )


def _list_converted(csvs: Sequence[Path], converted: Path) -> list[SourceImage]:
    """The images that stage 1 made of a CSV, or of several that are one together.

    Raises:
        EmoTorchError: stage 1 has not run on them as they are now; see `list_images`.
    """
    for csv in csvs:
        read_head(csv)
    made_from = read_stamp(converted, STAGE_1).get("csv")
    changed = max(max(csv.stat().st_mtime, csv.stat().st_ctime) for csv in csvs)
    written = (converted / STAMP_NAME).stat().st_mtime
    names = set(names_of(csvs)) if len(csvs) > 1 else set()
    is_of_others = names != (set(made_from) if isinstance(made_from, dict) else set())
    # A stamp of the future, as after the clock was set, proves nothing.
    is_perhaps_older = changed > written or written > time.time()
    if is_of_others or (is_perhaps_older and made_from != _digest(csvs, map(hash_file, csvs))):
        raise EmoTorchError(f"{converted} was not made from {_named(csvs)}: run {STAGE_1} again")
    return list_images(converted)


def _digest(csvs: Sequence[Path], hashes: Iterable[str]) -> object:
    """What the stamp says of the CSV: its hash, or that of each by its name."""
    return dict(zip(names_of(csvs), hashes, strict=True)) if len(csvs) > 1 else next(iter(hashes))


def _named(csvs: Sequence[Path]) -> str:
    return ", ".join([str(csvs[0]), *names_of(csvs)[1:]])


def convert(paths: Paths, *, workers: int, force: bool, skip_bad_rows: bool, csvs: Sequence[Path] = ()) -> Summary:
    """Writes every row of the CSV as `FER2013img/<emotion>/<emotion>_<row:06d>.png`, and the manifest.

    Rows count from 0 after the header, and on from table to table. Without `skip_bad_rows` the first bad row ends it;
    with it, bad rows are listed in `skipped_rows.csv`.

    Args:
        csvs: The file, or several that are one together; none for the one that lies where it does by convention.

    Raises:
        EmoTorchError: a CSV is empty, has another header, or a bad row (with its line).
    """
    csvs = csvs or [paths.fer_csv]
    tables = read_tables(csvs)
    rows_of: list[list[_Row]] = []
    hashes = []
    count = 0
    for table in tables:
        rows, hash_of_file = _find_rows(table, count)
        rows_of.append(rows)
        hashes.append(hash_of_file)
        count += len(rows)
    stamp: dict[str, object] = {"stage": 1, "csv": _digest(csvs, hashes), "skip_bad_rows": skip_bad_rows}
    if len(tables) == 1 and tables[0].usage is None:
        stamp["usage"] = tables[0].usages[0]
    with stage_folder(paths.fer_images, stamp, stage="stage 1", force=force) as build:
        if build is None:
            return Summary(*_count_existing(paths.fer_images), up_to_date=True)
        for emotion in FER.classes:
            (build.folder / emotion).mkdir(exist_ok=True)
        manifest = f"{','.join(MANIFEST_COLUMNS)}\n"
        skipped: list[tuple[int, int, str]] = []
        for table, rows, name in zip(tables, rows_of, names_of(csvs), strict=True):
            chunks: list[_ChunkRecords] = work_through(
                build,
                rows,
                partial(_convert_rows, table, build.folder, skip_bad_rows),
                workers,
                chunk_size=_ROWS_PER_CHUNK,
                description="CSV to PNG" if len(tables) == 1 else f"{name} to PNG",
            )
            manifest += "".join(chunk["manifest"] for chunk in chunks)
            # Of several tables a line alone says nothing.
            start = f"{name}: " if len(tables) > 1 else ""
            skipped += [(row, line, f"{start}{reason}") for chunk in chunks for row, line, reason in chunk["skipped"]]
        if len(skipped) == count:
            raise EmoTorchError(f"{_named(csvs)}: no row is usable, all {count} are bad")
        if _counts_by_alphabet(manifest):
            named = ", ".join(f"{number} {name}" for number, name in enumerate(sorted(FER.classes)))
            raise EmoTorchError(
                f"{_named(csvs)}: as many rows of each number as FER-2013 has of {named}: by the alphabet, and not by "
                "its own numbers; write the emotions' names in their place"
            )
        write_text(build.folder / MANIFEST, manifest)
        if skipped:
            write_csv(build.folder / SKIPPED_ROWS, ("row", "line", "reason"), skipped)
        return Summary(count - len(skipped), len(skipped), up_to_date=False)


def _counts_by_alphabet(manifest: str) -> bool:
    """Whether a usage has as many images of each class as FER-2013's, if numbers stand for names by the alphabet.

    Copies that were made from class folders have such numbers.
    """
    by_alphabet = dict(zip(FER.classes, sorted(FER.classes), strict=True))
    counts: dict[str, Counter[str]] = {}
    for line in manifest.splitlines()[1:]:
        emotion, usage = line.split(",")[2:4]
        counts.setdefault(usage, Counter())[by_alphabet[emotion]] += 1
    return any(published_part(of_usage, FER) for of_usage in counts.values())


def read_rows(*csvs: Path) -> Iterator[tuple[Path, int, tuple[str, Pixels, str] | ValueError]]:
    """The rows of a CSV, or of several that are one together: its file, its line from 1, and what it says.

    That is (class, (48, 48) uint8, usage), or what is wrong with it.

    Raises:
        EmoTorchError: a file is empty, has another header, or no row.
    """
    for table in read_tables(csvs):
        for row, parsed in _parse(table, _find_rows(table, 0)[0]):
            said = parsed if isinstance(parsed, ValueError) else (FER.classes[parsed[0]], *parsed[1:])
            yield table.path, row.line, said


def list_images(folder: Path) -> list[SourceImage]:
    """The images that stage 1 wrote, in the CSV's order; nothing missing, nothing added.

    Raises:
        EmoTorchError: stage 1 has not run, or the folder's files are no longer those that it wrote.
    """
    read_stamp(folder, STAGE_1)
    rows = read_manifest(folder, MANIFEST_COLUMNS, STAGE_1)
    images = [
        SourceImage(folder / row["file"], row["emotion"], Reading.FACE, usage=row["usage"], hash=row["hash"])
        for row in rows
    ]
    listed = {image.path for image in images}
    present = {path for emotion in FER.classes if (folder / emotion).is_dir() for path in visible(folder / emotion)}
    if present - listed:
        raise EmoTorchError(f"{min(present - listed)}: not from the CSV (stage 1 did not write it); move it away")
    if listed - present:
        raise EmoTorchError(f"{min(listed - present)} is missing: run {STAGE_1} again")
    return images


def _count_existing(folder: Path) -> tuple[int, int]:
    def rows(name: str) -> int:
        path = folder / name
        return path.read_text(encoding="utf-8").count("\n") - 1 if path.exists() else 0

    return rows(MANIFEST), rows(SKIPPED_ROWS)


def _find_rows(table: PixelTable, first: int) -> tuple[list[_Row], str]:
    """Where the rows after the header are, the first one with this number; and the file's SHA-256 in hex.

    Raises:
        EmoTorchError: it has no row.
    """
    digest = hashlib.sha256()
    starts = []  # of the lines after the first one
    size = 0
    line_end = ord(table.line_end)
    with table.path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            starts.append(np.flatnonzero(np.frombuffer(block, np.uint8) == line_end) + (size + 1))
            size += len(block)
        offsets = np.concatenate(starts).tolist()
        if not offsets or offsets[-1] != size:  # the last line has no end
            offsets.append(size)
        while len(offsets) > 1 and not _read(file, offsets[-2], offsets[-1]).strip():
            offsets.pop()
    if len(offsets) == 1:
        raise EmoTorchError(f"{table.path}: a header but no rows")
    rows = [_Row(first + number, number + 2, *ends) for number, ends in enumerate(pairwise(offsets))]
    return rows, digest.hexdigest()


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _parse(table: PixelTable, rows: Sequence[_Row]) -> Iterator[tuple[_Row, pixel_csv.Row | ValueError]]:
    """Each of some consecutive rows, with what it says or what is wrong with it."""
    with table.path.open("rb", buffering=0) as file:
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            lines = _read(file, some[0].start, some[-1].stop).split(table.line_end)[: len(some)]
            yield from zip(some, table.parse_rows(lines), strict=True)


def _convert_rows(table: PixelTable, folder: Path, skip_bad_rows: bool, rows: Sequence[_Row]) -> _ChunkRecords:
    records: _ChunkRecords = {"manifest": "", "skipped": []}
    for row, parsed in _parse(table, rows):
        if isinstance(parsed, ValueError):
            if not skip_bad_rows:
                raise EmoTorchError(
                    f"{table.path}, line {row.line} (row {row.number}): {parsed}; mend it, or use --skip-bad-rows"
                )
            records["skipped"].append((row.number, row.line, str(parsed)))
            continue
        code, pixels, usage = parsed
        emotion = FER.classes[code]
        file = f"{emotion}/{emotion}_{row.number:06d}.png"
        write_png(f"{folder}/{file}", pixels)
        # No value has a comma or a quote, so that a line needs none of CSV's quoting.
        records["manifest"] += f"{file},{row.number},{emotion},{usage},{hash_pixels(pixels)}\n"
    return records
