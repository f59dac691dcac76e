"""Inputs of prediction: pictures, folders of them, patterns, videos."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.files import visible

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
)
# Ends the names of pictures that prediction itself wrote beside an input.
OUTPUT_STEM = "_emotions"


class Kind(Enum):
    PICTURE = "picture"
    VIDEO = "video"


@dataclass(frozen=True)
class Input:
    """One thing to predict for.

    Attributes:
        path: A file, as named or below a named folder.
        kind: By its name's ending; every other file is tried as a picture.
        error: Why there is nothing to read, or None.
    """

    path: Path
    kind: Kind = Kind.PICTURE
    error: str | None = None


def expand(names: Sequence[str]) -> list[Input]:
    """The files that the names mean, in their order.

    A folder gives all pictures in it and its subfolders, sorted; how many other files it holds is logged. A pattern
    that the shell did not expand (`photos/*.jpg`, `**` for any folders) gives its matches, sorted. A name without a
    file, or with one that may not be read, gives an input with an error.
    """
    return [found for name in names for found in _expand_one(name)]


def _expand_one(name: str) -> list[Input]:
    path = Path(name)
    if not name:  # as of a shell's variable that is not set; a Path of it would be the current folder
        return [Input(path, error="an empty name")]
    if "://" in name and not path.exists():
        return [Input(path, error="an address, and nothing is fetched: download the file, and name that")]
    # A file may well be called `me[1].jpg`: a pattern is what is no file.
    if glob.has_magic(name) and not os.path.exists(name):  # noqa: PTH110 (Path.exists raises for names too long)
        matches = sorted(_matching(name))
        if not matches:
            return [Input(path, error="no file matches this pattern")]
        return [found for match in matches for found in _expand_path(Path(match))]
    return _expand_path(path)


def _matching(pattern: str) -> Iterator[str]:
    """What a pattern matches but for hidden files; links to folders are not followed, which may lead back."""
    path = Path(pattern)
    try:
        for found in Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))):
            hidden = any(part.startswith(".") for part in found.parts if part not in path.parts)
            if not hidden:
                yield str(found)
    except (ValueError, NotImplementedError, OSError):  # no pattern, as `**x`
        return


def _expand_path(path: Path) -> list[Input]:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return [Input(path, error="no such file or folder")]
    except OSError as error:
        return [Input(path, error=error.strerror or str(error))]
    if path.is_dir():
        return _expand_folder(path)
    return [Input(path, Kind.VIDEO if path.suffix.lower() in VIDEO_SUFFIXES else Kind.PICTURE)]


def _expand_folder(folder: Path) -> list[Input]:
    others: Counter[str] = Counter()
    try:
        pictures = [Input(path) for path in _pictures_below(folder, others)]
    except OSError as error:
        return [Input(Path(error.filename or folder), error=error.strerror or str(error))]
    if others:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        logger.info("%s: left out, as no pictures: %s", folder, counts)
    return pictures or [Input(folder, error="no pictures in this folder")]


def _pictures_below(folder: Path, others: Counter[str]) -> Iterator[Path]:
    for path in visible(folder):
        if path.is_dir():
            if path.is_symlink():  # it may lead back to where we are
                others["linked folder"] += 1
            else:
                yield from _pictures_below(path, others)
        elif path.stem.endswith(OUTPUT_STEM):
            others[f"prediction (*{OUTPUT_STEM}.*)"] += 1
        elif path.is_fifo():  # to open it is to wait for somebody who writes to it
            others["pipe"] += 1
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            yield path
        else:
            others[path.suffix.lower() or "without an ending"] += 1
