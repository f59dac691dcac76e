"""Recognition of datasets: the folders that a dataset's module is shown, and the findings that it gives.

`recognise(folder)` of a dataset's module looks at one folder, by the names below it and the heads of its tables, and
gives what it found. No picture is opened for that but a few, where their size matters.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from emotorch.data.formats import PICTURE_SUFFIXES
from emotorch.data.images import picture_size
from emotorch.data.names import beside_split, split_of
from emotorch.data.sources import SourceImage
from emotorch.data.text_tables import ENDINGS, is_list
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, is_clutter, printable

logger = logging.getLogger(__name__)

_SAMPLED = 9  # pictures that are opened to see how large a dataset's are
_MOST_LISTS = 20  # in a folder; a text for each picture is no list of them


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder below FER-Datasets, with the names of all that is in it.

    Attributes:
        raw: FER-Datasets itself.
        files: Names of its files, sorted; without hidden ones and clutter.
        folders: Its subfolders, sorted by name.
    """

    path: Path
    raw: Path
    files: tuple[str, ...] = field(repr=False)
    folders: tuple["Folder", ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path, raw: Path | None = None, above: frozenset[str] = frozenset()) -> "Folder":
        """All that is below a folder, by names alone; `above` are the real paths of the folders on the way to it."""
        files, subfolders = [], []
        way = above | {os.path.realpath(path)}
        with os.scandir(path) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                if not entry.is_dir():
                    if not entry.is_file() and os.path.exists(entry.path):  # noqa: PTH110 (a path for each file is slow)
                        raise EmoTorchError(f"{entry.path}: a pipe, socket or device, no data; move it away")
                    files.append(entry.name)
                elif not entry.is_symlink() or os.path.realpath(entry.path) not in way:
                    subfolders.append(entry.path)
        if above and STAMP_NAME in files:  # the output of a stage is no raw data, and large, unless it is named itself
            subfolders.clear()
        folders = tuple(cls.read(Path(sub), raw or path, way) for sub in sorted(subfolders))
        return cls(path, raw or path, tuple(sorted(files)), folders)

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(self.path / name for name in self.files)

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        """The files that end like pictures."""
        return tuple(path for path in self.paths if path.suffix.lower() in PICTURE_SUFFIXES)

    @cached_property
    def tables(self) -> tuple[Path, ...]:
        """The files that end like tables, or like lists where there are few; none where a stage has written them."""
        if STAMP_NAME in self.files:
            return ()
        tables = [path for path in self.paths if path.name.lower().endswith(ENDINGS)]
        lists = [path for path in self.paths if is_list(path)]
        return (*tables, *(lists if len(lists) <= _MOST_LISTS else ()))

    @cached_property
    def has_pictures(self) -> bool:
        """Whether there is a picture in it or below it, by the names."""
        return bool(self.pictures) or any(folder.has_pictures for folder in self.folders)

    def parts(self, paths: Iterable[Path]) -> frozenset[Path]:
        """The paths that files below it cover: the subfolders that hold some, and the folder itself if it does.

        Right in FER-Datasets the files are covered alone.
        """
        tops = {self.path / path.relative_to(self.path).parts[0]: path for path in paths}
        covered = {top for top, path in tops.items() if top != path or self.path == self.raw}
        return frozenset(covered if len(covered) == len(tops) else {*covered, self.path})

    def walk(self) -> Iterator["Folder"]:
        """The folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    @cached_property
    def split_groups(self) -> dict[str, tuple["Folder", ...]]:
        """The subfolders of several given splits that are called alike beside these, by what else they are called."""
        groups: dict[str, list[Folder]] = {}
        for sub in self.folders:
            if split_of(sub.name):
                groups.setdefault(beside_split(sub.name), []).append(sub)
        return {of: tuple(group) for of, group in groups.items() if len({split_of(sub.name) for sub in group}) > 1}

    def way_to(self, path: Path) -> tuple[str, ...]:
        """The names of the folders between it and a file below it."""
        return path.relative_to(self.path).parts[:-1]

    def find(self, name: str) -> "Folder | None":
        """The subfolder of a name that is given in lower case and found in any."""
        return next((folder for folder in self.folders if folder.name.lower() == name), None)

    def called(self, fits: Callable[[str], object]) -> str:
        """Its own name, or the nearest of a folder above it and below FER-Datasets, that fits; else empty."""
        return next(filter(fits, reversed(self.path.relative_to(self.raw).parts)), "")


@dataclass(frozen=True)
class Recognised:
    """A dataset that was found.

    Attributes:
        dataset: The name of its record; empty for class folders of the user's own.
        where: The folder or the file that it is.
        why: The evidence, in words: `file names like S010_004_00000017.png`.
        covers: Folders and files that belong to it: nothing else is looked for there.
        images: Lists its images, each with the dataset's own class, or raises an EmoTorchError where it is broken.
        count: How many images it holds; of several copies of a dataset the fullest is taken.
        listing: A file that determines the content of all images, where there is one.
        preference: Of copies with equally many images the one with the lowest is taken.
        notes: Further remarks, a sentence each.
        name: What the user's own data is called, where that is not its folder's name.
        tables: The files whose rows are its images, in their order.
    """

    dataset: str
    where: Path
    why: str
    covers: frozenset[Path]
    images: Callable[[], list[SourceImage]]
    count: Callable[[], int]
    listing: Path | None = None
    preference: int = 1
    notes: tuple[str, ...] = ()
    name: str = ""
    tables: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Incomplete:
    """What looks like a part of a dataset; reported unless it turns out to belong to one.

    Attributes:
        where: The folder or the file.
        found: What is there and what is missing: `RAF-DB's list without Image/aligned/`.
        is_question: Whether only the user can say what it is.
    """

    where: Path
    found: str
    is_question: bool = False


Finding = Recognised | Incomplete


def sampled(paths: Sequence[Path]) -> Sequence[Path]:
    """A few of many files, from all over."""
    return paths[:: max(1, len(paths) // _SAMPLED)][:_SAMPLED]


def common_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """The (width, height) that most of some pictures have, by a few of them; None where none can be read."""
    sizes = Counter(size for path in sampled(paths) if (size := picture_size(path)) is not None)
    return sizes.most_common(1)[0][0] if sizes else None


def warn_of(files: Sequence[Path], said: str, of: object) -> None:
    """Logs how many files of something a sentence is true of, and the first of them; nothing where there are none."""
    if files:
        logger.warning("%s: %s: %d (first: %s)", of, said, len(files), printable(str(files[0])))
