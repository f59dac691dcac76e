"""Changes of a picture by so much, of which operations and corruptions are made: turning, light, contrast, noise.

A picture is (H, W) grey or (H, W, 3) in colour.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from emotorch.data.images import SIZE, Pixels

# Beyond its edge a picture goes on as its mirror image: zeros would add black corners, which tell
# the operation rather than the face, and repeated edge pixels would add streaks.
BORDER = cv2.BORDER_REFLECT_101
INVERSE_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
LEVELS = np.arange(256, dtype=np.float32)


def scale_of(image: Pixels) -> float:
    """The image's size relative to 48×48."""
    return float(max(image.shape[:2])) / SIZE


def centre(image: Pixels) -> tuple[float, float]:
    """(right, down), pixels."""
    return (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2


def affine(image: Pixels, xx: float, xy: float, yx: float, yy: float, right: float = 0.0, down: float = 0.0) -> Pixels:
    """Read pixel p of the result at A·(p − centre) + centre + (right, down) of the image."""
    x, y = centre(image)
    # For a square image the last summands are 0, so that its result stays the same to the bit.
    matrix = np.array(
        [
            [xx, xy, x * (1 - xx - xy) + right + (x - y) * xy],
            [yx, yy, y * (1 - yx - yy) + down + (y - x) * yx],
        ]
    )
    side = image.shape[1::-1]
    return cast(Pixels, cv2.warpAffine(image, matrix, side, flags=INVERSE_LINEAR, borderMode=BORDER))


def turn(image: Pixels, degrees: float) -> Pixels:
    """Turn about the centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return affine(image, cos, -sin, sin, cos)


def change_light(image: Pixels, gain: float, offset: float = 0.0) -> Pixels:
    """gain × pixel + offset, clipped and rounded."""
    return cast(Pixels, cv2.addWeighted(image, gain, image, 0, offset))  # the second image weighs nothing


def change_contrast(image: Pixels, factor: float) -> Pixels:
    """Stretch about the mean grey, so that the brightness stays."""
    mean = cv2.mean(image)[0] if image.ndim == 2 else float(image.mean())
    return change_light(image, factor, (1 - factor) * mean)


def change_tone(image: Pixels, curve: NDArray[np.floating[Any]]) -> Pixels:
    """Replace each of the 256 grey levels by its value on a curve within 0-255, rounded."""
    return cast(Pixels, cv2.LUT(image, np.rint(curve).astype(np.uint8)))


def change_luminance(image: Pixels, change: Callable[[Any], Any]) -> Pixels:
    """Change grey values, of a colour image its luminance."""
    if image.ndim == 2:
        return cast(Pixels, change(image))
    luminance = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    luminance[:, :, 0] = change(np.ascontiguousarray(luminance[:, :, 0]))
    return cast(Pixels, cv2.cvtColor(luminance, cv2.COLOR_YCrCb2RGB))


def add_noise(image: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    """Add Gaussian noise; sigma is a share of the full scale."""
    noise = rng.standard_normal(image.shape, np.float32)
    return cast(Pixels, cv2.addWeighted(image, 1, noise, 255 * sigma, 0, dtype=cv2.CV_8U))
