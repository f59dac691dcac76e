"""What training is measured against: the plain form of a published script, and the machine's own arithmetic."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from emotorch.networks import create_network
from emotorch.recipes import Recipe
from emotorch.training.inputs import InputForm, to_input
from emotorch.training.loop import LabelledPixels
from emotorch.training.losses import loss_of, one_hot
from emotorch.training.optimization import new_optimizer

SEED = 1


@cache
def random_images(count: int, classes: int) -> LabelledPixels:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 48, 48), dtype=torch.uint8)
    return LabelledPixels(pixels, torch.randint(0, classes, (count,)))


def new_network(recipe: Recipe, classes: int) -> nn.Module:
    torch.manual_seed(SEED)
    return create_network(recipe.network, {**recipe.network_config, "num_classes": classes})


def plain_epoch(recipe: Recipe, images: LabelledPixels, classes: int) -> float:
    """One epoch as published scripts train: a DataLoader over a TensorDataset of floats, NCHW, float32.

    The images come in the given order and without augmentation, so that losses can be compared.

    Returns:
        The mean loss.
    """
    network = new_network(recipe, classes)
    optimizer, loss_of_images = new_optimizer(recipe, network), loss_of(recipe)
    inputs: Tensor = to_input(images.pixels, InputForm.of(recipe)).contiguous()
    total = 0.0
    for pixels, labels in DataLoader(TensorDataset(inputs, images.labels), batch_size=recipe.batch_size):
        optimizer.zero_grad()
        loss = loss_of_images(network(pixels), one_hot(labels, classes)).mean()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(images)


@contextmanager
def plain_training(recipe: Recipe, images: int, classes: int) -> Iterator[Callable[[], float]]:
    """`plain_epoch` over so many random images, in a process of its own: nothing that ours sets reaches it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda: process.submit(_plain_epoch, recipe, images, classes).result()


def _plain_epoch(recipe: Recipe, images: int, classes: int) -> float:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return plain_epoch(recipe, random_images(images, classes), classes)


def multiply_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations per second of a large matrix product."""
    a, b = torch.rand(size, size).to(dtype), torch.rand(size, size).to(dtype)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times[2:])
