"""Reading for training: a warm cache gives 35,000 images in under a second.

    python benchmarks/bench_reading.py

The reference decodes every PNG anew, as the published training does.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from timing import make_parser, paired, report

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
        ours_s, theirs_s, ratio = paired(
            lambda: cache.share(files, slots)[:],
            lambda: np.stack([np.asarray(Image.open(file)) for file in files]),
            rounds,
        )
        report("warm reading", IMAGES, "images", ours_s, "decoding each with Pillow", theirs_s, ratio)
        print(f"    {IMAGES} images in {ours_s:.2f} s")


if __name__ == "__main__":
    main()
