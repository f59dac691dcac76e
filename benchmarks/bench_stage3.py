"""Stage 3, goal: at least 15 times a plain loop of library transforms, and 60% of bare file writing; flat memory.

    python benchmarks/bench_stage3.py

Ours makes all 28 variants of every image and writes them. The plain loop runs torchvision's transforms, one
image at a time, for the operations that it has, and saves with Pillow. Bare writing is `bench_stage1`'s.
"""

import resource
import tempfile
import time
from pathlib import Path

from bench_stage1 import bare_writing, put_aside
from timing import make_parser, paired, report

from emotorch.cli import available_cores
from emotorch.data import dataset, fer2013, variants
from emotorch.data.operations import OPERATIONS
from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.labels import get_scheme
from emotorch.paths import Paths

ROWS = 1400
ROUNDS = 3


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        paths = Paths(Path(temporary) / "root")
        write_fer2013_csv(paths.fer_csv, rows=ROWS, seed=42)
        workers = available_cores()
        fer2013.convert(paths, workers=workers, force=False, skip_bad_rows=False)
        dataset.create(paths, get_scheme("emotorch4"), workers=workers, force=False)
        sources = sorted(paths.originals.rglob("*.png"))
        images = len(sources) * len(OPERATIONS)

        def ours() -> None:
            put_aside(paths.augmented)
            variants.create(paths, seed=42, workers=workers, force=False)

        ours()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"stage 3: {peak:.0f} MiB at most in a worker")

        # Not before: the workers are forks of this process, and count as large as all that it has loaded.
        import torch
        from library_transforms import TRANSFORMS, plain_loop

        torch.set_num_threads(1)
        some = sources[:: max(1, len(sources) // 60)]
        plain_images = len(some) * len(TRANSFORMS)

        def plain() -> None:
            plain_loop(some, Path(temporary) / f"plain-{time.monotonic_ns()}")

        def bare() -> None:
            bare_writing(Path(temporary) / f"bare-{time.monotonic_ns()}", images, workers)

        ours_s, plain_s, ratio = paired(ours, plain, rounds)
        per_image = ratio * images / plain_images
        theirs_s = plain_s * images / plain_images
        report("stage 3", images, "variants", ours_s, "a plain loop of library transforms", theirs_s, per_image)
        ours_s, bare_s, ratio = paired(ours, bare, rounds)
        report("stage 3", images, "variants", ours_s, f"bare writing in {workers} processes", bare_s, ratio)


if __name__ == "__main__":
    main()
