"""FER-2013: the official CSV, checked row by row, as PNG files with a manifest.

Source: Goodfellow et al., "Challenges in representation learning: a report on three machine learning
contests" (2013); https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from emotorch.data import fer2013_folders
from emotorch.data.images import SIZE, Pixels, hash_pixels, write_faces
from emotorch.data.layouts import Finding, Folder, Recognised
from emotorch.data.sources import MANIFEST, Reading, SourceImage, read_manifest
from emotorch.datasets import FER, FER_USAGES
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, StageBuild, read_stamp, stage_folder, visible, write_csv, write_text
from emotorch.paths import FER_IMAGES, STAGE_1, Paths
from emotorch.workers import work_through

logger = logging.getLogger(__name__)

MANIFEST_COLUMNS = ("file", "row", "emotion", "usage", "hash")
SKIPPED_ROWS = "skipped_rows.csv"
HEADER = ("emotion", "pixels", "Usage")
_PIXELS = SIZE * SIZE
_ROWS_PER_CHUNK = 256
_ROWS_AT_ONCE = 16  # what is made of so many stays in the processor's cache
_BLOCK = 1 << 20
_LINE_END = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _Chunk:
    """Some consecutive rows of the CSV, and where their images go.

    Attributes:
        offsets: Where in the file each row begins, and where the last one ends.
    """

    csv: Path
    folder: Path
    first_row: int
    offsets: NDArray[np.int64]
    skip_bad_rows: bool

    @property
    def name(self) -> str:
        return _chunk_name(self.first_row)


def _chunk_name(first_row: int) -> str:
    return f"{_ROWS_PER_CHUNK} rows from {first_row}"


class _SkippedRow(TypedDict):
    row: int
    line: int
    reason: str


class _ChunkRecords(TypedDict):
    manifest: str  # its lines of the chunk's images
    skipped: list[_SkippedRow]


@dataclass(frozen=True)
class Summary:
    """What stage 1 did: counts of images and of skipped rows; `up_to_date` when nothing was to be done."""

    images: int
    skipped: int
    up_to_date: bool


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
    offsets, digest = _read_through(csv)
    stamp = {"stage": 1, "csv": digest, "skip_bad_rows": skip_bad_rows}
    with stage_folder(paths.fer_images, stamp, stage="stage 1", force=force) as build:
        if build is None:
            return Summary(*_count_existing(paths.fer_images), up_to_date=True)
        _convert_chunks(build, csv, offsets, workers, skip_bad_rows)
        return _finish(build, csv, len(offsets) - 1)


def recognise(folder: Folder) -> Iterator[Finding]:
    """FER-2013 as its CSV, as what stage 1 made of that, or as class folders."""
    converted = folder.raw / FER_IMAGES
    if folder.path == converted and STAMP_NAME in folder.files:
        yield Recognised(
            FER.name,
            converted,
            "written by stage 1",
            covers=frozenset({converted}),
            images=lambda: list_images(converted),
            count=lambda: sum(_count_existing(converted)),
            listing=converted / MANIFEST,
            preference=2,
        )
        return
    for csv in folder.tables:
        if csv.name.lower() == "fer2013.csv":
            yield _recognise_csv(csv, converted)
    found = fer2013_folders.recognise(folder)
    if found is not None:
        yield found


def _recognise_csv(csv: Path, converted: Path) -> Recognised:
    return Recognised(
        FER.name,
        csv,
        "a CSV of emotion, pixels and usage",
        covers=frozenset({csv, converted}),
        images=lambda: list_images(converted),
        count=lambda: len(_read_through(csv)[0]) - 1,
        listing=converted / MANIFEST,
        preference=1,
    )


def read_rows(csv: Path) -> Iterator[tuple[int, "_Row | ValueError"]]:
    """The rows of a CSV, each with its line from 1, as (class, (48, 48) uint8, usage) or what is wrong with it.

    Raises:
        EmoTorchError: the file is empty, has another header, or no row.
    """
    offsets, _ = _read_through(csv)
    with csv.open("rb", buffering=0) as file:
        for first in range(0, len(offsets) - 1, _ROWS_AT_ONCE):
            bounds = offsets[first : first + _ROWS_AT_ONCE + 1]
            lines = _read(file, bounds[0], bounds[-1]).split(b"\n")[: len(bounds) - 1]
            yield from enumerate(_parse_rows(lines), start=first + 2)


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


def _convert_chunks(
    build: StageBuild, csv: Path, offsets: NDArray[np.int64], workers: int, skip_bad_rows: bool
) -> None:
    for emotion in FER.classes:
        (build.folder / emotion).mkdir(exist_ok=True)
    chunks = [
        _Chunk(csv, build.folder, first, offsets[first : first + _ROWS_PER_CHUNK + 1], skip_bad_rows)
        for first in range(0, len(offsets) - 1, _ROWS_PER_CHUNK)
    ]
    work_through(build, chunks, _convert_chunk, workers, "CSV to PNG")


def _finish(build: StageBuild, csv: Path, rows: int) -> Summary:
    lines: list[str] = []
    skipped: list[_SkippedRow] = []
    for first in range(0, rows, _ROWS_PER_CHUNK):
        records: _ChunkRecords = build.records(_chunk_name(first))
        lines.append(records["manifest"])
        skipped += records["skipped"]
    if len(skipped) == rows:
        raise EmoTorchError(f"{csv}: no row is usable, all {rows} are bad")
    write_text(build.folder / MANIFEST, ",".join(MANIFEST_COLUMNS) + "\n" + "".join(lines))
    if skipped:
        write_csv(build.folder / SKIPPED_ROWS, ("row", "line", "reason"), (list(row.values()) for row in skipped))
    return Summary(rows - len(skipped), len(skipped), up_to_date=False)


def _count_existing(folder: Path) -> tuple[int, int]:
    def rows(name: str) -> int:
        path = folder / name
        return path.read_text(encoding="utf-8").count("\n") - 1 if path.exists() else 0

    return rows(MANIFEST), rows(SKIPPED_ROWS)


def _read_through(csv: Path) -> tuple[NDArray[np.int64], str]:
    """Byte offsets of the rows after the header, with the end of the last one; and the file's SHA-256 in hex.

    Raises:
        EmoTorchError: the file is empty, has another header, or no row.
    """
    digest = hashlib.sha256()
    starts = []  # of the lines after the first one
    size = 0
    with csv.open("rb") as file:
        _check_header(csv, file.readline(1000))
        file.seek(0)
        while block := file.read(_BLOCK):
            digest.update(block)
            starts.append(np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END) + (size + 1))
            size += len(block)
        offsets = np.concatenate(starts)
        if not len(offsets) or offsets[-1] != size:  # the last line has no end
            offsets = np.append(offsets, size)
        while len(offsets) > 1 and not _read(file, offsets[-2], offsets[-1]).strip():
            offsets = offsets[:-1]
    if len(offsets) == 1:
        raise EmoTorchError(f"{csv}: a header but no rows")
    return offsets, digest.hexdigest()


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _check_header(csv: Path, header: bytes) -> None:
    names = header.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace").strip().split(",")
    if not header:
        raise EmoTorchError(f"{csv}: the file is empty")
    if tuple(name.strip().strip('"') for name in names) != HEADER:
        shown = header[:60].decode("utf-8", "replace").strip()
        raise EmoTorchError(f"{csv}, line 1: the header is {shown!r}, not {','.join(HEADER)!r}")


def _convert_chunk(chunk: _Chunk) -> _ChunkRecords:
    records: _ChunkRecords = {"manifest": "", "skipped": []}
    with chunk.csv.open("rb", buffering=0) as file:
        for first in range(0, len(chunk.offsets) - 1, _ROWS_AT_ONCE):
            bounds = chunk.offsets[first : first + _ROWS_AT_ONCE + 1]
            lines = _read(file, bounds[0], bounds[-1]).split(b"\n")[: len(bounds) - 1]
            _convert_rows(chunk, chunk.first_row + first, lines, records)
    return records


def _convert_rows(chunk: _Chunk, first_row: int, lines: Sequence[bytes], records: _ChunkRecords) -> None:
    files, faces = [], []
    for row, parsed in enumerate(_parse_rows(lines), start=first_row):
        if isinstance(parsed, ValueError):
            if not chunk.skip_bad_rows:
                raise EmoTorchError(
                    f"{chunk.csv}, line {row + 2} (row {row}): {parsed}; mend it, or use --skip-bad-rows"
                )
            records["skipped"].append({"row": row, "line": row + 2, "reason": str(parsed)})
            continue
        emotion, pixels, usage = parsed
        file = f"{emotion}/{emotion}_{row:06d}.png"
        files.append(f"{chunk.folder}/{file}")
        faces.append(pixels)
        # No value has a comma or a quote, so that a line needs none of CSV's quoting.
        records["manifest"] += f"{file},{row},{emotion},{usage},{hash_pixels(pixels)}\n"
    if faces:
        write_faces(files, faces)


_Row = tuple[str, Pixels, str]


def _parse_rows(lines: Sequence[bytes]) -> list[_Row | ValueError]:
    """`parse_row` of each, or what it raises: all at once when nothing is out of the ordinary."""
    try:
        rows = [_split_row(line) for line in lines]
    except ValueError:
        return [_parsed_or_error(line) for line in lines]
    faces = _parse_ordinary_pixels([text for _, text, _ in rows])
    if faces is None:
        return [_parsed_or_error(line) for line in lines]
    return [(emotion, face, usage) for (emotion, _, usage), face in zip(rows, faces, strict=True)]


def _parsed_or_error(line: bytes) -> _Row | ValueError:
    try:
        return parse_row(line)
    except ValueError as error:
        return error


def parse_row(line: bytes) -> _Row:
    """One row of the CSV as (emotion, (48, 48) uint8, usage).

    Raises:
        ValueError: what is wrong with it.
    """
    emotion, text, usage = _split_row(line)
    return emotion, _parse_pixels(text), usage


def _split_row(line: bytes) -> tuple[str, bytes, str]:
    """One row as (emotion, the text of the pixels, usage)."""
    if not line.strip():
        raise ValueError("an empty line")
    fields = line.strip().split(b",")
    if len(fields) != len(HEADER):
        raise ValueError(f"{len(fields)} fields instead of {len(HEADER)} (cut short?)")
    code, pixels, usage = (field.strip().strip(b'"') for field in fields)
    if not code.isdigit() or int(code) >= len(FER.classes):
        raise ValueError(f"unknown emotion {_shown(code)}, not 0-{len(FER.classes) - 1}")
    if usage.decode("utf-8", "replace") not in FER_USAGES:
        raise ValueError(f"unknown usage {_shown(usage)}, not {', '.join(FER_USAGES)}")
    return FER.classes[int(code)], pixels, usage.decode()


def _parse_pixels(text: bytes) -> Pixels:
    """The 2,304 numbers of a row."""
    faces = _parse_ordinary_pixels([text])
    return _parse_pixels_slowly(text) if faces is None else faces[0]


_SPACE, _ZERO = ord(" "), ord("0")
# So that there are as many characters before every number's end as the longest number and its space have.
_BEFORE = b"    "


def _parse_ordinary_pixels(texts: Sequence[bytes]) -> Pixels | None:
    """The numbers of some rows, when all have 2,304 of up to three digits, each a single space from the next.

    Works on the characters as one array of bytes: at each it finds the value of the digits that end there, and
    then takes those that a space follows. An order faster than number by number.
    """
    characters = np.frombuffer(_BEFORE + b" ".join(texts) + b" ", np.uint8)
    is_space = characters == _SPACE
    ends = np.flatnonzero(is_space)[len(_BEFORE) :]
    row_ends = len(_BEFORE) - 1 + np.cumsum([len(text) + 1 for text in texts])
    if len(ends) != _PIXELS * len(texts) or not np.array_equal(ends[_PIXELS - 1 :: _PIXELS], row_ends):
        return None
    digits = characters - np.uint8(_ZERO)  # wraps around for what stands before "0"
    is_digit = digits <= 9
    two_digits = is_digit[:-1] & is_digit[1:]
    ordinary = (
        np.count_nonzero(is_digit) + len(ends) + len(_BEFORE) == len(characters)
        and not (is_space[len(_BEFORE) :] & is_space[len(_BEFORE) - 1 : -1]).any()  # a number before every space
        and not (two_digits[:-2] & two_digits[2:]).any()  # of four digits
    )
    if not ordinary:
        return None
    digits *= is_digit
    hundreds = digits[:-2] * two_digits[1:]
    largest_hundreds = hundreds.max()
    hundreds *= np.uint8(100)
    values = digits[1:-1] * np.uint8(10)
    values += digits[2:]
    values += hundreds
    if largest_hundreds > 2 or (values < hundreds).any():  # over 255, and wrapped around
        return None
    return values.take(ends - 3).reshape(-1, SIZE, SIZE)


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
