"""Eight common corruptions of face images, each in five severities: a registry of named operations.

Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations"
(ICLR 2019), with strengths for 48×48 faces; in larger images lengths grow with the side, but for the side of a face in
a photo that `downscaling` is about. What is random (the noise, where the square is, which way the face turns) comes
from the source image's hash alone: it is the same at every severity, so that a curve shows the severity and nothing
else, and does not depend on the order or the number of images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from emotorch.data.changes import add_noise, change_contrast, change_light, scale_of, turn
from emotorch.data.images import Pixels, resize
from emotorch.evaluation.sets import EvaluationSet
from emotorch.figures.canvas import save
from emotorch.figures.dataset import sheet_figure
from emotorch.seeding import generator

CLEAN = "clean"
SEVERITIES = (1, 2, 3, 4, 5)
_SHEET_FACES = 2

_Operation = Callable[[Pixels, float, str], Pixels]


@dataclass(frozen=True)
class Corruption:
    """A way in which images get worse.

    Attributes:
        quantity: What the strengths are, with their unit; σ is in pixels of a 48×48 face.
        strengths: One for each severity, the mildest first.
        apply: From an (S, S) or (S, S, 3) uint8 image, a strength and the source image's hash to the corrupted image.
    """

    quantity: str
    strengths: tuple[float, ...]
    apply: _Operation


CORRUPTIONS: dict[str, Corruption] = {}


def corruption(quantity: str, *strengths: float) -> Callable[[_Operation], _Operation]:
    """Registers a function under its own name."""

    def register(function: _Operation) -> _Operation:
        name = function.__name__
        if name in CORRUPTIONS:
            raise ValueError(f"there is already a corruption named {name}")
        if len(strengths) != len(SEVERITIES):
            raise ValueError(f"{name} has {len(strengths)} strengths, not one for each of {len(SEVERITIES)} severities")
        CORRUPTIONS[name] = Corruption(quantity, strengths, function)
        return function

    return register


def corrupt(images: Pixels, sources: Sequence[str], name: str, severity: int) -> Pixels:
    """The corrupted images, in a new array.

    Args:
        images: (N, S, S) or (N, S, S, 3) uint8.
        sources: N hashes of the source images; equal ones get the same random numbers.
        severity: 1 (mild) to 5.

    Raises:
        ValueError: there is no such corruption or severity, or the images are not like this.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"{name} at severity {severity}: there are {', '.join(CORRUPTIONS)} at {SEVERITIES}")
    if images.ndim not in (3, 4) or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
        raise ValueError(f"expected square uint8 images, got {images.shape} {images.dtype}")
    chosen = CORRUPTIONS[name]
    strength = chosen.strengths[severity - 1]
    corrupted = np.empty_like(images)
    for position, (image, source) in enumerate(zip(images, sources, strict=True)):
        corrupted[position] = chosen.apply(image, strength, source)
    return corrupted


def plot_corruptions(path: Path, images: EvaluationSet) -> None:
    """Draws a few faces, of different classes where there are, clean and at every severity of every corruption."""
    order = np.argsort(images.hashes, kind="stable")
    firsts = np.sort(np.unique(images.labels[order], return_index=True)[1])
    faces = order[firsts][:_SHEET_FACES]
    sources = images.hashes[faces].tolist()
    rows = []
    for name, corruption in CORRUPTIONS.items():
        shown = [images.pixels[faces], *(corrupt(images.pixels[faces], sources, name, step) for step in SEVERITIES)]
        strengths = ", ".join(f"{strength:g}" for strength in corruption.strengths)
        caption = f"{name.replace('_', ' ')}: {corruption.quantity}: {strengths}"
        rows.append((caption, np.concatenate(np.stack(shown, axis=1))))
    title = f"{images.name}: {CLEAN}, then severities {SEVERITIES[0]} to {SEVERITIES[-1]}"
    save(sheet_figure(rows, title, columns=len(rows[0][1])), path)


@corruption("Gaussian blur, σ in pixels", 0.5, 1, 1.5, 2, 3)
def blur(image: Pixels, sigma: float, _: str) -> Pixels:
    return cast(Pixels, cv2.GaussianBlur(image, (0, 0), sigma * scale_of(image)))


@corruption("light that is left", 0.6, 0.4, 0.25, 0.15, 0.08)
def low_light(image: Pixels, gain: float, _: str) -> Pixels:
    return change_light(image, gain)


@corruption("black square, share of the picture", 0.04, 0.08, 0.15, 0.25, 0.4)
def occlusion(image: Pixels, area: float, source: str) -> Pixels:
    """The square is wholly within the picture, and that of a milder severity within it."""
    size = len(image)
    side = round(size * area**0.5)
    top, left = np.rint(generator("occlusion", source).random(2) * (size - side)).astype(int)
    result = image.copy()
    result[top : top + side, left : left + side] = 0
    return result


@corruption("Gaussian noise, σ as share of the full scale", 0.04, 0.08, 0.12, 0.16, 0.2)
def noise(image: Pixels, sigma: float, source: str) -> Pixels:
    return add_noise(image, generator("noise", source), sigma)


@corruption("contrast that is left, about the mean grey", 0.75, 0.5, 0.35, 0.2, 0.1)
def contrast(image: Pixels, factor: float, _: str) -> Pixels:
    return change_contrast(image, factor)


@corruption("turned either way, degrees", 6, 12, 18, 25, 35)
def rotation(image: Pixels, degrees: float, source: str) -> Pixels:
    return turn(image, degrees if generator("rotation", source).random() < 0.5 else -degrees)


@corruption("JPEG quality", 40, 25, 15, 10, 6)
def jpeg(image: Pixels, quality: float, _: str) -> Pixels:
    # OpenCV's files have blue first.
    data = cv2.imencode(".jpg", _reversed(image), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return _reversed(cast(Pixels, cv2.imdecode(data, cv2.IMREAD_UNCHANGED)))


def _reversed(image: Pixels) -> Pixels:
    return image if image.ndim == 2 else np.ascontiguousarray(image[:, :, ::-1])


@corruption("side of the face in pixels, enlarged again", 32, 24, 18, 13, 9)
def downscaling(image: Pixels, side: float, _: str) -> Pixels:
    """As the pipeline itself enlarges a face that is so small in a photo."""
    return resize(resize(image, int(side)), len(image))
