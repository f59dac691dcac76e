"""Checks before a sweep: what every run would fail by, or could not be ranked by."""

import logging

from emotorch.analyses.criterion import LOSS, criterion_of
from emotorch.data.selection import DatasetIndex
from emotorch.errors import UsageError
from emotorch.experiment.settings import Settings
from emotorch.experiment.start import new_network, require_unseen
from emotorch.sweep.plan import GUIDED, Design, require_optuna
from emotorch.training.distillation import read_teachers

logger = logging.getLogger(__name__)


def check_sweep(base: Settings, design: Design, index: DatasetIndex) -> None:
    """Draws the most images that a run may draw, and makes the networks at both ends of the varied ranges.

    Raises:
        EmoTorchError: a class has no image, stage 3 has not run and variants are drawn, a network does not take its
            configuration, or weights or teachers to start from are missing or damaged.
        UsageError: an option names what is not there, a guided sweep has nothing to choose, or what ranks the runs
            is varied itself.
    """
    lowest, highest = (design.planned(1, design.at(place)).settings(base) for place in (0, 1))
    if design.strategy == GUIDED:
        require_optuna()
        if lowest == highest:
            raise UsageError("--strategy guided has nothing to choose: vary a number with --vary, or a factor's range")
    gammas = {settings.recipe.focal_gamma for settings in (lowest, highest) if settings.recipe.loss == "focal"}
    if len(gammas) > 1 and criterion_of(base.as_dict()) == LOSS:
        raise UsageError("--vary focal_gamma changes the loss itself, which ranks the runs: add --set watch=macro_f1")
    # Whatever a smaller factor draws is a part of what the largest draws.
    selection = highest.select(index)
    if selection.shared and len(selection.shared.rows):
        logger.info("%s: %s", base.train_on, selection.shared.describe())
    read_teachers(index.paths, base.recipe.teachers, base.scheme, selection)
    require_unseen(base, index, selection)
    for settings in (lowest, highest):
        new_network(settings)
