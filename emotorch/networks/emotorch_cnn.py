"""The EmoTorch baseline's network: a recreation in PyTorch of EmoPy's convolutional net.

Source: https://github.com/thoughtworksarts/EmoPy, `ConvolutionalNN`; 6,964 parameters for 48×48
grey pixels and four classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emotorch.networks.blocks import check_sizes
from emotorch.networks.registry import register

_OUTPUT_LEAD = 0.1


@register("emotorch_cnn", images_independent=True)
class EmoTorchCNN(nn.Module):
    """Conv, conv, pool, conv, conv, pool, linear; ReLU after each, also on the outputs; no padding.

    With the cosine loss the ReLU on the outputs makes some trainings collapse to one class: an output that
    is negative for every image gets no gradient. It is kept, because it is what was published.
    """

    def __init__(
        self, image_size: int, channels: int, num_classes: int, filters: int = 10, kernel_size: int = 4
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, num_classes=num_classes, filters=filters, kernel_size=kernel_size)
        side = image_size
        for _ in range(2):
            side = (side - 2 * (kernel_size - 1)) // 2
        if side < 1:
            raise ValueError(f"an image of {image_size} pixels is too small for kernels of {kernel_size}")
        self.conv1 = nn.Conv2d(channels, filters, kernel_size)
        self.conv2 = nn.Conv2d(filters, filters, kernel_size)
        self.conv3 = nn.Conv2d(filters, filters, kernel_size)
        self.conv4 = nn.Conv2d(filters, filters, kernel_size)
        self.fc = nn.Linear(filters * side * side, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """Keras's initialisation, which EmoPy was trained with, but for a small lead of every output.

        An output that is 0 for all images from the start may never get a gradient. With PyTorch's own
        initialisation that is so for about half of the outputs.
        """
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.fc):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.fc.bias, _OUTPUT_LEAD)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, image_size, image_size) in 0-1 to (N, num_classes), not negative."""
        x = F.relu_(self.conv1(images))
        # Pooling before the ReLU gives the same numbers as after it, and leaves it a quarter of the work.
        x = F.relu_(F.max_pool2d(self.conv2(x), 2))
        x = F.relu_(self.conv3(x))
        x = F.relu_(F.max_pool2d(self.conv4(x), 2))
        return F.relu(self.fc(torch.flatten(x, 1)))
