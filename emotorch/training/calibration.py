"""From outputs to probabilities that mean something: one temperature, fitted on validation images.

Source: Guo et al., "On calibration of modern neural networks" (ICML 2017).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# A network that is trained by the cosine alone leaves the size of its outputs open: they may need a strong
# temperature, up or down.
_LOG_RANGE = (-8.0, 8.0)
_STEPS = 60


def probabilities(outputs: Tensor, temperature: float) -> Tensor:
    """(N, K) outputs to (N, K) probabilities; each row sums to 1."""
    return torch.softmax(outputs / temperature, dim=1)


def fit_temperature(outputs: Tensor, labels: Tensor) -> float:
    """The temperature that makes the labels most likely; 1 where there is nothing to fit it on.

    Args:
        outputs: (N, K), of validation images.
        labels: (N,).
    """
    if not len(labels) or not outputs.any():
        return 1.0
    outputs = outputs.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(outputs / torch.tensor(log_temperature).exp(), labels).item()

    # The loss has one minimum along the temperature: close in on it from both sides.
    low, high = _LOG_RANGE
    for _ in range(_STEPS):
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return float(torch.tensor((low + high) / 2).exp())
