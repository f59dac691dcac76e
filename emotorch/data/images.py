"""Reading and writing pictures: the one place where a file becomes the pixels a network sees."""

import hashlib
import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from emotorch.data import hdr
from emotorch.data.formats import START, other_content, picture_format
from emotorch.data.opening import open_file
from emotorch.errors import EmoTorchError

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

SIZE = 48  # pixels; FER-2013's side length, and that of all that the baseline reads
# More than any camera gives, and less than fills the memory.
MAX_PIXELS = 200_000_000
# Warnings are about oddities in files that can be read; a damaged file is an error of one line.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow warns of more than this, and refuses more than twice as many


@dataclass(frozen=True)
class PixelForm:
    """The size and colours that pictures are brought to before a model reads them.

    Attributes:
        size: Side length, pixels.
        channels: 1 for grey values, (size, size); 3 for red, green and blue, (size, size, 3).
    """

    size: int = SIZE
    channels: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size, self.size) if self.channels == 1 else (self.size, self.size, self.channels)

    def __str__(self) -> str:
        return f"{self.size}×{self.size} {'grey' if self.channels == 1 else 'colour'}"


# The form of FER-2013's faces.
GREY_FACE = PixelForm()


def bring_to(pixels: Pixels, form: PixelForm) -> Pixels:
    """A picture, (H, W) or (H, W, 3), in a form: what is grey is repeated where colours are wanted."""
    if pixels.shape == form.shape:
        return pixels
    return resize(to_grey(pixels), form.size) if form.channels == 1 else to_colours(resize(pixels, form.size))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
# What brings a picture upright, by its orientation in EXIF.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
_END = _png_chunk(b"IEND", b"")
# A 48×48 picture that is stored uncompressed takes one 4 KiB disk block, as a compressed one does, and is several times
# faster to write and read. Before its rows, each with a filter byte, stand the data chunk's name, zlib's header and
# that of one stored block; after them zlib's checksum.
_FACE_BYTES = SIZE * (SIZE + 1)
_FACE_CHUNK = b"IDAT\x78\x01\x01" + struct.pack("<HH", _FACE_BYTES, _FACE_BYTES ^ 0xFFFF)
_FACE_HEADER = (
    b"\x89PNG\r\n\x1a\n"
    + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 0, 0, 0, 0))
    + struct.pack(">I", len(_FACE_CHUNK) + _FACE_BYTES)  # without the name, with the checksum: both take 4
)


def encode_png(pixels: Pixels) -> bytes:
    """An 8-bit PNG of (H, W) grey values or (H, W, 3) colours; a 48×48 grey face is stored without compression."""
    if pixels.shape != (SIZE, SIZE):
        return cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[:, :, ::-1])[1].tobytes()
    with_filters = np.zeros((SIZE, SIZE + 1), np.uint8)
    with_filters[:, 1:] = pixels
    rows = with_filters.tobytes()
    chunk = _FACE_CHUNK + rows + zlib.adler32(rows).to_bytes(4, "big")
    return _FACE_HEADER + chunk + zlib.crc32(chunk).to_bytes(4, "big") + _END


def _decode_own_png(data: bytes) -> Pixels | None:
    """The pixels of a face that `encode_png` wrote, or None when it is another kind of file or damaged."""
    start = len(_FACE_HEADER) + len(_FACE_CHUNK)
    if not data.startswith(_FACE_HEADER) or len(data) < start + _FACE_BYTES:
        return None
    pixels = np.ascontiguousarray(np.frombuffer(data, np.uint8, _FACE_BYTES, start).reshape(SIZE, SIZE + 1)[:, 1:])
    return pixels if encode_png(pixels) == data else None


def write_png(path: str | Path, pixels: Pixels) -> None:
    """Writes a PNG in place: for stage folders, which get their name only when they are whole."""
    data = encode_png(pixels)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise EmoTorchError(f"cannot write {path}: {error.strerror or error}") from error
    if written != len(data):
        raise EmoTorchError(f"cannot write {path}: the disk is full")


