"""CK+ in its two common layouts.

Source: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)" (CVPR workshops 2010).
"""

import logging
import re
from pathlib import Path

from emotorch.data.sources import Reading, SourceImage
from emotorch.datasets import CKP
from emotorch.errors import EmoTorchError
from emotorch.files import visible

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(S\d+)_(\d+)_(\d+)$")
# The numbers in the original's *_emotion.txt; 0 is neutral, which no sequence is labelled with.
_EMOTION_OF_CODE = dict(enumerate(CKP.classes, start=1))
_PEAK_FRAMES = 3


def list_images(folder: Path) -> list[SourceImage]:
    """Every labelled image of CK+, by subject, sequence and frame.

    Reads class folders of 48×48 PNG (`anger/S010_004_00000017.png`), or the original's
    `cohn-kanade-images/S005/001/*.png` with `Emotion/S005/001/*_emotion.txt`, where the last three frames of
    a labelled sequence show the emotion.

    Raises:
        EmoTorchError: the folder has neither layout, or a file that does not belong there.
    """
    if (folder / "cohn-kanade-images").is_dir():
        return _list_original(folder)
    if any((folder / emotion).is_dir() for emotion in CKP.classes):
        return _list_class_folders(folder)
    raise EmoTorchError(f"{folder}: neither class folders ({', '.join(CKP.classes)}) nor cohn-kanade-images/ in it")


def _list_class_folders(folder: Path) -> list[SourceImage]:
    images = []
    for class_folder in visible(folder):
        if class_folder.is_dir() and class_folder.name not in CKP.classes:
            raise EmoTorchError(f"{class_folder}: not a class of CK+ ({', '.join(CKP.classes)})")
        if not class_folder.is_dir():
            continue  # a licence or read-me beside the class folders
        for path in visible(class_folder):
            if path.suffix.lower() != ".png":
                raise EmoTorchError(f"{path}: not a PNG file; move it away")
            images.append(SourceImage(path, class_folder.name, Reading.FACE, subject=_subject(path)))
    return sorted(images, key=lambda image: image.path.name)


def _subject(path: Path) -> str:
    match = _NAME.match(path.stem)
    if match is None:
        raise EmoTorchError(f"{path}: not named like S010_004_00000017.png (subject, sequence, frame)")
    return match[1]


def _list_original(folder: Path) -> list[SourceImage]:
    images = []
    unlabelled = 0
    for subject in _folders(folder / "cohn-kanade-images"):
        for sequence in _folders(subject):
            emotion = _sequence_emotion(folder / "Emotion" / subject.name / sequence.name)
            if emotion is None:
                unlabelled += 1
                continue
            frames = [path for path in visible(sequence) if path.suffix.lower() == ".png"]
            if len(frames) < _PEAK_FRAMES:
                raise EmoTorchError(f"{sequence}: {len(frames)} frames, fewer than the {_PEAK_FRAMES} of a peak")
            images += [
                SourceImage(path, emotion, Reading.SCENE, subject=_subject(path)) for path in frames[-_PEAK_FRAMES:]
            ]
    if not images:
        raise EmoTorchError(f"{folder}: no sequence has an emotion label in Emotion/")
    logger.info("CK+: %d sequences without an emotion label are left out", unlabelled)
    return images


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()]


def _sequence_emotion(folder: Path) -> str | None:
    labels = [path for path in visible(folder) if path.name.endswith("_emotion.txt")] if folder.is_dir() else []
    if not labels:
        return None
    text = labels[0].read_text(encoding="utf-8", errors="replace").strip()
    try:
        return _EMOTION_OF_CODE[int(float(text))]
    except (ValueError, OverflowError, KeyError):
        raise EmoTorchError(f"{labels[0]}: {text[:20]!r} is not an emotion number from 1 to 7") from None
