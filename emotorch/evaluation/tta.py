"""Test-time views: a model's mean answer to an image, its mirror image, and both a little shifted.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (NeurIPS
2012), section 4.1. It costs a forward pass a view, so that a score with views is no score of the model as it is used,
and is reported beside that one.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from emotorch.evaluation.evaluate import EvaluationSet, Predictions
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.metrics.confusion import confusion_counts
from emotorch.training.checkpoints import Model
from emotorch.training.loop import network_outputs

SHIFT = 2  # pixels of 48


_SHIFTS = ((0, 0), (-SHIFT, 0), (SHIFT, 0), (0, -SHIFT), (0, SHIFT))


COUNT = 2 * len(_SHIFTS)


def views(pixels: Tensor) -> Iterator[Tensor]:
    """(N, 1, H, W) bytes to `COUNT` times (N, 1, H, W) floats 0-255, the first the images themselves.

    Beyond its edge a shifted picture goes on as its mirror image, as in the augmentation.
    """
    height, width = pixels.shape[2:]
    padded = F.pad(pixels.float(), 4 * (SHIFT,), mode="reflect")
    for down, right in _SHIFTS:
        top, left = SHIFT - down, SHIFT - right
        shifted = padded[:, :, top : top + height, left : left + width]
        yield shifted
        yield shifted.flip(3)


def mean_predictions(
    models: Sequence[Model], images: EvaluationSet, device: torch.device, *, with_tta: bool = False
) -> Predictions:
    """Runs models of the same labels over a set; an image's probabilities are the mean of the models', and of those
    of its views."""
    pixels = torch.from_numpy(images.pixels).unsqueeze(1).to(device)
    shares = [
        probabilities(network_outputs(model.network.to(device), view, model.form), model.temperature)
        for model in models
        for view in (views(pixels) if with_tta else [pixels])
    ]
    mean = torch.stack(shares).mean(0)
    classes = predicted_classes(mean)
    counts = confusion_counts(images.labels, classes, len(models[0].labels))
    # What the first model would have to put out to say so.
    outputs = models[0].temperature * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
    return Predictions(classes, mean.amax(1).numpy(), counts, outputs)
