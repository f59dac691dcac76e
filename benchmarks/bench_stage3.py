"""Stage 3, goal: at least 15 times a plain loop of library transforms, and 60% of bare file writing; flat memory.

    python benchmarks/bench_stage3.py

Ours makes all 28 variants of every image and writes them. The plain loop runs torchvision's transforms, one
image at a time, for the operations that it has, and saves with Pillow. Bare writing is `bench_stage1`'s.
"""

import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from bench_stage1 import bare_writing
from PIL import Image
from timing import paired, report
from torchvision.transforms import v2

from emotorch.cli import available_cores
from emotorch.data import augmented, dataset, fer2013
from emotorch.data.augmentations import OPERATIONS
from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.labels import get_scheme
from emotorch.paths import Paths

ROWS = 1400
ROUNDS = 3
# Those of the 28 that torchvision has, with the published strengths.
TRANSFORMS = (
    v2.RandomRotation(25),
    v2.RandomHorizontalFlip(1.0),
    v2.RandomResizedCrop(48, (0.6, 0.75), (1.0, 1.0)),
    v2.RandomAffine(0, shear=12),
    v2.RandomPerspective(0.25, 1.0),
    v2.ElasticTransform(50.0, 5.0),
    v2.ColorJitter(brightness=(0.2, 0.4)),
    v2.ColorJitter(brightness=(1.6, 2.2)),
    v2.ColorJitter(contrast=(0.2, 0.4)),
    v2.ColorJitter(contrast=(2.5, 3.5)),
    v2.RandomPosterize(2, 1.0),
    v2.GaussianNoise(0.0, 0.12),
    v2.GaussianNoise(0.0, 0.04),
    v2.GaussianBlur(9, (3.0, 5.0)),
    v2.RandomErasing(1.0, (0.08, 0.2), (0.8, 1.25)),
    v2.RandomErasing(1.0, (0.03, 0.08), (4.0, 8.0)),
    v2.RandomSolarize(0.5, 1.0),
    v2.RandomEqualize(1.0),
    v2.RandomInvert(1.0),
)


def plain_loop(sources: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, source in enumerate(sources):
        pixels = torch.from_numpy(np.array(Image.open(source))).unsqueeze(0)
        for kind, transform in enumerate(TRANSFORMS):
            floats = isinstance(transform, v2.GaussianNoise | v2.RandomSolarize)
            picture = transform(pixels.float() / 255 if floats else pixels)
            values = (picture * 255).round().to(torch.uint8) if floats else picture
            Image.fromarray(values.squeeze(0).numpy()).save(folder / f"{number}_{kind}.png")


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        paths = Paths(Path(temporary) / "root")
        write_fer2013_csv(paths.fer_csv, rows=ROWS, seed=42)
        workers = available_cores()
        fer2013.convert(paths, workers=workers, force=False, skip_bad_rows=False)
        dataset.create(paths, get_scheme("emotorch4"), workers=workers, force=False)
        sources = sorted(paths.originals.rglob("*.png"))
        variants = len(sources) * len(OPERATIONS)
        some = sources[:: max(1, len(sources) // 60)]
        plain_variants = len(some) * len(TRANSFORMS)

        def ours() -> None:
            shutil.rmtree(paths.augmented, ignore_errors=True)
            augmented.create(paths, seed=42, workers=workers, force=False)

        def plain() -> None:
            plain_loop(some, Path(temporary) / f"plain-{time.monotonic_ns()}")

        def bare() -> None:
            bare_writing(Path(temporary) / f"bare-{time.monotonic_ns()}", variants, workers)

        ours_s, plain_s, ratio = paired(ours, plain, ROUNDS)
        per_image = ratio * variants / plain_variants
        theirs_s = plain_s * variants / plain_variants
        report("stage 3", variants, "variants", ours_s, "a plain loop of library transforms", theirs_s, per_image)
        ours_s, bare_s, ratio = paired(ours, bare, ROUNDS)
        report("stage 3", variants, "variants", ours_s, f"bare writing in {workers} processes", bare_s, ratio)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"stage 3: {peak:.0f} MiB at most in a worker")


if __name__ == "__main__":
    main()
