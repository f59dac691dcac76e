"""The engine that runs a sweep on this machine: processes that import once and train one run after the other."""

import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from emotorch.cli import available_cores
from emotorch.data.selection import DatasetIndex
from emotorch.experiment.settings import Settings
from emotorch.paths import Paths
from emotorch.sweep.folder import LOG_NAME, Sweep
from emotorch.sweep.job import Job, Result, run_job
from emotorch.sweep.preload import context, without_ctrl_c
from emotorch.sweep.scheduler import OpenEngine
from emotorch.sweep.worker_count import Measurement, choose_workers, measure
from emotorch.training.device import choose_device
from emotorch.workers import start_worker

logger = logging.getLogger(__name__)

_PATIENCE_S = 10.0


def local_engine(paths: Paths, base: Settings, workers: int | None) -> OpenEngine:
    """An engine of so many processes; without a number, of as many as a short measurement finds worth while.

    Raises:
        UsageError: this machine lacks the device that all runs share.
    """
    choose_device(base.device)
    return partial(_open, paths, workers)


@contextlib.contextmanager
def _open(
    paths: Paths, workers: int | None, sweep: Sweep, index: DatasetIndex, base: Settings, runs: int
) -> Iterator["LocalEngine"]:
    engine = LocalEngine(paths, sweep, index)
    try:
        if workers is None:
            choose_workers(engine, base, min(available_cores(), runs))
        else:
            engine.resize(min(workers, runs))
        yield engine
    finally:
        engine.close()


@dataclass
class _Worker:
    """A process, our end of the pipe to it, and what it works on."""

    process: BaseProcess
    connection: Connection
    job: Job | None = None


class LocalEngine:
    """Worker processes, each with one job at a time.

    All have the same settings, so the same number of threads: a run's files do not depend on how many there are.
    They map the same cache of pixels, whose pages the system keeps once.
    """

    reads_files = True

    def __init__(self, paths: Paths, sweep: Sweep, index: DatasetIndex) -> None:
        self._paths = paths
        self._sweep = sweep
        self._index = index
        self._workers: list[_Worker] = []

    @property
    def slots(self) -> int:
        return len(self._workers)

    def resize(self, workers: int) -> None:
        """Starts or ends idle workers, until there are so many."""
        while len(self._workers) < workers:
            self._workers.append(self._new_worker())
        while len(self._workers) > workers:
            _end(self._workers.pop())

    def start(self, job: Job) -> None:
        worker = next(worker for worker in self._workers if worker.job is None)
        if not worker.process.is_alive():
            worker = self._replace(worker)
        worker.job = job
        _send(worker, job)

    def wait(self) -> tuple[Job, Result | None]:
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        worker = busy[wait(list(busy))[0]]  # type: ignore[index]
        job, worker.job = worker.job, None
        assert job is not None
        try:
            return job, worker.connection.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker)
            return job, None

    def measure(self, measurement: Measurement) -> float:
        """Images per second of all workers together, each of which trains the same at the same time."""
        for worker in self._workers:
            _send(worker, measurement)
        try:
            return float(sum(worker.connection.recv() for worker in self._workers))
        except (EOFError, ConnectionResetError):
            # One died, most likely for want of memory: so many are too many. What the others measure nobody reads
            # any longer, and it must not be taken for the result of their next job.
            for worker in list(self._workers):
                worker.process.terminate()
                self._replace(worker)
            return 0.0

    def close(self) -> None:
        """Ends the workers; a run that one is busy with becomes `interrupted`."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _end(worker)

    def _replace(self, worker: _Worker) -> _Worker:
        _end(worker)
        new = self._new_worker()
        self._workers[self._workers.index(worker)] = new
        return new

    def _new_worker(self) -> _Worker:
        ours, theirs = context().Pipe()
        # The log takes what would run into each other on a terminal: the epochs of several runs.
        log = self._sweep.folder / LOG_NAME
        arguments = (theirs, _Inherited(self._sweep.lock), log, self._paths, self._index)
        process = context().Process(target=_work, args=arguments, daemon=True)
        with without_ctrl_c():
            process.start()
        theirs.close()
        return _Worker(process, ours)


@dataclass(frozen=True)
class _Inherited:
    """A file descriptor that arrives in a new process as one of its own."""

    descriptor: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self.descriptor),)


def _detach(duplicate: Any) -> int:
    descriptor: int = duplicate.detach()
    return descriptor


def _send(worker: _Worker, task: Job | Measurement) -> None:
    # Where the worker has just died, waiting for its result says so.
    with contextlib.suppress(BrokenPipeError):
        worker.connection.send(task)


def _end(worker: _Worker) -> None:
    """Waits for a worker that has nothing more to do; one that does not end by itself is killed."""
    worker.connection.close()
    worker.process.join(_PATIENCE_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(connection: Connection, lock: int, log: Path, paths: Paths, index: DatasetIndex) -> None:
    """A worker's life: a task, its result, the next task, until the parent closes the pipe.

    All that it says goes to the log. The descriptor of the sweep's lock is held as long as this process lives.
    """
    # A collection would write to every object, and what is written to is no longer shared with the other workers.
    gc.freeze()
    start_worker()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a run ends in order: as interrupted
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(message)s", stream=sys.stderr)
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            task: Job | Measurement = connection.recv()
            if isinstance(task, Job):
                connection.send(run_job(paths, task, index))
            else:
                connection.send(measure(task, task.settings.pixel_form(index)))
