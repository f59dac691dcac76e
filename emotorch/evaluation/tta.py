"""Test-time augmentation (TTA) and ensembles: the mean prediction over changed copies of an image, and over models.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks" (NeurIPS
2012), section 4.1. It costs a forward pass for each copy, so that a score with TTA is no score of the model as it is
used, and is reported beside that one.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from emotorch.data.images import SIZE
from emotorch.evaluation.evaluate import CHOSE_THE_EPOCH, Evaluation, Predictions, predict
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.official_tests import record_scoring
from emotorch.evaluation.seen import chose_the_epoch
from emotorch.evaluation.sets import EvaluationSet
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.metrics.confusion import confusion_counts
from emotorch.training.checkpoints import Model
from emotorch.training.loop import network_outputs
from emotorch.training.preprocessing import to_tensor

SHIFT = 2  # pixels of 48
_DIRECTIONS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
COPIES = 2 * len(_DIRECTIONS)


def augmented_copies(pixels: Tensor) -> Iterator[Tensor]:
    """(N, C, H, W) bytes to `COPIES` times as many floats 0-255, the first the images themselves.

    Beyond its edge a shifted picture goes on as its mirror image, as in the augmentation of training.
    """
    height, width = pixels.shape[2:]
    shift = _shift_of(width)
    padded = F.pad(pixels.float(), 4 * (shift,), mode="reflect")
    for down, right in _DIRECTIONS:
        top, left = shift * (1 - down), shift * (1 - right)
        shifted = padded[:, :, top : top + height, left : left + width]
        yield shifted
        yield shifted.flip(3)


def _shift_of(side: int) -> int:
    """In pixels of images of this side."""
    return max(1, round(SHIFT * side / SIZE))


def mean_predictions(
    models: Sequence[Model], images: EvaluationSet, device: torch.device, *, with_tta: bool = False
) -> Predictions:
    """Runs models of the same labels over a set; an image's probabilities are the mean of the models', and of those
    of its copies."""
    each = []
    for model in models:
        pixels = to_tensor(images.read_as(model.form.pixels)).to(device)
        for copy in augmented_copies(pixels) if with_tta else [pixels]:
            outputs = model.checked(network_outputs(model.network.to(device), copy, model.form))
            each.append(probabilities(outputs, model.temperature))
    mean = torch.stack(each).mean(0)
    classes = predicted_classes(mean)
    counts = confusion_counts(images.labels, classes, len(models[0].labels))
    # What the first model would have to put out to say so.
    outputs = models[0].temperature * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
    return Predictions(classes, mean.amax(1).numpy(), counts, outputs)


def describe_means(
    loaded: LoadedRun, others: Sequence[LoadedRun], dataset: str, evaluation: Evaluation, *, with_tta: bool
) -> Iterator[str]:
    """The scores of a run with TTA, of others on the same images, and of them all together, in words.

    Each has the mark of those to which some of the images are not quite unseen. The others' scorings of PrivateTest are
    recorded in their runs, as the run's own is already.
    """
    images, device = evaluation.images, loaded.device
    models = [run.model for run in (loaded, *others)]
    # As far as is known.
    chosen_by = [chose_the_epoch(run, images) for run in (loaded, *others)]
    chose = [0 if chosen is None else int(chosen.sum()) for chosen in chosen_by]

    def mean_of(number: int, *, with_tta: bool = False) -> str:
        mark = f" {CHOSE_THE_EPOCH}" if any(chose[:number]) else ""
        return f"{mean_predictions(models[:number], images, device, with_tta=with_tta).line()}{mark}"

    shift = _shift_of(images.pixels.shape[2])
    tta = f"test-time augmentation ({COPIES} copies: mirror images, shifts of {shift} pixels)"
    if with_tta:
        yield f"with {tta}: {mean_of(1, with_tta=True)}"
    for other, chosen in zip(others, chose[1:], strict=True):
        alone = predict(other.model, images, device)
        record_scoring(other, dataset, images, alone.counts)
        said = f" {CHOSE_THE_EPOCH}; {chosen} of them chose its epoch" if chosen else ""
        yield f"{other.run.name} on the same: {alone.line()}{said}"
    if others:
        yield f"mean of {len(models)} models: {mean_of(len(models))}"
    if others and with_tta:
        yield f"mean of {len(models)} models with {tta}: {mean_of(len(models), with_tta=True)}"
