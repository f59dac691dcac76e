"""The layers of a network: what they are and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Layer:
    """A module that has parameters, multiplies, or contains no further modules.

    Attributes:
        name: As in the keys of the network's weights.
        type: Its class's name.
        shape: Of its output for one image, without the batch; empty where that is no single tensor, or it is not used.
        parameters: Its own.
        multiply_adds: Its own for one image, in convolutions and matrix products; additions of biases, norms
            and activations are not counted.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


class Size(NamedTuple):
    """Parameters, and multiply-adds for one image."""

    parameters: int
    multiply_adds: int


def layers(network: nn.Module, input_shape: tuple[int, int, int]) -> list[Layer]:
    """The layers in the order in which they finish, by running one image of (channels, height, width)."""
    names = {module: name for name, module in network.named_modules()}
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        shapes[module] = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

    was_training = network.training
    handles = [module.register_forward_hook(note) for module in names]
    # The mathematical form of attention is made of matrix products that can be counted.
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            network.eval()(next(network.parameters()).new_zeros(1, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    # The counter counts a module with all in it, two operations a multiply-add, by names below the network's class.
    products = {name: sum(counts.values()) // 2 for name, counts in counter.get_flop_counts().items()}
    root = type(network).__name__

    def multiply_adds(module: nn.Module) -> int:
        return products.get(f"{root}.{names[module]}" if names[module] else root, 0)

    found = []
    for module in [*shapes, *(module for module in names if module not in shapes)]:
        children = list(module.children())
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        cost = multiply_adds(module) - sum(map(multiply_adds, children))
        if own or cost or not (children or isinstance(module, nn.Identity)):
            found.append(Layer(names[module], type(module).__name__, shapes.get(module, ()), own, cost))
    return found


def total(described: Sequence[Layer]) -> Size:
    """The whole network's."""
    return Size(sum(layer.parameters for layer in described), sum(layer.multiply_adds for layer in described))
