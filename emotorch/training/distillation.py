"""Distillation: predictions of finished models, the teachers, for the training images, as soft targets beside labels.

Where people disagree over a face, predictions of several models say more about it than one label. The teachers see
each image as their student does, augmented and mixed anew at every step: targets of the original image would be as
certain for one of which the student sees less.

Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015); of equal views, and many
epochs: Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emotorch.data.selection import Selection
from emotorch.errors import UsageError
from emotorch.labels import LabelScheme
from emotorch.metrics.calibration import probabilities
from emotorch.paths import Paths
from emotorch.runs.folder import Run, find_run, weights_file
from emotorch.runs.record import checked_hash
from emotorch.runs.usage import TrainingImages, fer_images
from emotorch.training.checkpoints import Model, load_model
from emotorch.training.device import autocast
from emotorch.training.loop import SoftTargets
from emotorch.training.preprocessing import to_input


@dataclass(frozen=True)
class Teachers:
    """Models whose predictions a run learns from.

    Attributes:
        models: In the order in which the recipe names them.
        hashes: SHA-256 of their weights, for the run's record.
    """

    models: Sequence[Model] = ()
    hashes: Sequence[str] = ()

    def soft_targets(self, device: torch.device, precision: str) -> SoftTargets | None:
        """Computes their mean probabilities for images, in the student's precision; None without teachers."""
        if not self.models:
            return None
        networks = [model.network.to(device).eval().requires_grad_(False) for model in self.models]

        @torch.no_grad()
        def predict(pixels: Tensor) -> Tensor:
            predictions = []
            for network, model in zip(networks, self.models, strict=True):
                with autocast(precision, device):
                    outputs = network(to_input(pixels, model.form))
                predictions.append(probabilities(outputs.float(), model.temperature))
            return torch.stack(predictions).mean(0)

        return predict


def read_teachers(paths: Paths, named: str, scheme: LabelScheme, selection: Selection) -> Teachers:
    """The models that a recipe names as its teachers, with commas between them, for a student of a scheme.

    Raises:
        EmoTorchError: a teacher's weights are damaged, or its folder does not list its training images.
        UsageError: there is no such model, it has other labels, or was trained on images that the student is not.
    """
    models, hashes = [], []
    for name in filter(None, map(str.strip, named.split(","))):
        weights = weights_file(paths, name)
        model = load_model(weights)
        if model.labels != scheme.labels:
            raise UsageError(f"teachers: {name} has other labels than {scheme.name}: {', '.join(model.labels)}")
        _check_sees_no_more(find_run(paths, name), selection)
        models.append(model)
        hashes.append(checked_hash(weights))
    return Teachers(models, hashes)


def _check_sees_no_more(teacher: Run, selection: Selection) -> None:
    """Through its teacher a student sees that one's training images: they must all be its own too."""
    stated, trained_on = TrainingImages.stated_by(teacher), set(selection.training.hashes.tolist())
    here = stated.in_copy(fer_images(selection.training.index.paths))
    # Of FER-2013 a smaller copy may lack images that it was trained on.
    lacking = max(0, len(stated.usages) - len(here.usages))
    foreign = lacking + len({*here.files.values(), *here.inherited} - trained_on)
    if foreign:
        raise UsageError(
            f"teachers: {teacher.name} was trained on {foreign} images that this run is not trained on; a teacher may "
            "have seen only what its student sees: the same --fer-usage and --train-on, and no larger --fer"
        )
