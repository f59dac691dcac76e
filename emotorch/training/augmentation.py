"""Augmentation of training batches, on the device that holds them, drawn anew for every image of every batch.

`emotorch.data.operations` is something else: it writes variants of a dataset to disk.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emotorch.recipes import Augmentation
from emotorch.seeding import generator
from emotorch.training.device import send

# Random numbers per image: as many under every policy, so that changing one amount reshuffles nothing else; and of
# their own those for saturation and hue, and those for downscaling and noise.
_AMOUNTS, _COLOURS, _CORRUPTIONS = 17, 2, 4

_LEAST_SIGMA = 0.1  # pixels; so narrow a blur changes nothing
_LEAST_PATCH = 1 / 3  # of the largest patch's side
_LEAST_NOISE = 1 / 10  # of the strongest noise's σ


@dataclass(frozen=True)
class Draws:
    """The random numbers that N images are augmented by, on the CPU; from 0 to below 1, but for the noise.

    Attributes:
        amounts: (N, 17) for what every policy may do.
        colours: (N, 2) for saturation and hue, where the policy changes the colours of these images.
        corruptions: (N, 4) for downscaling and noise, where the policy has one of them.
        noise: (N, C, H, W) of a normal distribution, where the policy has noise.
    """

    amounts: Tensor
    colours: Tensor | None = None
    corruptions: Tensor | None = None
    noise: Tensor | None = None

    @classmethod
    def of(cls, policy: Augmentation, shape: Sequence[int], *key: int) -> "Draws":
        """For images of a shape (N, C, H, W), from the random numbers that belong to a key."""

        def uniform(name: str, columns: int) -> Tensor:
            return torch.from_numpy(generator(name, *key).random((shape[0], columns), dtype=np.float32))

        return cls(
            uniform("augmentation", _AMOUNTS),
            uniform("colours", _COLOURS) if changes_colours(policy, shape) else None,
            uniform("corruptions", _CORRUPTIONS) if policy.downscaling or policy.noise else None,
            torch.from_numpy(generator("noise", *key).standard_normal(shape, np.float32)) if policy.noise else None,
        )

    def __getitem__(self, part: slice) -> "Draws":
        """Those of some of the images."""
        parts = (self.amounts, self.colours, self.corruptions, self.noise)
        return Draws(*(None if numbers is None else numbers[part] for numbers in parts))  # type: ignore[arg-type]


@torch.no_grad()
def augment(pixels: Tensor, policy: Augmentation, draws: Draws) -> Tensor:
    """Bytes (N, C, H, W) to floats 0-255 of the same shape, on the same device: all but what `degrade` does.

    The draws become amounts on the CPU: these are the same on every device, and an image's result depends on its own
    draws alone.
    """
    height, width = pixels.shape[2:]
    flip, rotation, shift_x, shift_y, scale, crop, crop_x, crop_y = draws.amounts[:, :8].unbind(1)
    brightness, contrast, _, _, occlusion, patch_height, patch_width, patch_y, patch_x = draws.amounts[:, 8:].unbind(1)

    images = pixels.to(torch.float32, copy=True)
    mirror = (flip < policy.flip).float()
    if policy.rotation or policy.shift or policy.scale != (1.0, 1.0) or policy.crop < 1:
        kept = _between(policy.crop, 1, crop).sqrt()  # of each side
        matrices = turns(_around_0(policy.rotation, rotation), kept / _between(*policy.scale, scale), mirror)
        # The shift counts in pixels of the result, the crop's place in those of the image.
        shift = torch.stack([_around_0(policy.shift * width, shift_x), _around_0(policy.shift * height, shift_y)], 1)
        free_x, free_y = (1 - kept) * (width - 1) / 2, (1 - kept) * (height - 1) / 2
        place = torch.stack([free_x * _around_0(1, crop_x), free_y * _around_0(1, crop_y)], 1)
        images = warp(images, matrices, place - (matrices @ shift[:, :, None])[:, :, 0])
    elif policy.flip:
        images.lerp_(images.flip(3), _per_image(mirror, images))  # exact for weights 0 and 1

    if draws.colours is not None:
        saturation, hue = draws.colours.unbind(1)
        images = turn_colours(images, 1 + _around_0(policy.saturation, saturation), _around_0(policy.hue, hue))

    if not (policy.brightness or policy.contrast or policy.occlusion):
        return images.clamp_(0, 255)  # interpolation overshoots by a rounding error
    bright = _per_image(1 + _around_0(policy.brightness, brightness), images)
    mean = images.mean((1, 2, 3), keepdim=True).mul_(bright)
    if policy.brightness or policy.contrast:
        gain = _per_image(1 + _around_0(policy.contrast, contrast), images)
        images.mul_(gain * bright).add_((1 - gain) * mean)
    if policy.occlusion:
        # In the image's mean grey: black or noise would be an edge of its own, stronger than the face's, and
        # would change the mean of what the network sees.
        patches = (occlusion < policy.occlusion).float() * policy.occlusion_size
        rows = send(_span(patches * height * _between(_LEAST_PATCH, 1, patch_height), patch_y, height), images.device)
        columns = send(_span(patches * width * _between(_LEAST_PATCH, 1, patch_width), patch_x, width), images.device)
        images.lerp_(mean, rows[:, None, :, None] * columns[:, None, None, :])
    return images.clamp_(0, 255)


@torch.no_grad()
def degrade(images: Tensor, policy: Augmentation, draws: Draws) -> Tensor:
    """Blur, downscaling and noise of floats 0-255 (N, C, H, W), on the same device; as the camera's they come last."""
    if not policy.blur and draws.corruptions is None:
        return images
    images = images.clone()
    if policy.blur:
        chance, sigma = draws.amounts[:, 10:12].unbind(1)
        chosen = (chance < policy.blur).nonzero()[:, 0]
        sigmas = _between(_LEAST_SIGMA, policy.blur_sigma, sigma)[chosen]
        chosen = send(chosen, images.device)
        images[chosen] = gaussian_blur(images[chosen], sigmas)
    if draws.corruptions is not None:
        small, side, noisy, strength = draws.corruptions.unbind(1)
        chosen = (small < policy.downscaling).nonzero()[:, 0]
        parts = _between(policy.smallest_side, 1, side)[chosen]
        chosen = send(chosen, images.device)
        images[chosen] = downscaled(images[chosen], parts)
        if draws.noise is not None:
            sigmas = (noisy < policy.noise).float() * policy.noise_sigma * _between(_LEAST_NOISE, 1, strength)
            images.addcmul_(send(draws.noise, images.device), _per_image(255 * sigmas, images))
    return images.clamp_(0, 255)


