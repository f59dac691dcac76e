"""EmotionClassifier: four conv blocks and two dense layers.

Source: the "Emotion Classifier CNN" project (seven emotions); 1,572,551 parameters for 48×48 grey
pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.networks.blocks import WIDTHS, check_sizes, conv_blocks
from emotorch.networks.registry import register

_HIDDEN = 512


@register("emotion_classifier")
class EmotionClassifier(nn.Module):
    """Conv blocks 32-64-128-256, flattened; dense, ReLU, dropout, dense."""

    def __init__(self, image_size: int, channels: int, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes)
        self.blocks = conv_blocks(image_size, channels)
        side = image_size // 2 ** len(WIDTHS)
        self.fc1 = nn.Linear(WIDTHS[-1] * side * side, _HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(_HIDDEN, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) to logits (N, num_classes)."""
        x = torch.flatten(self.blocks(images), 1)
        logits: Tensor = self.fc2(self.dropout(F.relu_(self.fc1(x))))
        return logits
