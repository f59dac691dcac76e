"""What the benchmarks share: paired timing, and one line per result."""

import statistics
import time
from collections.abc import Callable


def paired(ours: Callable[[], object], reference: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Runs both in turn; returns median seconds of each, and the median of the pairs' ratios reference/ours.

    Pairs that run one after the other meet the same machine, whatever else it is doing.
    """
    times = [(_seconds(ours), _seconds(reference)) for _ in range(rounds)]
    return (
        statistics.median(mine for mine, _ in times),
        statistics.median(theirs for _, theirs in times),
        statistics.median(theirs / mine for mine, theirs in times),
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(name: str, items: int, unit: str, ours: float, reference: str, theirs: float, ratio: float) -> None:
    print(
        f"{name}: {items / ours:,.0f} {unit}/s, {ratio:.2f} times {reference} ({items / theirs:,.0f} {unit}/s)",
        flush=True,
    )