def hash_pixels(pixels: Pixels) -> str:
    """SHA-256 of the values, row by row, in hex: equal pictures have equal hashes."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def read_face(path: Path) -> Pixels:
    """The (48, 48) grey pixels of a dataset's face.

    Raises:
        EmoTorchError: the file is missing, damaged, or not a picture of 48×48.
    """
    pixels = to_grey(read_stored(path))
    if pixels.shape != (SIZE, SIZE):
        raise EmoTorchError(f"{path}: {pixels.shape[1]}×{pixels.shape[0]} pixels where {SIZE}×{SIZE} are expected")
    return pixels


def read_stored(path: Path) -> Pixels:
    """A picture as a stage stored it, (H, W) or (H, W, 3) uint8.

    Raises:
        EmoTorchError: the file is missing or damaged.
    """
    data = _read_bytes(path)
    own = _decode_own_png(data)
    return without_equal_colours(decode_photo(data, path)) if own is None else own


def read_picture(path: Path, *, colour: bool = False) -> Pixels:
    """A dataset's picture of any size and format, upright: its grey values, (H, W) uint8.

    With `colour` the red, green and blue, (H, W, 3), of a picture that has any.

    Raises:
        EmoTorchError: the file is missing, damaged or too large.
    """
    pixels = read_photo(path)
    return without_equal_colours(pixels) if colour else to_grey(pixels)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_fifo():  # to open it is to wait for somebody who writes to it
            raise EmoTorchError(f"{path}: a pipe, no picture; move it away")
        return path.read_bytes()
    except OSError as error:
        raise EmoTorchError(f"{path}: {error.strerror or error}") from error


def decode_photo(
    data: bytes | BinaryIO, path: Path, *, formats: tuple[str, ...] | None = None, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """A picture, whatever its name says, upright; (H, W) uint8 grey, or (H, W, 3) red, green, blue.

    Args:
        data: The file's content, or the open file: of that no more is read than is needed.
        path: The file's name, for messages.
        formats: Pillow's names of those to read; None for all that can be read.
        max_pixels: A picture with more is refused before it is decoded.

    Raises:
        EmoTorchError: it is damaged, too large, or no picture.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with _opened(file, path, formats, max_pixels) as image:
            pixels = _photo(_upright(image))
            # A camera's MPO holds one photo several times.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                logger.info("%s: holds several pictures, of which the first is read", path)
            return pixels
    except _UnknownFormatError:
        deep = None if formats else _decode_deep(file, path, max_pixels)
        if deep is not None:
            return deep
        start = _start(file, START)
        if picture_format(start) == "HEIC":
            raise EmoTorchError(f"{path}: a HEIC picture, which cannot be read here; save it as JPEG") from None
        other = other_content(start)
        if other:
            raise EmoTorchError(f"{path}: not a readable image but {other}; replace or remove it") from None
        raise


class _UnknownFormatError(EmoTorchError):
    """Pillow knows no such kind of file."""


def _decode_deep(file: BinaryIO, path: Path, max_pixels: int) -> Pixels | None:
    """As `hdr.decode`; of a file of another kind just the start is read."""
    if not _start(file, max(map(len, hdr.STARTS))).startswith(hdr.STARTS):
        return None
    try:
        return hdr.decode(_start(file, -1), max_pixels)
    except ValueError as error:
        raise EmoTorchError(f"{path}: damaged image ({error}); replace or remove it") from error


def _start(file: BinaryIO, length: int) -> bytes:
    """So many bytes of a file from its start; all with -1."""
    file.seek(0)
    return file.read(length)


def photo_of(image: Image.Image) -> Pixels:
    """As `decode_photo`, for an open picture; raises EmoTorchError also when it has no pixels."""
    with _pillow_errors(Path("a PIL image")):
        if not (image.width and image.height):
            raise EmoTorchError(f"a PIL image of {image.width}×{image.height} pixels")
        return _photo(_upright(image))


def read_photo(path: Path) -> Pixels:
    """As `decode_photo`, for a path; raises EmoTorchError also when the file is missing."""
    with open_file(path) as file:
        return decode_photo(file, path)


