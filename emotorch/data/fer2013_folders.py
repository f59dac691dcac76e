"""FER-2013 as class folders, in whatever splits and names it is handed around."""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from emotorch.data.class_folders import ClassFolders, joined_splits
from emotorch.data.images import SIZE, read_picture, resize, undo_enlarging
from emotorch.data.known import are_named_as, class_of, counts_sign, name_sign, usage_of
from emotorch.data.layouts import Folder, Recognised, common_size, sampled
from emotorch.data.names import beside_split, class_number, is_nameless, plain_class, tells_nothing
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import DATASETS, FER, datasets_called, is_called_ferplus
from emotorch.emotion_names import emotion_name
from emotorch.errors import EmoTorchError
from emotorch.labels import EMOTIONS

# Names that copies share with other datasets, which have its seven classes, its size and its grey too.
_PERHAPS_CALLED = re.compile(r"(?<![a-z])fer(?![a-z])|fac(e|ial)[\s_-]*(expression|emotion)", re.IGNORECASE)
_COUNT = 35_887
# Larger copies are of another dataset that looks like it, as MMAFEDB.
_LARGEST = round(1.02 * _COUNT)
# Copies have a stray file; a folder of the user's own may hold some of FER-2013's.
_MOST = 0.95
_MOST_UNEQUAL = 0.02
_OFFICIAL = re.compile("public|private", re.IGNORECASE)  # in the names of its two tests


def recognise(folder: Folder) -> Recognised | None:
    """Class folders of FER-2013's emotions, by the names of their files or of the folder that they are in."""
    classes = ClassFolders(folder, class_of(FER))
    files = classes.pictures
    # FER+ has FER-2013's images under labels of its own, of which contempt is one.
    if not files or ClassFolders(folder, _beyond).pictures:
        return None
    if is_called_ferplus(folder.called(lambda name: FER.is_called(name) or is_called_ferplus(name))):
        return None
    names = [path.name for path in files]
    if any(are_named_as(names, other) for other in DATASETS.values() if other is not FER):
        return None
    size = common_size(files) or (SIZE, SIZE)
    why = _reason(classes, files, size)
    if not why:
        return None
    joined = joined_splits([found for found in classes if not _OFFICIAL.search(found.split_name)])
    is_enlarged = size[0] == size[1] > SIZE
    reading = Reading.ENLARGED if is_enlarged else Reading.FACE
    return classes.recognised(
        FER.name,
        f"class folders, {why}",
        lambda: list_images(classes, reading),
        preference=3,
        notes=(*joined, *([_cost_of_enlarging(files, size[0])] if is_enlarged else [])),
    )


def _reason(classes: ClassFolders, files: list[Path], size: tuple[int, int]) -> str:
    """Why class folders are taken for FER-2013; empty where nothing says so."""
    folder = classes.folder
    if sum(FER.match_file(path.name) is not None for path in files) > _MOST * len(files):
        return f"file names like {FER.file_example}"
    if why := name_sign(classes, FER):
        return why
    if folder.called(datasets_called):  # after another dataset, or several
        return ""
    if len(files) == _COUNT or counts_sign(FER, classes):
        return f"as many pictures as it has, {len(files):,}"
    has_its_classes = {found.emotion for found in classes} == set(FER.classes)
    # Numbers need more than that: they stand for other emotions in every dataset.
    has_numbers = any(class_number(plain_class(found.folder.name)) is not None for found in classes)
    is_like_it = has_its_classes and not has_numbers and size == (SIZE, SIZE) and bool(classes[0].split)
    has_a_name = folder.called(lambda name: not is_nameless(name)) or all(map(_tells_of_another, classes.split_names))
    if is_like_it and len(files) <= _LARGEST and (not has_a_name or folder.called(_PERHAPS_CALLED.search)):
        return "its seven classes in given splits, of 48×48, in a folder whose name says nothing else"
    return ""


def _tells_of_another(name: str) -> bool:
    """Whether the name of a given split's folder says that it is something else: `mma_train`, not `train_gray`."""
    words = beside_split(name).split()
    return not _PERHAPS_CALLED.search(name) and not all(map(tells_nothing, words))


def _beyond(name: str) -> str | None:
    """The name, if it is of an eighth class: contempt, or a number beyond FER-2013's."""
    return name if emotion_name(name) == EMOTIONS[-1] or (class_number(name) or 0) >= len(FER.classes) else None


def _cost_of_enlarging(files: list[Path], side: int) -> str:
    """A sentence on what is lost where faces of 48×48 have been enlarged and are brought back, measured on a few."""
    losses = []
    for path in sampled(files):
        with suppress(EmoTorchError):
            picture = read_picture(path)
            losses.append(np.abs(resize(undo_enlarging(picture), side).astype(int) - picture).mean())
    return (
        f"enlarged to {side}×{side} and brought back to 48×48, which is not quite what they were: enlarged again, they "
        f"differ from the files by {np.mean(losses):.1f} of 255 grey values on average, and images that were equal may "
        "be equal no longer"
    )


def list_images(classes: ClassFolders, reading: Reading) -> list[SourceImage]:
    """The images of class folders, each with the usage that its file's name or its folder tells."""
    sizes = Counter[str]()
    for found in classes:
        sizes[found.split] += len(found.folder.pictures)
    images = []
    for found, path in classes.walk(FER.full_title):
        match = FER.match_file(path.name)
        usage = usage_of(FER, match[1]) if match else usage_of_split(found.split, found.split_name, sizes)
        images.append(SourceImage(path, found.emotion, reading, usage))
    return images


def usage_of_split(split: str, name: str, sizes: Mapping[str, int]) -> str:
    """FER-2013's usage for a split of a copy, by what it is called and how large the splits are; empty for none."""
    if split == "test" and (official := _OFFICIAL.search(name)):
        return usage_of(FER, f"{official[0]}Test")
    if split == "train":
        return FER.training[0]
    # The official two are equally large; a split of somebody's own is hardly so by chance.
    val, test = sizes.get("val", 0), sizes.get("test", 0)
    own, other = {"val": FER.selecting, "test": FER.tests}.get(split, ("", ""))
    return own if min(val, test) >= (1 - _MOST_UNEQUAL) * max(val, test, 1) else other
