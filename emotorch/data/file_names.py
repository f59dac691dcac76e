"""Pictures whose own names tell class and person, wherever they lie: of JAFFE, KDEF and sets of portraits, or
called by emotions, as `happy_1.jpg`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path

from emotorch.data.known import are_named_as, called_after, recognise_class_folders
from emotorch.data.layouts import Finding, Folder, Recognised, sampled, warn_of
from emotorch.data.names import (
    EMPTY_WORDS,
    beside_split,
    first_split,
    is_of_guesses,
    plain_class,
    split_of,
    tells_nobody,
    words_of,
)
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.table_rows import tables_in
from emotorch.datasets import DATASETS, Dataset
from emotorch.emotion_names import emotion_name
from emotorch.labels import EMOTIONS

_CODES = {
    **{"AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "SA": "sad", "SU": "surprise", "SP": "surprise"},
    **{"NE": "neutral", "CA": "calm"},
}
_CFD_CODES = {"A": "angry", "F": "fear", "HC": "happy", "HO": "happy", "N": "neutral"}


@dataclass(frozen=True)
class _Form:
    """How a published set names its pictures; the groups `emotion`, a name or one of the codes, and `person` tell."""

    title: str
    pattern: str
    codes: Mapping[str, str] = field(default_factory=dict)


_FORMS = (
    _Form("RaFD", r"Rafd\d+_(?P<person>\d+)_[a-z]+_(fe)?male_(?P<emotion>[a-z]+)_(frontal|left|right)\."),
    _Form("NimStim", r"(?P<person>\d\d[FM])_(?P<emotion>AN|CA|DI|FE|HA|NE|SA|SP)_[COX]\.", _CODES),
    _Form("BU-3DFE", r"(?P<person>[FM]\d{4})_(?P<emotion>AN|DI|FE|HA|NE|SA|SU)\d\d[A-Z]{2}_F[23]D\.", _CODES),
    _Form("the Chicago Face Database", r"CFD-(?P<person>[A-Z]{2}-\d{3})-\d{3}-(?P<emotion>A|F|HC|HO|N)\.", _CFD_CODES),
)


def recognise(folder: Folder, dataset: Dataset, reading: Reading) -> Iterator[Finding]:
    """A dataset by its files' names, in whose pattern the group `code` is a class's first two letters."""
    holders = [below for below in folder.walk() if below.pictures]
    named = [below for below in holders if are_named_as([path.name for path in below.pictures], dataset)]
    if not named:
        if called_after(folder, dataset):
            note = "the files' names do not tell who is shown"
            yield from recognise_class_folders(folder, dataset, notes=(note,))
        return
    stems: dict[str, set[str]] = {}  # of the files in each subfolder, and in the folder itself
    for below in named:
        top = next(iter(below.path.relative_to(folder.path).parts), "")
        stems.setdefault(top, set()).update(path.stem.upper() for path in below.pictures)
    are_copies = any(2 * len(one & other) > min(len(one), len(other)) for one, other in combinations(stems.values(), 2))
    if folder not in named and (are_copies or len(stems) == 1):
        return  # all of it, or each copy, is further below
    if are_copies:
        named = [folder]
    files = [path for below in named for path in below.pictures]
    splits = sorted({below.name for below in folder.walk() if below is not folder and split_of(below.name)})
    if not are_copies and len(named) == len(holders):
        covers = folder.parts(files)
    else:  # beside its files there are folders of something else
        covers = frozenset(files).union(below.path for below in named if below is not folder)
    yield Recognised(
        dataset.name,
        folder.path,
        f"file names like {dataset.file_example}",
        covers,
        images=lambda: _list_images(named, dataset, reading),
        count=lambda: len(files),
        notes=(f"the folders {', '.join(splits)} are no split of its own: persons are split",) if splits else (),
    )


def _list_images(holders: list[Folder], dataset: Dataset, reading: Reading) -> list[SourceImage]:
    class_of_code = {own[:2].upper(): own for own in dataset.classes}
    images, strangers, elsewhere = [], [], []
    for holder in holders:
        folder_says = emotion_name(holder.name)
        for path in holder.pictures:
            match = dataset.match_file(path.name)
            if match is None:
                strangers.append(path)
                continue
            emotion = class_of_code[match["code"].upper()]
            if folder_says in EMOTIONS and folder_says != emotion_name(emotion):
                elsewhere.append(path)
            images.append(SourceImage(path, emotion, reading, subject=match["person"].upper()))
    title = dataset.full_title
    warn_of(strangers, f"files that are not named like {dataset.file_example}, left out", title)
    warn_of(elsewhere, "files in a folder of another class than their names say, read by their names", title)
    return images


def recognise_own(folder: Folder) -> Iterator[Recognised]:
    """A folder in and below which most pictures are named so, with several emotions.

    Right in FER-Datasets there may be only the given splits of one dataset. Class folders and tables further below tell
    more, and are asked there.
    """
    pictures = [path for below in folder.walk() for path in below.pictures]
    names = {beside_split(sub.name) if split_of(sub.name) else None for sub in folder.folders}
    are_splits = not folder.pictures and len(names) == 1 and None not in names
    if (folder.path == folder.raw and not are_splits) or not any(_tell(path.name) for path in sampled(pictures)):
        return
    if any(emotion_name(plain_class(below.name)) in EMOTIONS or tables_in(below) for below in folder.walk()):
        return
    named = (path for below in folder.walk() if not below.called(is_of_guesses) for path in below.pictures)
    told = {path: one for path in named if (one := _tell(path.name)) is not None}
    emotions = sorted({emotion for _, emotion, _ in told.values()})
    if len(emotions) < 2 or len(told) <= len(pictures) / 2:
        return
    persons = _persons(folder, told)
    first, (title, *_) = next(iter(told.items()))
    why = f"pictures called like {title}'s" if title else "pictures called by emotions"
    why += f" ({first.name})"
    if people := {*persons.values()} - {""}:
        why += f", of {len(people)} persons ({min(people)}, …)"

    def images() -> list[SourceImage]:
        strangers = [path for path in pictures if path not in told]
        warn_of(strangers, f"pictures that are not named like {first.name}, left out", folder.path)
        return [
            SourceImage(path, emotion, Reading.SCENE, first_split(folder.way_to(path)), persons[path])
            for path, (_, emotion, _) in told.items()
        ]

    yield Recognised("", folder.path, f"{why}: {', '.join(emotions)}", folder.parts(told), images, lambda: len(told))


def person_of(name: str) -> str:
    """Who is shown, by a file's name that is like those of a dataset that tells it; empty for any other name."""
    known = (dataset.match_file(name) for dataset in DATASETS.values() if dataset.tells_persons)
    others = (re.match(form.pattern, name, re.IGNORECASE) for form in _FORMS)
    return next((match["person"].upper() for match in chain(known, others) if match), "")


