"""Tables of faces as numbers, one row a face, like FER-2013's CSV.

The columns may be in any order, with others among them, and the fields quoted; the separator is a comma, a semicolon, a
tab or a bar. The pixels have one column, or each its own; emotions are numbers or words.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice, pairwise
from pathlib import Path

import numpy as np

from emotorch.data.formats import other_content
from emotorch.data.images import SIZE, Pixels
from emotorch.data.layouts import Folder
from emotorch.data.names import split_of
from emotorch.data.table_columns import LABEL_NAMES, SPLIT_NAMES, is_emotion, plain_name
from emotorch.data.text_tables import SEPARATORS
from emotorch.datasets import CKP, FER, FER_USAGES, datasets_called, is_called_ferplus
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS

HEADER = ("emotion", "pixels", "Usage")
PIXELS = SIZE * SIZE
_HEAD = 1 << 17  # bytes of a file in which its header and first row are, also with a column for each pixel
_BLOCK = 1 << 20
_LARGEST_CKP = 1 << 24  # bytes, about 2,000 rows: CK+ has 920
_LOOKED_AT = 2000  # rows whose classes tell whether it may be CK+
_SHOWN = 20  # characters of what is wrong, in messages
CONTEMPT = 7  # in CK+'s tables, which FER-2013's numbers do not reach
# Names that tell the dataset even of unreadable files; browsers number repeated downloads.
_FER_FILE = re.compile(r"(fer-?2013|icml_face_data)( ?\(\d+\))?\.csv$", re.IGNORECASE)
_CKP_FILE = re.compile(r"ck\+?_?extended( ?\(\d+\))?\.csv$", re.IGNORECASE)
_CKP_CALLED = re.compile(r"(?<![a-z])ck(?![a-z])|ck-?plus|ck\+?_?ext|cohn", re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,9}")
_LIST = bytes.maketrans(b"[](),'", b"      ")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|.\0.\0|\0.\0.", re.DOTALL)

Row = tuple[int, Pixels, str]


@dataclass(frozen=True)
class PixelTable:
    """A CSV of faces, by its header.

    Attributes:
        separator: Between the fields of a row.
        columns: Their names, as the header has them.
        emotion: The place of the class's number or name, from 0; None where no class is given.
        pixels: Of the 48·48 numbers, or of the first of them.
        usage: Of the given split; None where the table has none.
        codes: Number of classes; their codes count from 0.
        usages: Names that the split may have; the first one is that of all rows where there is no such column.
        splits: Which of these train, val and test are, where the rows say so.
        has_pixel_columns: Whether each of the numbers has a column.
        line_end: What ends a row.
    """

    path: Path
    separator: bytes
    columns: tuple[str, ...]
    emotion: int | None
    pixels: int
    usage: int | None
    codes: int = 0
    usages: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    has_pixel_columns: bool = False
    line_end: bytes = b"\n"

    def of(self, codes: int, usages: tuple[str, ...]) -> "PixelTable":
        """The table with its number of classes and the names that its splits may have.

        Raises:
            EmoTorchError: it has no column of classes.
        """
        if self.emotion is None:
            raise EmoTorchError(f"{self.path}, line 1: no column emotion: nothing says what the faces show")
        return replace(self, codes=codes, usages=usages)

    @property
    def described(self) -> str:
        """Its columns, as a person reads them."""
        names = [name or "(no name)" for name in self.columns]
        if self.has_pixel_columns:
            last = self.pixels + PIXELS - 1
            names[self.pixels : last + 1] = [f"{names[self.pixels]} to {names[last]}"]
        return f"a table of faces with the columns {', '.join(names)}"

    def count_rows(self) -> int:
        """The number of lines after the header."""
        with self.path.open("rb") as file:
            lines = sum(block.count(self.line_end) for block in iter(lambda: file.read(_BLOCK), b""))
            file.seek(-1, os.SEEK_END)
            return lines - (file.read(1) == self.line_end)

    def highest_code(self) -> int:
        """The highest number of a class in the first rows; -1 where no row has one."""
        return max(self._codes(_LOOKED_AT), default=-1)

    def counts_from_1(self, last: int) -> bool:
        """Whether its classes have numbers up to the last or beyond, but no 0: as if counted from 1."""
        some = set(self._codes(_LOOKED_AT))
        return min(some, default=0) == 1 and max(some) >= last and 0 not in self._codes(None)

    def _codes(self, rows: int | None) -> Iterator[int]:
        """The numbers of the classes in so many rows, or in all."""
        cells = islice(self.read_column(self.emotion), rows)
        return (code for cell in cells if (code := _code(cell)) is not None)

    def read_column(self, place: int | None, start: int = 0) -> Iterator[str]:
        """What each row has in a column, from the first one that begins after so many bytes; nothing without one."""
        for line in islice(self._lines(start), 1, None):
            fields = self._fields(line)
            if place is not None and len(fields) == len(self.columns):
                yield _text(fields[place])

    def _lines(self, start: int) -> Iterator[bytes]:
        rest = b""
        with self.path.open("rb") as file:
            file.seek(start)
            while block := file.read(_BLOCK):
                *lines, rest = (rest + block).split(self.line_end)
                yield from lines
        yield rest

    def parse_rows(self, lines: Sequence[bytes]) -> list[Row | ValueError]:
        """Each as (the class's number, (48, 48) uint8, usage), or what is wrong with it.

        All at once when nothing is out of the ordinary, else one by one.
        """
        try:
            rows = [self._split_row(line) for line in lines]
            faces = _parse_ordinary_pixels([text for _, text, _ in rows])
        except ValueError:
            faces = None
        if faces is None:
            return [self._parse_row(line) for line in lines]
        return [(code, face, usage) for (code, _, usage), face in zip(rows, faces, strict=True)]

    def _parse_row(self, line: bytes) -> Row | ValueError:
        try:
            code, text, usage = self._split_row(line)
            return code, _parse_pixels(text), usage
        except ValueError as error:
            return error

    def _split_row(self, line: bytes) -> tuple[int, bytes, str]:
        """One row as (the class's number, the text of the pixels, usage)."""
        line = line.strip(b" \r\n")
        if not line:
            raise ValueError("an empty line")
        fields = self._fields(line)
        if len(fields) != len(self.columns):
            raise ValueError(f"{len(fields)} fields instead of {len(self.columns)} (cut short?)")
        assert self.emotion is not None, "`of` has looked for it"
        given = _text(fields[self.emotion])
        code = _code(given)
        if code is None or code >= self.codes:
            raise ValueError(f"unknown emotion {given[:_SHOWN]!r}, not 0-{self.codes - 1}")
        usage = self.usages[0]
        if self.usage is not None:
            given = _text(fields[self.usage])
            usage = given if given in self.usages else self._usage(given)
            if not usage:
                raise ValueError(f"unknown usage {given[:_SHOWN]!r}, not {', '.join(self.splits or self.usages)}")
        if self.has_pixel_columns:
            return code, b" ".join(map(_unquoted, fields[self.pixels : self.pixels + PIXELS])), usage
        return code, _listed(_unquoted(fields[self.pixels])), usage

    def _fields(self, line: bytes) -> list[bytes]:
        """The fields of a row; separators in quotes, as in a list of pixels, become spaces."""
        fields = line.split(self.separator)
        if len(fields) > len(self.columns) and b'"' in line:
            parts = line.split(b'"')
            parts[1::2] = [part.replace(self.separator, b" ") for part in parts[1::2]]
            fields = b'"'.join(parts).split(self.separator)
        return fields

    def _usage(self, given: str) -> str:
        """The name of a usage that a row writes otherwise, as `Public Test`, or as train, val or test; else empty."""
        known = next((usage for usage in self.usages if plain_name(usage) == plain_name(given)), "")
        return known or self.splits.get(split_of(given), "")


def _unquoted(field: bytes) -> bytes:
    return field.strip().strip(b'"').strip()


def _text(field: bytes) -> str:
    return _unquoted(field).decode("utf-8", "replace")


def _listed(text: bytes) -> bytes:
    """Numbers with spaces between them, also of a list with brackets and commas."""
    return b" ".join(text.translate(_LIST).split()) if text[:1] in (b"[", b"(") or b"," in text else text


def _code(cell: str) -> int | None:
    """The number of a class that is given by it or by name; pandas writes 3.0 where a cell of the column is empty."""
    number = cell.removesuffix(".0")
    if number.isascii() and number.isdigit():
        return int(number) if len(number) < 10 else None
    emotion = emotion_name(cell)
    return EMOTIONS.index(emotion) if emotion in EMOTIONS else None


def read_head(path: Path) -> PixelTable:
    """Reads the header of a table of faces.

    Raises:
        EmoTorchError: the file is empty, no text in UTF-8, something else than its name says, or has no column of
            pixels.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise EmoTorchError(f"{path}: the file is empty")
    if other := other_content(head):
        raise EmoTorchError(f"{path}: no table but {other}")
    if _UTF_16.match(head):
        raise EmoTorchError(f"{path}: text in UTF-16, which is not read here; save it as CSV in UTF-8")
    line_end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
    header, _, rows = head.removeprefix(_BYTE_ORDER_MARK).partition(line_end)
    for separator in map(str.encode, SEPARATORS):
        names = list(map(_text, header.split(separator)))
        table = PixelTable(path, separator, tuple(names), None, 0, None, line_end=line_end)
        first = table._fields(rows.partition(line_end)[0])
        plain = [plain_name(name) for name in names]
        in_one = plain.index("pixels") if "pixels" in plain else _only_face(plain, first)
        pixels = _first_of_columns(names, first) if in_one is None else in_one
        if pixels is None:
            continue
        cells = dict(zip(plain, map(_text, first), strict=False))
        # Numbers under another name than `emotion` may be another dataset's.
        labels = ["emotion", *(name for name in LABEL_NAMES if is_emotion(cells.get(name, "")))]
        usages = {name.lower() for name in FER_USAGES}
        splits = [
            name for name in SPLIT_NAMES if (cell := cells.get(name)) and (split_of(cell) or plain_name(cell) in usages)
        ]
        return replace(
            table,
            emotion=_place(plain, labels),
            pixels=pixels,
            usage=_place(plain, ["usage", *splits]),
            has_pixel_columns=in_one is None,
        )
    shown = header[:60].decode("utf-8", "replace").strip()
    raise EmoTorchError(f"{path}, line 1: the header is {shown!r}, not {','.join(HEADER)!r}")


def _place(columns: Sequence[str], names: Sequence[str]) -> int | None:
    """The place of the column with the first of these names that there is."""
    return next((columns.index(name) for name in names if name in columns), None)


def _only_face(columns: Sequence[str], first: Sequence[bytes]) -> int | None:
    """The only column that has a face in the first row, where its name is none of another column or a row itself."""
    numbers = [_listed(_unquoted(cell)).split() for cell in first]
    holding = [place for place, some in enumerate(numbers) if len(some) == PIXELS and b"".join(some).isdigit()]
    name = columns[holding[0]] if len(holding) == 1 and holding[0] < len(columns) else ""
    is_named = bool(name) and not name.isdigit() and name not in (*LABEL_NAMES, *SPLIT_NAMES)
    return holding[0] if is_named else None


def _first_of_columns(names: Sequence[str], first: Sequence[bytes]) -> int | None:
    """The first of 2,304 columns in a row that are numbered, as `pixel0` to `pixel2303`, and hold whole numbers."""
    place = 0
    for _, run in groupby(names, lambda name: _DIGITS.sub("0", name)):
        columns = list(run)
        if len(columns) == PIXELS:
            numbers = [tuple(map(int, _DIGITS.findall(name))) for name in columns]
            cells = [_unquoted(cell).removesuffix(b".0") for cell in first[place : place + PIXELS]]
            if all(one < next_one for one, next_one in pairwise(numbers)) and all(map(bytes.isdigit, cells)):
                return place
        place += len(columns)
    return None


def readable_head(path: Path) -> PixelTable | None:
    """As `read_head`; None for a file that cannot be read: the error comes when all of it is read."""
    try:
        return read_head(path)
    except EmoTorchError:
        return None


def is_called_fer2013(csv: Path) -> bool:
    return _FER_FILE.match(csv.name) is not None


def dataset_of(csv: Path, folder: Folder) -> str | None:
    """The dataset that a table of faces is of, FER-2013 or CK+; None for any other file.

    Its name tells, also of a file that is broken; else whether it has CK+'s contempt, and what the folders are called.
    """
    if is_called_fer2013(csv):
        return FER.name
    if _CKP_FILE.match(csv.name):
        return CKP.name
    table = readable_head(csv)
    if table is None:
        return None
    if called_after_another(csv, folder):
        return FER.name  # which asks whose it is
    in_folder_of_ckp = folder.called(_CKP_CALLED.search) and "fer" not in csv.stem.lower()
    has_contempt = table.highest_code() == CONTEMPT and not table.counts_from_1(CONTEMPT)
    is_like_ckp = _has_size_of_ckp(csv) and (in_folder_of_ckp or has_contempt)
    return CKP.name if _CKP_CALLED.search(csv.stem) or is_like_ckp else FER.name


def called_after_another(csv: Path, folder: Folder) -> str:
    """The name of a table, or else of the nearest folder called after any, that is of a dataset beside FER-2013."""
    if is_called_fer2013(csv):
        return ""
    called = csv.name if _is_of_any(csv.stem) else folder.called(_is_of_any)
    return called if _is_of_another(called) else ""


def _is_of_any(name: str) -> bool:
    return FER.is_called(name) or _is_of_another(name)


def _is_of_another(name: str) -> bool:
    return is_called_ferplus(name) or any(dataset not in (FER, CKP) for dataset in datasets_called(name))


def _has_size_of_ckp(csv: Path) -> bool:
    return csv.stat().st_size <= _LARGEST_CKP


def has_other_labels(table: PixelTable) -> bool:
    """Whether a table not called after FER-2013 has an eighth class, in more rows than CK+: as by FER+'s labels."""
    is_unknown = not is_called_fer2013(table.path) and not _has_size_of_ckp(table.path)
    return is_unknown and table.highest_code() >= CONTEMPT


_SPACE, _ZERO = ord(" "), ord("0")
# So that every number's end has as many characters before it as the longest number and its space.
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
    if len(ends) != PIXELS * len(texts) or not np.array_equal(ends[PIXELS - 1 :: PIXELS], row_ends):
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


def _parse_pixels(text: bytes) -> Pixels:
    """For rows that are out of the ordinary: accepts odd spacing, names the first fault."""
    numbers = text.split()
    if len(numbers) != PIXELS:
        raise ValueError(f"{len(numbers)} pixels instead of {PIXELS}")
    for position, number in enumerate(number.removesuffix(b".0") for number in numbers):
        if not number.isdigit() or int(number) > 255:
            raise ValueError(f"pixel {position} is {_text(number)[:_SHOWN]!r}, not a whole number from 0 to 255")
    return np.array([int(float(number)) for number in numbers], dtype=np.uint8).reshape(SIZE, SIZE)
