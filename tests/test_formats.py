"""Kinds of files by how they start: whatever Pillow writes is known, and what is misnamed is told in one line."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images
from PIL import Image

from emotorch.data.formats import PICTURE_SUFFIXES, is_picture, other_content, picture_format, tell_misnamed
from emotorch.data.images import read_picture

FACE = draw_images(1, seed=3)[0]


def encode(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(FACE).convert("RGB").save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", sorted(set(PICTURE_SUFFIXES) - {".hdr"}))
def test_every_ending_stands_for_what_pillow_writes_and_is_read(suffix: str, tmp_path: Path) -> None:
    Image.init()
    # Without an alpha channel or a palette, so that all take it.
    data = encode(Image.EXTENSION[suffix])
    assert picture_format(data[:512]) == PICTURE_SUFFIXES[suffix]
    assert other_content(data[:512]) == ""
    path = tmp_path / f"face{suffix}"
    path.write_bytes(data)
    assert np.abs(read_picture(path).astype(int) - FACE).mean() < 6


def test_a_picture_is_known_without_its_ending_and_a_text_is_none(tmp_path: Path) -> None:
    for name, content in (("face", encode("WEBP")), ("face.dat", encode("BMP")), ("broken.PNG", b"text")):
        (tmp_path / name).write_bytes(content)
        assert is_picture(tmp_path / name)
    for name, content in (("notes.txt", b"BM is a brand"), ("missing.bin", None), ("list.csv", b"path,label\n")):
        if content:
            (tmp_path / name).write_bytes(content)
        assert not is_picture(tmp_path / name)


def test_pictures_under_other_names_are_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kinds = {"1.jpg": "WEBP", "2.jpg": "JPEG", "3.JPEG": "JPEG", "4.jpg": "WEBP", "5.jpg": "PNG", "6.tif": "TIFF"}
    for name, kind in kinds.items():
        (tmp_path / name).write_bytes(encode(kind))
        assert np.abs(read_picture(tmp_path / name).astype(int) - FACE).mean() < 6
    (tmp_path / "7.png").write_bytes(b"no picture: named where it is read")
    tell_misnamed(sorted(tmp_path.iterdir()))
    assert caplog.messages == [
        "pictures that hold another format than their names say, read by what they hold: 3 "
        f"(WebP as .jpg 2, PNG as .jpg 1; first: {tmp_path / '1.jpg'})"
    ]
    caplog.clear()
    tell_misnamed([tmp_path / "2.jpg", tmp_path / "6.tif"])
    assert not caplog.messages
