"""Several processes that train one model: it is the model of one process, whichever number goes on with it."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import TRAIN, Trained, assert_same_weights, call_script, copy_root, copy_trained, interrupt, last_line

from emotorch.paths import REPOSITORY, Paths
from emotorch.runs.folder import Run

pytestmark = pytest.mark.slow

EPOCHS = 2
# 13 images a batch: the processes have unequal parts of it.
OPTIONS = ("--seed", 4, "--set", "learning_rate=0.003", "--set", "batch_size=13", "--fer-aug", 0.1)
# Gradients of networks whose images meet, in double precision, for what is left of a difference to be one of the sums.
GRADIENTS = """
import sys
import torch
from emotorch.networks import create_network
from emotorch.training import distributed

def gradients(name, config):
    torch.manual_seed(0)
    network = create_network(name, config).double()
    images = torch.rand(13, config["channels"], 48, 48).double()
    torch.manual_seed(1)
    with distributed.sharded_batch(len(images)):
        loss = network(images[distributed.shard(len(images))]).square().sum()
    found = torch.autograd.grad(loss, list(network.parameters()))
    distributed.all_reduce(found)
    return {"gradients": found, "buffers": dict(network.named_buffers())}

def all_gradients(networks):
    return [gradients(*network) for network in networks]

if __name__ == "__main__":
    with distributed.process_group():
        found = all_gradients(torch.load(sys.argv[1]))
        if distributed.is_main_process():
            torch.save(found, sys.argv[2])
"""
# Two processes as `torchrun` starts them, but that they import once, and nothing starts them.
PAIR = """
import os
import runpy
import socket
import sys

import timm

import emotorch.experiment.train

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
child = os.fork()
rank = str(int(child == 0))
os.environ.update(WORLD_SIZE="2", RANK=rank, LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except BaseException:
    if child:
        os.kill(child, 9)  # it would wait
    raise
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
DROPOUT = {"image_size": 48, "channels": 1, "num_classes": 4, "dropout": 0.5}
NETWORKS = [("emotion_classifier", DROPOUT), ("compact", DROPOUT), ("timm:resnetv2_18", DROPOUT)]


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def run(paths: Paths, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "EMOTORCH_ROOT": str(paths.root), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def together(paths: Paths, *options: object, by: tuple[str, ...] = ("-c", PAIR)) -> subprocess.CompletedProcess[str]:
    """Stage 4 by two processes, each on one thread."""
    return run(paths, *by, REPOSITORY / TRAIN, "--threads", 1, "--device", "cpu", *options)


def folder_of(done: subprocess.CompletedProcess[str]) -> Path:
    line = last_line(done)
    assert done.stdout.splitlines().count(line) == 1  # the leader's, and no other's
    return Path(line)


def assert_same_losses(first: Path, second: Path) -> None:
    ours, theirs = (json.loads((folder / "training_history.json").read_text())["epochs"] for folder in (first, second))
    assert [epoch["training"]["loss"] for epoch in ours] == pytest.approx(
        [epoch["training"]["loss"] for epoch in theirs], rel=1e-4
    )


def alone(paths: Paths, *options: object) -> Path:
    """Stage 4 by one process; on two threads, which cut a batch as two processes do."""
    return Path(last_line(call_script(paths, TRAIN, "--threads", 2, "--device", "cpu", *options)))


@pytest.fixture(scope="module")
def by_two(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    paths = copy_root(prepared, tmp_path_factory.mktemp("by_two") / "root")
    done = together(paths, "--epochs", 1, *OPTIONS, by=TORCHRUN)
    assert done.stderr.count("epoch  1/1") == 1  # the leader alone tells
    return Trained(paths, folder_of(done))


@pytest.fixture(scope="module")
def by_one(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    paths = copy_root(prepared, tmp_path_factory.mktemp("by_one") / "root")
    return Trained(paths, alone(paths, "--epochs", 1, *OPTIONS))


def test_two_processes_make_the_model_of_one_with_two_threads(by_two: Trained, by_one: Trained) -> None:
    """Bit for bit: both add up the same two parts of every batch."""
    two, one = by_two.folder, by_one.folder
    assert_same_weights(two, one)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    for path in one.glob("*.csv"):
        # Sums of losses go between processes in float32.
        if not path.name.startswith("training_history"):
            assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    assert_same_losses(two, one)
    assert [Run(folder).record["processes"] for folder in (two, one)] == [2, 1]


def test_one_process_goes_on_with_what_two_began_and_two_with_what_one_began(
    by_two: Trained, by_one: Trained, root: Paths, tmp_path: Path
) -> None:
    undisturbed = alone(root, "--epochs", EPOCHS, *OPTIONS)
    two, one = copy_trained(by_two, tmp_path / "two"), copy_trained(by_one, tmp_path / "one")
    interrupt(two.folder, EPOCHS, threads=2)
    last_line(call_script(two.paths, TRAIN, "--resume", two.folder.name))
    interrupt(one.folder, EPOCHS, threads=1)
    assert folder_of(together(one.paths, "--resume", one.folder.name)) == one.folder
    for folder, processes in ((two.folder, 1), (one.folder, 2)):
        record = Run(folder).record
        assert (record["status"], record["epochs_completed"]) == ("finished", EPOCHS)
        assert record["processes"] == processes
        assert_same_weights(folder, undisturbed)


def test_images_meet_across_processes(paths: Paths) -> None:
    """Batch norms and dropouts are those of the whole batch, also in timm's networks; parts are of 7 and 6 images."""
    script, asked, found = (paths.root / name for name in ("gradients.py", "networks.pt", "found.pt"))
    script.write_text(GRADIENTS)
    torch.save(NETWORKS, asked)
    done = run(paths, "-c", PAIR, script, asked, found)
    assert done.returncode == 0, done.stderr
    expected = runpy.run_path(str(script))["all_gradients"](NETWORKS)
    for (name, _), ours, theirs in zip(NETWORKS, torch.load(found), expected, strict=True):
        for place, (gradient, whole) in enumerate(zip(ours["gradients"], theirs["gradients"], strict=True)):
            torch.testing.assert_close(gradient, whole, rtol=1e-5, atol=1e-6, msg=f"{name}, gradient {place}")
        for key, buffer in ours["buffers"].items():
            torch.testing.assert_close(buffer, theirs["buffers"][key], rtol=1e-9, atol=1e-12, msg=f"{name}, {key}")


def test_what_fails_is_told_once(paths: Paths) -> None:
    done = together(paths)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error:"))
    assert "create_original_dataset.py" in line
    assert not list(paths.models.glob("model_*"))
