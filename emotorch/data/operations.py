"""The 28 operations: a registry of named changes to single images, of which variants are made.

An image is (H, W) grey or (H, W, 3) in colour. Lengths are in pixels of a 48×48 image, as FER-2013 has: in a larger one
they grow with its longer side, so that an operation looks alike at any size. `augment` gives one variant of one image.
What it draws depends on the seed, the source image and the operation alone, so a data set is the same byte for byte
whatever the order and the number of workers. The ranges are those of the published EmoTorch; where they leave a meaning
open, Kornia's is taken.
"""

import hashlib
import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from emotorch.data.changes import (
    BORDER,
    INVERSE_LINEAR,
    LEVELS,
    add_noise,
    affine,
    centre,
    change_contrast,
    change_light,
    change_luminance,
    change_tone,
    scale_of,
    turn,
)
from emotorch.data.images import SIZE, Pixels

Operation = Callable[[Pixels, np.random.Generator], Pixels]
OPERATIONS: dict[str, Operation] = {}


def operation(function: Operation) -> Operation:
    """Registers a function under its own name."""
    name = function.__name__
    if name in OPERATIONS:
        raise ValueError(f"there is already an operation named {name}")
    OPERATIONS[name] = function
    return function


class _Stream(threading.local):
    """One generator per thread, set to the start of a key's stream: eight times as fast as a new one."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(key=0, counter=0)
        self.generator = np.random.Generator(self.bits)
        self.start = self.bits.state  # a copy: counter 0, nothing buffered

    def at(self, key: bytes) -> np.random.Generator:
        self.start["state"]["key"] = np.frombuffer(key, "<u8")
        self.bits.state = self.start
        return self.generator


_STREAM = _Stream()


def augment(image: Pixels, source: str, operation: str, seed: int) -> Pixels:
    """The variant of an image that an operation makes; a new array, the image stays as it is.

    `source` identifies the source image (the hex digest of its pixels); two images of one source draw alike.
    """
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(f"expected an (H, W) or (H, W, 3) uint8 image, got {image.shape} {image.dtype}")
    key = hashlib.blake2b(f"{seed}/{source}/{operation}".encode(), digest_size=16).digest()
    return OPERATIONS[operation](np.ascontiguousarray(image), _STREAM.at(key))


def _odd(length: float) -> int:
    """The nearest odd number, for the side of a kernel."""
    return 2 * round((length - 1) / 2) + 1


def _either_way(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between low and high, or its negative."""
    value = rng.uniform(low - high, high - low)
    return value + low if value >= 0 else value - low


# Geometry.


