"""Training the baseline: floor 1.7, goal 3 times the images per second of the plain form; equal losses.

    python benchmarks/bench_training.py

The plain form is the published code's: a DataLoader over a TensorDataset of floats, NCHW, PyTorch's default
threads. Ours is `Trainer`. Each step between them is measured alone, and beside it the share of the rate at
which this machine multiplies large matrices.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from timing import paired, report
from torch.utils.data import DataLoader, TensorDataset

from emotorch.networks.emotorch_cnn import EmoTorchCNN
from emotorch.recipes import get_recipe
from emotorch.training.loop import LabelledPixels, Trainer, to_input
from emotorch.training.losses import cosine_proximity

IMAGES = 6400
ROUNDS = 5
SEED = 1
# Multiply-adds of the four convolutions of one 48×48 image; backward costs about two forward passes more.
_FORWARD = 45**2 * 10 * 16 + 42**2 * 10 * 160 + 18**2 * 10 * 160 + 15**2 * 10 * 160
FLOPS_PER_IMAGE = 2 * 3 * _FORWARD


def new_network() -> EmoTorchCNN:
    torch.manual_seed(SEED)
    return EmoTorchCNN()


def plain_epoch(images: LabelledPixels, batch: int) -> float:
    """Mean loss of one epoch, in the given order, so that losses can be compared."""
    network = new_network()
    optimizer = torch.optim.RMSprop(network.parameters(), lr=5e-4)
    loader = DataLoader(TensorDataset(to_input(images.pixels), images.labels), batch_size=batch)
    total = 0.0
    for pixels, labels in loader:
        optimizer.zero_grad()
        loss = cosine_proximity(network(pixels), labels).mean()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(images)


def without_loader(images: LabelledPixels, batch: int, memory_format: torch.memory_format) -> float:
    network = new_network().to(memory_format=memory_format)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=5e-4)
    total = torch.zeros(())
    for pixels, labels in zip(torch.split(images.pixels, batch), torch.split(images.labels, batch), strict=True):
        optimizer.zero_grad(set_to_none=True)
        loss = cosine_proximity(network(to_input(pixels)), labels).mean()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(labels)
    return float(total) / len(images)


def trainer_epoch(images: LabelledPixels) -> float:
    recipe = replace(get_recipe("emotorch"), epochs=1)
    trainer = Trainer(new_network().to(memory_format=torch.channels_last), recipe, images, {}, SEED)
    trainer.run(lambda _: None)
    return trainer.history[0].training.loss


def multiply_rate() -> float:
    """Floating-point operations per second of a large matrix product."""
    a, b = torch.rand(1536, 1536), torch.rand(1536, 1536)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * 1536**3 / statistics.median(times[2:])


def main() -> None:
    torch.manual_seed(0)
    images = LabelledPixels(
        torch.randint(0, 256, (IMAGES, 1, 48, 48), dtype=torch.uint8), torch.randint(0, 4, (IMAGES,))
    )
    batch = get_recipe("emotorch").batch_size
    print(f"{torch.get_num_threads()} threads, {IMAGES} images, batch {batch}")
    peak = multiply_rate()
    steps: list[tuple[str, Callable[[], float]]] = [
        ("bytes on the device, no DataLoader", lambda: without_loader(images, batch, torch.contiguous_format)),
        ("and channels last", lambda: without_loader(images, batch, torch.channels_last)),
        ("Trainer", lambda: trainer_epoch(images)),
    ]
    losses = {"plain": plain_epoch(images, batch)}
    for name, epoch in steps:
        losses[name] = epoch()
        ours_s, plain_s, ratio = paired(epoch, lambda: plain_epoch(images, batch), ROUNDS)
        report(name, IMAGES, "images", ours_s, "the plain form", plain_s, ratio)
        share = IMAGES * FLOPS_PER_IMAGE / ours_s / peak
        print(f"    {share:.0%} of the {peak / 1e9:.0f} GFLOP/s of a large matrix product")
    print("mean losses:", ", ".join(f"{name} {loss:.6f}" for name, loss in losses.items()), "(Trainer: another order)")


if __name__ == "__main__":
    main()
