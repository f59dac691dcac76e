"""EmotionCNN: two convolutions, one pooling, and a dense layer that holds nearly all of the parameters.

Source: the "Facial Emotion Classification" project (happy, neutral, sad, surprise); 595,076 parameters for
48×48 pixels of three channels and four classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.networks.blocks import check_sizes
from emotorch.networks.registry import register

_SLOPE = 0.1


@register("emotion_cnn", images_independent=True)
class EmotionCNN(nn.Module):
    """Conv, conv, pool, dense, dense; LeakyReLU between; padded, so that only the pooling halves the side."""

    def __init__(self, image_size: int, channels: int, num_classes: int, width: int = 16, hidden: int = 32) -> None:
        """`width` channels after the first convolution, twice as many after the second."""
        super().__init__()
        check_sizes(channels=channels, num_classes=num_classes, width=width, hidden=hidden)
        side = image_size // 2
        if side < 1:
            raise ValueError(f"an image of {image_size} pixels is too small: it is halved once")
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.fc1 = nn.Linear(2 * width * side * side, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Kaiming's for LeakyReLU, as in the source."""
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight, a=_SLOPE, nonlinearity="leaky_relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) to logits (N, num_classes)."""
        x = F.leaky_relu_(self.conv1(images), _SLOPE)
        # As in `ConvBlock`, pooling and an activation that rises everywhere change places freely.
        x = F.leaky_relu_(F.max_pool2d(self.conv2(x), 2), _SLOPE)
        x = F.leaky_relu_(self.fc1(torch.flatten(x, 1)), _SLOPE)
        logits: Tensor = self.fc2(x)
        return logits
