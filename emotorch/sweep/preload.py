"""New processes for a sweep's workers.

On Linux they are forks of one process that has imported what they need and has done nothing else: a worker starts at
once, and all share one copy of the libraries. A fork of the sweep's own process would not do: torch's threads, and
CUDA, do not survive one. This module imports nothing heavy, so that the other process begins at once.
"""

import contextlib
import multiprocessing
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

# What workers run, with all that it imports.
_PRELOADED = ["emotorch.sweep.local"]
# The system's limit for a socket's path is 108 bytes; its name takes some.
_LONGEST_FOLDER = 64


def preload() -> None:
    """Begins to import what all workers need, in a process of its own, while this one still imports for itself."""
    if isinstance(context(), ForkServerContext):
        with without_ctrl_c():
            forkserver.ensure_running()


@cache
def context() -> ForkServerContext | SpawnContext:
    """How processes are started here."""
    # Elsewhere system libraries do not survive a fork, or there is none.
    if sys.platform != "linux" or len(tempfile.gettempdir().encode()) > _LONGEST_FOLDER:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(_PRELOADED)
    return forking


@contextlib.contextmanager
def without_ctrl_c() -> Iterator[None]:
    """A process that starts in here never hears Ctrl-C, not even while it imports; this one hears it afterwards."""
    # Starting the resource tracker unblocks SIGINT as a side effect: so it starts before SIGINT is blocked.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
