"""The 28 operations: a registry of named changes to single 48×48 grey images, of which variants are made.

`augment` gives one variant of one image. What it draws depends on the seed, the source image and the
operation alone, so a data set is the same byte for byte whatever the order and the number of workers. The
ranges are those of the published EmoTorch; where they leave a meaning open, Kornia's is taken.
"""

import hashlib
import math
import threading
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

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
    """The variant of a 48×48 grey image that an operation makes; a new array, the image stays as it is.

    `source` identifies the source image (the hex digest of its pixels); two images of one source draw alike.
    """
    if image.shape != (SIZE, SIZE) or image.dtype != np.uint8:
        raise ValueError(f"expected a {SIZE}×{SIZE} uint8 image, got {image.shape} {image.dtype}")
    key = hashlib.blake2b(f"{seed}/{source}/{operation}".encode(), digest_size=16).digest()
    return OPERATIONS[operation](np.ascontiguousarray(image), _STREAM.at(key))


# Geometry. Beyond its edge the picture goes on as its mirror image: zeros would add black corners, which tell
# the operation rather than the face, and repeated edge pixels would add streaks.

_CENTRE = (SIZE - 1) / 2
_BORDER = cv2.BORDER_REFLECT_101
_INVERSE_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_CORNERS = np.array([[0, 0], [SIZE - 1, 0], [SIZE - 1, SIZE - 1], [0, SIZE - 1]], np.float32)
_INWARD = np.sign(_CENTRE - _CORNERS)  # from each corner
_GRID = np.dstack(np.meshgrid(np.arange(SIZE), np.arange(SIZE))).astype(np.float32)


def _affine(image: Pixels, xx: float, xy: float, yx: float, yy: float, right: float = 0.0, down: float = 0.0) -> Pixels:
    """Read pixel p of the result at A·(p − centre) + centre + (right, down) of the image."""
    matrix = np.array(
        [
            [xx, xy, _CENTRE * (1 - xx - xy) + right],
            [yx, yy, _CENTRE * (1 - yx - yy) + down],
        ]
    )
    return cast(Pixels, cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=_INVERSE_LINEAR, borderMode=_BORDER))