def picture_size(path: Path, *, upright: bool = False) -> tuple[int, int] | None:
    """Width and height as the file's start states them, or when it is turned upright; None where it cannot be read."""
    try:
        with open_file(path) as file, _opened(file, path, None, MAX_PIXELS) as image:
            lies = upright and image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
            return (image.height, image.width) if lies else image.size
    except EmoTorchError:
        return None


def to_grey(pixels: Pixels) -> Pixels:
    """(H, W) as it is; (H, W, 3) red, green, blue with the weights by which a grey file is made of a colour one."""
    return pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"), np.uint8)


def to_colours(pixels: Pixels) -> Pixels:
    """(H, W, 3) red, green, blue; (H, W) grey values three times."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


@contextmanager
def _opened(file: BinaryIO, path: Path, formats: tuple[str, ...] | None, max_pixels: int) -> Iterator[Image.Image]:
    """The open picture; errors are those of `decode_photo`, also while it is in use."""
    if _start(file, 4) in _POSTSCRIPT:  # of which Pillow makes pixels by running Ghostscript
        raise _UnknownFormatError(f"{path}: not a readable image; replace or remove it")
    file.seek(0)
    with _pillow_errors(path), Image.open(file, formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise EmoTorchError(f"{path}: {image.width}×{image.height} pixels are too many to read")
        yield image


@contextmanager
def _pillow_errors(path: Path) -> Iterator[None]:
    """Turns Pillow's errors into ours, which name the picture."""
    try:
        yield
    except EmoTorchError:
        raise
    except UnidentifiedImageError:
        raise _UnknownFormatError(f"{path}: not a readable image; replace or remove it") from None
    except Image.DecompressionBombError as error:
        raise EmoTorchError(f"{path}: too many pixels to read ({error})") from error
    except MemoryError:
        raise EmoTorchError(f"{path}: too large for the memory that is free; shrink it") from None
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise EmoTorchError(f"{path}: damaged image ({error}); replace or remove it") from error


def _photo(upright: Image.Image) -> Pixels:
    """The colours of what `_upright` gives, or the grey values of a file that has only these."""
    if _is_deep(upright):
        return hdr.to_bytes(np.asarray(upright))
    return np.asarray(upright.convert("L" if upright.mode in ("1", "L") else "RGB"), dtype=np.uint8)


def without_equal_colours(pixels: Pixels) -> Pixels:
    """The grey values of a picture in which red, green and blue are equal all over; else its colours."""
    if pixels.ndim == 2 or (pixels != pixels[:, :, :1]).any():
        return pixels
    return np.ascontiguousarray(pixels[:, :, 0])


def _is_deep(image: Image.Image) -> bool:
    """Whether it has more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def _upright(image: Image.Image) -> Image.Image:
    """The first frame as the camera was held, on white where it is transparent."""
    # Not ImageOps.exif_transpose, which writes all tags anew, and fails on odd ones that say nothing of this.
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = image if turn is None else image.transpose(turn)
    is_transparent = upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in upright.info
    if _is_deep(upright) or not is_transparent:
        return upright
    coloured = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)


def resize(pixels: Pixels, size: int = SIZE) -> Pixels:
    """(H, W) or (H, W, 3) to (size, size) or (size, size, 3); see `_resized`."""
    return _resized(pixels, size, size)


def undo_enlarging(pixels: Pixels) -> Pixels:
    """(H, W) that was enlarged from 48×48, nearly as it was: its values at the middles of the old pixels.

    By cubic interpolation: of faces of FER-2013 enlarged to 224×224 it is 0.6 to 0.8 grey values off on average, where
    averaging over areas is 3.2 off.
    """
    return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """(H, W) or (H, W, 3) with its longer side at most `longest`, in the same proportions; never enlarged."""
    height, width = pixels.shape[:2]
    scale = min(1.0, longest / max(height, width))
    return _resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """By area averaging when shrinking, so that nothing aliases."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinking = pixels.shape[0] >= height and pixels.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8)