def _tell(name: str) -> tuple[str, str, str] | None:
    """The form of a name, the emotion and the person; None where it tells no emotion."""
    for form in _FORMS:
        if match := re.match(form.pattern, name, re.IGNORECASE):
            emotion = form.codes.get(match["emotion"].upper(), emotion_name(match["emotion"]))
            return form.title, emotion, person_of(name)
    words = [word for word in words_of(Path(name).stem) if not word.isdecimal() and word not in EMPTY_WORDS]
    emotions = [emotion_name(word) for word in words]
    return ("", emotions[0], "") if len(emotions) == 1 and emotions[0] in EMOTIONS else None


def _persons(folder: Folder, told: Mapping[Path, tuple[str, str, str]]) -> dict[Path, str]:
    """Who is shown: by the form of a name, else by the folder, where several have pictures of several emotions.

    Then the others are persons' too: of some there is only one picture.
    """
    holders: dict[str, set[str]] = {}
    for path, (_, emotion, _) in told.items():
        holders.setdefault(_holder(folder, path), set()).add(emotion)
    are_persons = sum(len(emotions) > 1 for holder, emotions in holders.items() if holder) > 1
    return {path: person or (_holder(folder, path) if are_persons else "") for path, (_, _, person) in told.items()}


def _holder(folder: Folder, path: Path) -> str:
    """The last folder above a picture that may be a person's; empty for none."""
    names = reversed(folder.way_to(path))
    return next((name for name in names if not tells_nobody(name) and not split_of(name)), "")
