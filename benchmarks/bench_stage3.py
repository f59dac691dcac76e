"""Stage 3, goal: at least 15 times a plain loop of library transforms, and 60% of bare file writing; flat memory.

    python benchmarks/bench_stage3.py

Ours makes all 28 variants of every image and writes them. The plain loop runs torchvision's transforms, one
image at a time, for the operations that it has, and saves with Pillow. Bare writing is `bench_stage1`'s.
"""

import resource
import tempfile
from pathlib import Path

from bench_stage1 import bare_writing, put_aside
from timing import compare, make_parser, prepare

from emotorch.cli import available_cores
from emotorch.data import variants
from emotorch.data.operations import OPERATIONS

ROWS = 1400
ROUNDS = 3


def main() -> None:
    rounds = make_parser(__doc__, ROUNDS).parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        paths = prepare(Path(temporary) / "root", ROWS, stages=2)
        workers = available_cores()
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

        def plain() -> None:
            plain_loop(some, Path(tempfile.mkdtemp(dir=temporary)))

        def bare() -> None:
            bare_writing(Path(tempfile.mkdtemp(dir=temporary)), images, workers)

        loop, writing = "a plain loop of library transforms", f"bare writing in {workers} processes"
        compare("stage 3", images, "variants", ours, loop, plain, rounds, reference_items=len(some) * len(TRANSFORMS))
        compare("stage 3", images, "variants", ours, writing, bare, rounds)


if __name__ == "__main__":
    main()
