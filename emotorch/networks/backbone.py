"""A classifier on a backbone of timm's, with CBAM or without.

Source of the form with CBAM: the "FER2013 Emotion Recognition" project (ResNet50V2, seven emotions). Its
ResNet50V2 is Keras's; timm's `resnetv2_50` is the same pre-activation network but for the biases of Keras's
convolutions and the place of the strides (Keras: the last block of a stage; timm: the first of the next).
"""

import difflib
import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.errors import EmoTorchError
from emotorch.networks.blocks import CBAM, check_sizes
from emotorch.networks.registry import register


class BackboneClassifier(nn.Module):
    """The backbone's last feature map, CBAM, global average pooling, dense, ReLU, dropout, batch norm, dense.

    Attributes:
        backbone: A timm network without its head; `pretrained.start_from` loads and freezes this part.
    """

    def __init__(
        self,
        backbone: str,
        image_size: int,
        channels: int,
        num_classes: int,
        attention: bool = True,
        hidden: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(image_size=image_size, channels=channels, num_classes=num_classes, hidden=hidden)
        self.backbone = _new_backbone(backbone, image_size, channels)
        features = self._find_layout(backbone, torch.zeros(1, channels, image_size, image_size))
        self.attention = CBAM(features) if attention else nn.Identity()
        self.fc1 = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, num_classes)

    def _find_layout(self, name: str, image: Tensor) -> int:
        """Learns from one image the layout of the backbone's features; returns their channels.

        Raises:
            ValueError: they are no map, or the image is too small.
        """
        self.backbone.eval()
        with torch.no_grad():
            features = self.backbone(image)
        self.backbone.train()
        shape = tuple(features.shape) if isinstance(features, Tensor) else ()
        self._prefix_tokens = int(getattr(self.backbone, "num_prefix_tokens", 0))
        self._channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        if len(shape) == 3:
            self._grid = math.isqrt(shape[1] - self._prefix_tokens)
            if self._grid**2 + self._prefix_tokens == shape[1]:
                return shape[2]
        if len(shape) == 4 and min(shape) > 0:
            return shape[3] if self._channels_last else shape[1]
        raise ValueError(f"{name} gives no feature map, but {shape or type(features).__name__}")

    def train(self, mode: bool = True) -> "BackboneClassifier":
        """Frozen layers stay in evaluation mode: batch norms keep their statistics, as in Keras."""
        super().train(mode)
        for layer in self.backbone.modules():
            parameters = list(layer.parameters(recurse=False))
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                layer.training = False  # its own flag only: a layer may hold others that are trained
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) to logits (N, num_classes)."""
        pooled = self.attention(self._feature_map(images)).mean((2, 3))
        logits: Tensor = self.fc2(self.norm(self.dropout(F.relu_(self.fc1(pooled)))))
        return logits

    def _feature_map(self, images: Tensor) -> Tensor:
        """(N, C, H, W), also of backbones that give (N, H, W, C), or tokens with other ones in front."""
        features: Tensor = self.backbone(images)
        if features.dim() == 3:
            tokens = features[:, self._prefix_tokens :].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], self._grid, self._grid)
        return features.permute(0, 3, 1, 2) if self._channels_last else features


register("resnet50v2_cbam")(partial(BackboneClassifier, "resnetv2_50"))


def _new_backbone(name: str, image_size: int, channels: int) -> nn.Module:
    """An untrained timm network that ends with its last features; nothing is ever downloaded."""
    import timm  # here: its import takes longer than PyTorch's, and most runs need none of it

    if ":" in name or not timm.is_model(name):
        nearest = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "see timm.list_models()"
        raise EmoTorchError(f"timm has no model {name!r}; {hint}")
    known = timm.get_pretrained_cfg(name)
    # Convolutional networks take any size, and most do not know this option.
    size: dict[str, Any] = {"img_size": image_size} if known is not None and known.fixed_input_size else {}
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="", in_chans=channels, **size)
