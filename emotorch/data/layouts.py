"""What a dataset's module sees of FER-Datasets, and what it says of it: the protocol of recognition.

`recognise(folder)` of a dataset's module looks at one folder, by the names below it and the heads of its tables, and
gives what it found. No picture is opened for that but a few, where their size matters.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from emotorch.data.formats import PICTURE_SUFFIXES, is_picture
from emotorch.data.images import picture_size
from emotorch.data.sources import SourceImage
from emotorch.errors import EmoTorchError
from emotorch.files import STAMP_NAME, is_clutter

_SAMPLED = 9  # pictures that are opened to see how large a dataset's are
_NUMBERED = re.compile(r"[\s_(-]*\d+\)?$")  # of several downloads
_TABLE_ENDINGS = (".csv", ".tsv", ".txt")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What folders of given splits are called, as words of their names, also joined: `trainset`.
_SPLIT_WORD = re.compile(r"(?:(train(?:ing)?)|(val|valid|validation|dev)|(test(?:ing)?))(?:s|sets?|data|split)?")
# Folders that say nothing of what is in them.
NAMELESS = {"archive", "data", "dataset", "datasets", "images", "image", "img", "raw", "files", "download", "downloads"}
# Words before the number of a class: `class003`.
CLASS_WORDS = ("class", "label", "emotion", "expression", "expr", "exp")
# Words that say nothing in the name of a class folder.
_EMPTY_WORDS = {"", "face", "faces", "image", "images", "img", "imgs", "photos", "pictures", *CLASS_WORDS}


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder below FER-Datasets, with the names of all that is in it.

    Attributes:
        path: Where it is.
        raw: FER-Datasets itself.
        files: Names of its files, sorted; without hidden ones and clutter.
        folders: Its subfolders, sorted by name.
    """

    path: Path
    raw: Path
    files: tuple[str, ...] = field(repr=False)
    folders: tuple["Folder", ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path, raw: Path | None = None) -> "Folder":
        """All that is below a folder, by names alone."""
        return cls._read(str(path), raw or path, frozenset())

    @classmethod
    def _read(cls, path: str, raw: Path, above: frozenset[str]) -> "Folder":
        files, subfolders = [], []
        above |= {os.path.realpath(path)}
        with os.scandir(path) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                if not entry.is_dir():
                    files.append(entry.name)
                elif not entry.is_symlink() or os.path.realpath(entry.path) not in above:
                    subfolders.append(entry.path)
        # What a stage made is no raw data, and is large.
        folders = [] if STAMP_NAME in files else [cls._read(sub, raw, above) for sub in sorted(subfolders)]
        return cls(Path(path), raw, tuple(sorted(files)), tuple(folders))

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
        """The files that end like tables or lists."""
        return tuple(path for path in self.paths if path.name.lower().endswith(_TABLE_ENDINGS))

    @cached_property
    def has_pictures(self) -> bool:
        """Whether there is a picture in it or below it, by the names."""
        return bool(self.pictures) or any(folder.has_pictures for folder in self.folders)

    def parts(self, paths: Iterable[Path]) -> frozenset[Path]:
        """What to cover for files below it: its subfolders that hold some; and itself, where it does.

        Of FER-Datasets itself the files.
        """
        tops = {self.path / path.relative_to(self.path).parts[0]: path for path in paths}
        covered = {top for top, path in tops.items() if top != path or self.path == self.raw}
        return frozenset(covered if len(covered) == len(tops) else {*covered, self.path})

    def walk(self) -> Iterator["Folder"]:
        """It and all folders below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def find(self, *names: str) -> "Folder | None":
        """The subfolder of one of these lower-case names, in whatever letter case it has them."""
        return next((folder for folder in self.folders if folder.name.lower() in names), None)

    @property
    def has_a_name(self) -> bool:
        """Whether any folder, from FER-Datasets down to it, is called otherwise than any download may be."""
        return not all(map(is_nameless, self.path.relative_to(self.raw).parts))

    def called(self, pattern: re.Pattern[str]) -> str:
        """Its own name, or that of a folder above it and below FER-Datasets, that matches somewhere; else empty."""
        names = reversed(self.path.relative_to(self.raw).parts)
        return next((name for name in names if pattern.search(name)), "")


@dataclass(frozen=True)
class Recognised:
    """A dataset that was found.

    Attributes:
        dataset: The name of its record; empty for class folders of the user's own.
        where: The folder or the file that it is.
        why: What it was known by, as a person reads it: `by file names like S010_004_00000017.png`.
        covers: Folders and files that belong to it: nothing else is looked for there.
        images: Lists its images, each with the dataset's own class, or raises an EmoTorchError where it is broken.
        count: How many images it holds; of several copies of a dataset the fullest is taken.
        listing: Gives a file by which all images' content is known, where there is one.
        preference: Of copies with equally many images the one with the lowest is taken.
        notes: What else is to be said of it, a sentence each.
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


