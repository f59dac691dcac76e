"""Losses, one value per image: means over images are taken where they are reported."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from emotorch.metrics.confusion import confusion_counts
from emotorch.metrics.scores import NO_SCORE, Score, score_counts
from emotorch.recipes import Recipe

# Of outputs (N, K) and targets (N, K), whose rows sum to 1: (N,).
Loss = Callable[[Tensor, Tensor], Tensor]


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N,) labels to (N, K) targets."""
    return F.one_hot(labels, classes).float()


def cosine_proximity(outputs: Tensor, targets: Tensor) -> Tensor:
    """Minus the cosine between outputs and targets; -1 to 1.

    Keras's `cosine_proximity`, which the published original was trained with.
    """
    return -torch.cosine_similarity(outputs, targets, dim=1)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def focal(outputs: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Cross-entropy, weighted less the surer the prediction is; with `gamma` 0 the cross-entropy itself.

    Source: Lin et al., "Focal loss for dense object detection" (ICCV 2017).
    """
    log_probabilities = F.log_softmax(outputs, dim=1)
    # At 0 a power below 1 has no slope.
    doubts = (1 - log_probabilities.exp()).clamp(min=torch.finfo(log_probabilities.dtype).eps)
    return -(targets * doubts.pow(gamma) * log_probabilities).sum(1)


def loss_of(recipe: Recipe) -> Loss:
    """The loss that a recipe names, without smoothing and weights, which only training uses."""
    return named_loss(recipe.loss, recipe.focal_gamma)


def named_loss(name: str, focal_gamma: float) -> Loss:
    if name == "focal":
        return partial(focal, gamma=focal_gamma)
    return {"cosine_proximity": cosine_proximity, "cross_entropy": cross_entropy}[name]


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """(N, K) targets with a part of each row spread over all classes: label smoothing.

    Source: Szegedy et al., "Rethinking the inception architecture for computer vision" (CVPR 2016).
    """
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def class_weights(counts: Tensor) -> Tensor:
    """(K,) weights by inverse frequency whose mean over the counted images is 1.

    A class without images has weight 0.
    """
    present = counts > 0
    return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 0.0).float()


def weighted(losses: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """(N,) losses times the weights (K,) of their targets (N, K); None weighs nothing."""
    return losses if weights is None else losses * (targets @ weights)


def score_outputs(outputs: Tensor, labels: Tensor, loss: Loss) -> Score:
    """The score of outputs (N, K) on the CPU against labels (N,)."""
    if not len(labels):
        return NO_SCORE
    labels, classes = labels.cpu(), outputs.shape[1]
    losses = loss(outputs, one_hot(labels, classes))
    counts = confusion_counts(labels.numpy(), outputs.argmax(1).numpy(), classes)
    return score_counts(losses.double().mean().item(), counts)
