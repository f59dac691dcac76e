"""What the benchmarks share: their options, paired timing, processes, one core, and a line per result."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable


def make_parser(docstring: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """A parser whose help is the benchmark's claim; with `--rounds` where so many are timed."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help="of each comparison (default: %(default)s)"
        )
    return parser


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
    """Pins this process, and what it starts from then on, to one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def report(name: str, items: int, unit: str, ours: float, reference: str, theirs: float, ratio: float) -> None:
    print(
        f"{name}: {items / ours:,.0f} {unit}/s, {ratio:.2f} times {reference} ({items / theirs:,.0f} {unit}/s)",
        flush=True,
    )
