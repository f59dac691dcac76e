"""How many trainings at once are worth while on this machine: measured, not guessed."""

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from emotorch.data.images import PixelForm
from emotorch.experiment.settings import Settings
from emotorch.experiment.start import new_network
from emotorch.seeding import generator
from emotorch.tables import counted
from emotorch.training.device import choose_device, make_repeatable
from emotorch.training.loop import LabelledPixels, Trainer

if TYPE_CHECKING:
    from emotorch.sweep.local import LocalEngine

logger = logging.getLogger(__name__)

_SECONDS = 0.4
_BATCHES = 4
# More workers that bring less than this are not worth their memory.
_WORTH_WHILE = 1.05


@dataclass(frozen=True)
class Measurement:
    """Steps of a training, to be timed for at least so many seconds."""

    settings: Settings
    seconds: float


def choose_workers(engine: "LocalEngine", settings: Settings, most: int) -> None:
    """Doubles the workers, up to `most`, as long as that trains notably more images per second."""
    chosen, fastest = 1, 0.0
    measured = []
    sizes = [*(2**power for power in range((most - 1).bit_length())), most]
    for size in sizes if most > 1 else ():
        engine.resize(size)
        engine.measure(Measurement(settings, 0.0))  # until all have started
        # The better of two: other work on the machine only ever takes away.
        rate = max(engine.measure(Measurement(settings, _SECONDS)) for _ in range(2))
        measured.append(f"{size} at once {rate:,.0f} images per second")
        if rate < _WORTH_WHILE * fastest:
            break
        chosen, fastest = size, rate
    engine.resize(chosen)
    logger.info("%s%s", counted(chosen, "worker"), f": measured {', '.join(measured)}" if measured else "")


class _TimeIsUpError(Exception):
    pass


def measure(task: Measurement, form: PixelForm) -> float:
    """Images per second of a training on random pixels in the form that the runs read."""
    settings = task.settings
    make_repeatable(settings.threads)
    device = choose_device(settings.device)
    recipe = replace(settings.recipe, epochs=10**9, early_stop_patience=0)
    classes, images = len(settings.scheme.labels), _BATCHES * recipe.batch_size
    pixels = generator("measurement").integers(0, 256, (images, *form.shape), np.uint8)
    training = LabelledPixels.of(pixels, np.arange(images) % classes, device)
    network = new_network(settings).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = Trainer(network, recipe, training, {}, classes=classes, seed=settings.seed, threads=settings.threads)
    ended: list[float] = []

    def after_epoch(_: Trainer) -> None:
        ended.append(time.perf_counter())
        if ended[-1] - ended[0] >= task.seconds:
            raise _TimeIsUpError

    logging.disable(logging.INFO)  # its epochs are nobody's
    with contextlib.suppress(_TimeIsUpError):
        trainer.run(after_epoch)
    logging.disable(logging.NOTSET)
    # The first epoch is not timed: memory, and how convolutions are computed, are settled in it.
    seconds = ended[-1] - ended[0]
    return images * (len(ended) - 1) / seconds if seconds else 0.0
