"""Small copies of datasets in the layouts that they are handed around in; every picture another, by its number."""

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from emotorch.data.images import Pixels


def draw(number: int, side: int = 48) -> Pixels:
    """(side, side) a smooth random picture."""
    blobs = np.random.default_rng(number).integers(0, 256, (6, 6)).astype(np.uint8)
    return np.asarray(cv2.resize(blobs, (side, side)), np.uint8)


def put(root: Path, names: Iterable[str], *, side: int = 48, kind: str | None = None, first: int = 0) -> list[Path]:
    """Pictures under these names below a folder, in the format that `kind` or the names' endings say."""
    files = [root / name for name in names]
    for number, file in zip(count(first), files, strict=False):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number, side)).save(file, kind)
    return files


def raf_names(counts: dict[str, int], classes: Sequence[object] = range(1, 8)) -> list[str]:
    """`train/3/train_00003_aligned.jpg`: so many images for each split, of all classes in turn."""
    return [
        f"{split}/{classes[number % len(classes)]}/{split}_{number + 1:05d}_aligned.jpg"
        for split, images in counts.items()
        for number in range(images)
    ]


def jaffe_names(persons: Sequence[str] = ("KA", "KL", "YM")) -> list[str]:
    """`KA.AN1.39.tiff`: each person with each expression once."""
    codes = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")
    return [f"{who}.{code}1.{number}.tiff" for who in persons for number, code in enumerate(codes, start=1)]


def kdef_names(persons: Sequence[str] = ("F01", "M02"), codes: Sequence[str] = ("AF", "AN", "NE")) -> list[str]:
    """`AF01/AF01ANS.JPG`: both sessions of each person."""
    return [f"{s}{who}/{s}{who}{code}S.JPG" for who in persons for s in "AB" for code in codes]
