"""Images per second of every recipe against the plain form of its network; goal 1.5 for `emotion_classifier`.

    python benchmarks/bench_recipes.py [RECIPE …]

Three forms of ours, each with one thing more: the engine alone in float32, with the recipe's augmentation, and
in the recipe's precision. The part of the machine's arithmetic counts three forward passes a step, and is
of the rate of a large matrix product in the same precision.
"""

from dataclasses import replace
from functools import partial

import torch
from plain_training import multiply_rate, new_network, part_of_peak, plain_training, random_images, trainer_epoch
from timing import compare, make_parser

from emotorch.cli import available_cores
from emotorch.labels import get_scheme
from emotorch.networks.describe import layers, total
from emotorch.recipes import RECIPES, Augmentation, Recipe, get_recipe
from emotorch.training.device import computes_in_bfloat16
from emotorch.training.preprocessing import InputForm

# Multiply-adds that a round may cost: small networks get more images.
_WORK = 3e11
ROUNDS = 3


def measure(recipe: Recipe, threads: int, rounds: int) -> None:
    classes = len(get_scheme(recipe.scheme).labels)
    inputs = InputForm.of(recipe)
    size = total(layers(new_network(recipe, classes), (inputs.channels, inputs.image_size, inputs.image_size)))
    batches = max(3, round(_WORK / size.multiply_adds / 3 / recipe.batch_size))
    count = min(batches, 200) * recipe.batch_size
    images = random_images(count, classes)
    print(f"{recipe.name}: {size.multiply_adds / 1e6:.1f} M multiply-adds an image, batch {recipe.batch_size}, {count}")
    alone = replace(recipe, augmentation=Augmentation(), precision="float32")
    forms = {
        "engine": alone,
        "with augmentation": replace(alone, augmentation=recipe.augmentation),
        "as the recipe trains": recipe,
    }
    seen: list[Recipe] = []
    with plain_training(recipe, count, classes) as plain:
        plain()
        for name, ours in forms.items():
            if ours in seen:
                continue
            seen.append(ours)
            epoch = partial(trainer_epoch, ours, images, classes, threads)
            epoch()
            taken = compare(f"  {name}", count, "images", epoch, "the plain form", plain, rounds)
            mixed = ours.precision == "mixed" and computes_in_bfloat16(torch.device("cpu"))
            torch.set_num_threads(threads)
            peak = multiply_rate(torch.bfloat16 if mixed else torch.float32)
            form = "bfloat16" if mixed else "float32"
            print(f"    {part_of_peak(size.multiply_adds, count / taken, peak)} in {form}")


def main() -> None:
    parser = make_parser(__doc__, ROUNDS)
    parser.add_argument("recipes", metavar="RECIPE", nargs="*", default=list(RECIPES), help="(default: all)")
    options = parser.parse_args()
    threads = available_cores()
    print(f"{threads} threads")
    for name in options.recipes:
        measure(get_recipe(name), threads, options.rounds)


if __name__ == "__main__":
    main()