def _either_way(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between low and high, or its negative."""
    value = rng.uniform(low - high, high - low)
    return value + low if value >= 0 else value - low


def turn(image: Pixels, degrees: float) -> Pixels:
    """Turn about the centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _affine(image, cos, -sin, sin, cos)


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
    margin = (1 - scale) * _CENTRE
    return _affine(image, scale, 0, 0, scale, rng.uniform(-margin, margin), rng.uniform(-margin, margin))


@operation
def zoom_out(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture 1.1-1.3 times smaller, in a frame of its mirror image."""
    scale = rng.uniform(1.1, 1.3)
    return _affine(image, scale, 0, 0, scale)


@operation
def shear(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Rows slide sideways by 4-12° either way: a smaller angle would give the source again."""
    return _affine(image, 1, math.tan(math.radians(_either_way(rng, 4, 12))), 0, 1)


@operation
def perspective(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Each corner moves inwards by up to 0.25 of half the side, in x and in y."""
    corners = _CORNERS + 0.25 * SIZE / 2 * _INWARD * rng.random((4, 2), np.float32)
    matrix = cv2.getPerspectiveTransform(corners, _CORNERS)
    return cast(Pixels, cv2.warpPerspective(image, matrix, (SIZE, SIZE), flags=_INVERSE_LINEAR, borderMode=_BORDER))


_ELASTIC_KERNEL = cv2.getGaussianKernel(33, 5, cv2.CV_32F)
_ELASTIC_PIXELS_KERNEL = _ELASTIC_KERNEL * np.float32(32 / 128)  # from a signed byte to ±32 pixels
_NO_SECOND_MAP = np.empty(0, np.float32)


@operation
def elastic(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Every pixel displaced by a smooth random field: uniform noise of ±32 pixels, Gaussian kernel 33, σ 5.

    Simard et al. 2003. Smoothing leaves 1 pixel (σ), 3 at most: a visible warp that keeps the expression.
    """
    # One signed byte is enough of a draw: every displacement averages hundreds of them.
    noise = rng.integers(-128, 128, (SIZE, SIZE, 2), np.int8).astype(np.float32)
    field = cv2.sepFilter2D(noise, -1, _ELASTIC_KERNEL, _ELASTIC_PIXELS_KERNEL, borderType=_BORDER)
    return cast(Pixels, cv2.remap(image, _GRID + field, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=_BORDER))


# Light.


def change_light(image: Pixels, gain: float, offset: float = 0.0) -> Pixels:
    """gain × pixel + offset, clipped and rounded."""
    return cast(Pixels, cv2.addWeighted(image, gain, image, 0, offset))  # the second image weighs nothing


def change_contrast(image: Pixels, factor: float) -> Pixels:
    """Stretch about the mean grey, so that the brightness stays."""
    return change_light(image, factor, (1 - factor) * cv2.mean(image)[0])


_LEVELS = np.arange(256, dtype=np.float32)


def _tone(image: Pixels, curve: NDArray[np.floating[Any]]) -> Pixels:
    """Replace each of the 256 grey levels by its value on a curve within 0-255, rounded."""
    return cast(Pixels, cv2.LUT(image, np.rint(curve).astype(np.uint8)))


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
    return _tone(image, 255 * (_LEVELS / 255) ** rng.uniform(1.8, 2.8))


@operation
def gamma_bright(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma exponent 0.2-0.5: brighter, black and white stay."""
    return _tone(image, 255 * (_LEVELS / 255) ** rng.uniform(0.2, 0.5))


@operation
def posterize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The two highest bits of every pixel: four levels."""
    return image & np.uint8(0b1100_0000)


# Noise and blur.


def add_noise(image: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    """Add Gaussian noise; sigma is a share of the full scale."""
    noise = rng.standard_normal((SIZE, SIZE), np.float32)
    return cast(Pixels, cv2.addWeighted(image, 1, noise, 255 * sigma, 0, dtype=cv2.CV_8U))


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
    kernel = cv2.getGaussianKernel(9, rng.uniform(3, 5), cv2.CV_32F)
    return cast(Pixels, cv2.sepFilter2D(image, -1, kernel, kernel, borderType=_BORDER))


_ALONG = np.arange(-4, 5, dtype=np.float32)
_ROWS = np.array([[-1], [0], [1]], np.float32)


def _motion(image: Pixels, rng: np.random.Generator, weights: NDArray[np.floating[Any]]) -> Pixels:
    """Blur along a line of nine pixels at ±10°: it rises by less than one pixel, so three rows hold it."""
    rise = math.tan(math.radians(rng.uniform(-10, 10)))
    kernel = weights * np.maximum(0, 1 - np.abs(_ROWS - _ALONG * rise))
    return cast(Pixels, cv2.filter2D(image, -1, kernel, borderType=_BORDER))


_RAMP = np.arange(1, 10, dtype=np.float32) / 45


@operation
def motion_left(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Moving left within ±10° of level: nine pixels, the trail fades out to the right."""
    return _motion(image, rng, _RAMP)


@operation
def motion_right(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Moving right within ±10° of level: nine pixels, the trail fades out to the left."""
    return _motion(image, rng, _RAMP[::-1])


# Masks.


def _sizes(area: tuple[float, float], ratio: tuple[float, float]) -> list[tuple[int, int]]:
    """All (height, width) in whole pixels with such a share of the area and such a long side : short side."""
    sides = range(1, SIZE + 1)
    return [
        (height, width)
        for height in sides
        for width in sides
        if area[0] <= height * width / SIZE**2 <= area[1]
        and ratio[0] <= max(height, width) / min(height, width) <= ratio[1]
    ]


_SQUARES = _sizes((0.08, 0.20), (1.0, 1.25))
_BARS = _sizes((0.03, 0.08), (4.0, 8.0))


def _erase(image: Pixels, rng: np.random.Generator, sizes: list[tuple[int, int]]) -> Pixels:
    """Blacken a rectangle that lies wholly within the picture."""
    height, width = sizes[rng.integers(len(sizes))]
    top, left = rng.integers(SIZE - height + 1), rng.integers(SIZE - width + 1)
    result = image.copy()
    result[top : top + height, left : left + width] = 0
    return result


@operation
def squares(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A black near-square (ratio up to 1.25) of 8-20% of the area (random erasing, Zhong et al. 2017)."""
    return _erase(image, rng, _SQUARES)


@operation
def bars(image: Pixels, rng: np.random.Generator) -> Pixels:
    """A black bar of 3-8% of the area, 4-8 times as long as wide, upright or level (Zhong et al. 2017)."""
    return _erase(image, rng, _BARS)


# Effects.


@operation
def solarize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add -0.4 to 0.4 of the full scale, clip, then invert what reaches a threshold of 0.5 ± 0.2.

    This is how Kornia reads the published scalars (threshold 0.2, addition 0.4).
    """
    addition, threshold = rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.7)
    curve = np.minimum(np.maximum(_LEVELS + 255 * addition, 0), 255)
    return _tone(image, np.where(curve < 255 * threshold, curve, 255 - curve))


@operation
def equalize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Histogram equalisation."""
    return cast(Pixels, cv2.equalizeHist(image))


@operation
def clahe(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), clip limit 4-8.

    In 2×2 tiles: OpenCV cuts the limit to whole pixels per grey level, so that in the usual 8×8 tiles, of
    36 pixels here, every draw would give the same picture.
    """
    return cast(Pixels, cv2.createCLAHE(rng.uniform(4, 8), (2, 2)).apply(image))


@operation
def invert(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The negative: 255 − pixel."""
    return ~image


# Occlusion.

_DOT = np.array([SIZE * y + x for y in range(3) for x in range(3)])


@operation
def snowflakes(image: Pixels, rng: np.random.Generator) -> Pixels:
    """20 white dots of 3×3 pixels, which may overlap."""
    y, x = rng.integers(0, SIZE - 2, (2, 20, 1))
    result = image.copy()
    result.ravel()[SIZE * y + x + _DOT] = 255
    return result


@operation
def dust(image: Pixels, rng: np.random.Generator) -> Pixels:
    """60 pixels, each replaced by a grey of its own, 64-191."""
    result = image.copy()
    where = rng.choice(SIZE * SIZE, 60, replace=False, shuffle=False)
    result.ravel()[where] = rng.integers(64, 192, 60, np.uint8)
    return result


# Root, bend and tip of a strand as (x, y); bend and tip count from the root.
_STRAND_LEAST = np.array([[2, -1], [-14, 6], [-12, 20]])
_STRAND_RANGE = np.array([[43, 1], [28, 12], [24, 24]])
_T = np.linspace(0, 1, 12)[:, None]
_BEZIER = ((1 - _T) ** 2, 2 * _T * (1 - _T), _T**2)
_SUBPIXEL_BITS = 4


@operation
def hair(image: Pixels, rng: np.random.Generator) -> Pixels:
    """4 dark strands, thin and curved, hanging 20-44 rows from the upper edge; no pixel gets brighter."""
    points = _STRAND_LEAST + _STRAND_RANGE * rng.random((4, 3, 2))
    root = points[:, :1]
    bend, tip = root + points[:, 1:2], root + points[:, 2:]
    curves = root * _BEZIER[0] + bend * _BEZIER[1] + tip * _BEZIER[2]
    fixed = np.rint(curves * 2**_SUBPIXEL_BITS).astype(np.int32)
    shade = int(rng.integers(0, 40))
    strands = cv2.polylines(image.copy(), list(fixed), False, shade, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
    return np.minimum(strands, image)
