"""The networks by name. Each file is one published system's architecture, with its source."""

from collections.abc import Callable
from typing import Any

from torch import nn

from emotorch.errors import EmoTorchError
from emotorch.networks.emotorch_cnn import EmoTorchCNN

NETWORKS: dict[str, Callable[..., nn.Module]] = {"emotorch_cnn": EmoTorchCNN}


def create_network(name: str, config: dict[str, Any]) -> nn.Module:
    """Builds a network from what a checkpoint or a recipe states.

    Raises:
        EmoTorchError: no network has this name, or it does not take this configuration.
    """
    if name not in NETWORKS:
        raise EmoTorchError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**config)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EmoTorchError(f"network {name} does not take the configuration {config}: {reason}") from error
