"""Comparing a thousand runs with the original takes seconds, and reads each folder's six files faster than pandas
reads the three that the published comparison needs.

    python benchmarks/bench_comparison.py
    python benchmarks/bench_comparison.py --runs 100000

The folders are made up, and hold only what the comparison reads. The whole of stage 6 is timed too, in a process of
its own: reading, intervals, table and picture.
"""

import json
import resource
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from timing import compare, make_parser, python, seconds

from emotorch.analyses.comparison import measure_runs
from emotorch.analyses.distance import Weights
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import get_recipe
from emotorch.runs.folder import list_runs

STAGE_6 = REPOSITORY / "develop_baseline_model" / "models" / "compare_models_to_original.py"
FACTORS = {"fer": (0.9, 1.0), "fer_aug": (0.0, 0.1), "ckp": (0.9, 1.0), "ckp_aug": (0.0, 0.1)}
# Validation images of each class, and how often each is predicted, roughly, in percent.
IMAGES = {"fer": (743, 768, 930, 600), "ckp": (135, 75, 207, 249)}
PREDICTIONS = np.array([(66, 16, 10, 9), (31, 32, 11, 26), (31, 17, 43, 9), (7, 10, 3, 80)])
KINDS = 200  # as many different runs; the others repeat them
READ_RUNS = 1000  # at most so many are read with pandas, which takes long
ROUNDS = 3


def main() -> None:
    parser = make_parser(__doc__, ROUNDS)
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="run folders (default: %(default)s)")
    options = parser.parse_args()
    count = options.runs
    with tempfile.TemporaryDirectory() as temporary:
        paths, few = Paths(Path(temporary) / "all"), Paths(Path(temporary) / "few")
        write_runs(paths, count)
        read = min(count, READ_RUNS)
        write_runs(few, read)

        def ours() -> None:
            list(measure_runs(list_runs(few.models), Weights()))

        compare("reading", read, "run folders", ours, "pandas", lambda: read_with_pandas(few), options.rounds)
        taken = seconds(python(STAGE_6, EMOTORCH_ROOT=paths.root))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"stage 6: {count:,} runs in {taken:.1f} s ({count / taken:,.0f} folders/s), peak memory {peak:.0f} MiB")


def read_with_pandas(paths: Paths) -> list[float]:
    """As the published comparison does: accuracies and both matrices of each folder."""
    distances = []
    for folder in sorted(paths.models.iterdir()):
        accuracies = pd.read_csv(folder / "final_accuracies.csv")
        dict(zip(accuracies["Metric"], accuracies["Value"], strict=True))
        matrices = [pd.read_csv(folder / f"confusion_matrix_{name}_val.csv", index_col=0) for name in IMAGES]
        distances.append(sum(float(np.mean((matrix.values - PREDICTIONS / 100) ** 2)) for matrix in matrices))
    return distances


def write_runs(paths: Paths, count: int) -> None:
    kinds = [make_files(np.random.default_rng(number)) for number in range(min(count, KINDS))]
    for number in range(count):
        folder = paths.models / f"model_{number + 1:05d}"
        folder.mkdir(parents=True)
        for name, text in kinds[number % len(kinds)].items():
            (folder / name).write_text(text)


def make_files(rng: np.random.Generator) -> dict[str, str]:
    recipe, scheme = get_recipe("emotorch"), get_scheme("emotorch4")
    factors = {name: rng.uniform(*limits) for name, limits in FACTORS.items()}
    record = {
        "status": "finished",
        "recipe": recipe.name,
        "labels": scheme.labels,
        "settings": {"recipe": asdict(recipe), "scheme": scheme.as_dict(), "factors": factors, "train_on": "FER"},
        "seed": 42,
        "factors": factors,
        "dataset": {"fingerprint": "0" * 64, "synthetic": True, "ckp": True},
    }
    files = {
        "run.json": json.dumps(record, indent=2),
        "final_accuracies.csv": "Metric,Value\n"
        + "".join(f"{name} Accuracy,{rng.uniform(50, 60):.2f}\n" for name in ("Training", "Combined Validation"))
        + "".join(f"Metric {number},NaN\n" for number in range(17)),
    }
    probabilities = rng.dirichlet(np.ones(4), size=4) * 0.3 + PREDICTIONS / PREDICTIONS.sum(axis=1, keepdims=True) * 0.7
    for name, images in IMAGES.items():
        counts = rng.multinomial(images, probabilities)
        files[f"confusion_counts_{name}_val.csv"] = table(scheme.labels, counts, "d")
        files[f"confusion_matrix_{name}_val.csv"] = table(scheme.labels, counts / counts.sum(1, keepdims=True), ".3f")
    return files


def table(labels: tuple[str, ...], values: NDArray[np.generic], form: str) -> str:
    rows = (
        f"{label},{','.join(f'{value:{form}}' for value in row)}" for label, row in zip(labels, values, strict=True)
    )
    return "\n".join([f",{','.join(labels)}", *rows]) + "\n"


if __name__ == "__main__":
    main()
