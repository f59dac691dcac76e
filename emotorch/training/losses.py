"""Losses, one value per image: means over images are taken where they are reported."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cosine_proximity(outputs: Tensor, labels: Tensor) -> Tensor:
    """Minus the cosine between outputs (N, K) and one-hot labels (N,); (N,) in -1 to 1.

    Keras's `cosine_proximity`, which the published original was trained with.
    """
    targets = F.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
    return -torch.cosine_similarity(outputs, targets, dim=1)


LOSSES: dict[str, Loss] = {"cosine_proximity": cosine_proximity}
