"""Pictures: what a stage writes is read back exactly, and what is damaged or foreign is named."""

import contextlib
import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_images, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from emotorch.data import opening
from emotorch.data.images import (
    SIZE,
    Pixels,
    decode_photo,
    encode_png,
    hash_pixels,
    read_face,
    read_photo,
    read_picture,
    resize,
    to_grey,
    write_png,
)
from emotorch.errors import EmoTorchError

FACES = arrays(np.uint8, (SIZE, SIZE))
PICTURES = st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(lambda shape: arrays(np.uint8, shape))
FACE: Pixels = draw_images(1, seed=3)[0]
NOISE: Pixels = np.random.default_rng(5).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def written(tmp_path: Path, data: bytes, name: str = "face.png") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def grey(data: bytes, path: Path) -> Pixels:
    return to_grey(decode_photo(data, path))


# Our own PNG.


@settings(derandomize=True, deadline=None, max_examples=60)
@given(pixels=PICTURES)
def test_any_picture_comes_back_as_it_was(pixels: Pixels) -> None:
    assert np.array_equal(decode_photo(encode_png(pixels), Path("any.png")), pixels)


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "face.png"


@settings(derandomize=True, deadline=None, max_examples=60)
@given(pixels=FACES)
def test_any_face_comes_back_as_it_was(one_file: Path, pixels: Pixels) -> None:
    one_file.write_bytes(encode_png(pixels))
    assert np.array_equal(read_face(one_file), pixels)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(pixels=PICTURES | FACES)
def test_other_programs_read_our_png(pixels: Pixels) -> None:
    data = encode_png(pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)


def test_a_face_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    missing = f"{tmp_path}/missing/face.png"
    with refusal(f"cannot write {missing}: No such file or directory"):
        write_png(missing, FACE)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here that cannot be read")
@pytest.mark.parametrize("read", [read_face, read_photo])
def test_a_file_that_a_disk_does_not_give_is_named(read: Callable[[Path], Pixels]) -> None:
    with pytest.raises(EmoTorchError, match=r"^/proc/self/mem: .*Input/output error"):
        read(Path("/proc/self/mem"))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_grey_png_of_a_face_is_read(tmp_path: Path, level: int) -> None:
    path = written(tmp_path, encode(Image.fromarray(NOISE), "PNG", compress_level=level))
    assert np.array_equal(read_face(path), NOISE)


def refused_or_unharmed(path: Path, pixels: Pixels) -> bool:
    try:
        return np.array_equal(read_face(path), pixels)
    except EmoTorchError as error:
        return str(path) in str(error)


def test_no_changed_byte_goes_unnoticed(tmp_path: Path) -> None:
    data = encode_png(NOISE)
    flips = np.random.default_rng(1).integers(1, 256, len(data)).tolist()
    # Every byte of the frame around the pixels, and some of the thousands of pixels.
    for position in {*range(60), *range(60, len(data), 11), *range(len(data) - 25, len(data))}:
        changed = bytearray(data)
        changed[position] ^= flips[position]
        assert refused_or_unharmed(written(tmp_path, changed), NOISE), f"byte {position} ^ {flips[position]}"


def test_no_cut_goes_unnoticed(tmp_path: Path) -> None:
    data = encode_png(NOISE)
    for length in {*range(60), *range(60, len(data), 11), *range(len(data) - 25, len(data))}:
        assert refused_or_unharmed(written(tmp_path, data[:length]), NOISE), f"{length} bytes left"


def test_half_a_face_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path, encode_png(NOISE)[:1200])
    with refusal(f"{path}: damaged image "):
        read_face(path)


# What is no face.


def test_a_text_named_png_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"anger, fear, calm, surprise\n")
    with refusal(f"{path}: not a readable image"):
        read_face(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file; "),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04" + bytes(30), "a zip archive (unpack it)"),
    ],
)
def test_what_lies_in_a_picture_s_place_is_called_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    path = written(tmp_path, content)
    with refusal(f"{path}: not a readable image but {what}"):
        read_face(path)


def test_a_phone_s_heic_picture_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with refusal(f"{path}: a HEIC picture, which cannot be read here; save it as JPEG"):
        read_photo(path)
    with refusal("bytes: a HEIC picture"):
        decode_photo(path.read_bytes(), Path("bytes"))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no names for pipes here")
@pytest.mark.parametrize(("content", "problem"), [(encode_png(FACE), ""), (b"no picture", "not a readable image")])
def test_a_picture_comes_through_a_pipe_or_is_named(content: bytes, problem: str) -> None:
    """As in `emotorch <(curl …)`."""
    end, start = os.pipe()
    os.write(start, content)
    os.close(start)
    path = Path(f"/dev/fd/{end}")
    with refusal(f"{path}: {problem}") if problem else contextlib.nullcontext():
        assert np.array_equal(read_photo(path), FACE)
    os.close(end)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_through_which_nothing_comes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "face.png"
    os.mkfifo(path)
    with refusal(f"{path}: a pipe, no picture"):
        read_face(path)
    monkeypatch.setattr(opening, "_NO_WRITER_S", 0.1)
    with refusal(f"{path}: a pipe that nobody writes to"):
        read_photo(path)
    monkeypatch.setattr(opening, "_SILENCE_S", 0.1)
    silent = os.open(path, os.O_RDWR)
    with refusal(f"{path}: nothing came through this pipe"):
        read_photo(path)
    monkeypatch.setattr(opening, "_MOST_OF_A_PIPE", 1000)
    os.write(silent, bytes(2000))
    with refusal(f"{path}: more comes through this pipe"):
        read_photo(path)
    os.close(silent)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_picture_comes_through_a_named_pipe_whose_writer_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    os.mkfifo(path)
    writer = threading.Timer(0.1, path.write_bytes, [encode_png(FACE)])
    writer.start()
    assert np.array_equal(read_photo(path), FACE)
    writer.join()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    with refusal(f"{path}: No such file or directory"):
        read_face(path)


