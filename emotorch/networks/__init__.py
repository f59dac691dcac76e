"""The networks by name. Each file is one architecture, with its source."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from emotorch.errors import EmoTorchError
from emotorch.networks.backbone import BackboneClassifier
from emotorch.networks.compact import CompactNet
from emotorch.networks.emotion_classifier import EmotionClassifier
from emotorch.networks.emotion_cnn import EmotionCNN
from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.networks.shared_cnn import SharedCNN

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "emotorch_cnn": EmoTorchCNN,
    "emotion_cnn": EmotionCNN,
    "emotion_classifier": EmotionClassifier,
    "resnet50v2_cbam": partial(BackboneClassifier, "resnetv2_50"),
    "shared_cnn": SharedCNN,
    "compact": CompactNet,
}
# Before the name of any timm model: a classifier on it.
_TIMM = "timm:"


def create_network(name: str, config: dict[str, Any]) -> nn.Module:
    """Builds a network from what a checkpoint or a recipe states.

    Raises:
        EmoTorchError: no network has this name, or it does not take this configuration.
    """
    if name not in NETWORKS and not name.startswith(_TIMM):
        raise EmoTorchError(f"unknown network {name!r}: known are {', '.join(NETWORKS)}, and {_TIMM}NAME")
    build = NETWORKS.get(name) or partial(BackboneClassifier, name.removeprefix(_TIMM))
    try:
        return build(**config)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EmoTorchError(f"network {name} does not take the configuration {config}: {reason}") from error
