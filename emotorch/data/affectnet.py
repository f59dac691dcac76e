"""AffectNet: class folders by number or name, or the official folders of pictures and annotations.

Source: Mollahosseini, Hasani and Mahoor, "AffectNet: a database for facial expression, valence, and arousal computing
in the wild" (IEEE Transactions on Affective Computing, 2019).
"""

import logging
from collections.abc import Iterator

import numpy as np

from emotorch.data.known import recognise_class_folders
from emotorch.data.layouts import Finding, Folder, Recognised
from emotorch.data.names import split_of
from emotorch.data.sources import Reading, SourceImage
from emotorch.data.table_rows import tables_in
from emotorch.datasets import AFFECTNET
from emotorch.errors import EmoTorchError

logger = logging.getLogger(__name__)

_ENDING = "_exp.npy"


def recognise(folder: Folder) -> Iterator[Finding]:
    """AffectNet as class folders, or as `train_set/` and `val_set/` with `images/` and `annotations/` in them."""
    within = (_annotated(part) for part in folder.folders if split_of(part.name) and not split_of(folder.name))
    parts = [part for part in within if part is not None]
    if not parts:
        # A table beside the class folders counts before them: `own_data` reads it.
        if not any(table.rows for table in tables_in(folder)):
            yield from recognise_class_folders(folder, AFFECTNET)
        return
    yield Recognised(
        AFFECTNET.name,
        folder.path,
        f"annotations like 12{_ENDING} beside its pictures",
        covers=frozenset({folder.path}),
        images=lambda: [image for part in parts for image in _list_annotated(part)],
        count=lambda: sum(len(images.pictures) for part in parts if (images := part.find("images"))),
    )


def _annotated(part: Folder) -> Folder | None:
    """The folder with `annotations/`: that of a split, or one of its name in it, `train_set/train_set`."""
    annotations = part.find("annotations")
    if annotations is not None:
        return part if any(name.endswith(_ENDING) for name in annotations.files[:100]) else None
    return next((found for sub in part.folders if split_of(sub.name) and (found := _annotated(sub))), None)


def _list_annotated(part: Folder) -> list[SourceImage]:
    pictures, annotations = part.find("images"), part.find("annotations")
    if pictures is None or annotations is None:
        raise EmoTorchError(f"{part.path}: annotations/ without images/ beside it")
    listed, others = [], 0
    for path in pictures.pictures:
        annotation = annotations.path / f"{path.stem}{_ENDING}"
        try:
            number = int(np.load(annotation, allow_pickle=False).item())
        except (OSError, ValueError, EOFError) as error:
            raise EmoTorchError(f"{annotation}: no annotation of a picture ({error})") from error
        if 0 <= number < len(AFFECTNET.classes):
            emotion, usage = AFFECTNET.classes[number], split_of(part.name)
            listed.append(SourceImage(path, emotion, Reading.CROP, usage=usage))
        else:
            others += 1
    if others:
        logger.info("%s: pictures without an emotion (none, uncertain, no face), left out: %d", part.path, others)
    return listed
