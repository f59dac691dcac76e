"""A sweep: floor 3, goal 5 times the models per hour of the published way; 2 workers: goal 1.8 times one.

    python benchmarks/bench_sweep.py [--models 8] [--epochs 3] [--rows 6000]

The published way is a new process for each model, which imports everything, decodes every PNG with Pillow, and
trains in the plain form (`plain_training.PlainForm`, PyTorch's default threads), here without any of the files that
it wrote afterwards. Ours is stage 5 as a user runs it, on the same plan and from an empty cache, with all its files;
once more in bfloat16, where the processor computes in it. Accuracies are the mean over the models, of the best epoch
on each model's own validation images; both begin with the same weights. Synthetic faces, in a folder of its own.

Memory is what the system counts for all processes of a sweep, a page that several map shared between them (PSS, of
Linux): each worker brings its own PyTorch, none its own images.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timing import make_parser, prepare

from emotorch.paths import REPOSITORY, Paths
from emotorch.tables import counted
from emotorch.training.device import computes_in_bfloat16

SEED = 42
_MEMORY_EVERY_S = 2.0
SCRIPT = REPOSITORY / "develop_baseline_model" / "models" / "train_multiple_models.py"


def write_draws(paths: Paths, models: int) -> list[Path]:
    """What each run of the plan trains on and is validated on, as files with their labels."""
    from emotorch.data.selection import DatasetIndex, select
    from emotorch.labels import get_scheme
    from emotorch.sweep.plan import Design, draw_plan

    index = DatasetIndex.load(paths, get_scheme("emotorch4"))
    draws = []
    for run in draw_plan(Design("random", models, SEED)):
        selection = select(index, run.factors, fer_usage="all", seed=run.seed)
        sets = {"training": selection.training, "validation": selection.validation["fer"]}
        listed = {name: [images.files, images.labels.tolist()] for name, images in sets.items()}
        draws.append(paths.root / f"draw_{run.number}.json")
        draws[-1].write_text(json.dumps({"seed": run.seed, "sets": listed}))
    return draws


def train_plainly(draw: Path, epochs: int) -> None:
    """One model in the published way: the whole of a process."""
    # What a published script imports, needed or not.
    import matplotlib.pyplot  # noqa: F401
    import numpy as np
    import pandas  # noqa: F401
    import sklearn.metrics  # noqa: F401
    from PIL import Image
    from plain_training import PlainForm

    from emotorch.recipes import get_recipe
    from emotorch.training.loop import LabelledPixels

    drawn, sets = json.loads(draw.read_text()), {}
    for name, (files, labels) in drawn["sets"].items():
        pixels = np.stack([np.asarray(Image.open(draw.parent / file)) for file in files])
        sets[name] = LabelledPixels(torch.from_numpy(pixels).unsqueeze(1), torch.tensor(labels))
    plain = PlainForm(get_recipe("emotorch"), classes=4, seed=drawn["seed"])
    accuracy = 0.0
    for _ in range(epochs):
        plain.epoch(sets["training"], shuffle=True)
        accuracy = max(accuracy, plain.accuracy(sets["validation"]))
    draw.with_suffix(".accuracy").write_text(str(accuracy))


@dataclass(frozen=True)
class Memory:
    """MiB of all processes of a sweep, and of these of the mapped images."""

    all: float = 0.0
    images: float = 0.0


def timed(command: Sequence[object], root: Path) -> tuple[float, Memory]:
    """Seconds, and the most memory."""
    started, most = time.perf_counter(), Memory()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "EMOTORCH_ROOT": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        most = max(most, memory_of(process.pid), key=lambda memory: memory.all)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_MEMORY_EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - started, most


def memory_of(pid: int) -> Memory:
    """Of a process and its descendants, as far as they are still there."""
    every, images = 0, 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for process in family_of(pid):
            mapped = ""
            for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
                key, _, value = line.partition(" ")
                if not key.endswith(":"):
                    mapped = value
                elif key == "Pss:":
                    every += int(value.split()[0])
                    images += int(value.split()[0]) * mapped.endswith("pixels.bin")
    return Memory(every / 1024, images / 1024)


def family_of(pid: int) -> list[int]:
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [pid, *(member for child in children for member in family_of(child))]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", type=int, default=8, help="of each way (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of each model (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=6000, help="of the synthetic FER-2013 (default: %(default)s)")
    parser.add_argument("--plain", type=Path, metavar="FILE", help="train one model in the published way, and stop")
    options = parser.parse_args()
    if options.plain:
        train_plainly(options.plain, options.epochs)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = prepare(Path(folder), options.rows, stages=3)
        draws = write_draws(paths, options.models)
        images = [len(json.loads(draw.read_text())["sets"]["training"][0]) for draw in draws]
        print(f"{options.models} models, {options.epochs} epochs of {min(images):,}-{max(images):,} images")
        plain = sum(timed([__file__, "--plain", draw, "--epochs", options.epochs], paths.root)[0] for draw in draws)
        rates = [report("the published way", options.models, plain)]
        print(f"    {mean_accuracy([float(draw.with_suffix('.accuracy').read_text()) for draw in draws])}")
        ways: list[tuple[int, tuple[str, ...]]] = [(1, ()), (2, ())]
        if computes_in_bfloat16(torch.device("cpu")):
            ways.append((2, ("--set", "precision=mixed")))
        for workers, changes in ways:
            shutil.rmtree(paths.cache.parent, ignore_errors=True)
            sweep = ("--num-models", options.models, "--epochs", options.epochs, "--seed", SEED, "--new", *changes)
            seconds, memory = timed([SCRIPT, *sweep, "--workers", workers, "--device", "cpu"], paths.root)
            rates.append(report(f"ours, {' '.join((counted(workers, 'worker'), *changes))}", options.models, seconds))
            records = [json.loads(path.read_text()) for path in sorted(paths.models.glob("model_*/run.json"))]
            records = records[-options.models :]
            print(f"    {mean_accuracy([record['scores']['fer']['accuracy'] for record in records])}")
            print(f"    {parts_of_time(records)}")
            print(f"    {memory.all:,.0f} MiB at most, {memory.images:,.0f} of them images")
        plainly, one, two, *mixed = rates
        print(f"ours with 2 workers: {two / plainly:.2f} times the published way (floor 3, goal 5)")
        for rate in mixed:
            print(f"and in bfloat16: {rate / plainly:.2f} times the published way")
        print(f"2 workers: {two / one:.2f} times one (goal 1.8)")


def report(name: str, models: int, seconds: float) -> float:
    print(f"{name}: {3600 * models / seconds:,.0f} models per hour ({seconds:.1f} s)", flush=True)
    return models / seconds


def mean_accuracy(accuracies: Sequence[float]) -> str:
    error = statistics.stdev(accuracies) / len(accuracies) ** 0.5
    return f"accuracy {statistics.mean(accuracies):.1f}% (standard error {error:.1f})"


def parts_of_time(records: Sequence[dict[str, Any]]) -> str:
    """Where the time of runs went."""
    totals = {part: sum(record["timings_s"][part] for record in records) for part in records[0]["timings_s"]}
    return "seconds of its workers: " + ", ".join(f"{part} {seconds:.1f}" for part, seconds in totals.items())


if __name__ == "__main__":
    main()
