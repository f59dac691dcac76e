"""FER-2013: the official CSV, checked row by row, as PNG files with a manifest.

Source: Goodfellow et al., "Challenges in representation learning: a report on three machine learning
contests" (2013); https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
"""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypedDict

import numpy as np

from emotorch.data import fer2013_folders, pixel_csv
from emotorch.data.images import Pixels, hash_pixels, write_faces
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised, split_of
from emotorch.data.pixel_csv import PixelTable, read_head, readable_head
from emotorch.data.sources import MANIFEST, Reading, SourceImage, read_manifest
from emotorch.datasets import FER, FER_BOTH_TESTS, FER_USAGES
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
_LINE_END = ord("\n")


class _Row(NamedTuple):
    """A row of the CSV: its number, from 0 after the header, and where in the file it begins and ends, in bytes."""

    number: int
    start: int
    stop: int

    @property
    def line(self) -> int:
        return self.number + 2


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
    for csv in folder.tables:
        if pixel_csv.dataset_of(csv, folder) == FER.name:
            yield _recognise_csv(csv, folder, converted)
    found = fer2013_folders.recognise(folder)
    if found is not None:
        yield found


def _recognise_csv(csv: Path, folder: Folder, converted: Path) -> Finding:
    table = readable_head(csv)
    if table is not None and (other := pixel_csv.called_after_another(csv, folder)):
        return Incomplete(
            csv,
            f"faces as numbers, called after another dataset than FER-2013 ({other}): its numbers may stand for other "
            "emotions; write them as pictures in folders called by the emotions, or, where they are FER-2013's, call "
            "it fer2013.csv",
            is_question=True,
        )
    if table is not None and table.emotion is None:
        return Incomplete(csv, "faces without a column emotion: nothing says what they show")
    if table is not None and pixel_csv.has_other_labels(table):
        return Incomplete(
            csv,
            "faces with an eighth class, which FER-2013 has not, in more rows than CK+ has: its numbers may be FER+'s, "
            "whose votes are read beside FER-2013's own CSV; else write it as pictures in folders called by the "
            "emotions",
        )
    has_usage = table is None or table.usage is not None
    return Recognised(
        FER.name,
        csv,
        table.described if table else "by its name",
        covers=frozenset({csv, converted}),
        images=lambda: _list_converted(csv, converted),
        count=table.count_rows if table else lambda: 0,
        listing=converted / MANIFEST,
        preference=0 if csv.parts[-3:] == ("fer-2013", "fer2013", "fer2013.csv") else 1,
        notes=() if has_usage else (f"no column Usage: {_usage_of_name(csv) or 'no given split'}",),
    )


def _usage_of_name(csv: Path) -> str:
    """The usage of all rows of a CSV without such a column, as `train.csv`; empty where its name says none."""
    return {"train": FER_USAGES[0], "test": FER_BOTH_TESTS}.get(split_of(csv.stem) or "", "")


def _read_table(csv: Path) -> PixelTable:
    table = read_head(csv)
    return table.of(len(FER.classes), (_usage_of_name(csv),) if table.usage is None else FER_USAGES)


def _list_converted(csv: Path, converted: Path) -> list[SourceImage]:
    """The images that stage 1 made of a CSV.

    Raises:
        EmoTorchError: stage 1 has not run on it as it is now; see `list_images`.
    """
    read_head(csv)
    stamp = converted / STAMP_NAME
    made_from = read_stamp(converted, STAGE_1)
    changed = max(csv.stat().st_mtime, csv.stat().st_ctime)
    written = stamp.stat().st_mtime
    # A stamp of the future, as after the clock was set, proves nothing.
    if (changed > written or written > time.time()) and made_from.get("csv") != hash_file(csv):
        raise EmoTorchError(f"{converted} was not made from {csv}: run {STAGE_1} again")
    return list_images(converted)


