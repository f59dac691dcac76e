"""Tables of faces as numbers, one row a face, like FER-2013's CSV.

The columns may be in any order, with others among them, and the fields quoted; the separator is a comma, a semicolon, a
tab or a bar.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emotorch.data.formats import other_content
from emotorch.data.images import SIZE, Pixels
from emotorch.data.layouts import Folder
from emotorch.datasets import CKP, DATASETS, FER, FERPLUS_CALLED
from emotorch.errors import EmoTorchError

HEADER = ("emotion", "pixels", "Usage")
PIXELS = SIZE * SIZE
_HEAD = 4096  # bytes of a file in which its header is
_BLOCK = 1 << 20
_LOOKED_THROUGH = 1 << 24  # about 2,000 rows: CK+ has 920
CONTEMPT = 7  # in CK+'s tables, which FER-2013's numbers do not reach
# Names that tell the dataset even of unreadable files; browsers number repeated downloads.
_FER_FILE = re.compile(r"(fer-?2013|icml_face_data)( ?\(\d+\))?\.csv$", re.IGNORECASE)
_CKP_FILE = re.compile(r"ck\+?_?extended( ?\(\d+\))?\.csv$", re.IGNORECASE)
_CKP_CALLED = re.compile(r"(?<![a-z])ck(?![a-z])|ck-?plus|ck\+?_?ext|cohn", re.IGNORECASE)
_ANOTHER = re.compile(
    f"{FERPLUS_CALLED}|"
    + "|".join(f"(?:{data.called})" for data in DATASETS.values() if data.called and data not in (FER, CKP)),
    re.IGNORECASE,
)
_ANY = re.compile(f"{_ANOTHER.pattern}|{FER.called}", re.IGNORECASE)
_SEPARATORS = (b",", b";", b"\t", b"|")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = re.compile(rb"\xff\xfe|\xfe\xff|.\0.\0|\0.\0.", re.DOTALL)

Row = tuple[int, Pixels, str]


@dataclass(frozen=True)
class PixelTable:
    """A CSV of faces, by its header.

    Attributes:
        path: Of the file.
        separator: Between the fields of a row.
        columns: Their names, as the header has them.
        emotion: The place of the class's number, from 0; None where no class is given.
        pixels: Of the 48·48 numbers.
        usage: Of the given split; None where the table has none.
        codes: Number of classes; their codes count from 0.
        usages: Names that the split may have; the first one is that of all rows where there is no such column.
    """

    path: Path
    separator: bytes
    columns: tuple[str, ...]
    emotion: int | None
    pixels: int
    usage: int | None
    codes: int = 0
    usages: tuple[str, ...] = ()

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
        return f"a table of faces with the columns {', '.join(name or '(no name)' for name in self.columns)}"

    def count_rows(self) -> int:
        """The number of lines after the header."""
        with self.path.open("rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
            file.seek(-1, os.SEEK_END)
            return lines - (file.read(1) == b"\n")

    def highest_code(self) -> int:
        """The highest number of a class in the first `_LOOKED_THROUGH` bytes; -1 where no row has one."""
        highest = -1
        with self.path.open("rb") as file:
            lines = file.read(_LOOKED_THROUGH).split(b"\n")[1:]
        for line in lines:
            fields = line.split(self.separator)
            if self.emotion is not None and len(fields) == len(self.columns):
                code = _code(fields[self.emotion])
                highest = max(highest, int(code) if code.isdigit() else -1)
        return highest

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
        fields = line.split(self.separator)
        if len(fields) != len(self.columns):
            raise ValueError(f"{len(fields)} fields instead of {len(self.columns)} (cut short?)")
        assert self.emotion is not None, "`of` has looked for it"
        code = _code(fields[self.emotion])
        if not code.isdigit() or int(code) >= self.codes:
            raise ValueError(f"unknown emotion {_shown(code)}, not 0-{self.codes - 1}")
        usage = self.usages[0]
        if self.usage is not None:
            given = fields[self.usage].strip().strip(b'"')
            usage = given.decode("utf-8", "replace")
            if usage not in self.usages:
                usage = next((known for known in self.usages if known.lower() == usage.lower()), "")
            if not usage:
                raise ValueError(f"unknown usage {_shown(given)}, not {', '.join(self.usages)}")
        return int(code), fields[self.pixels].strip().strip(b'"'), usage


def _code(field: bytes) -> bytes:
    """The digits of a class's number; pandas writes 3.0 where a cell of the column is empty."""
    return field.strip().strip(b'"').removesuffix(b".0")


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
    header = head.removeprefix(_BYTE_ORDER_MARK).split(b"\n")[0]
    for separator in _SEPARATORS:
        names = [name.strip().strip(b'"').strip().decode("utf-8", "replace") for name in header.split(separator)]
        lower = [name.lower() for name in names]
        if "pixels" in lower:
            emotion, usage = (lower.index(name) if name in lower else None for name in ("emotion", "usage"))
            return PixelTable(path, separator, tuple(names), emotion, lower.index("pixels"), usage)
    shown = header[:60].decode("utf-8", "replace").strip()
    raise EmoTorchError(f"{path}, line 1: the header is {shown!r}, not {','.join(HEADER)!r}")


def readable_head(path: Path) -> PixelTable | None:
    """As `read_head`; None for a file that cannot be read: the error comes when all of it is read."""
    try:
        return read_head(path)
    except EmoTorchError:
        return None


def dataset_of(csv: Path, folder: Folder) -> str | None:
    """The dataset that a table of faces is of, FER-2013 or CK+; None for any other file.

    Its name tells, also of a file that is broken; else whether it has CK+'s contempt, and what the folders are called.
    """
    if _FER_FILE.match(csv.name):
        return FER.name
    if _CKP_FILE.match(csv.name):
        return CKP.name
    table = readable_head(csv)
    if table is None:
        return None
    if called_after_another(csv, folder):
        return FER.name  # which asks whose it is
    in_folder_of_ckp = folder.called(_CKP_CALLED) and "fer" not in csv.stem.lower()
    is_like_ckp = _has_size_of_ckp(csv) and (in_folder_of_ckp or table.highest_code() == CONTEMPT)
    is_ckp = _CKP_CALLED.search(csv.stem) or is_like_ckp
    return CKP.name if is_ckp else FER.name


def called_after_another(csv: Path, folder: Folder) -> str:
    """The name of a table, or else of the nearest folder called after any, that is of a dataset beside FER-2013."""
    if _FER_FILE.match(csv.name):
        return ""
    called = csv.name if _ANY.search(csv.stem) else folder.called(_ANY)
    return called if _ANOTHER.search(called) else ""


def _has_size_of_ckp(csv: Path) -> bool:
    return csv.stat().st_size <= _LOOKED_THROUGH


def has_other_labels(table: PixelTable) -> bool:
    """Whether a table not called after FER-2013 has an eighth class, in more rows than CK+: as by FER+'s labels."""
    is_unknown = not _FER_FILE.match(table.path.name) and not _has_size_of_ckp(table.path)
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
    for position, number in enumerate(numbers):
        if not number.isdigit() or int(number) > 255:
            raise ValueError(f"pixel {position} is {_shown(number)}, not a whole number from 0 to 255")
    return np.array([int(number) for number in numbers], dtype=np.uint8).reshape(SIZE, SIZE)


def _shown(text: bytes) -> str:
    return repr(text[:20].decode("utf-8", "replace"))
