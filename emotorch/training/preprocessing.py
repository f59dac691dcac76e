"""The one preprocessing, from pixels to a network's input.

Training, evaluation, prediction and export all bring a picture to the form that the model's training images were read
in (`data.images.bring_to`), and go through `to_input`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.data.images import GREY_FACE, PixelForm, Pixels
from emotorch.recipes import NORMALIZATIONS, Recipe
from emotorch.training.device import send

# Weights of red, green and blue in grey values, as where pictures are read as grey.
_GREY = (0.299, 0.587, 0.114)
# Growing images grow by so many pixels: convolutions are prepared anew for every size.
_SIZE_STEP = 4


@dataclass(frozen=True)
class InputForm:
    """The form of a network's input.

    Attributes:
        image_size: Side length, pixels.
        channels: 1, or 3 for a network that was made for colour: grey values are repeated.
        mean: Of each channel (or one for all), of values 0-1.
        std: Likewise.
        pixels: The form that pictures are brought to first, as its training images were; it may be smaller, or grey.
    """

    image_size: int = 48
    channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    pixels: PixelForm = GREY_FACE

    @classmethod
    def of(cls, recipe: Recipe, pixels: PixelForm = GREY_FACE) -> "InputForm":
        mean, std = NORMALIZATIONS[recipe.normalization]
        config = recipe.network_config
        return cls(int(config["image_size"]), int(config["channels"]), mean, std, pixels)

    @classmethod
    def of_epoch(cls, recipe: Recipe, epoch: int) -> "InputForm":
        """The form in an epoch of training, counted from 1: images may still be growing.

        Source: Howard, "Training Imagenet in 3 hours for 25 minutes" (fast.ai, 2018): progressive resizing.
        """
        form = cls.of(recipe)
        growing = max(1, round(recipe.growing * recipe.epochs))
        if not recipe.first_size or epoch > growing:
            return form
        size = recipe.first_size + (form.image_size - recipe.first_size) * (epoch - 1) / growing
        return replace(form, image_size=min(form.image_size, _SIZE_STEP * round(size / _SIZE_STEP)))

    @classmethod
    def from_checkpoint(cls, state: Mapping[str, Any]) -> "InputForm":
        """From a checkpoint; published ones state no normalisation, and earlier ones read 48×48 grey."""
        config, normalization = state["model_config"], state.get("normalization", {})
        mean, std = tuple(normalization.get("mean", (0.0,))), tuple(normalization.get("std", (1.0,)))
        return cls(config["image_size"], config["channels"], mean, std, PixelForm(**state.get("pixels", {})))


def to_tensor(pixels: Pixels) -> Tensor:
    """(N, H, W) grey values or (N, H, W, 3) colours as (N, 1, H, W) or (N, 3, H, W), in the same memory."""
    tensor = torch.from_numpy(pixels)
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def to_input(pixels: Tensor, form: InputForm) -> Tensor:
    """Values 0-255, bytes or floats, (N, 1, H, W) grey or (N, 3, H, W) colours, to normalised floats.

    Returns:
        (N, channels, image_size, image_size).
    """
    images = pixels.float() if pixels.dtype == torch.uint8 else pixels
    if images.shape[1] > form.channels:  # a teacher without colours beside a student with them
        images = (images * torch.tensor(_GREY, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if images.shape[-1] != form.image_size:
        size = (form.image_size, form.image_size)
        images = F.interpolate(images, size, mode="bilinear", antialias=images.shape[-1] > form.image_size)
    if form.mean == (0.0,) and form.std == (1.0,):
        return (images / 255.0).expand(-1, form.channels, -1, -1)
    mean, std = (send(torch.tensor(values), images.device).view(1, -1, 1, 1) for values in (form.mean, form.std))
    return ((images - 255.0 * mean) / (255.0 * std)).expand(-1, form.channels, -1, -1)


class WithPreprocessing(nn.Module):
    """A network as a function of values 0-255, (N, 1 or 3, H, W)."""

    def __init__(self, network: nn.Module, form: InputForm) -> None:
        super().__init__()
        self.network = network
        self._form = form

    def forward(self, values: Tensor) -> Tensor:
        outputs: Tensor = self.network(to_input(values, self._form))
        return outputs
