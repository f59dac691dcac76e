"""What several networks are made of."""

import torch.nn.functional as F
from torch import Tensor, nn

# Of the four blocks of `conv_blocks`.
WIDTHS = (32, 64, 128, 256)


class ConvBlock(nn.Module):
    """Conv 3×3 with padding, batch norm, ReLU, max-pool: half the side, other channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        # Pooling before the ReLU gives the same numbers as after it, and leaves it a quarter of the work.
        return F.relu_(F.max_pool2d(self.norm(self.conv(x)), 2))


def conv_blocks(image_size: int, channels: int) -> nn.Sequential:
    """Four blocks of growing width: (N, channels, s, s) to (N, 256, s // 16, s // 16).

    Raises:
        ValueError: four halvings leave nothing of an image of this size.
    """
    check_sizes(channels=channels)
    if image_size < 2 ** len(WIDTHS):
        raise ValueError(f"an image of {image_size} pixels is too small: it is halved {len(WIDTHS)} times")
    return nn.Sequential(*map(ConvBlock, (channels, *WIDTHS), WIDTHS))


def check_sizes(**sizes: int) -> None:
    """Raises ValueError for a size below 1, which PyTorch takes in places."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, not {size}")
