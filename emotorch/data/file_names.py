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
