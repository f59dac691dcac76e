"""CK+ in its common layouts.

Source: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)" (CVPR workshops 2010).
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from emotorch.data.layouts import (
    ClassFolder,
    Finding,
    Folder,
    Incomplete,
    Recognised,
    class_folders,
    class_pictures,
    count_pictures,
)
from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import CKP
from emotorch.errors import EmoTorchError
from emotorch.files import visible

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})$")
_EXAMPLE = "S010_004_00000017.png"
# The numbers in the original's *_emotion.txt; 0 is neutral, which no sequence is labelled with.
_EMOTION_OF_CODE = dict(enumerate(CKP.classes, start=1))
_PEAK_FRAMES = 3


def recognise(folder: Folder) -> Iterator[Finding]:
    """CK+ as crops in class folders, by their file names; or as the official archive."""
    crops = class_folders(folder, lambda name: name if name in CKP.classes else None)
    names = [path for found in crops for path in found.folder.pictures]
    if names and sum(_NAME.match(path.stem) is not None for path in names) > len(names) / 2:
        yield Recognised(
            CKP.name,
            folder.path,
            f"file names like {_EXAMPLE}: person, sequence, frame",
            covers=frozenset({folder.path}),
            images=lambda: _list_crops(folder, crops),
            count=lambda: count_pictures(crops),
        )
    frames = folder.find("cohn-kanade-images")
    if frames is None:
        return
    labels = folder.find("emotion")
    if labels is None:
        yield Incomplete(folder.path, "CK+'s cohn-kanade-images/ without Emotion/ beside it, the labels")
        return
    yield Recognised(
        CKP.name,
        folder.path,
        "its folders cohn-kanade-images and Emotion",
        covers=frozenset({folder.path}),
        images=lambda: _list_original(frames, labels),
        count=lambda: _PEAK_FRAMES * sum(len(sequence.files) for sequence in labels.walk()),
    )


def _list_crops(folder: Folder, crops: list[ClassFolder]) -> list[SourceImage]:
    images = [
        SourceImage(path, found.emotion, Reading.FACE, subject=_subject(path))
        for found, path in class_pictures(folder, crops, CKP.full_title)
    ]
    return sorted(images, key=lambda image: image.path.name)


def _subject(path: Path) -> str:
    match = _NAME.match(path.stem)
    if match is None:
        raise EmoTorchError(f"{path}: not named like {_EXAMPLE} (person, sequence, frame); move it away")
    return match[1]


def _list_original(frames_folder: Folder, labels_folder: Folder) -> list[SourceImage]:
    images = []
    unlabelled = 0
    for subject in frames_folder.folders:
        for sequence in subject.folders:
            emotion = _sequence_emotion(labels_folder.path / subject.name / sequence.name)
            if emotion is None:
                unlabelled += 1
                continue
            frames = [path for path in sequence.pictures if path.suffix.lower() == ".png"]
            if len(frames) < _PEAK_FRAMES:
                raise EmoTorchError(f"{sequence.path}: {len(frames)} frames, fewer than the {_PEAK_FRAMES} of a peak")
            images += [
                SourceImage(path, emotion, Reading.SCENE, subject=_subject(path)) for path in frames[-_PEAK_FRAMES:]
            ]
    if not images:
        raise EmoTorchError(f"{frames_folder.path}: no sequence has an emotion label in {labels_folder.name}/")
    logger.info("CK+: %d sequences without an emotion label are left out", unlabelled)
    return images


def _sequence_emotion(folder: Path) -> str | None:
    labels = [path for path in visible(folder) if path.name.endswith("_emotion.txt")] if folder.is_dir() else []
    if not labels:
        return None
    text = labels[0].read_text(encoding="utf-8", errors="replace").strip()
    try:
        return _EMOTION_OF_CODE[int(float(text))]
    except (ValueError, OverflowError, KeyError):
        raise EmoTorchError(f"{labels[0]}: {text[:20]!r} is not an emotion number from 1 to 7") from None