def convert(paths: Paths, *, workers: int, force: bool, skip_bad_rows: bool, csv: Path | None = None) -> Summary:
    """Writes every row of the CSV as `FER2013img/<emotion>/<emotion>_<row:06d>.png`, and the manifest.

    Rows count from 0 after the header. Without `skip_bad_rows` the first bad row ends it; with it, bad
    rows are listed in `skipped_rows.csv`.

    Args:
        paths: The root.
        workers: Processes.
        force: Write again what is there.
        skip_bad_rows: Leave bad rows out.
        csv: The file; None for the one that lies where it does by convention.

    Raises:
        EmoTorchError: the CSV is empty, has another header, or a bad row (with its line).
    """
    csv = csv or paths.fer_csv
    table = _read_table(csv)
    rows, digest = _find_rows(csv)
    stamp = {"stage": 1, "csv": digest, "skip_bad_rows": skip_bad_rows}
    if table.usage is None:
        stamp["usage"] = table.usages[0]
    with stage_folder(paths.fer_images, stamp, stage="stage 1", force=force) as build:
        if build is None:
            return Summary(*_count_existing(paths.fer_images), up_to_date=True)
        for emotion in FER.classes:
            (build.folder / emotion).mkdir(exist_ok=True)
        convert_rows = partial(_convert_rows, table, build.folder, skip_bad_rows)
        chunks: list[_ChunkRecords] = work_through(
            build, rows, convert_rows, workers, chunk_size=_ROWS_PER_CHUNK, description="CSV to PNG"
        )
        skipped = [row for chunk in chunks for row in chunk["skipped"]]
        if len(skipped) == len(rows):
            raise EmoTorchError(f"{csv}: no row is usable, all {len(rows)} are bad")
        header = ",".join(MANIFEST_COLUMNS)
        write_text(build.folder / MANIFEST, f"{header}\n{''.join(chunk['manifest'] for chunk in chunks)}")
        if skipped:
            write_csv(build.folder / SKIPPED_ROWS, ("row", "line", "reason"), skipped)
        return Summary(len(rows) - len(skipped), len(skipped), up_to_date=False)


def read_rows(csv: Path) -> Iterator[tuple[int, tuple[str, Pixels, str] | ValueError]]:
    """The rows of a CSV, each with its line from 1, as (class, (48, 48) uint8, usage) or what is wrong with it.

    Raises:
        EmoTorchError: the file is empty, has another header, or no row.
    """
    table, (rows, _) = _read_table(csv), _find_rows(csv)
    for row, parsed in _parse(table, rows):
        yield row.line, parsed if isinstance(parsed, ValueError) else (FER.classes[parsed[0]], *parsed[1:])


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


def _find_rows(csv: Path) -> tuple[list[_Row], str]:
    """Where the rows after the header are; and the file's SHA-256 in hex.

    Raises:
        EmoTorchError: it has no row.
    """
    digest = hashlib.sha256()
    starts = []  # of the lines after the first one
    size = 0
    with csv.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            starts.append(np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END) + (size + 1))
            size += len(block)
        offsets = np.concatenate(starts).tolist()
        if not offsets or offsets[-1] != size:  # the last line has no end
            offsets.append(size)
        while len(offsets) > 1 and not _read(file, offsets[-2], offsets[-1]).strip():
            offsets.pop()
    if len(offsets) == 1:
        raise EmoTorchError(f"{csv}: a header but no rows")
    return [_Row(number, *ends) for number, ends in enumerate(pairwise(offsets))], digest.hexdigest()


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _parse(table: PixelTable, rows: Sequence[_Row]) -> Iterator[tuple[_Row, pixel_csv.Row | ValueError]]:
    """Each of some consecutive rows, with what it says or what is wrong with it."""
    with table.path.open("rb", buffering=0) as file:
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            lines = _read(file, some[0].start, some[-1].stop).split(b"\n")[: len(some)]
            yield from zip(some, table.parse_rows(lines), strict=True)


def _convert_rows(table: PixelTable, folder: Path, skip_bad_rows: bool, rows: Sequence[_Row]) -> _ChunkRecords:
    records: _ChunkRecords = {"manifest": "", "skipped": []}
    files, faces = [], []
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
        files.append(f"{folder}/{file}")
        faces.append(pixels)
        # No value has a comma or a quote, so that a line needs none of CSV's quoting.
        records["manifest"] += f"{file},{row.number},{emotion},{usage},{hash_pixels(pixels)}\n"
    if faces:
        write_faces(files, faces)
    return records
