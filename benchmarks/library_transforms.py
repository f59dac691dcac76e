"""What `bench_stage3` compares with: torchvision's transforms, one image at a time."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

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
    for number, source in enumerate(sources):
        pixels = torch.from_numpy(np.array(Image.open(source))).unsqueeze(0)
        for kind, transform in enumerate(TRANSFORMS):
            floats = isinstance(transform, v2.GaussianNoise | v2.RandomSolarize)
            picture = transform(pixels.float() / 255 if floats else pixels)
            values = (picture * 255).round().to(torch.uint8) if floats else picture
            Image.fromarray(values.squeeze(0).numpy()).save(folder / f"{number}_{kind}.png")
