"""The engine that runs a sweep on a Ray cluster: its nodes train, and this machine alone holds the run folders.

The nodes need this very code, and nothing of the data: the dataset's pixels go to each node once, through Ray's object
store, and a run's files come back as it ends. A run's folder is claimed here before it starts and held until its files
are in it, so that no other process takes the same. A run whose node is lost starts again on another.
"""

import contextlib
import hashlib
import io
import logging
import os
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from emotorch.data.copies import found_pairs
from emotorch.data.images import PixelForm, Pixels
from emotorch.data.operations import OPERATIONS
from emotorch.data.selection import DatasetIndex, ImageSet
from emotorch.datasets import CKP
from emotorch.errors import EmoTorchError, UsageError, installing
from emotorch.experiment.settings import Settings
from emotorch.experiment.train import is_leaky
from emotorch.files import STAMP_NAME, now, write_bytes
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import PUBLISHED_SPLIT
from emotorch.runs.folder import FAILED, LEAKY, RUNNING, Run, claim_run
from emotorch.runs.record import RECORD_NAME
from emotorch.sweep.folder import LOG_NAME, Sweep
from emotorch.sweep.job import Job, Result, run_job
from emotorch.sweep.scheduler import OpenEngine
from emotorch.tables import counted

logger = logging.getLogger(__name__)

# Most of a run's bytes are weights, which more work would hardly compress.
_COMPRESSION = 1
_REACH_S = 10.0


def ray_engine(paths: Paths, base: Settings, address: str | None, workers: int | None) -> OpenEngine:
    """An engine on the cluster at an address, or the one that this machine is in, with at most so many runs at once.

    Raises:
        UsageError: Ray is not installed, or the runs have teachers.
    """
    _ray()
    if base.recipe.teachers:
        raise UsageError("teachers: the nodes of a cluster have no models to learn from; use --engine local")
    return partial(_open, paths, address, workers)


@contextlib.contextmanager
def _open(
    paths: Paths, address: str | None, workers: int | None, sweep: Sweep, index: DatasetIndex, base: Settings, runs: int
) -> Iterator["RayEngine"]:
    ray = _ray()
    try:
        _reach(address)
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise EmoTorchError(
            f"no Ray cluster at {address or 'this machine'}: start one with `ray start --head`, and name it with "
            f"--address HOST:6379 ({str(error).partition(chr(10))[0]})"
        ) from error
    try:
        drawn = max(sweep.design.ranges.fer_aug[1], sweep.design.ranges.ckp_aug[1]) > 0
        variants = drawn or base.recipe.split == PUBLISHED_SPLIT
        leaky = is_leaky(base, sweep.design.planned(1, sweep.design.at(1)).settings(base).select(index))
        engine = RayEngine(paths, sweep, _Dataset.of(index, base, variants=variants), base, workers, leaky=leaky)
        nodes = counted(sum(node["Alive"] for node in ray.nodes()), "node")
        logger.info("%s on %s at once", counted(engine.slots, "run"), nodes)
        with contextlib.closing(engine):
            yield engine
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raises OSError when nobody answers at `HOST:PORT`, at once: Ray itself tries for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()


@dataclass(frozen=True)
class _Dataset:
    """What nodes need of a dataset, in Ray's object store: a node fetches each part once, and all its workers map it.

    Attributes:
        index: The index, without pixels.
        stamps: The small files that a run reads too, by their paths below the root.
        blocks: For the originals and each operation, the pixels in the index's order, in the form that the runs read.
    """

    index: Any
    stamps: dict[str, bytes]
    blocks: dict[int, Any]

    @classmethod
    def of(cls, index: DatasetIndex, base: Settings, *, variants: bool) -> "_Dataset":
        """Raises EmoTorchError when an image is missing or damaged, or variants are needed and stage 3 has not run."""
        files = [index.paths.synthetic_marker]
        if variants:
            index.check_augmented()
            files.append(index.paths.augmented / STAMP_NAME)
        stamps = {index.paths.relative(file): file.read_bytes() for file in files if file.is_file()}
        put, rows = _ray().put, np.flatnonzero(np.isin(index.datasets, (base.train_on, CKP.name)))
        operations = range(1 + len(OPERATIONS)) if variants else (0,)
        form = base.pixel_form(index)
        blocks = {operation: put(_block(index, rows, operation, form)) for operation in operations}
        # Whether a run needs them or not was found out before the first: they were looked for then.
        known = replace(index, pairs=found_pairs(index, base.train_on))
        return cls(put(known), stamps, blocks)


def _block(index: DatasetIndex, rows: Any, operation: int, form: PixelForm) -> Pixels:
    block: Pixels = np.zeros((len(index.files), *form.shape), np.uint8)
    block[rows] = ImageSet(index, rows, np.full_like(rows, operation)).read(form)
    return block


@dataclass
class _Running:
    """A job on a node, and its folder here, held until its files have come."""

    job: Job
    run: Run
    hold: contextlib.ExitStack