@operation
def rotation(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 5-25° either way: a smaller angle would give the source again."""
    return turn(image, _either_way(rng, 5, 25))


@operation
def flip(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Left and right exchanged."""
    return image[:, ::-1].copy()


@operation
def zoom_in(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A square of 60-75% of the area, anywhere in the picture, enlarged.

    Random resized crop (Szegedy et al. 2015), whose scale is a share of the area.
    """
    scale = math.sqrt(rng.uniform(0.60, 0.75))
    right, down = ((1 - scale) * centre for centre in centre(image))
    return affine(image, scale, 0, 0, scale, rng.uniform(-right, right), rng.uniform(-down, down))


@operation
def zoom_out(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture 1.1-1.3 times smaller, in a frame of its mirror image."""
    scale = rng.uniform(1.1, 1.3)
    return affine(image, scale, 0, 0, scale)


@operation
def shear(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Rows slide sideways by 4-12° either way: a smaller angle would give the source again."""
    return affine(image, 1, math.tan(math.radians(_either_way(rng, 4, 12))), 0, 1)


@lru_cache(maxsize=64)
def _corners(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The four corners as (x, y), and how far each moves inwards at most: 0.25 of half the side."""
    places = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    inwards = (1 - 2 * places) * np.array([0.25 * width / 2, 0.25 * height / 2], np.float32)
    return places * np.array([width - 1, height - 1], np.float32), inwards


@operation
def perspective(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Each corner moves inwards by up to 0.25 of half the side, in x and in y."""
    height, width = image.shape[:2]
    corners, inwards = _corners(height, width)
    matrix = cv2.getPerspectiveTransform(corners + inwards * rng.random((4, 2), np.float32), corners)
    return cast(Pixels, cv2.warpPerspective(image, matrix, (width, height), flags=INVERSE_LINEAR, borderMode=BORDER))


_ELASTIC_KERNEL = cv2.getGaussianKernel(33, 5, cv2.CV_32F)
_ELASTIC_PIXELS_KERNEL = _ELASTIC_KERNEL * np.float32(32 / 128)  # from a signed byte to ±32 pixels
_NO_SECOND_MAP = np.empty(0, np.float32)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> NDArray[np.float32]:
    return np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


@operation
def elastic(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Every pixel displaced by a smooth random field: uniform noise of ±32 pixels, Gaussian kernel 33, σ 5.

    Simard et al. 2003. Smoothing leaves 1 pixel (σ), 3 at most: a visible warp that keeps the expression.
    """
    # One signed byte is enough of a draw: every displacement averages hundreds of them.
    noise = rng.integers(-128, 128, (SIZE, SIZE, 2), np.int8).astype(np.float32)
    field = cv2.sepFilter2D(noise, -1, _ELASTIC_KERNEL, _ELASTIC_PIXELS_KERNEL, borderType=BORDER)
    if image.shape[:2] != (SIZE, SIZE):
        height, width = image.shape[:2]
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(scale_of(image))
    places = _grid(*image.shape[:2]) + field
    return cast(Pixels, cv2.remap(image, places, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=BORDER))


# Light.


@operation
def dark(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness × 0.2-0.4."""
    return change_light(image, rng.uniform(0.2, 0.4))


@operation
def bright(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness × 1.6-2.2."""
    return change_light(image, rng.uniform(1.6, 2.2))


@operation
def low_contrast(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Contrast × 0.2-0.4 about the mean."""
    return change_contrast(image, rng.uniform(0.2, 0.4))


@operation
def high_contrast(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Contrast × 2.5-3.5 about the mean."""
    return change_contrast(image, rng.uniform(2.5, 3.5))


@operation
def gamma_dark(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma exponent 1.8-2.8: darker, black and white stay."""
    return change_tone(image, 255 * (LEVELS / 255) ** rng.uniform(1.8, 2.8))


@operation
def gamma_bright(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma exponent 0.2-0.5: brighter, black and white stay."""
    return change_tone(image, 255 * (LEVELS / 255) ** rng.uniform(0.2, 0.5))


@operation
def posterize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The two highest bits of every pixel: four levels."""
    return image & np.uint8(0b1100_0000)


# Noise and blur.


@operation
def heavy_noise(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of σ 0.12 of the full scale."""
    return add_noise(image, rng, 0.12)


@operation
def light_noise(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of σ 0.04 of the full scale."""
    return add_noise(image, rng, 0.04)


@operation
def blur(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian blur, kernel 9×9, σ 3-5."""
    scale = scale_of(image)
    kernel = cv2.getGaussianKernel(_odd(9 * scale), scale * rng.uniform(3, 5), cv2.CV_32F)
    return cast(Pixels, cv2.sepFilter2D(image, -1, kernel, kernel, borderType=BORDER))


@lru_cache(maxsize=64)
def _line(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Places along a line of so many pixels, weights that rise along it, and the rows that it takes at ±10°."""
    along = np.arange(length, dtype=np.float32) - length // 2
    most = math.ceil(length // 2 * math.tan(math.radians(10)))  # 1 of nine pixels
    rows = np.arange(-most, most + 1, dtype=np.float32)[:, None]
    return along, np.arange(1, length + 1, dtype=np.float32) / np.float32(length * (length + 1) // 2), rows


def _motion(image: Pixels, rng: np.random.Generator, step: int) -> Pixels:
    """Blur along a line of nine pixels at ±10°; the trail fades out to the right, or to the left with a step of -1."""
    along, weights, rows = _line(_odd(9 * scale_of(image)))
    rise = math.tan(math.radians(rng.uniform(-10, 10)))
    kernel = weights[::step] * np.maximum(0, 1 - np.abs(rows - along * rise))
    return cast(Pixels, cv2.filter2D(image, -1, kernel, borderType=BORDER))


@operation
def motion_left(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Moving left within ±10° of level: nine pixels, the trail fades out to the right."""
    return _motion(image, rng, 1)


@operation
def motion_right(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Moving right within ±10° of level: nine pixels, the trail fades out to the left."""
    return _motion(image, rng, -1)


# Masks.


@lru_cache(maxsize=64)
def _sizes(image: tuple[int, int], area: tuple[float, float], ratio: tuple[float, float]) -> list[tuple[int, int]]:
    """All (height, width) in whole pixels with such a share of the image's area and such a long side : short side.

    In an image so small or narrow that there is none, one of the image's own shape, with the largest share.
    """
    height, width = np.mgrid[1 : image[0] + 1, 1 : image[1] + 1]
    share = height * width / (image[0] * image[1])
    shape = np.maximum(height, width) / np.minimum(height, width)
    fitting = (area[0] <= share) & (share <= area[1]) & (ratio[0] <= shape) & (shape <= ratio[1])
    found = [(height, width) for height, width in (np.argwhere(fitting) + 1).tolist()]
    return found or [(max(1, round(image[0] * area[1] ** 0.5)), max(1, round(image[1] * area[1] ** 0.5)))]


def _erase(image: Pixels, rng: np.random.Generator, area: tuple[float, float], ratio: tuple[float, float]) -> Pixels:
    """Blacken a rectangle that lies wholly within the picture."""
    sizes = _sizes(image.shape[:2], area, ratio)
    height, width = sizes[rng.integers(len(sizes))]
    top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
    result = image.copy()
    result[top : top + height, left : left + width] = 0
    return result


@operation
def squares(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A black near-square (ratio up to 1.25) of 8-20% of the area (random erasing, Zhong et al. 2017)."""
    return _erase(image, rng, (0.08, 0.20), (1.0, 1.25))


@operation
def bars(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A black bar of 3-8% of the area, 4-8 times as long as wide, upright or level (Zhong et al. 2017)."""
    return _erase(image, rng, (0.03, 0.08), (4.0, 8.0))


# Effects.


@operation
def solarize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add -0.4 to 0.4 of the full scale, clip, then invert what reaches a threshold of 0.5 ± 0.2.

    This is how Kornia reads the published scalars (threshold 0.2, addition 0.4).
    """
    addition, threshold = rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.7)
    curve = np.minimum(np.maximum(LEVELS + 255 * addition, 0), 255)
    return change_tone(image, np.where(curve < 255 * threshold, curve, 255 - curve))


@operation
def equalize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Histogram equalisation, of a colour image's luminance."""
    return change_luminance(image, cv2.equalizeHist)


@operation
def clahe(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), clip limit 4-8.

    In 2×2 tiles: OpenCV cuts the limit to whole pixels per grey level, so that in the usual 8×8 tiles, of
    36 pixels here, every draw would give the same picture.
    """
    return change_luminance(image, cv2.createCLAHE(rng.uniform(4, 8), (2, 2)).apply)


@operation
def invert(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The negative: 255 − pixel."""
    return ~image


# Occlusion.


@lru_cache(maxsize=64)
def _dot(side: int, width: int) -> NDArray[np.int64]:
    """The places of a dot's pixels, of those of an image so wide, row by row."""
    return np.array([width * y + x for y in range(side) for x in range(side)])


@operation
def snowflakes(image: Pixels, rng: np.random.Generator) -> Pixels:
    """20 white dots of 3×3 pixels, which may overlap."""
    height, width = image.shape[:2]
    side = max(1, min(height, width, round(3 * scale_of(image))))
    y, x = rng.integers(0, height - side + 1, (20, 1)), rng.integers(0, width - side + 1, (20, 1))
    result = image.copy()
    result.reshape(height * width, -1)[width * y + x + _dot(side, width)] = 255
    return result


@operation
def dust(image: Pixels, rng: np.random.Generator) -> Pixels:
    """60 pixels, each replaced by a grey of its own, 64-191; of a larger image the same part."""
    pixels = image.shape[0] * image.shape[1]
    count = round(60 * pixels / SIZE**2)
    result = image.copy()
    where = rng.choice(pixels, count, replace=False, shuffle=False)
    greys = rng.integers(64, 192, count, np.uint8)
    result.reshape(pixels, -1)[where] = greys[:, None]
    return result


# Root, bend and tip of a strand as (x, y); bend and tip count from the root.
_STRAND_LEAST = np.array([[2, -1], [-14, 6], [-12, 20]])
_STRAND_RANGE = np.array([[43, 1], [28, 12], [24, 24]])
_T = np.linspace(0, 1, 12)[:, None]
_BEZIER = ((1 - _T) ** 2, 2 * _T * (1 - _T), _T**2)
_SUBPIXEL_BITS = 4
_SUBPIXELS = 2**_SUBPIXEL_BITS


@operation
def hair(image: Pixels, rng: np.random.Generator) -> Pixels:
    """4 dark strands, thin and curved, hanging 20-44 rows from the upper edge; no pixel gets brighter."""
    points = _STRAND_LEAST + _STRAND_RANGE * rng.random((4, 3, 2))
    root = points[:, :1]
    bend, tip = root + points[:, 1:2], root + points[:, 2:]
    curves = root * _BEZIER[0] + bend * _BEZIER[1] + tip * _BEZIER[2]
    fixed = np.rint(curves * (image.shape[1] / SIZE * _SUBPIXELS, image.shape[0] / SIZE * _SUBPIXELS)).astype(np.int32)
    shade = int(rng.integers(0, 40))
    thickness = max(1, round(scale_of(image)))
    strands = cv2.polylines(
        image.copy(), list(fixed), False, (shade, shade, shade), thickness, cv2.LINE_AA, _SUBPIXEL_BITS
    )
    return np.minimum(strands, image)
