"""Augmenting batches in training: goal 30,000 images a second and thread under any policy, 5 times a loop.

    python benchmarks/bench_augmentation.py

The plain forms are torchvision's transforms: applied to each image in a loop, and to a whole batch, which then
gets one draw for all its images. The second is less work, and less augmentation: half of the batches are mirrored,
nothing is done to the others. All start from the same bytes, on one thread, and end as floats.
"""

import torch
from timing import compare, make_parser
from torch import Tensor
from torchvision.transforms import v2

from emotorch.recipes import Augmentation, get_recipe
from emotorch.training.augmentation import Draws, augment, degrade

BATCH = 64
BATCHES = 20
ROUNDS = 7
FLOATS = v2.ToDtype(torch.float32)
REFLECT_PAD = 12  # pixels; torchvision's affine transforms have no mirrored edge, so the image gets one before

FULL = Augmentation(
    flip=0.5, rotation=15, shift=0.1, scale=(0.9, 1.1), crop=0.8, brightness=0.2, contrast=0.2, blur=0.1, occlusion=0.25
)


def plain_transform(policy: Augmentation) -> v2.Transform:
    """Torchvision's nearest to a policy, in its own order of operations."""
    steps: list[v2.Transform] = [v2.Identity()]
    if policy.flip:
        steps.append(v2.RandomHorizontalFlip(policy.flip))
    if policy.rotation or policy.shift or policy.scale != (1.0, 1.0):
        steps += [
            v2.Pad(REFLECT_PAD, padding_mode="reflect"),
            v2.RandomAffine(
                policy.rotation,
                (policy.shift, policy.shift),
                policy.scale,
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.CenterCrop(48),
        ]
    if policy.crop < 1:
        steps.append(v2.RandomResizedCrop(48, (policy.crop, 1.0), (1.0, 1.0)))
    if policy.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(7, (0.1, policy.blur_sigma))], policy.blur))
    if policy.brightness or policy.contrast:
        steps.append(v2.ColorJitter(policy.brightness, policy.contrast))
    if policy.occlusion:
        area = policy.occlusion_size**2
        steps.append(v2.RandomErasing(policy.occlusion, (area / 9, area)))
    return v2.Compose([*steps, FLOATS])


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    torch.set_num_threads(1)  # threads of one operation wait for each other on a busy machine
    torch.manual_seed(0)
    batches = torch.randint(0, 256, (BATCHES, BATCH, 1, 48, 48), dtype=torch.uint8)
    # As in a training: freed large tensors leave memory that the next ones are made in.
    torch.ones(8_000_000)
    print(f"1 thread, batches of {BATCH} grey images of 48×48")
    policies = {
        "flip": Augmentation(flip=0.5),
        "rotation": Augmentation(rotation=15),
        "shift": Augmentation(shift=0.1),
        "scale": Augmentation(scale=(0.9, 1.1)),
        "crop": Augmentation(crop=0.8),
        "brightness": Augmentation(brightness=0.2),
        "contrast": Augmentation(contrast=0.2),
        "blur of 10%": Augmentation(blur=0.1),
        "blur of all": Augmentation(blur=1.0),
        "occlusion": Augmentation(occlusion=0.25),
        "all": FULL,
        "recipe shared_cnn": get_recipe("shared_cnn").augmentation,
    }
    for name, policy in policies.items():
        transform = plain_transform(policy)

        def ours(policy: Augmentation = policy) -> None:
            for batch in batches:
                draws = Draws.of(policy, batch.shape, 1)
                degrade(augment(batch, policy, draws), policy, draws)

        def image_by_image(transform: v2.Transform = transform) -> Tensor:
            return torch.stack([transform(image) for image in batches[0]])

        def batch_by_batch(transform: v2.Transform = transform) -> None:
            for batch in batches:
                transform(batch)

        ours()
        batch_by_batch()
        images = BATCH * BATCHES
        # The loop runs over one batch, ours over all of them.
        compare(name, images, "images", ours, "torchvision per image", image_by_image, rounds, reference_items=BATCH)
        compare("    ", images, "images", ours, "torchvision with one draw a batch", batch_by_batch, rounds)


if __name__ == "__main__":
    main()
