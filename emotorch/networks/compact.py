"""CompactNet: this project's own network for 48×48 faces, below 2 million parameters.

Method: He et al., "Deep residual learning for image recognition" (CVPR 2016), with the shortcuts of He et al.,
"Bag of tricks for image classification with convolutional neural networks" (CVPR 2019): averaged before they are
projected, and every block starts as the identity. The first layer halves the side: at full size a face's 48×48
pixels would take most of the time and bring little.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.networks.blocks import check_sizes
from emotorch.networks.registry import register

# Channels, as multiples of the width, and residual blocks at a half, a quarter and an eighth of the image's side.
_STAGES = ((1, 2), (2, 2), (4, 1))
_SMALLEST_IMAGE = 16


@register("compact", any_size=True)
class CompactNet(nn.Module):
    """Conv 5×5 of stride 2, residual blocks 64-64-128-128-256, global average pooling, dropout, linear."""

    def __init__(self, image_size: int, channels: int, num_classes: int, dropout: float = 0.3, width: int = 64) -> None:
        super().__init__()
        check_sizes(channels=channels, num_classes=num_classes, width=width)
        if image_size < _SMALLEST_IMAGE:
            raise ValueError(f"an image of {image_size} pixels is too small: at least {_SMALLEST_IMAGE}")
        self.stem = nn.Conv2d(channels, width, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks, before = [], width
        for stage, (multiple, count) in enumerate(_STAGES):
            for block in range(count):
                blocks.append(ResidualBlock(before, multiple * width, halve=stage > 0 and block == 0))
                before = multiple * width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) to logits (N, num_classes)."""
        x = self.blocks(F.relu_(self.norm(self.stem(images))))
        logits: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return logits


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, each with batch norm, added to their input."""

    def __init__(self, channels: int, width: int, *, halve: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride=2 if halve else 1, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut = nn.Sequential()
        if halve:
            self.shortcut.append(nn.AvgPool2d(2, ceil_mode=True))
        if channels != width:
            self.shortcut.append(nn.Conv2d(channels, width, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu_(self.norm1(self.conv1(x)))
        return F.relu_(self.norm2(self.conv2(y)) + self.shortcut(x))
