"""The one preprocessing: sizes, channels, normalisation."""

from dataclasses import replace

import pytest
import torch

from emotorch.recipes import RECIPES, get_recipe
from emotorch.training.preprocessing import InputForm, to_input


def pixels(count: int = 3, size: int = 48) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gets_the_shape_that_its_network_takes(name: str) -> None:
    recipe = get_recipe(name)
    config = recipe.network_config
    images = to_input(pixels(), InputForm.of(recipe))
    assert images.shape == (3, config["channels"], config["image_size"], config["image_size"])
    assert images.dtype == torch.float32


def test_without_normalisation_values_are_from_0_to_1() -> None:
    assert torch.equal(to_input(pixels(), InputForm()), pixels().float() / 255)


def test_normalisation_is_of_values_from_0_to_1_for_each_channel() -> None:
    form = InputForm.of(replace(get_recipe("emotion_cnn"), normalization="imagenet"))
    images = to_input(pixels(), form)
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        expected = (pixels()[:, 0].float() / 255 - mean) / std
        torch.testing.assert_close(images[:, channel], expected, rtol=1e-5, atol=1e-5)


def test_bytes_and_floats_give_the_same() -> None:
    form = InputForm(64, 3, (0.5,), (0.5,))
    assert torch.equal(to_input(pixels(), form), to_input(pixels().float(), form))


def test_the_given_pixels_are_left_as_they_are() -> None:
    images = pixels().float()
    before = images.clone()
    for form in (InputForm(), InputForm(48, 1, (0.5,), (0.5,))):
        to_input(images, form)
        assert torch.equal(images, before)


def test_a_flat_image_stays_flat_at_any_size() -> None:
    for size in (24, 64, 96):
        images = to_input(torch.full((1, 1, 48, 48), 51, dtype=torch.uint8), InputForm(size))
        torch.testing.assert_close(images, torch.full((1, 1, size, size), 0.2))


def test_growing_images_start_small_never_shrink_and_end_at_full_size() -> None:
    for first, growing, epochs, size in (
        (16, 1.0, 7, 48),
        (24, 0.5, 8, 48),
        (47, 0.3, 10, 48),
        (48, 0.5, 4, 48),
        (32, 0.0, 3, 48),
        (24, 0.95, 20, 51),
    ):
        config = {"image_size": size, "channels": 1}
        recipe = replace(get_recipe("compact"), network_config=config, first_size=first, growing=growing, epochs=epochs)
        sizes = [InputForm.of_epoch(recipe, epoch).image_size for epoch in range(1, epochs + 2)]
        assert sizes == sorted(sizes)
        assert abs(sizes[0] - first) <= 2
        grown = max(1, round(growing * epochs))
        assert sizes[grown:] == [size] * (epochs + 1 - grown)
    unchanging = get_recipe("shared_cnn")
    assert InputForm.of_epoch(unchanging, 1) == InputForm.of(unchanging)
