"""Work spread over processes, with results in order, whatever the number of processes."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from emotorch.errors import EmoTorchError
from emotorch.files import StageBuild

Item = TypeVar("Item")
Result = TypeVar("Result")

# Reading them from a GPU makes it wait.
_FIGURES_EVERY_S = 0.5
# The C library keeps pieces of up to 32 MiB.
_KEPT_BYTES = 31 << 20


def progress(
    items: Iterable[Item],
    *,
    total: int,
    description: str,
    unit: str,
    scale: bool = True,
    figures: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """A progress bar on stderr, where that is a terminal; `figures` are shown behind it twice a second."""
    bar = tqdm(items, total=total, desc=description, unit=unit, unit_scale=scale, disable=None, leave=False)
    shown = time.perf_counter()
    for item in bar:
        yield item
        if figures is not None and not bar.disable and time.perf_counter() - shown > _FIGURES_EVERY_S:
            bar.set_postfix_str(figures(), refresh=False)
            shown = time.perf_counter()


def keep_freed_memory() -> None:
    """Lets this process and its forks reuse freed memory instead of asking the system for it anew.

    The C library keeps as much as the largest piece freed so far. Getting megabytes for every few rows, or for every
    step of a training, would take as long as part of the work on them.
    """
    bytearray(_KEPT_BYTES)


def map_in_order(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Calls `function` on every item in `workers` processes; yields the results in the items' order.

    Raises:
        EmoTorchError: the workers cannot be started, or one died (for example for want of memory).
        Exception: the first error in the items' order, as the function raised it.
    """
    keep_freed_memory()
    if workers == 1 or len(items) <= 1:
        yield from map(function, items)
        return
    # Before the fork too: a fork has no threads, and OpenCV would wait forever for those that it had.
    _leave_the_cores_to_processes()
    # Forks hold the stage's lock too; from Python 3.14 on they are no longer Linux's own way.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    others = multiprocessing.active_children()
    try:
        pool = ProcessPoolExecutor(min(workers, len(items)), context, start_worker)
        futures: list[Future[Result]] = [pool.submit(function, item) for item in items]
    except OSError as error:  # too few descriptors, or processes
        # Those that did start would wait for work forever, and this process for them at its end.
        for process in set(multiprocessing.active_children()).difference(others):
            process.kill()
        raise EmoTorchError(f"cannot start {workers} workers: {error.strerror}; rerun with fewer --workers") from error
    with pool:
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise EmoTorchError("a worker process was killed (out of memory?); rerun with fewer --workers") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def start_worker() -> None:
    """A worker process begins with this: it leaves Ctrl-C to its parent, and ends when that has gone."""
    _leave_the_cores_to_processes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _leave_the_cores_to_processes() -> None:
    import cv2

    cv2.setNumThreads(1)


def _die_with_parent() -> None:
    """Ends an orphan: nobody reads its results, and it would keep the stage's lock."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def work_through(
    build: StageBuild,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], object],
    workers: int,
    *,
    chunk_size: int,
    description: str,
) -> list[Any]:
    """Calls `work` on chunks of the items, and records what it returns; what an earlier run recorded is not done again.

    Args:
        build: The stage's folder.
        items: All that the stage works on.
        work: Makes plain values of some consecutive items.
        workers: Processes.
        chunk_size: Items of a chunk, but for the last one.
        description: Of the progress bar, and of the chunks in the stage's journal.

    Returns:
        What is recorded of each chunk, in order.

    Raises:
        Exception: the first error in the chunks' order; what was done before stays recorded.
    """
    starts = range(0, len(items), chunk_size)
    chunks = {f"{description}, {chunk_size} from {start}": items[start : start + chunk_size] for start in starts}
    waiting = [name for name in chunks if name not in build.finished]
    done = map_in_order(work, [chunks[name] for name in waiting], workers)
    for name, records in progress(
        zip(waiting, done, strict=True), total=len(waiting), description=description, unit="chunk"
    ):
        build.finish(name, records)
    return [build.finished[name] for name in chunks]
