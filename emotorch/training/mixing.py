"""Images mixed with others of their batch, and their targets likewise."""

import numpy as np
import torch
from torch import Tensor

from emotorch.recipes import Recipe
from emotorch.training.device import send


def mixes(recipe: Recipe) -> bool:
    """Whether a recipe's images need the others of their batch."""
    return bool(recipe.mixup or recipe.cutmix)


def mix(pixels: Tensor, targets: Tensor, recipe: Recipe, drawing: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image and its target, mixed with another of the batch by mixup or by cutmix, which take turns at random.

    Args:
        pixels: (N, 1, H, W), 0-255.
        targets: (N, K), rows of sum 1.
        recipe: With `mixup`, `cutmix` or both above 0.
        drawing: Of the step.

    Returns:
        Floats of the same shapes.
    """
    cut = bool(recipe.cutmix) and (not recipe.mixup or drawing.random() < 0.5)
    shape = recipe.cutmix if cut else recipe.mixup
    weight = float(drawing.beta(shape, shape))
    others = send(torch.from_numpy(drawing.permutation(len(pixels))), pixels.device)
    if cut:
        pixels, weight = _with_box_of(pixels.float(), pixels[others].float(), weight, drawing)
    else:
        pixels = _blended(pixels.float(), pixels[others].float(), weight)
    return pixels, _blended(targets, targets[others], weight)


def _blended(values: Tensor, others: Tensor, weight: float) -> Tensor:
    """Source: Zhang et al., "mixup: Beyond empirical risk minimization" (ICLR 2018)."""
    return weight * values + (1 - weight) * others


def _with_box_of(pixels: Tensor, others: Tensor, weight: float, drawing: np.random.Generator) -> tuple[Tensor, float]:
    """Pixels with a box of others' that leaves about `weight` of the image, and the part that it really leaves.

    Source: Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable features"
    (ICCV 2019).
    """
    sides = np.array(pixels.shape[-2:])
    halves = sides * (1 - weight) ** 0.5 / 2
    centre = drawing.random(2) * sides
    (top, left), (bottom, right) = (np.clip(np.rint(centre + sign * halves), 0, sides).astype(int) for sign in (-1, 1))
    pixels = pixels.clone()
    pixels[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    return pixels, 1 - float((bottom - top) * (right - left) / sides.prod())
