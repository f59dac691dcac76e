"""Optimizers and the learning rate, step by step."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from emotorch.recipes import Recipe

# Smith and Topin, "Super-convergence" (2018), with the proportions that PyTorch's OneCycleLR has.
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
        case "muon":
            return MuonAndAdamW(parameters, rate, recipe.weight_decay)
        case _:
            return torch.optim.AdamW(groups, lr=rate, fused=True)


def _decay_groups(parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    if not decay:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class MuonAndAdamW(Optimizer):
    """Muon for the filters of convolutions, AdamW for all other parameters, at one learning rate.

    Muon makes the update of a layer orthogonal, so that every direction of its weights learns at the same pace; its
    updates are brought to the size of AdamW's.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the size: Liu et al.,
    "Muon is scalable for LLM training" (2025).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], rate: float, decay: float) -> None:
        super().__init__(list(parameters), {"lr": rate})
        self._filters = [parameter for parameter in parameters if parameter.ndim == 4]
        others = [parameter for parameter in parameters if parameter.ndim != 4]
        # The same memory as the filters', a row for each: Muon takes matrices.
        self._matrices = [nn.Parameter(_as_matrix(filters.detach(), filters)) for filters in self._filters]
        for filters, matrix in zip(self._filters, self._matrices, strict=True):
            assert matrix.data_ptr() == filters.data_ptr(), "a copy: the filters would not learn"
        self._parts: list[Optimizer] = []
        if self._matrices:
            size = "match_rms_adamw"
            self._parts.append(torch.optim.Muon(self._matrices, lr=rate, weight_decay=decay, adjust_lr_fn=size))
        if others:
            self._parts.append(torch.optim.AdamW(_decay_groups(others, decay), lr=rate, fused=True))

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for filters, matrix in zip(self._filters, self._matrices, strict=True):
            matrix.grad = None if filters.grad is None else _as_matrix(filters.grad, filters)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.param_groups[0]["lr"], "parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.param_groups[0]["lr"] = state_dict["lr"]
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def _as_matrix(values: Tensor, filters: Tensor) -> Tensor:
    """A row for each of the filters, in the order in which these lie in memory."""
    if filters.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)


class Schedule:
    """Sets an optimizer's learning rate before every step, and after every epoch."""

    def __init__(self, recipe: Recipe, optimizer: Optimizer, steps_per_epoch: int) -> None:
        self._recipe = recipe
        self._optimizer = optimizer
        warmup_epochs = 0.0 if recipe.schedule == "one_cycle" else recipe.warmup_epochs
        self._warmup = round(warmup_epochs * steps_per_epoch)
        self._steps = max(1, recipe.epochs * steps_per_epoch)
        self._plateau = ReduceLROnPlateau(
            optimizer,
            mode="min" if recipe.watch == "loss" else "max",
            factor=recipe.plateau_factor,
            patience=recipe.plateau_patience,
            threshold=0.0,  # any better value is one, as for the best epoch; a relative one inverts below 0
            threshold_mode="abs",
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
