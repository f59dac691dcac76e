"""The images that an analysis of a run may be about: none that the run was trained on."""

import numpy as np

from emotorch.data.variants import is_variant
from emotorch.errors import EmoTorchError, found_elsewhere
from emotorch.evaluation.evaluate import CHOSE_THE_EPOCH, Evaluation, all_chose_the_epoch, evaluate, predict
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import evaluate_validation
from emotorch.evaluation.seen import seen_by_name
from emotorch.runs.usage import TrainingImages


def held_out(loaded: LoadedRun, dataset: str | None) -> Evaluation:
    """What a run was not trained on, of a dataset (see `evaluate`) or of its own validation images.

    Of the run's own, FER-2013's count where it has any, else the first of another dataset. Variants are left out:
    they are changed already, and say little beyond their originals.

    Raises:
        EmoTorchError: no such dataset, or no image of it is left; or the run's own are unknown or not here.
    """
    if dataset is not None:
        return evaluate(loaded, dataset)
    parts = evaluate_validation(loaded)
    if not parts:
        remedy = f"name a DATASET, fer-public for example{found_elsewhere(loaded.paths.originals)}"
        raise EmoTorchError(f"{loaded.run.name} names no validation image that is here: {remedy}")
    return _originals(loaded, parts[0])


def _originals(loaded: LoadedRun, scored: Evaluation) -> Evaluation:
    # A run of the published code may have been trained on variants of its own validation images.
    variant = np.array([is_variant(file) for file in scored.images.files])
    trained_on = ~variant & seen_by_name(scored.images, TrainingImages.of(loaded.run))[0]
    chosen = ~variant & ~trained_on
    if chosen.all():
        return scored
    if not chosen.any():
        raise EmoTorchError(f"{scored.title}: no original that was not trained on; name a DATASET, fer-public say")
    images = scored.images.part(chosen)
    predictions = predict(loaded.model, images, loaded.device)
    alone = f"{scored.title}, originals alone: {predictions.line()} {CHOSE_THE_EPOCH}"
    lines = [f"{alone}; {int(variant.sum())} variants are left out", all_chose_the_epoch(predictions.images)]
    if trained_on.any():
        lines.append(f"{int(trained_on.sum())} originals are left out, because it was trained on variants of them")
    return Evaluation(images, predictions, scored.title, lines)
