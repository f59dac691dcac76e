"""A sweep on a Ray cluster of two nodes on this machine: what comes out is what the local engine makes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from running import SWEEP, assert_same_weights, call_script, copy_root, error_line, last_line, read_table

from emotorch.paths import REPOSITORY, Paths
from emotorch.runs.folder import Run, list_runs

pytestmark = pytest.mark.slow

RUNS = 3
# Long enough to be met in the middle of a training: small batches, and a part of all 28 variants.
OPTIONS = ("--num-models", RUNS, "--epochs", 4, "--fer-aug-range", "0.03:0.06", "--set", "batch_size=8")
NO_VARIANTS = ("--fer-aug-range", "0:0", "--ckp-aug-range", "0:0")
PATIENCE_S = 300
# They tell of times.
TIMED = {"run.json", "model_parameters.txt"}

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[cluster]'")


class Nodes:
    """A cluster of two nodes, of one core each.

    Attributes:
        temporary: Where its nodes keep what they work on.
    """

    def __init__(self, temporary: Path) -> None:
        from ray.cluster_utils import Cluster

        self.temporary = temporary
        # By loopback: whatever else a test talks to is no part of this machine.
        size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 << 20, "node_ip_address": "127.0.0.1"}
        self._cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
        self._second = self._cluster.add_node(**size)
        self.address: str = self._cluster.address

    def kill_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def end(self) -> None:
        self._cluster.shutdown()

    def in_training(self) -> list[Path]:
        """The folders of runs that have a checkpoint on a node."""
        found = self.temporary.glob("emotorch-*/develop_baseline_model/models/*/model_last.pth")
        return [checkpoint.parent for checkpoint in found]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # A node tells Ray's makers even that it reports nothing.
    monkeypatch.setenv("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")
    with TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary:  # short: Ray's sockets are in it
        monkeypatch.setenv("TMPDIR", temporary)
        with pytest.MonkeyPatch.context() as unheard:
            unheard.delenv("LD_PRELOAD", raising=False)  # a node asks a cloud's address for metadata
            cluster = Nodes(Path(temporary))
        try:
            yield cluster
        finally:
            cluster.end()


def start(paths: Paths, nodes: Nodes, options: Sequence[object] = OPTIONS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / SWEEP), *map(str, options), "--engine", "ray", "--address", nodes.address],
        env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trainers_of(folders: Sequence[Path]) -> list[int]:
    """The processes that hold one of these runs."""
    locks, found = {folder / ".running" for folder in folders}, []
    for opened in Path("/proc").glob("[0-9]*/fd/*") if locks else ():
        with contextlib.suppress(OSError):
            if opened.readlink() in locks:
                found.append(int(opened.parts[2]))
    return found


def assert_same_files(paths: Paths, expected: Paths) -> None:
    runs = list_runs(expected.models)
    assert [run.name for run in list_runs(paths.models)] == [run.name for run in runs]
    for run in runs:
        ours = paths.models / run.name
        assert_same_weights(ours, run.folder)
        assert {file.name for file in ours.iterdir()} == {file.name for file in run.folder.iterdir()}
        for file in run.folder.iterdir():
            if file.name not in TIMED:
                assert file.read_bytes() == (ours / file.name).read_bytes(), file
        for name in ("settings", "factors", "dataset", "counts", "scores", "sweep_number", "best_epoch"):
            assert Run(ours).record[name] == run.record[name], name


@needs_ray
def test_a_node_is_lost_and_the_cluster_makes_what_one_worker_makes_here(
    prepared: Paths, nodes: Nodes, tmp_path: Path
) -> None:
    here, cluster = (copy_root(prepared, tmp_path / name) for name in ("here", "cluster"))
    process = start(cluster, nodes)
    held: list[int] = []
    until(lambda: bool(held.extend(trainers_of(nodes.in_training())) or held), process)
    os.kill(held[0], signal.SIGSTOP)  # else it may have trained all before the other node has begun
    until(lambda: len(nodes.in_training()) == 2, process)
    os.kill(held[0], signal.SIGCONT)
    nodes.kill_second()
    undisturbed = Path(last_line(call_script(here, SWEEP, *OPTIONS, "--workers", 1)))
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert f"{RUNS} of {RUNS} models trained" in stdout
    assert stderr.count("starts again on another") == 1
    assert "raylet" not in stderr
    sweep = Path(stdout.splitlines()[-1])
    assert (sweep / "plan.csv").read_bytes() == (undisturbed / "plan.csv").read_bytes()
    assert sorted(int(row["number"]) for row in read_table(sweep / "results.csv")) == list(range(1, RUNS + 1))
    assert (sweep / "log.txt").read_text().count("epoch  4/4") == RUNS
    assert_same_files(cluster, here)
    process = start(cluster, nodes, ("--num-models", 1, "--epochs", 1, "--split", "published", *NO_VARIANTS))
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert list_runs(cluster.models)[-1].name == f"model_{RUNS + 1:05d}_leaky"


@needs_ray
def test_without_a_cluster_one_line_says_how_to_start_one(root: Paths) -> None:
    line = error_line(call_script(root, SWEEP, *OPTIONS, "--engine", "ray", "--address", "127.0.0.1:1"))
    assert "ray start --head" in line
    assert not list_runs(root.models)


@needs_ray
def test_teachers_are_refused_on_a_cluster(root: Paths) -> None:
    line = error_line(call_script(root, SWEEP, *OPTIONS, "--engine", "ray", "--set", "teachers=compact"), status=2)
    assert "use --engine local" in line
    assert not list_runs(root.models)


def test_without_ray_one_line_names_the_extra(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    line = error_line(call_script(paths, SWEEP, "--engine", "ray"), status=2)
    assert "pip install '.[cluster]'" in line


def test_an_address_without_the_engine_is_refused(paths: Paths) -> None:
    assert "--engine ray" in error_line(call_script(paths, SWEEP, "--address", "127.0.0.1:6379"), status=2)
