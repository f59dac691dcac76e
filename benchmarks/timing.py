"""What the benchmarks share: options, datasets, paired timing with a line per result, processes, one core."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from emotorch.cli import available_cores
from emotorch.paths import Paths


def make_parser(docstring: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """A parser whose help is the benchmark's claim; with `--rounds` where so many are timed."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help="of each comparison (default: %(default)s)"
        )
    return parser


def prepare(root: Path, rows: int, stages: int) -> Paths:
    """A root with so many synthetic faces as FER-2013's CSV, and the first so many stages done, of three."""
    from emotorch.data import dataset, fer2013, variants
    from emotorch.data.synthetic_dataset import write_fer2013_csv
    from emotorch.labels import get_scheme

    paths, workers = Paths(root), available_cores()
    write_fer2013_csv(paths.fer_csv, rows=rows, seed=42)
    if stages >= 1:
        fer2013.convert(paths, workers=workers, force=False, skip_bad_rows=False)
    if stages >= 2:
        dataset.create(paths, get_scheme("emotorch4"), workers=workers, force=False)
    if stages >= 3:
        variants.create(paths, seed=42, workers=workers, force=False)
    return paths


def paired(ours: Callable[[], object], reference: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Runs both in turn; returns median seconds of each, and the median of the pairs' ratios reference/ours.

    Pairs that run one after the other meet the same machine, whatever else it is doing.
    """
    times = [(seconds(ours), seconds(reference)) for _ in range(rounds)]
    return (
        statistics.median(mine for mine, _ in times),
        statistics.median(theirs for _, theirs in times),
        statistics.median(theirs / mine for mine, theirs in times),
    )


def compare(
    name: str,
    items: int,
    unit: str,
    ours: Callable[[], object],
    reference_name: str,
    reference: Callable[[], object],
    rounds: int,
    reference_items: int | None = None,
) -> float:
    """Times both in turn, see `paired`, and prints a line: the items a second that each does, and their ratio.

    A call of ours does so many items, one of the reference `reference_items` where that is another number. Returns the
    median seconds of ours.
    """
    ours_s, theirs_s, ratio = paired(ours, reference, rounds)
    share = (reference_items or items) / items
    print(
        f"{name}: {items / ours_s:,.0f} {unit}/s, {ratio / share:.2f} times {reference_name} "
        f"({items * share / theirs_s:,.0f} {unit}/s)",
        flush=True,
    )
    return ours_s


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def python(*arguments: object, **environment: object) -> Callable[[], object]:
    """A Python process of its own, whose output nobody reads."""
    command = [sys.executable, *map(str, arguments)]
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return lambda: subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)


def use_one_core() -> None:
    """Pins this process, and what it starts from then on, to one core, and OpenCV to one thread."""
    import cv2

    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