class RayEngine:
    """Tasks on the nodes of a cluster, one for each job, of as many cores as a run has threads."""

    reads_files = False

    def __init__(
        self, paths: Paths, sweep: Sweep, dataset: _Dataset, base: Settings, workers: int | None, *, leaky: bool
    ) -> None:
        self._paths = paths
        self._sweep = sweep
        self._dataset = dataset
        self._workers = workers
        self._leaky = leaky
        self._threads = base.threads
        self._gpus = 1 if base.device.startswith("cuda") else 0
        self._task = _ray().remote(num_cpus=base.threads, num_gpus=self._gpus, max_retries=0)(_on_node)
        self._running: dict[Any, _Running] = {}
        self._claimed: Run | None = None

    @property
    def slots(self) -> int:
        """As many as the nodes that are there now have room for; nodes may come and go."""
        there = sum(self._room(node["Resources"]) for node in _ray().nodes() if node["Alive"])
        return max(1, there if self._workers is None else min(there, self._workers))

    def _room(self, resources: dict[str, float]) -> int:
        room = int(resources.get("CPU", 0)) // self._threads
        return min(room, int(resources.get("GPU", 0))) if self._gpus else room

    def start(self, job: Job) -> None:
        if job.model:
            run = Run(self._paths.models / job.model)
        else:
            record = {"status": RUNNING, "started": now(), **({LEAKY: True} if self._leaky else {}), **job.origin}
            run = self._claimed = claim_run(self._paths.models, record, after=self._claimed)
        hold = contextlib.ExitStack()
        hold.enter_context(run.running())
        self._submit(_Running(replace(job, model=run.name), run, hold))

    def _submit(self, running: _Running) -> None:
        data = self._dataset
        files = _pack(running.run.folder)
        reference = self._task.remote(running.job, files, _code(), data.stamps, data.index, *data.blocks.values())
        self._running[reference] = running

    def wait(self) -> tuple[Job, Result | None]:
        ray = _ray()
        while True:
            (reference,), _ = ray.wait(list(self._running), num_returns=1)
            running = self._running.pop(reference)
            try:
                returned: _Returned = ray.get(reference)
            except ray.exceptions.NodeDiedError:
                logger.warning("the node of run %d was lost; the run starts again on another", running.job.number)
                self._submit(running)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError:
                running.hold.close()
                return running.job, None
            else:
                return running.job, self._receive(running, returned)

    def _receive(self, running: _Running, returned: "_Returned") -> Result:
        """Puts a run's files into its folder, its record last."""
        with (self._sweep.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(returned.log)
        result, run = returned.result, running.run
        _unpack(returned.files, run.folder)
        running.hold.close()
        if result.status == FAILED and "settings" not in run.record:
            shutil.rmtree(run.folder)  # it failed before a run of this process would have a folder
            result = replace(result, model="")
        return result

    def close(self) -> None:
        """Lets go of the runs on the nodes, which end with this process's connection: they become `interrupted`."""
        for running in self._running.values():
            running.hold.close()
            running.run.record_status()


@dataclass(frozen=True)
class _Returned:
    """What comes back from a node: how the run ended, all its files, and what was said."""

    result: Result
    files: bytes
    log: str


def _on_node(
    job: Job, files: bytes, code: str, stamps: dict[str, bytes], index: DatasetIndex, *blocks: Pixels
) -> _Returned:
    """A run on a node: `run_job`, in a root that holds its folder and no image.

    Raises:
        EmoTorchError: the node has other code.
    """
    if _code() != code:
        raise EmoTorchError(
            f"node {os.uname().nodename} has another version of this code ({REPOSITORY}): install the same checkout "
            "on every node"
        )
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {os.uname().nodename}:{os.getpid()} %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    with tempfile.TemporaryDirectory(prefix="emotorch-") as root:
        paths = Paths(Path(root))
        for name, content in stamps.items():
            write_bytes(paths.root / PurePosixPath(name), content)
        folder = paths.models / job.model
        _unpack(files, folder)
        here = replace(index, paths=replace(index.paths, root=paths.root), packed=dict(enumerate(blocks)))
        result = run_job(paths, job, here)
        return _Returned(result, _pack(folder), said.getvalue())


def _pack(folder: Path) -> bytes:
    """A run's files, its record last; no lock, and nothing that was half-written."""
    packed = io.BytesIO()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=_COMPRESSION) as archive:
        for file in sorted(files, key=lambda file: file.name == RECORD_NAME):
            archive.add(file, file.relative_to(folder).as_posix())
    return packed.getvalue()


def _unpack(packed: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None  # files alone are packed
            write_bytes(folder / PurePosixPath(member.name), content.read())


@lru_cache
def _code() -> str:
    """A hash of this package's files."""
    package = REPOSITORY / "emotorch"
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _ray() -> Any:
    # No usage is reported to Ray's makers; the node processes of a cluster decide that themselves when they start.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError(f"--engine ray needs Ray: {installing('cluster')}") from None
    return ray
