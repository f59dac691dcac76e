"""What several networks are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of the four blocks of `conv_blocks`.
WIDTHS = (32, 64, 128, 256)
# Of CBAM, as its paper has them: channels for each hidden one, and the side of the kernel.
_REDUCTION, _KERNEL = 16, 7


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


class ChannelAttention(nn.Module):
    """A weight in 0-1 per channel, by one small network on its average and on its maximum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(inplace=True), nn.Linear(hidden, channels, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 1, 1)."""
        weights = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return weights[:, :, None, None]


class SpatialAttention(nn.Module):
    """A weight in 0-1 per place, by one convolution of the mean and the maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, _KERNEL, padding=_KERNEL // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 1, H, W)."""
        return torch.sigmoid(self.conv(torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)))


class CBAM(nn.Module):
    """A feature map, weighted by channel and then by place.

    Source: Woo et al., "CBAM: Convolutional block attention module" (ECCV 2018).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        x = x * self.channel(x)
        weighted: Tensor = x * self.spatial(x)
        return weighted
