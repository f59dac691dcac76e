"""Pictures of more than 8 bits look as those of 8 bits, and what shines in them hides nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import refusal
from PIL import Image
from scenes import SyntheticFace, draw_scene

from emotorch.data.hdr import to_bytes
from emotorch.data.images import Pixels, read_photo, to_colours

GREY = draw_scene([SyntheticFace(100, 60, 100)], 240, 320)
COLOURS = np.dstack([GREY, GREY[:, ::-1], 255 - GREY])


def close(found: Pixels, expected: Pixels) -> bool:
    return found.shape == expected.shape and int(np.abs(found.astype(int) - expected).max()) <= 1


@pytest.mark.parametrize(
    ("white", "kind"), [(255, np.int32), (4095, np.uint16), (65535, np.uint16), (65535, np.int32), (1, np.float32)]
)
def test_values_keep_their_proportions_whatever_is_white(white: int, kind: type) -> None:
    values = GREY * (white / 255)
    assert close(to_bytes((values if kind is np.float32 else np.rint(values)).astype(kind)), GREY)


def test_other_values_are_stretched_to_their_range() -> None:
    assert close(to_bytes(GREY * 300.0), to_bytes(GREY * 1000.0 + 70_000.0))
    assert to_bytes(np.array([[-5, 0, 5]])).tolist() == [[0, 128, 255]]
    assert to_bytes(np.full((2, 2), 70_000)).tolist() == [[0, 0], [0, 0]]


def test_what_is_no_number_spoils_no_other_pixel() -> None:
    values = GREY / np.float32(255)
    values[0, :3] = np.nan, np.inf, -np.inf
    assert close(to_bytes(values)[1:], GREY[1:])
    with pytest.raises(ValueError, match="none of its pixels is a finite number"):
        to_bytes(np.full((2, 2), np.nan, np.float32))


@pytest.mark.parametrize("sun", [2, 500, 1e6])
def test_a_sun_leaves_the_rest_visible(sun: float) -> None:
    light = ((GREY / 255) ** 2.2).astype(np.float32)
    light[:10, :10] = sun
    shown = to_bytes(light, is_linear=True)[10:]
    assert 60 < shown.mean() < 200
    assert shown.std() > 15
    assert np.corrcoef(shown.ravel(), GREY[10:].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fractions.tif", (COLOURS / 255).astype(np.float32)),
        ("grey_fractions.tif", (GREY / 255).astype(np.float32)),
        ("sixteen_bits.png", COLOURS.astype(np.uint16) * 257),
        ("sixteen_bits.tif", COLOURS.astype(np.uint16) * 257),
    ],
)
def test_a_file_of_more_bits_is_read_as_that_of_eight(tmp_path: Path, name: str, values: np.ndarray) -> None:
    path = tmp_path / name
    assert cv2.imwrite(str(path), values[:, :, ::-1] if values.ndim == 3 else values)
    assert close(to_colours(read_photo(path)), COLOURS if values.ndim == 3 else to_colours(GREY))


def test_a_radiance_picture_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scene.hdr"
    light = ((COLOURS / 255) ** 2.2).astype(np.float32)
    light[:10, :10] = 500
    assert cv2.imwrite(str(path), light[:, :, ::-1])
    shown = read_photo(path)
    assert shown.shape == COLOURS.shape
    for channel in range(3):
        assert np.corrcoef(shown[10:, :, channel].ravel(), COLOURS[10:, :, channel].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    "data",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n",
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n",
        b"#?RADIANCE",
        b"#!/bin/sh",
        b"II*\0",
        b"II*\0" + bytes(50),
        b"MM\0*\xff\xff\xff\xff",
    ],
)
def test_what_only_starts_like_one_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    with refusal(f"{path}: "):
        read_photo(path)


def test_a_picture_without_a_number_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nan.tif"
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save(path)
    with refusal(f"{path}: damaged image (none of its pixels is a finite number)"):
        read_photo(path)
