"""Kinds of files, by how they start: what a picture holds whatever its name says, and what is no data at all."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from emotorch.files import printable

logger = logging.getLogger(__name__)

_JPEG_2000 = "JPEG 2000"
# The formats that can be read, by file name ending; two of them have no signature.
PICTURE_SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".pbm", ".pgm", ".pnm", ".ppm"), "PNM"),
    **{".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WebP", ".avif": "AVIF", ".jp2": _JPEG_2000},
    **{".hdr": "Radiance", ".tga": "", ".dib": ""},
}
START = 512  # bytes of a file that tell what it is
_PICTURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("WebP", rb"RIFF....WEBP"),
    ("GIF", rb"GIF8[79]a"),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    # Two letters alone prove nothing: the file's length and four bytes of zeros follow.
    ("BMP", rb"BM....\0\0\0\0"),
    ("AVIF", rb"....ftypavi[fs]"),
    (_JPEG_2000, rb"\0\0\0\x0cjP  "),
    ("PNM", rb"P[1-6]\s"),
    ("Radiance", rb"#\?"),
    # Photos of phones, which Pillow does not read.
    ("HEIC", rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)"),
)
_OTHERS = (
    ("an empty file", rb"\Z"),
    ("a Git LFS pointer, not the file itself (run: git lfs pull)", rb"version https://git-lfs"),
    ("a tar archive (unpack it)", rb".{257}ustar"),
    ("a zip archive (unpack it)", rb"PK\x03\x04"),
    ("a gzip archive (unpack it)", rb"\x1f\x8b"),
    ("a 7z archive (unpack it)", rb"7z\xbc\xaf\x27\x1c"),
    ("a RAR archive (unpack it)", rb"Rar!"),
    ("a PDF document", rb"%PDF"),
    ("a PostScript file (save it as PNG)", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("a web page, not the file itself (download it again)", rb"\s*<(?i:!doctype html|html)"),
)


def _compiled(patterns: Iterable[tuple[str, bytes]]) -> dict[str, re.Pattern[bytes]]:
    return {name: re.compile(start, re.DOTALL) for name, start in patterns}


_STARTS, _OTHER_STARTS = _compiled(_PICTURES), _compiled(_OTHERS)


def picture_format(start: bytes) -> str:
    """The format of a picture, by its first bytes; empty when these are of no format that is known."""
    return next((name for name, pattern in _STARTS.items() if pattern.match(start)), "")


def other_content(start: bytes) -> str:
    """What a file is that should be a picture or a table: `a tar archive (unpack it)`; empty when it is not known."""
    return next((name for name, pattern in _OTHER_STARTS.items() if pattern.match(start)), "")


def read_start(path: Path) -> bytes:
    """The first `START` bytes of a file; none of one that cannot be read: whoever reads all of it says so."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(START)
    except OSError:
        return b""


def is_picture(path: Path) -> bool:
    """Whether a file is to be read as a picture: by its name or, where that says nothing, by its content."""
    return path.suffix.lower() in PICTURE_SUFFIXES or bool(picture_format(read_start(path)))


def tell_misnamed(paths: Iterable[Path]) -> None:
    """Logs, in one line, which pictures hold another format than their names say: they are read by what they hold."""
    first, found = None, Counter[str]()
    for path in paths:
        held, said = picture_format(read_start(path)), PICTURE_SUFFIXES.get(path.suffix.lower(), "")
        if held and held != said:
            first = first or path
            found[f"{held} as {path.suffix or 'no ending'}"] += 1
    if first is not None:
        kinds = ", ".join(f"{kind} {count}" for kind, count in found.most_common())
        logger.warning(
            "pictures that hold another format than their names say, read by what they hold: %d (%s; first: %s)",
            found.total(),
            kinds,
            printable(str(first)),
        )
