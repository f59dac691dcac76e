"""SharedCNN: the compact network that is trained on two datasets alike.

Source: the "Facial Emotion Recognition with a Shared CNN" project (seven emotions). It leaves the widths open:
they are EmotionClassifier's, from which it differs in its head, which has no size of the image in it.
"""

from torch import Tensor, nn

from emotorch.networks.blocks import WIDTHS, check_sizes, conv_blocks
from emotorch.networks.registry import register


@register("shared_cnn")
class SharedCNN(nn.Module):
    """Conv blocks 32-64-128-256, global average pooling, dropout, linear."""

    def __init__(self, image_size: int, channels: int, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes)
        self.blocks = conv_blocks(image_size, channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) to logits (N, num_classes)."""
        logits: Tensor = self.fc(self.dropout(self.blocks(images).mean((2, 3))))
        return logits
