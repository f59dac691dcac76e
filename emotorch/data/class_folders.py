"""The class folders of a dataset, also in folders of given splits, and with folders of persons above or below them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotorch.data.formats import is_picture
from emotorch.data.layouts import Folder, Recognised, warn_of
from emotorch.data.names import (
    KINDS,
    LIGHTS,
    NAMELESS,
    beside_class,
    beside_split,
    is_nameless,
    is_take,
    is_time,
    plain_class,
    split_of,
    tells_nobody,
    tells_nothing,
)
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import DATASETS
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS

# Names that datasets have for their classes.
_CLASSES = {*EMOTIONS, *(own for dataset in DATASETS.values() for own in dataset.classes)}

# So many sibling folders that each hold class folders are taken for persons, whatever their names; fewer for datasets.
_NAMED_PERSONS = 3

# Numbers of persons, also right in FER-Datasets, where other folders are datasets.
_PERSON = re.compile(r"(subj?|subject|person|participant|actor|user)[\s_-]*\d+|[ps]\d\d+", re.IGNORECASE)

# The class of a folder's plain name (see `plain_class`); None for what is none.
ClassOf = Callable[[str], str | None]


@dataclass(frozen=True)
class ClassFolder:
    """A folder of one class's images.

    Attributes:
        split: `train`, `val` or `test` where it lies in a folder of a given split, else empty.
        split_name: That folder's name; of one that joins split and class, as `train_happy`, without the class.
        emotion: What `class_of` made of its name.
        person: Whose folder it is, where persons have folders below the classes or above them; else empty.
        joined_name: Of the folder that joins split and class; empty where none does.
    """

    folder: Folder
    split: str
    split_name: str
    emotion: str
    person: str = ""
    joined_name: str = ""


class ClassFolders(list[ClassFolder]):
    """The class folders of one dataset; empty where there are none.

    Attributes:
        folder: The folder that holds them.
    """

    def __init__(self, folder: Folder, class_of: ClassOf) -> None:
        """Looks for them in a folder and below it."""
        self.folder = folder
        found = list(_find(folder, class_of, ClassFolder(folder, "", "", "")))
        persons: dict[str, set[str]] = {}
        for one in found:
            persons.setdefault(one.emotion, set()).add(one.person)
        if all(len(names) < 2 for names in persons.values()):  # in every class a single one: a level more, nobody's
            found = [replace(one, person="") for one in found]
        super().__init__(found)

    @property
    def pictures(self) -> list[Path]:
        """All files in them that end like pictures."""
        return [path for found in self for path in found.folder.pictures]

    @property
    def split_names(self) -> list[str]:
        """Names of the folders of given splits, sorted."""
        return sorted({found.split_name for found in self} - {""})

    @property
    def joined_name(self) -> str:
        """The first folder's name that joins split and class; empty where none does."""
        return next((found.joined_name for found in self if found.joined_name), "")

    def recognised(
        self,
        dataset: str,
        why: str,
        images: Callable[[], list[SourceImage]],
        *,
        preference: int = 1,
        notes: tuple[str, ...] = (),
    ) -> Recognised:
        """A dataset that is these: it covers them, or the folders of splits or persons that they are in."""
        firsts = (found.folder.pictures[0] for found in self if found.folder.pictures)
        joined = f", called by split and class ({self.joined_name}, …)" if self.joined_name else ""
        return Recognised(
            dataset,
            self.folder.path,
            why + joined,
            covers=self.folder.parts(firsts),
            images=images,
            count=lambda: len(self.pictures),
            preference=preference,
            notes=notes,
        )

    def images(self, reading: Reading, title: str, unknown: str = "", *, others: bool = False) -> list[SourceImage]:
        """Their images, each with the split and the person that its folders tell; see `walk`."""
        return [
            SourceImage(path, found.emotion, reading, usage=found.split, subject=found.person)
            for found, path in self.walk(title, unknown, others=others)
        ]

    def walk(self, title: str, unknown: str = "", *, others: bool = False) -> Iterator[tuple[ClassFolder, Path]]:
        """Every picture, with its folder.

        Args:
            title: Of the dataset, for messages.
            unknown: What a folder of pictures beside them is, for messages; by default that it is not a class.
            others: Whether there may be such folders.

        Raises:
            EmoTorchError: there is such a folder, or a file that is no picture, or no picture at all.
        """
        if not others:
            names = ", ".join(dict.fromkeys(found.emotion for found in self))
            self._refuse_others(unknown or f"not a class of {title} ({names})")
        warn_of(self._strays(), "pictures beside class folders, left out", self.folder.path)
        for found in self:
            for path in found.folder.paths:
                if not is_picture(path):
                    raise EmoTorchError(f"{path}: not an image; move it away")
                yield found, path
        if not any(found.folder.files for found in self):
            raise EmoTorchError(
                f"{self.folder.path}: no images in its class folders; put them in, or move the folder away"
            )

    def _strays(self) -> list[Path]:
        """The pictures right in folders of splits or persons, in no class folder."""
        known = {found.folder.path for found in self}
        above = {parent for path in known for parent in path.parents} - {*known, self.folder.path}
        return [path for parent in self.folder.walk() if parent.path in above for path in parent.pictures]

    def _refuse_others(self, unknown: str) -> None:
        """Raises EmoTorchError where a folder of pictures beside the class folders is none of them."""
        known = {found.folder.path for found in self}
        above = {parent for path in known for parent in path.parents}
        for parent in self.folder.walk():
            if parent.path not in above - known or parent.path == self.folder.raw:
                continue
            for sub in parent.folders:
                is_of_a_class = self.joined_name and split_of(sub.name) and beside_split(sub.name)
                may_stand = not is_of_a_class and _may_stand_beside(sub)
                if sub.path in known | above or not sub.has_pictures or may_stand:
                    continue
                stray = unknown
                if split_of(sub.name) and not self[0].split:
                    stray = "a folder of a given split beside class folders that are in none"
                elif splits := [beside.name for beside in parent.folders if beside.name in self.split_names]:
                    stray = f"beside the given split {splits[0]}, and called like none (train, val, test)"
                raise EmoTorchError(f"{sub.path}: {stray}; rename it, or move it away")