@pytest.mark.parametrize("shape", [(48, 47), (49, 48), (96, 96), (1, 1)])
def test_another_size_is_no_face(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = written(tmp_path, encode_png(np.zeros(shape, np.uint8)))
    with refusal(f"{path}: {shape[1]}×{shape[0]} pixels where 48×48 are expected"):
        read_face(path)


def test_more_pixels_than_any_camera_has_are_refused() -> None:
    huge = bytearray(encode_png(np.zeros((1, 1), np.uint8)))
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    with pytest.raises(EmoTorchError, match=r"^huge\.png: .*pixels"):
        decode_photo(bytes(huge), Path("huge.png"))


# What becomes of other pictures.


def test_grey_values_of_a_jpeg_are_close(tmp_path: Path) -> None:
    path = written(tmp_path, encode(Image.fromarray(FACE), "JPEG", quality=95), "face.jpg")
    assert np.abs(read_picture(path).astype(int) - FACE).max() < 12


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_grey_picture_is_grey_in_any_mode(mode: str) -> None:
    image = Image.fromarray(FACE).convert(mode)
    assert np.abs(grey(encode(image, "PNG"), Path("face.png")).astype(int) - FACE).max() <= 1


def test_colours_become_their_luma() -> None:
    image = Image.new("RGB", (3, 1))
    for x, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.putpixel((x, 0), colour)
    assert grey(encode(image, "PNG"), Path("colours.png")).tolist() == [[76, 150, 29]]


def test_the_inks_of_a_cmyk_jpeg_are_the_right_way_round() -> None:
    image = Image.fromarray(FACE).convert("RGB").convert("CMYK")
    pixels = grey(encode(image, "JPEG", quality=95), Path("scan.jpg"))
    assert np.abs(pixels.astype(int) - FACE).max() < 12


def test_sixteen_bits_keep_their_proportions() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    assert grey(encode(Image.fromarray(values), "PNG"), Path("deep.png")).tolist() == [[0, 1, 128, 255]]


def test_black_and_white_are_black_and_white() -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert grey(encode(image, "PNG"), Path("drawing.png")).tolist() == [[0, 255]]


def test_an_animation_shows_its_first_picture() -> None:
    first, second = (Image.fromarray(face) for face in draw_images(2, seed=8))
    animation = encode(first, "GIF", save_all=True, append_images=[second])
    pixels = grey(animation, Path("face.gif"))
    assert np.abs(pixels.astype(int) - np.asarray(first)).max() <= 1


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda face: face),
        (2, np.fliplr),
        (3, lambda face: np.rot90(face, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda face: np.rot90(face, -1)),
        (7, lambda face: np.rot90(face, 2).T),
        (8, np.rot90),
        (9, lambda face: face),
    ],
)
def test_a_turned_photo_stands_upright(orientation: int, upright: Callable[[Pixels], Pixels]) -> None:
    photo = FACE[:, :30]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(photo), "PNG", exif=exif)
    assert np.array_equal(grey(data, Path("photo.png")), upright(photo))


def test_odd_tags_beside_the_orientation_harm_nothing() -> None:
    """XResolution as text: Pillow, writing all tags anew, failed on it."""
    entries = [struct.pack("<HHII", 0x0112, 3, 1, 6), struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")]
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    photo = FACE[:, :30]
    data = encode(Image.fromarray(photo), "PNG", exif=exif)
    assert np.array_equal(grey(data, Path("photo.png")), np.rot90(photo, -1))


def test_postscript_starts_no_other_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    picture = tmp_path / "photo.jpg"
    picture.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\nshowpage\n%%EOF\n")
    with refusal(f"{picture}: not a readable image but a PostScript file"):
        read_picture(picture)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([10, 10, 10, 200, 0, 0])
        image.putpixel((1, 0), 1)
        data = encode(image, "PNG", transparency=1)
    else:
        image = Image.new("RGBA", (2, 1), (10, 10, 10, 255))
        image.putpixel((1, 0), (10, 10, 10, 0))
        data = encode(image.convert(mode), "PNG")
    assert grey(data, Path("logo.png")).tolist() == [[10, 255]]


# Hashes and sizes.


@settings(derandomize=True, deadline=None, max_examples=40)
@given(pixels=FACES, position=st.integers(0, SIZE * SIZE - 1), change=st.integers(1, 255))
def test_the_hash_tells_any_two_pictures_apart(pixels: Pixels, position: int, change: int) -> None:
    other = pixels.copy()
    assert hash_pixels(other) == hash_pixels(pixels)
    other.flat[position] ^= change
    assert hash_pixels(other) != hash_pixels(pixels)


def test_the_hash_is_of_the_pixels_not_of_the_file(tmp_path: Path) -> None:
    ours = written(tmp_path, encode_png(NOISE), "ours.png")
    theirs = written(tmp_path, encode(Image.fromarray(NOISE), "PNG"), "theirs.png")
    assert ours.read_bytes() != theirs.read_bytes()
    assert hash_pixels(read_face(ours)) == hash_pixels(read_face(theirs)) == hash_pixels(np.asfortranarray(NOISE))


def test_shrinking_averages_and_keeps_the_brightness() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (96, 48))
    assert np.abs(resize(stripes).astype(int) - 127.5).max() <= 1
    assert resize(FACE) is FACE
    assert resize(FACE[:20, :30]).shape == (SIZE, SIZE)
