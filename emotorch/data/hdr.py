"""Pictures with more than 8 bits: brought to bytes; and two kinds of them that Pillow does not read.

Method: Reinhard, Stark, Shirley and Ferwerda, "Photographic tone reproduction for digital images" (2002), its global
operator; then a gamma of 2.2, as the values are of linear light.
"""

import re
import struct
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# White for whole numbers: the least of these that is not exceeded. Cameras store 12 bits in 16.
_WHITES = (255, 4095, 65535)
# If the largest value exceeds the mean by this factor, the picture needs tone mapping.
_HIGH_RANGE = 8.0
_KEY, _GAMMA = 0.18, 2.2

# The signatures of the two kinds of files.
_RADIANCE, _TIFF = b"#?", (b"II*\0", b"MM\0*")
STARTS = (_RADIANCE, *_TIFF)
_RADIANCE_SIZE = re.compile(rb"\n[-+][XY] +(\d+) +[-+][XY] +(\d+)\n")
_HEADER = 64 * 1024  # bytes, within which a header ends


def to_bytes(values: NDArray[Any], *, is_linear: bool = False) -> NDArray[np.uint8]:
    """Values of more than 8 bits, (H, W) or (H, W, 3), as bytes.

    Whole numbers up to 16 bits, and fractions from 0 to 1, keep their proportions. Other values are stretched to their
    range; where that is high, or they are known to be of linear light, bright ones are compressed. What is no number
    is black.

    Raises:
        ValueError: no value is a finite number.
    """
    is_whole = np.issubdtype(values.dtype, np.integer)
    values = np.asarray(values, np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("none of its pixels is a finite number")
    low, high = float(finite.min()), float(finite.max())
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    white = next((white for white in _WHITES if high <= white), None) if is_whole else 1.0
    if low >= 0 and (is_linear or (high > (white or 0) and high > _HIGH_RANGE * float(values.mean()))):
        values = _KEY * values / float(np.exp(np.log(np.maximum(values, 1e-6)).mean()))
        values = (values / (1 + values)) ** (1 / _GAMMA)
    elif low >= 0 and white and high <= white:
        values = values / white
    elif high > low:
        values = (values - low) / (high - low)
    else:
        values = np.zeros_like(values)
    return np.asarray(np.rint(255 * values), np.uint8)


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """A Radiance picture, or a TIFF file of colours as fractions; (H, W) or (H, W, 3) uint8, red, green, blue.

    Returns:
        None when it is another kind of file, a damaged one, or has more pixels.

    Raises:
        ValueError: see `to_bytes`.
    """
    pixels = _pixels_in(data)
    if not 0 < pixels <= max_pixels:
        return None
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our one line says enough
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if decoded is None or decoded.dtype != np.float32:
        return None
    return to_bytes(decoded[:, :, ::-1], is_linear=data.startswith(_RADIANCE))


def _pixels_in(data: bytes) -> int:
    """Number of pixels by the header; 0 for another kind of file."""
    if data.startswith(_RADIANCE):
        size = _RADIANCE_SIZE.search(data[:_HEADER])
        return int(size[1]) * int(size[2]) if size else 0
    if not data.startswith(_TIFF):
        return 0
    from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, ImageFileDirectory_v2

    try:
        directory = ImageFileDirectory_v2(data[:8])
        file = BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        return int(directory[IMAGEWIDTH]) * int(directory[IMAGELENGTH])
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 0
