"""Datasets whose file names tell class and person, wherever the files lie: in one folder, by person, or by class."""

from collections.abc import Iterator
from itertools import combinations

from emotorch.data.known import are_named_as, called_after, recognise_class_folders
from emotorch.data.layouts import Finding, Folder, Recognised, warn_of
from emotorch.data.names import split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import Dataset
from emotorch.emotion_names import emotion_name
from emotorch.labels import EMOTIONS


def recognise(folder: Folder, dataset: Dataset, reading: Reading) -> Iterator[Finding]:
    """A dataset by its files' names, in whose pattern the group `code` is a class's first two letters."""
    holders = [below for below in folder.walk() if below.pictures]
    named = [below for below in holders if are_named_as([path.name for path in below.pictures], dataset)]
    if named and _are_copies(folder, named):
        named = [folder] if folder in named else []
        holders = []  # what is below is something else
        if not named:
            return
    if named and folder not in named and len({_top(folder, below) for below in named}) == 1:
        return  # all of it is further below
    if named:
        files = [path for below in named for path in below.pictures]
        splits = sorted({below.name for below in folder.walk() if below is not folder and split_of(below.name)})
        yield Recognised(
            dataset.name,
            folder.path,
            f"file names like {dataset.file_example}",
            # Beside its files there may be folders of something else.
            covers=folder.parts(files)
            if len(named) == len(holders)
            else frozenset(files).union(below.path for below in named if below is not folder),
            images=lambda: _list_images(named, dataset, reading),
            count=lambda: len(files),
            notes=(f"the folders {', '.join(splits)} are no split of its own: persons are split",) if splits else (),
        )
    elif called_after(folder, dataset):
        note = "the files' names do not tell who is shown"
        yield from recognise_class_folders(folder, dataset, notes=(note,))


def _top(folder: Folder, below: Folder) -> str:
    """The subfolder in which one further below lies, or is; empty of the folder itself."""
    return next(iter(below.path.relative_to(folder.path).parts), "")


def _are_copies(folder: Folder, named: list[Folder]) -> bool:
    """Whether subfolders, or one and the folder itself, hold the same files, by most of their names."""
    tops: dict[str, set[str]] = {}
    for below in named:
        tops.setdefault(_top(folder, below), set()).update(path.stem.upper() for path in below.pictures)
    return any(2 * len(one & other) > min(len(one), len(other)) for one, other in combinations(tops.values(), 2))


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
