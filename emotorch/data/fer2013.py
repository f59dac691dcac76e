"""FER-2013: the official CSV, checked row by row, as PNG files with a manifest.

Source: Goodfellow et al., "Challenges in representation learning: a report on three machine learning
contests" (2013); https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from emotorch.data.chunks import work_through
from emotorch.data.images import SIZE, Pixels, hash_pixels, write_png
from emotorch.data.manifest import NAME as MANIFEST
from emotorch.errors import EmoTorchError
from emotorch.files import StageBuild, hash_file, stage_folder, write_csv
from emotorch.labels import FER_EMOTIONS, FER_USAGES
from emotorch.paths import Paths

logger = logging.getLogger(__name__)

COMMAND = "develop_baseline_model/helpers/FER_csv_to_img.py"
MANIFEST_COLUMNS = ("file", "row", "emotion", "usage", "hash")
SKIPPED_ROWS = "skipped_rows.csv"
HEADER = ("emotion", "pixels", "Usage")
_PIXELS = SIZE * SIZE
_ROWS_PER_CHUNK = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _Chunk:
    """Some consecutive rows of the CSV: where they stand in the file, and where their images go."""

    csv: Path
    folder: Path
    first_row: int
    start: int
    stop: int
    skip_bad_rows: bool

    @property
    def name(self) -> str:
        return f"rows from {self.first_row}"


class _ImageRecord(TypedDict):
    file: str
    row: int
    emotion: str
    usage: str
    hash: str


class _SkippedRow(TypedDict):
    row: int
    line: int
    reason: str


class _ChunkRecords(TypedDict):
    images: list[_ImageRecord]
    skipped: list[_SkippedRow]


@dataclass(frozen=True)
class Summary:
    """What stage 1 did: counts of images and of skipped rows; `up_to_date` when nothing was to be done."""

    images: int
    skipped: int
    up_to_date: bool


def convert(paths: Paths, *, workers: int, force: bool, skip_bad_rows: bool) -> Summary:
    """Writes every row of the CSV as `FER2013img/<emotion>/<emotion>_<row:06d>.png`, and the manifest.

    Rows count from 0 after the header. Without `skip_bad_rows` the first bad row ends it; with it, bad
    rows are listed in `skipped_rows.csv`.

    Raises:
        EmoTorchError: the CSV is missing, empty, has another header, or a bad row (with its line).
    """
    csv = paths.fer_csv
    if not csv.is_file():
        raise EmoTorchError(f"{csv} does not exist: put FER-2013's fer2013.csv there (FER-Datasets/README.md)")
    offsets = _row_offsets(csv)
    stamp = {"stage": 1, "csv": hash_file(csv), "skip_bad_rows": skip_bad_rows}
    with stage_folder(paths.fer_images, stamp, stage="stage 1", force=force) as build:
        if build is None:
            return Summary(*_count_existing(paths.fer_images), up_to_date=True)
        _convert_chunks(build, csv, offsets, workers, skip_bad_rows)
        return _finish(build, csv, len(offsets) - 1)


def _convert_chunks(
    build: StageBuild, csv: Path, offsets: NDArray[np.int64], workers: int, skip_bad_rows: bool
) -> None:
    for emotion in FER_EMOTIONS:
        (build.folder / emotion).mkdir(exist_ok=True)
    chunks = [
        _Chunk(csv, build.folder, first, int(offsets[first]), int(offsets[last]), skip_bad_rows)
        for first in range(0, len(offsets) - 1, _ROWS_PER_CHUNK)
        for last in [min(first + _ROWS_PER_CHUNK, len(offsets) - 1)]
    ]
    work_through(build, chunks, _convert_chunk, workers, "CSV to PNG")


def _finish(build: StageBuild, csv: Path, rows: int) -> Summary:
    images: list[_ImageRecord] = []
    skipped: list[_SkippedRow] = []
    for first in range(0, rows, _ROWS_PER_CHUNK):
        records: _ChunkRecords = build.records(f"rows from {first}")
        images += records["images"]
        skipped += records["skipped"]
    if not images:
        raise EmoTorchError(f"{csv}: no row is usable, all {rows} are bad")
    write_csv(build.folder / MANIFEST, MANIFEST_COLUMNS, (list(image.values()) for image in images))
    if skipped:
        write_csv(build.folder / SKIPPED_ROWS, ("row", "line", "reason"), (list(row.values()) for row in skipped))
    return Summary(len(images), len(skipped), up_to_date=False)


def _count_existing(folder: Path) -> tuple[int, int]:
    def rows(name: str) -> int:
        path = folder / name
        return path.read_text(encoding="utf-8").count("\n") - 1 if path.exists() else 0

    return rows(MANIFEST), rows(SKIPPED_ROWS)


def _row_offsets(csv: Path) -> NDArray[np.int64]:
    """Byte offsets of the rows after the header, and of the end of the last one.

    Raises:
        EmoTorchError: the file is empty, has another header, or no row.
    """
    offsets = []
    rows = 0  # up to the last line that is not blank
    with csv.open("rb") as file:
        header = file.readline(1000)
        names = header.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace").strip().split(",")
        if not header:
            raise EmoTorchError(f"{csv}: the file is empty")
        if tuple(name.strip().strip('"') for name in names) != HEADER:
            shown = header[:60].decode("utf-8", "replace").strip()
            raise EmoTorchError(f"{csv}, line 1: the header is {shown!r}, not {','.join(HEADER)!r}")
        position = file.tell()
        for line in file:
            offsets.append(position)
            position += len(line)
            if line.strip():
                rows = len(offsets)
    if not rows:
        raise EmoTorchError(f"{csv}: a header but no rows")
    return np.array([*offsets, position][: rows + 1], dtype=np.int64)


def _convert_chunk(chunk: _Chunk) -> _ChunkRecords:
    with chunk.csv.open("rb") as file:
        file.seek(chunk.start)
        lines = file.read(chunk.stop - chunk.start).removesuffix(b"\n").split(b"\n")
    records: _ChunkRecords = {"images": [], "skipped": []}
    for row, line in enumerate(lines, start=chunk.first_row):
        try:
            emotion, pixels, usage = parse_row(line)
        except ValueError as error:
            if not chunk.skip_bad_rows:
                raise EmoTorchError(
                    f"{chunk.csv}, line {row + 2} (row {row}): {error}; mend it, or use --skip-bad-rows"
                ) from None
            records["skipped"].append({"row": row, "line": row + 2, "reason": str(error)})
            continue
        file_name = f"{emotion}/{emotion}_{row:06d}.png"
        write_png(chunk.folder / file_name, pixels)
        records["images"].append(
            {"file": file_name, "row": row, "emotion": emotion, "usage": usage, "hash": hash_pixels(pixels)}
        )
    return records


def parse_row(line: bytes) -> tuple[str, Pixels, str]:
    """One row of the CSV as (emotion, (48, 48) uint8, usage).

    Raises:
        ValueError: what is wrong with it.
    """
    if not line.strip():
        raise ValueError("an empty line")
    fields = line.strip().split(b",")
    if len(fields) != len(HEADER):
        raise ValueError(f"{len(fields)} fields instead of {len(HEADER)} (cut short?)")
    code, pixels, usage = (field.strip().strip(b'"') for field in fields)
    if not code.isdigit() or int(code) >= len(FER_EMOTIONS):
        raise ValueError(f"unknown emotion {_shown(code)}, not 0-{len(FER_EMOTIONS) - 1}")
    if usage.decode("utf-8", "replace") not in FER_USAGES:
        raise ValueError(f"unknown usage {_shown(usage)}, not {', '.join(FER_USAGES)}")
    return FER_EMOTIONS[int(code)], _parse_pixels(pixels), usage.decode()


_SPACE, _ZERO = ord(" "), ord("0")


def _parse_pixels(text: bytes) -> Pixels:
    """The 2,304 numbers of a row. Works on the digits as an array, an order faster than number by number."""
    # Three leading spaces, so that every number has three characters before its end.
    characters = np.frombuffer(b"   " + text + b" ", np.uint8)
    spaces = np.flatnonzero(characters == _SPACE)
    ends = spaces[3:]
    lengths = ends - spaces[2:-1] - 1
    digits = characters - np.uint8(_ZERO)  # wraps around for what stands before "0"
    ordinary = (
        len(ends) == _PIXELS
        and int(lengths.min()) >= 1
        and int(lengths.max()) <= 3
        and np.count_nonzero(digits > 9) == len(spaces)
    )
    if not ordinary:
        return _parse_pixels_slowly(text)
    values = digits[ends - 1].astype(np.int16)
    values += np.where(lengths >= 2, digits[ends - 2], 0) * np.int16(10)
    values += np.where(lengths == 3, digits[ends - 3], 0) * np.int16(100)
    if values.max() > 255:
        return _parse_pixels_slowly(text)
    return values.astype(np.uint8).reshape(SIZE, SIZE)


def _parse_pixels_slowly(text: bytes) -> Pixels:
    """For rows that are out of the ordinary: accepts odd spacing, names the first fault."""
    numbers = text.split()
    if len(numbers) != _PIXELS:
        raise ValueError(f"{len(numbers)} pixels instead of {_PIXELS}")
    for position, number in enumerate(numbers):
        if not number.isdigit() or int(number) > 255:
            raise ValueError(f"pixel {position} is {_shown(number)}, not a whole number from 0 to 255")
    return np.array([int(number) for number in numbers], dtype=np.uint8).reshape(SIZE, SIZE)


def _shown(text: bytes) -> str:
    return repr(text[:20].decode("utf-8", "replace"))
