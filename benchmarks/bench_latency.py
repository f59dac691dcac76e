"""How long a shipped model takes for one face, cut out already, on one core: by its ONNX file and by PyTorch.

    python benchmarks/bench_latency.py

The median of single calls, one face each: what a page or a camera waits for.
"""

import statistics
from functools import partial

from timing import make_parser, seconds, use_one_core

from emotorch.inference.onnx_export import synthetic_faces
from emotorch.inference.reader import open_reader
from emotorch.inference.torch_reader import open_torch_reader
from emotorch.paths import SHIPPED_MODELS

CALLS = 300
WARMING = 20


def main() -> None:
    make_parser(__doc__).parse_args()
    use_one_core()
    faces = synthetic_faces(WARMING + CALLS)
    for weights in sorted(SHIPPED_MODELS.glob("*/model.pth")):
        readers = open_reader(weights), open_torch_reader(weights)
        calls: list[list[float]] = [[], []]
        for number in range(len(faces)):
            for reader, taken in zip(readers, calls, strict=True):
                taken.append(seconds(partial(reader.probabilities, faces[number : number + 1])))
        by_onnx, by_torch = (1000 * statistics.median(taken[WARMING:]) for taken in calls)
        print(
            f"{weights.parent.name}: {by_onnx:.2f} ms a face, {by_torch / by_onnx:.1f} times as fast as PyTorch "
            f"({by_torch:.2f} ms); {weights.with_suffix('.onnx').stat().st_size:,} bytes"
        )


if __name__ == "__main__":
    main()
