"""How a dataset's file becomes a face: cut to the box that its list tells, and refused where that is no part of it."""

from pathlib import Path

import numpy as np
from conftest import draw_images, refusal

from emotorch.data.faces import Box
from emotorch.data.images import PixelForm, bring_to, write_png
from emotorch.data.sources import Reading, SourceImage


def test_a_listed_box_is_cut_out_as_far_as_it_is_in_the_picture(tmp_path: Path) -> None:
    face = draw_images(1, seed=2)[0]
    scene = np.full((90, 120), 30, np.uint8)
    scene[42:, 72:] = face
    write_png(tmp_path / "scene.png", scene)
    for box in (Box(72, 42, 48, 48), Box(72, 42, 60, 70)):
        for reading in (Reading.CROP, Reading.SCENE):
            image = SourceImage(tmp_path / "scene.png", "fear", reading, box=box)
            assert np.array_equal(image.read(), face)
        form = PixelForm(96)
        assert np.array_equal(
            SourceImage(tmp_path / "scene.png", "fear", Reading.CROP, box=box).read_as(form), bring_to(face, form)
        )


def test_a_box_beside_the_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    write_png(path, np.zeros((90, 120), np.uint8))
    for box in (Box(120, 0, 10, 10), Box(-20, 5, 20, 10), Box(5, 5, 0, 10)):
        with refusal(
            f"{path}: its box ({box.x}, {box.y}, {box.width}, {box.height}) is outside of the picture, 120×90"
        ):
            SourceImage(path, "fear", Reading.CROP, box=box).read()
