"""Training the baseline: floor 1.7, goal 3 times the images per second of the plain form; equal losses.

    python benchmarks/bench_training.py

The plain form is the published code's: a DataLoader over a TensorDataset of floats, NCHW, PyTorch's default
threads. Ours is `Trainer`. Each step between them is measured alone, and beside it the part of the rate at
which this machine multiplies large matrices of float32. The last one, where the processor computes in bfloat16, is
no default: its losses are equal to that format's rounding only.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from plain_training import multiply_rate, new_network, part_of_peak, plain_training, random_images, trainer_epoch
from timing import compare, make_parser

from emotorch.networks.describe import layers, total
from emotorch.recipes import get_recipe
from emotorch.training.device import computes_in_bfloat16
from emotorch.training.loop import LabelledPixels
from emotorch.training.losses import cosine_proximity, one_hot
from emotorch.training.preprocessing import InputForm, to_input
from emotorch.workers import keep_freed_memory

IMAGES = 6400
ROUNDS = 5
CLASSES = 4
RECIPE = get_recipe("emotorch")


def without_loader(images: LabelledPixels, memory_format: torch.memory_format) -> float:
    network = new_network(RECIPE, CLASSES).to(memory_format=memory_format)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=RECIPE.learning_rate)
    total_loss = torch.zeros(())
    batches = (torch.split(values, RECIPE.batch_size) for values in (images.pixels, images.labels))
    for pixels, labels in zip(*batches, strict=True):
        optimizer.zero_grad(set_to_none=True)
        loss = cosine_proximity(network(to_input(pixels, InputForm())), one_hot(labels, CLASSES)).mean()
        loss.backward()
        optimizer.step()
        total_loss += loss.detach() * len(labels)
    return float(total_loss) / len(images)


def with_kept_memory(images: LabelledPixels) -> float:
    keep_freed_memory()
    return without_loader(images, torch.channels_last)


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    images = random_images(IMAGES, CLASSES)
    threads = torch.get_num_threads()
    print(f"{threads} threads, {IMAGES} images, batch {RECIPE.batch_size}")
    multiply_adds = total(layers(new_network(RECIPE, CLASSES), (1, 48, 48))).multiply_adds
    peak = multiply_rate(torch.float32)
    steps: list[tuple[str, Callable[[], float]]] = [
        ("bytes on the device, no DataLoader", lambda: without_loader(images, torch.contiguous_format)),
        ("and channels last", lambda: without_loader(images, torch.channels_last)),
        ("and freed memory kept", lambda: with_kept_memory(images)),
        (f"Trainer, {threads} parts of a batch", lambda: trainer_epoch(RECIPE, images, CLASSES, threads)),
    ]
    if computes_in_bfloat16(torch.device("cpu")):
        mixed = replace(RECIPE, precision="mixed")
        steps.append(("and bfloat16: --set precision=mixed", lambda: trainer_epoch(mixed, images, CLASSES, threads)))
    with plain_training(RECIPE, IMAGES, CLASSES) as plain:
        losses = {"plain": plain()}
        for name, epoch in steps:
            torch.set_num_threads(threads)
            losses[name] = epoch()
            taken = compare(name, IMAGES, "images", epoch, "the plain form", plain, rounds)
            print(f"    {part_of_peak(multiply_adds, IMAGES / taken, peak)}")
    print("mean losses:", ", ".join(f"{name} {loss:.6f}" for name, loss in losses.items()), "(Trainer: another order)")


if __name__ == "__main__":
    main()
