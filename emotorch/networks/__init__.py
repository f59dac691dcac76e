"""The networks by name. Each file is one architecture, with its source, and registers itself when imported here."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from emotorch.errors import EmoTorchError
from emotorch.networks import compact, emotion_classifier, emotion_cnn, emotorch_cnn, shared_cnn  # noqa: F401
from emotorch.networks.backbone import BackboneClassifier
from emotorch.networks.registry import NETWORKS, Architecture

# Before the name of any timm model: a classifier on it.
_TIMM = "timm:"


def get_architecture(name: str) -> Architecture:
    """Raises EmoTorchError when no network has this name."""
    if name.startswith(_TIMM):
        return Architecture(name, partial(BackboneClassifier, name.removeprefix(_TIMM)))
    if name not in NETWORKS:
        raise EmoTorchError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}, and {_TIMM}NAME")
    return NETWORKS[name]


def create_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """Builds a network from what a checkpoint or a recipe states.

    Raises:
        EmoTorchError: no network has this name, or it does not take this configuration.
    """
    return get_architecture(name).create(config)
