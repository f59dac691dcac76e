"""Reading for training: a warm cache gives 35,000 images in under a second.

    python benchmarks/bench_reading.py

The reference decodes every PNG anew, as the published training does.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from timing import compare, make_parser

from emotorch.data.cache import PixelCache
from emotorch.data.images import write_png

IMAGES = 35000
ROUNDS = 3


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        folder.mkdir()
        files = [folder / f"{number}.png" for number in range(IMAGES)]
        for file in files:
            write_png(file, rng.integers(0, 256, (48, 48), dtype=np.uint8))
        slots = rng.permutation(10 * IMAGES)[:IMAGES]
        cache = PixelCache(Path(temporary) / "cache", 10 * IMAGES, dense=0)
        cache.share(files, slots)[:]

        def ours() -> None:
            cache.share(files, slots)[:]

        def decode() -> None:
            np.stack([np.asarray(Image.open(file)) for file in files])

        taken = compare("warm reading", IMAGES, "images", ours, "decoding each with Pillow", decode, rounds)
        print(f"    {IMAGES} images in {taken:.2f} s")


if __name__ == "__main__":
    main()
