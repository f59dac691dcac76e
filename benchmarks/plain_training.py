"""An epoch of ours, and what it is measured against: the plain form of a published script, the machine's arithmetic."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from emotorch.cli import available_cores
from emotorch.networks import create_network
from emotorch.recipes import Recipe
from emotorch.training.loop import LabelledPixels, Trainer
from emotorch.training.losses import loss_of, one_hot
from emotorch.training.optimizers import new_optimizer
from emotorch.training.preprocessing import InputForm, to_input

SEED = 1


@cache
def random_images(count: int, classes: int) -> LabelledPixels:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 48, 48), dtype=torch.uint8)
    return LabelledPixels(pixels, torch.randint(0, classes, (count,)))


def new_network(recipe: Recipe, classes: int, seed: int = SEED) -> nn.Module:
    torch.manual_seed(seed)
    return create_network(recipe.network, {**recipe.network_config, "num_classes": classes})


def trainer_epoch(recipe: Recipe, images: LabelledPixels, classes: int, threads: int) -> float:
    """The mean loss of an epoch of `Trainer`, from new weights."""
    network = new_network(recipe, classes).to(memory_format=torch.channels_last)
    trainer = Trainer(network, replace(recipe, epochs=1), images, {}, classes=classes, seed=SEED, threads=threads)
    trainer.run(lambda _: None)
    return trainer.history[0].training.loss


class PlainForm:
    """Training as published scripts do it: a DataLoader over a TensorDataset of floats, NCHW, float32."""

    def __init__(self, recipe: Recipe, classes: int, seed: int = SEED) -> None:
        self._recipe, self._classes = recipe, classes
        self._network = new_network(recipe, classes, seed)
        self._optimizer, self._loss = new_optimizer(recipe, self._network), loss_of(recipe)

    def epoch(self, images: LabelledPixels, *, shuffle: bool = False) -> float:
        """One epoch, without augmentation; returns the mean loss. In the given order, losses can be compared."""
        self._network.train()
        total = 0.0
        for pixels, labels in self._batches(images, shuffle=shuffle):
            self._optimizer.zero_grad()
            loss = self._loss(self._network(pixels), one_hot(labels, self._classes)).mean()
            loss.backward()
            self._optimizer.step()
            total += loss.item() * len(labels)
        return total / len(images)

    def accuracy(self, images: LabelledPixels) -> float:
        """Percent of right predictions."""
        self._network.eval()
        with torch.no_grad():
            batches = self._batches(images, shuffle=False)
            right = sum(int((self._network(pixels).argmax(1) == labels).sum()) for pixels, labels in batches)
        return 100 * right / len(images)

    def _batches(self, images: LabelledPixels, *, shuffle: bool) -> DataLoader[tuple[Tensor, ...]]:
        inputs: Tensor = to_input(images.pixels, InputForm.of(self._recipe)).contiguous()
        return DataLoader(TensorDataset(inputs, images.labels), batch_size=self._recipe.batch_size, shuffle=shuffle)


@contextmanager
def plain_training(recipe: Recipe, images: int, classes: int) -> Iterator[Callable[[], float]]:
    """An epoch of `PlainForm` over so many random images, from new weights.

    In a process of its own: nothing that ours sets reaches it.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda: process.submit(_plain_epoch, recipe, images, classes).result()


def _plain_epoch(recipe: Recipe, images: int, classes: int) -> float:
    torch.set_num_threads(available_cores())
    return PlainForm(recipe, classes).epoch(random_images(images, classes))


def multiply_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations per second of a large matrix product."""
    a, b = torch.rand(size, size).to(dtype), torch.rand(size, size).to(dtype)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times[2:])


def part_of_peak(multiply_adds: int, rate: float, peak: float) -> str:
    """How much of the arithmetic that this machine is capable of a training does.

    Args:
        multiply_adds: Of one image's forward pass.
        rate: Images per second.
        peak: See `multiply_rate`.
    """
    # Three forward passes' work a step: backward costs two.
    return f"{2 * 3 * multiply_adds * rate / peak:.0%} of the {peak / 1e9:.0f} GFLOP/s of a matrix product"
