"""Optimizers and the learning rate, step by step."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from emotorch.recipes import Recipe

# Smith and Topin, "Super-convergence" (2018), with the shares that PyTorch's OneCycleLR has.
_RISE = 0.3
_FIRST, _LAST = 1 / 25, 1 / 250_000


def new_optimizer(recipe: Recipe, network: nn.Module) -> Optimizer:
    """The optimizer of the parameters that are trained."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = _decay_groups(parameters, recipe.weight_decay)
    rate, momentum = recipe.learning_rate, recipe.momentum
    match recipe.optimizer:
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=rate, momentum=momentum)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=momentum > 0, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, fused=True)
        case _:
            return torch.optim.AdamW(groups, lr=rate, fused=True)


def _decay_groups(parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    if not decay:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class Schedule:
    """Sets an optimizer's learning rate before every step, and after every epoch.

    Raises:
        ValueError: there is no step to plan for.
    """

    def __init__(self, recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int) -> None:
        self._recipe = recipe
        self._optimizer = optimizer
        self._warmup = round(recipe.warmup_epochs * steps_per_epoch)
        self._steps = max(1, recipe.epochs * steps_per_epoch)
        self._plateau = ReduceLROnPlateau(
            optimizer,
            mode="min" if recipe.watch == "loss" else "max",
            factor=recipe.plateau_factor,
            patience=recipe.plateau_patience,
        )

    @property
    def learning_rate(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """Args: step: From 0, over all epochs."""
        if step < self._warmup:
            self._set((step + 1) / self._warmup)
        elif self._recipe.schedule in ("cosine", "one_cycle"):
            self._set(self._factor((step - self._warmup) / max(1, self._steps - self._warmup)))
        elif step == self._warmup and self._warmup:
            self._set(1.0)

    def after_epoch(self, watched: float) -> None:
        if self._recipe.schedule == "plateau":
            self._plateau.step(watched)

    def _factor(self, progress: float) -> float:
        if self._recipe.schedule == "cosine":
            return _cosine(1.0, 0.0, progress)
        if progress < _RISE:
            return _cosine(_FIRST, 1.0, progress / _RISE)
        return _cosine(1.0, _LAST, (progress - _RISE) / (1 - _RISE))

    def _set(self, factor: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * factor

    def state_dict(self) -> dict[str, Any]:
        return self._plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._plateau.load_state_dict(state)


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def clip(parameters: Sequence[nn.Parameter], longest: float) -> None:
    """Shortens the gradient to a norm; 0 leaves it."""
    if longest:
        torch.nn.utils.clip_grad_norm_(parameters, longest)