def joined_class(folder: Folder, class_of: ClassOf) -> str | None:
    """The class of a folder whose name joins split and class, as `train_happy` or `HappyTest`; None of any other."""
    plain = plain_class(beside_split(folder.name)) if split_of(folder.name) else ""
    is_name = plain and not any(map(str.isdigit, plain))
    return class_of(plain) if is_name and not _holds_others(folder) else None


def joined_splits(folders: list[ClassFolder]) -> tuple[str, ...]:
    """A note where folders of several names are one given split, as `train` and `train_aug`; else none."""
    names: dict[str, set[str]] = {}
    for found in folders:
        names.setdefault(found.split, set()).add(found.split_name)
    return tuple(
        f"{', '.join(sorted(called))} together are {split}" for split, called in names.items() if len(called) > 1
    )


def _find(folder: Folder, class_of: ClassOf, place: ClassFolder) -> Iterator[ClassFolder]:
    """The class folders below a folder; `place` has the split and the person that the folders above it tell."""
    classes = [(sub, None if _holds_others(sub) else _class_in(folder, sub, class_of)) for sub in folder.folders]
    splits = [sub for sub in folder.folders if split_of(sub.name) and not place.split]
    joined = {sub: emotion for sub in splits if (emotion := joined_class(sub, class_of)) is not None}
    if folder.path == folder.raw:
        are_joined = len(set(joined.values())) > 1
        splits = [sub for sub in splits if (are_joined and sub in joined) or _is_split_of_all(sub, folder)]
    if any(emotion is not None for _, emotion in classes):
        for sub, emotion in classes:
            if emotion is not None:
                yield from _within_class(sub, class_of, replace(place, emotion=emotion))
    elif splits:
        layer = _layer_of_all(splits, class_of)
        for sub in splits:
            within = replace(place, split=split_of(sub.name), split_name=sub.name)
            if sub in joined:
                split = beside_class(sub.name)
                within = replace(within, split_name=split, emotion=joined[sub], joined_name=sub.name)
                yield from _within_class(sub, class_of, within)
            else:
                yield from _find((sub.find(layer.lower()) if layer else None) or sub, class_of, within)
    elif (place.split or place.person) and (inner := _inner(folder, class_of, place)):
        for sub in inner:  # `train/train`, `train/images`, `P01/front`; beside these `train/val` is a split of its own
            split = split_of(sub.name)
            of_split = place if split in ("", place.split) else replace(place, split=split, split_name=sub.name)
            yield from _find(sub, class_of, of_split)
    elif not place.person and (takes := _takes(folder, class_of)):
        for sub in takes:
            yield from _find(sub, class_of, place)
    elif not place.person:
        for sub in _persons(folder, class_of, alone=bool(place.split)):
            yield from _find(sub, class_of, replace(place, person=sub.name))


