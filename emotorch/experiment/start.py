"""The start of a run: its network before the first step, from scratch or from given weights."""

from pathlib import Path

import torch
from torch import nn

from emotorch.data.selection import DatasetIndex, Selection
from emotorch.errors import UsageError
from emotorch.experiment.settings import Settings
from emotorch.networks import create_network, get_architecture
from emotorch.networks.pretrained import start_from
from emotorch.runs.folder import Run
from emotorch.runs.usage import TrainingImages, fer_images
from emotorch.training import checkpoints


def new_network(settings: Settings) -> nn.Module:
    """A run's network before its first step.

    Raises:
        EmoTorchError: the network does not take its configuration, or weights to start from are missing or damaged.
        UsageError: the recipe's images grow, and the network takes one size only.
    """
    recipe = settings.recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = create_network(recipe.network, checkpoints.network_config(recipe, settings.scheme.labels))
    if recipe.first_size and not get_architecture(recipe.network).any_size:
        raise UsageError(f"first_size: network {recipe.network} takes images of one size only; leave it at 0")
    if recipe.pretrained:
        start_from(network, Path(recipe.pretrained), recipe.trained_layers)
    return network


def start_of(settings: Settings) -> Run:
    """The run whose weights a run with `pretrained` starts from: their folder, which need not be one."""
    return Run(Path(settings.recipe.pretrained).absolute().parent)


def require_unseen(settings: Settings, index: DatasetIndex, selection: Selection) -> None:
    """Checks that a run scores no image that the run whose weights it starts from was trained on.

    Files of weights outside a run's folder say nothing about that.

    Raises:
        EmoTorchError: the weights are not those that the record of their run states.
        UsageError: that run was trained on images of this one's data that this one is not trained on.
    """
    if not settings.recipe.pretrained:
        return
    start = start_of(settings)
    start.file(Path(settings.recipe.pretrained).name)
    known = TrainingImages.of(start)
    if known is None:
        return
    known = known.in_copy(fer_images(index.paths))
    scored = set(index.hashes[index.datasets == settings.train_on].tolist())
    scored.update(*(images.hashes.tolist() for images in selection.sets().values()))
    seen = len(known.hashes & (scored - set(selection.training.hashes.tolist())))
    if seen:
        raise UsageError(
            f"pretrained: {start.name} was trained on {seen} images that are scored here, since this run is not "
            "trained on them; start from a run of other data, or with the same --fer-usage and --train-on, and no "
            "larger --fer"
        )