@dataclass(frozen=True)
class Incomplete:
    """What looks like a part of a dataset; said where nothing else is made of it.

    Attributes:
        where: The folder or the file.
        found: What is there and what is missing: `RAF-DB's list without Image/aligned/`.
        is_question: Whether only the user can say what it is.
    """

    where: Path
    found: str
    is_question: bool = False


Finding = Recognised | Incomplete
ClassOf = Callable[[str], str | None]


def sampled(paths: Sequence[Path]) -> Sequence[Path]:
    """A few of many files, from all over."""
    return paths[:: max(1, len(paths) // _SAMPLED)][:_SAMPLED]


def common_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """The (width, height) that most of some pictures have, by a few of them; None where none can be read."""
    sizes = Counter(size for path in sampled(paths) if (size := picture_size(path)) is not None)
    return sizes.most_common(1)[0][0] if sizes else None


@dataclass(frozen=True)
class ClassFolder:
    """A folder of one class's images.

    Attributes:
        folder: It.
        split: `train`, `val` or `test` where it lies in a folder of a given split, else empty.
        split_name: That folder's name.
        emotion: What `class_of` made of its name.
        person: Whose folder it is, where persons have folders below the classes or above them; else empty.
    """

    folder: Folder
    split: str
    split_name: str
    emotion: str
    person: str = ""


def is_nameless(name: str) -> bool:
    """Whether a folder is called as any download may be, also with a number: `archive (2)`."""
    return _NUMBERED.sub("", name.lower()) in NAMELESS


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` for the name of a folder or file that says so; else None."""
    matches = map(_SPLIT_WORD.fullmatch, map(str.lower, _WORDS.findall(name)))
    splits = {("train", "val", "test")[match.lastindex - 1] for match in matches if match and match.lastindex}
    return splits.pop() if len(splits) == 1 else None


def class_folders(folder: Folder, class_of: ClassOf) -> list[ClassFolder]:
    """The class folders in a folder, with given splits and persons above or below them; empty where there are none.

    Args:
        folder: Of one dataset.
        class_of: The class of a folder's plain name (see `plain_class`); None for what is none.
    """
    found = list(_find_classes(folder, class_of, ClassFolder(folder, "", "", "")))
    persons: dict[str, set[str]] = {}
    for one in found:
        persons.setdefault(one.emotion, set()).add(one.person)
    if all(len(names) < 2 for names in persons.values()):  # a folder more, but nobody's
        return [replace(one, person="") for one in found]
    return found


def _find_classes(folder: Folder, class_of: ClassOf, place: ClassFolder) -> Iterator[ClassFolder]:
    """The class folders below a folder; `place` has the split and the person that the folders above it tell."""
    classes = [(sub, class_of(plain_class(sub.name))) for sub in folder.folders]
    splits = [sub for sub in folder.folders if split_of(sub.name) and not place.split]
    if any(emotion is not None for _, emotion in classes):
        for sub, emotion in classes:
            if emotion is not None:
                yield from _within_class(sub, class_of, replace(place, emotion=emotion))
    elif splits:
        for sub in splits:
            yield from _find_classes(sub, class_of, replace(place, split=split_of(sub.name) or "", split_name=sub.name))
    elif not place.person and folder.path != folder.raw:
        for sub in _persons(folder, class_of, alone=bool(place.split)):
            yield from _find_classes(sub, class_of, replace(place, person=sub.name))


def _persons(folder: Folder, class_of: ClassOf, *, alone: bool) -> list[Folder]:
    """The subfolders, where they are called alike but for numbers (`P01`, `P02`) and each has class folders.

    Args:
        folder: That may hold those of persons.
        class_of: See `class_folders`.
        alone: Whether there may be a single one.
    """
    shapes = {re.sub(r"\d+", "#", sub.name.lower()) for sub in folder.folders}
    with_classes = [
        sub
        for sub in folder.folders
        if any(class_of(plain_class(below.name)) or split_of(below.name) for below in sub.folders)
    ]
    are_alike = len(shapes) == 1 and "#" in shapes.pop() and len(with_classes) == len(folder.folders)
    return with_classes if are_alike and (alone or len(with_classes) > 1) else []


def _within_class(folder: Folder, class_of: ClassOf, place: ClassFolder) -> Iterator[ClassFolder]:
    """A class folder, and those of given splits or of persons in it."""
    if folder.files or not folder.folders:
        yield replace(place, folder=folder)
    for sub in folder.folders:
        split = split_of(sub.name)
        if split and not place.split:
            yield from _within_class(sub, class_of, replace(place, split=split, split_name=sub.name))
        elif place.person or sub.name.lower() in NAMELESS or class_of(plain_class(sub.name)) == place.emotion:
            yield from _within_class(sub, class_of, place)
        else:
            yield from _within_class(sub, class_of, replace(place, person=sub.name))


def plain_class(name: str) -> str:
    """The name of a class folder in lower case, without what says nothing: `angry` of `0_Angry` and `angry faces`."""
    plain = name.strip().lower()
    words = [word for word in re.split(r"[\s._-]+", plain) if word not in _EMPTY_WORDS and not word.isdecimal()]
    return words[0] if len(words) == 1 else plain


def _may_stand_beside(folder: Folder) -> bool:
    """Whether a folder beside class folders is none of them: another copy of all, or a test set without labels."""
    if folder.pictures:
        return split_of(folder.name) is not None and not any(sub.has_pictures for sub in folder.folders)
    return folder.name.lower() in NAMELESS


def parts_of(folder: Folder, classes: Iterable[ClassFolder]) -> frozenset[Path]:
    """What a dataset of class folders covers of a folder: these, or the folders of splits or persons they are in."""
    return folder.parts(found.folder.pictures[0] for found in classes if found.folder.pictures)


def joined_splits(classes: Sequence[ClassFolder]) -> tuple[str, ...]:
    """A note where folders of several names are one given split, as `train` and `train_aug`; else none."""
    names: dict[str, set[str]] = {}
    for found in classes:
        names.setdefault(found.split, set()).add(found.split_name)
    return tuple(
        f"{', '.join(sorted(called))} together are {split}" for split, called in names.items() if len(called) > 1
    )


def count_pictures(classes: Iterable[ClassFolder]) -> int:
    """How many pictures class folders hold, by their names."""
    return sum(len(found.folder.pictures) for found in classes)


def class_pictures(
    folder: Folder, classes: Sequence[ClassFolder], title: str, unknown: str = "", *, others: bool = False
) -> Iterator[tuple[ClassFolder, Path]]:
    """Every picture of class folders, with its folder.

    Args:
        folder: Which `class_folders` looked into.
        classes: What it found.
        title: Of the dataset, for messages.
        unknown: What a folder of pictures beside them is, for messages, where that is not `no class of` the dataset.

        others: Whether there may be folders of pictures beside them that are no class.

    Raises:
        EmoTorchError: a folder of pictures beside them is no class, one of them holds something else, or none an image.
    """
    known = {found.folder.path for found in classes}
    above = {parent for path in known for parent in path.parents}
    names = ", ".join(dict.fromkeys(found.emotion for found in classes))
    split_names = {found.split_name for found in classes}
    for parent in () if others else folder.walk():
        if parent.path not in above or parent.path in known or parent.path == folder.raw:
            continue
        for sub in parent.folders:
            if sub.path not in known | above and sub.has_pictures and not _may_stand_beside(sub):
                stray = unknown or f"not a class of {title} ({names})"
                if split_of(sub.name) and not classes[0].split:
                    stray = "a folder of a given split beside class folders that are in none"
                elif splits := [beside.name for beside in parent.folders if beside.name in split_names]:
                    stray = f"beside the given split {splits[0]}, and called like none (train, val, test)"
                raise EmoTorchError(f"{sub.path}: {stray}; rename it, or move it away")
    none = True
    for found in classes:
        for path in found.folder.paths:
            if not is_picture(path):
                raise EmoTorchError(f"{path}: not an image; move it away")
            none = False
            yield found, path
    if none:
        raise EmoTorchError(f"{folder.path}: no images in its class folders; put them in, or move the folder away")