def _layer_of_all(splits: Sequence[Folder], class_of: ClassOf) -> str:
    """The name of the only folder in each of several splits, where it is one and holds class folders: `classes` of
    `train/classes` and `test/classes`; else empty."""
    names = {tuple(below.name for below in sub.folders) for sub in splits}
    if len(splits) < 2 or len(names) != 1 or len(next(iter(names))) != 1:
        return ""
    below = [sub.folders[0] for sub in splits]
    is_class = any(_class_in(sub, one, class_of) is not None for sub, one in zip(splits, below, strict=True))
    hold_classes = all(any(_class_in(one, two, class_of) is not None for two in one.folders) for one in below)
    return below[0].name if hold_classes and not is_class and not any(sub.pictures for sub in splits) else ""


def _class_in(folder: Folder, sub: Folder, class_of: ClassOf) -> str | None:
    """The class of a subfolder, which may repeat the folder's name or split: `anna/anna_happy`, `train/train_sad`."""
    if split_of(sub.name) and split_of(sub.name) == split_of(folder.name):
        return joined_class(sub, class_of)
    own = class_of(plain_class(sub.name))
    rest = sub.name.removeprefix(folder.name)
    is_apart = not (rest[:1].islower() and folder.name[-1:].isalpha())  # `un/unhappy` is another word
    return class_of(plain_class(rest)) if own is None and is_apart else own


def _persons(folder: Folder, class_of: ClassOf, *, alone: bool) -> list[Folder]:
    """The subfolders, where each has class folders, none is a known dataset, and they are as persons' are.

    That is: several called alike but for numbers (`P01`, `P02`; with `alone` one is enough), or more of any names.
    Right in FER-Datasets those with a person's number.
    """
    if folder.path == folder.raw:
        folder = replace(folder, folders=tuple(sub for sub in folder.folders if _PERSON.fullmatch(sub.name.strip())))
    with_classes = [sub for sub in folder.folders if _leads_to_classes(sub, class_of)]
    # Whoever has given splits below is a dataset, or one of several ways to split it.
    has_splits = any(split_of(below.name) for sub in with_classes for below in sub.folders)
    if len(with_classes) < len(folder.folders) or has_splits or _nobodies(folder):
        return []
    shapes = {re.sub(r"\d+", "#", sub.name.lower()) for sub in with_classes}
    if len(shapes) == 1 and "#" in shapes.pop():
        return with_classes if alone or len(with_classes) > 1 else []
    are_many = len(with_classes) >= _NAMED_PERSONS and not any(map(_is_known_dataset, with_classes))
    return with_classes if are_many else []


def _takes(folder: Folder, class_of: ClassOf) -> list[Folder]:
    """The subfolders, where they are views, lights or times of the same people: each has persons' folders in it.

    Times may have class folders in them. Right in FER-Datasets they are several, and other folders may lie beside them.
    """
    takes = [sub for sub in folder.folders if is_take(sub.name) or sub.name.lower() in LIGHTS]
    is_raw = folder.path == folder.raw
    if not takes or (is_raw and len(takes) < 2) or (not is_raw and len(takes) < len(folder.folders)):
        return []
    are_times = all(is_time(sub.name) for sub in takes)
    have_classes = are_times and all(_leads_to_classes(sub, class_of) for sub in takes)
    have_persons = all(_takes(sub, class_of) or _persons(sub, class_of, alone=False) for sub in takes)
    return takes if have_persons or have_classes else []