def changes_colours(policy: Augmentation, shape: Sequence[int]) -> bool:
    """Whether a policy changes the colours of images (N, C, H, W): grey ones have none."""
    return bool(policy.saturation or policy.hue) and shape[1] == 3


# Red, green and blue to the luminance Y and the two axes of the colour plane (NTSC's YIQ).
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def turn_colours(images: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Colours (N, 3, H, W) with the same luminance, each image's in one matrix.

    Source: Haeberli, "Matrix operations for image processing" (1993).

    Args:
        images: Values 0-255.
        saturation: (N,) factors; 0 makes an image grey.
        hue: (N,) parts of the circle of colours that they are turned by.
    """
    angles = hue * (2 * math.pi)
    cos, sin = saturation * angles.cos(), saturation * angles.sin()
    ones, zeros = torch.ones_like(cos), torch.zeros_like(cos)
    turned = torch.stack([ones, zeros, zeros, zeros, cos, -sin, zeros, sin, cos], 1).view(-1, 3, 3)
    matrices = send(torch.linalg.inv(_YIQ) @ turned @ _YIQ, images.device)
    return torch.einsum("nij,njhw->nihw", matrices, images).clamp_(0, 255)


def turns(degrees: Tensor, steps: Tensor, mirror: Tensor) -> Tensor:
    """(N, 2, 2): from a place in the result to one in the image, as (x, y) from the centre of each.

    Args:
        degrees: Of rotation.
        steps: Pixels of the image that one pixel of the result covers.
        mirror: 1 for a mirror image, else 0.
    """
    angles = degrees * (math.pi / 180)
    cos, sin = steps * angles.cos(), steps * angles.sin()
    side = 1 - 2 * mirror
    return torch.stack([side * cos, -sin, side * sin, cos], 1).view(-1, 2, 2)


def warp(images: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """Each image read at matrix · (p − centre) + centre + offset for pixel p of the result, bilinearly.

    Beyond its edge the picture goes on as its mirror image. Faces touch the edge: zeros would add black corners,
    which tell the angle rather than the face, and repeated edge pixels would add streaks.
    """
    height, width = images.shape[2:]
    device = images.device
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    # What grid_sample takes goes from -1 to 1 between the centres of the first and the last pixel.
    units = torch.tensor([2 / max(1, width - 1), 2 / max(1, height - 1)])
    places = send(torch.cat([matrices, offsets[:, :, None]], 2).mul_(units[:, None]), device)[:, :, :, None, None]
    grid = places[:, :, 0] * x + (places[:, :, 1] * y[:, None] + places[:, :, 2])
    # The coordinate comes first in memory and last in shape: so it is made and read in runs of a row.
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=True)


def gaussian_blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Each image with a Gaussian of its own σ in pixels; at the edge only what is inside the image counts.

    Products of matrices, one per axis: for small images as fast as convolutions, and as simple for many σ.
    """
    height, width = images.shape[2:]
    precision = send(-0.5 / sigmas**2, images.device)[:, None, None, None]
    down, across = (_distances(side, images.device).square() for side in (height, width))
    return torch.softmax(precision * down, 3) @ images @ torch.softmax(precision * across, 3).mT


def downscaled(images: Tensor, parts: Tensor) -> Tensor:
    """Each image shrunk to a part of its sides of its own, by means of areas, and enlarged again, linearly."""
    down, across = (
        send(_there_and_back(side)[(parts * side).round().long().clamp(1, side) - 1, None], images.device)
        for side in images.shape[2:]
    )
    return down @ images @ across.mT


@functools.cache
def _there_and_back(side: int) -> Tensor:
    """(side, side, side): what shrinking a row of pixels to 1, 2, … of them and enlarging it again makes of it."""
    rows = torch.eye(side)[:, None]
    small = [F.interpolate(rows, kept, mode="area") for kept in range(1, side + 1)]
    return torch.stack([F.interpolate(row, side, mode="linear")[:, 0].T for row in small])


def _distances(side: int, device: torch.device) -> Tensor:
    places = torch.arange(side, dtype=torch.float32, device=device)
    return places[:, None] - places


def _span(length: Tensor, place: Tensor, side: int) -> Tensor:
    """(N, side): 1 along a run of so many pixels, rounded, that lies anywhere within the side, else 0."""
    length = length.round()[:, None]
    first = (place[:, None] * (side - length + 1)).floor()
    pixels = torch.arange(side)
    return ((first <= pixels) & (pixels < first + length)).float()


def _between(low: float, high: float, numbers: Tensor) -> Tensor:
    """Numbers 0-1 to low-high."""
    return low + (high - low) * numbers


def _around_0(most: float, numbers: Tensor) -> Tensor:
    """Numbers 0-1 to at most so much either way."""
    return most * (2 * numbers - 1)


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    """(N,) to (N, 1, 1, 1), on the images' device."""
    return send(values, images.device)[:, None, None, None]