def _is_split_of_all(sub: Folder, folder: Folder) -> bool:
    """Whether a split right in FER-Datasets is one of all that is there, or `affectnet-training-data` among others."""
    other = beside_split(sub.name)
    alike = folder.split_groups.get(other, ())
    is_whole = len(alike) == len(folder.folders) or (bool(alike) and all(map(tells_nothing, other.split())))
    return not other or is_whole


def _inner(folder: Folder, class_of: ClassOf, place: ClassFolder) -> list[Folder]:
    """The subfolders in that of a split or a person, where they are one level more that tells nothing: `train/images`.

    Where some are called so, all others are that hold class folders: `original` and `flipped`.
    """
    nobodies = _nobodies(folder)
    inner = [sub for sub in folder.folders if sub in nobodies or (place.split and split_of(sub.name) == place.split)]
    return [
        sub
        for sub in folder.folders
        if sub in inner or (inner and any(class_of(plain_class(below.name)) for below in sub.folders))
    ]


def _leads_to_classes(folder: Folder, class_of: ClassOf) -> bool:
    """Whether class folders or given splits are in it, or in those in it that no person is called by."""
    return any(
        split_of(below.name) or _class_in(folder, below, class_of) is not None for below in folder.folders
    ) or any(_leads_to_classes(below, class_of) for below in _nobodies(folder))


def _holds_others(folder: Folder) -> bool:
    """Whether a folder has emotions' folders in it: a person's, say, who is called by a number, or `Joy`."""
    name, names = plain_class(folder.name), [plain_class(sub.name) for sub in folder.folders]
    own, emotions = emotion_name(name), [found for one in names if (found := emotion_name(one)) in EMOTIONS]
    if own not in EMOTIONS:
        return bool(emotions)
    # People are called like emotions in some language, as `Joy` and `Ira` in `happy`, and not `happy` or `sad`.
    are_classes = len({emotion_name(one) for one in names if one in _CLASSES}) > 1
    are_others = name not in _CLASSES and len({*emotions} - {own}) > 1
    return (are_classes or are_others) and len(emotions) > len(folder.folders) / 2


def _nobodies(folder: Folder) -> list[Folder]:
    """The subfolders that are no persons: each by its name, or all as kinds of people or of light."""
    names = {sub.name.lower().strip() for sub in folder.folders}
    if names <= KINDS or names <= LIGHTS:
        return list(folder.folders)
    return [sub for sub in folder.folders if tells_nobody(sub.name)]


def _is_known_dataset(folder: Folder) -> bool:
    """Whether it is called after a known dataset, or a file below it is as that one's are."""
    files = [below.files[0] for below in folder.walk() if below.files]
    return any(data.is_called(folder.name) or any(map(data.match_file, files)) for data in DATASETS.values())


def _within_class(folder: Folder, class_of: ClassOf, place: ClassFolder) -> Iterator[ClassFolder]:
    """A class folder, and those of given splits or of persons in it."""
    if folder.files or not folder.folders:
        yield replace(place, folder=folder)
    nobodies = _nobodies(folder)
    for sub in folder.folders:
        split = split_of(sub.name)
        if split and not place.split:
            yield from _within_class(sub, class_of, replace(place, split=split, split_name=sub.name))
        elif place.person or sub in nobodies or class_of(plain_class(sub.name)) == place.emotion:
            yield from _within_class(sub, class_of, place)
        else:
            yield from _within_class(sub, class_of, replace(place, person=sub.name))


def _may_stand_beside(folder: Folder) -> bool:
    """Whether a folder beside class folders is none of them: another copy of all, or a test set without labels."""
    split = split_of(folder.name)
    if split and not any(emotion_name(word) in EMOTIONS for word in re.split(r"[\s._-]+", folder.name)):
        below = [sub for sub in folder.folders if sub.has_pictures]
        return all((is_nameless(sub.name) or split_of(sub.name) == split) and sub.pictures for sub in below)
    return not folder.pictures and (folder.name.lower() in NAMELESS or folder.name == folder.path.parent.name)
