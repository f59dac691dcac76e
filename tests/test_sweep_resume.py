"""Sweeps by worker processes: killed, interrupted, two at once; what comes out is what one worker makes undisturbed."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from running import SWEEP, assert_same_weights, call_script, copy_root, error_line, last_line, read_table

from emotorch.data.selection import DatasetIndex, Factors
from emotorch.experiment.settings import Settings
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import get_recipe
from emotorch.runs.folder import Run, list_runs
from emotorch.sweep.folder import open_sweep
from emotorch.sweep.job import Job
from emotorch.sweep.local import LocalEngine
from emotorch.sweep.plan import Design
from emotorch.sweep.worker_count import Measurement

pytestmark = pytest.mark.slow

RUNS = 2
# Long enough to be met in the middle of a training: small batches, and a part of all 28 variants.
OPTIONS = ("--num-models", RUNS, "--epochs", 3, "--fer-aug-range", "0.03:0.06", "--set", "batch_size=8")
PATIENCE_S = 600


def start(paths: Paths, workers: int, *options: object) -> subprocess.Popen[str]:
    """The script, in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / SWEEP), *map(str, (*OPTIONS, "--workers", workers, *options))],
        env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def servers_of(process: subprocess.Popen[str]) -> list[int]:
    """The child that imports what workers need."""
    return [child for child in children_of(process.pid) if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Its forks."""
    return [worker for server in servers_of(process) for worker in children_of(server)]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_training(paths: Paths) -> list[Run]:
    """Runs that have a checkpoint and no result."""
    return [
        run
        for run in list_runs(paths.models)
        if (run.folder / "model_last.pth").exists() and not (run.folder / "model.pth").exists()
    ]


def by_number(paths: Paths, sweep: Path) -> dict[str, Path]:
    return {row["number"]: paths.models / row["model"] for row in read_table(sweep / "results.csv")}


def assert_whole(paths: Paths, undisturbed: tuple[Paths, Path]) -> None:
    """Every row of the one plan has one model, whose files are those of an undisturbed sweep; no other is there."""
    (sweep,) = paths.models.glob("sweep_*")
    assert (sweep / "plan.csv").read_bytes() == (undisturbed[1] / "plan.csv").read_bytes()
    numbers = [row["number"] for row in read_table(sweep / "results.csv")]
    assert sorted(numbers) == [str(number) for number in range(1, RUNS + 1)]
    assert {path.name for path in by_number(paths, sweep).values()} == {run.name for run in list_runs(paths.models)}
    expected = by_number(*undisturbed)
    for number, folder in by_number(paths, sweep).items():
        assert Run(folder).status() == "finished"
        assert_same_weights(folder, expected[number])
        assert {file.name for file in folder.iterdir()} == {file.name for file in expected[number].iterdir()}
        for file in folder.glob("*.csv"):
            assert file.read_bytes() == (expected[number] / file.name).read_bytes(), file.name


@pytest.fixture(scope="module")
def undisturbed(prepared: Paths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    """The sweep by one worker; in a root where no image is decoded by more than one process at first."""
    paths = copy_root(prepared, tmp_path_factory.mktemp("undisturbed") / "root")
    sweep = Path(last_line(call_script(paths, SWEEP, *OPTIONS, "--workers", 1)))
    histories = [(run.folder / "training_history_fer.csv").read_text() for run in list_runs(paths.models)]
    assert all(len(set(history.splitlines())) == 4 for history in histories), "nothing was learned"
    return paths, sweep


def test_two_workers_make_what_one_makes_and_each_run_is_told_of(root: Paths, undisturbed: tuple[Paths, Path]) -> None:
    done = call_script(root, SWEEP, *OPTIONS, "--workers", 2)
    assert_whole(root, undisturbed)
    told = [line for line in done.stderr.splitlines() if "models per hour" in line]
    assert [line.split(": ")[0] for line in told] == [f"{number} of {RUNS}" for number in range(1, RUNS + 1)]
    assert f"{RUNS} of {RUNS} models trained" in done.stdout
    log = (Path(last_line(done)) / "log.txt").read_text()
    assert len({line.split()[2] for line in log.splitlines()}) == 2, "one worker did it all: nothing was compared"


def test_a_sweep_killed_in_a_training_ends_its_workers_and_goes_on(
    root: Paths, undisturbed: tuple[Paths, Path]
) -> None:
    process = start(root, 2)
    until(lambda: bool(in_training(root)), process)
    workers = workers_of(process)
    assert len(workers) == 2
    (server,) = servers_of(process)
    assert "libtorch" in Path(f"/proc/{server}/maps").read_text(), "each worker imports for itself"
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, workers)))
    begun = {run.name for run in list_runs(root.models)}
    assert len(begun) <= 2
    assert last_line(call_script(root, SWEEP, *OPTIONS, "--workers", 1))
    assert begun <= {run.name for run in list_runs(root.models)}
    assert_whole(root, undisturbed)


def test_a_killed_sweep_s_command_may_follow_at_once(root: Paths, undisturbed: tuple[Paths, Path]) -> None:
    """Its orphans may still claim a folder in the moment before they notice."""
    process = start(root, 2)
    until(lambda: bool(list_runs(root.models)), process)
    workers = workers_of(process)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        process.kill()
        process.wait()
        assert "running already" in error_line(call_script(root, SWEEP, *OPTIONS, "--workers", 1))
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    assert last_line(call_script(root, SWEEP, *OPTIONS, "--workers", 1))
    assert_whole(root, undisturbed)


def test_a_killed_worker_s_run_is_gone_on_with(root: Paths, undisturbed: tuple[Paths, Path]) -> None:
    process = start(root, 1)
    until(lambda: bool(in_training(root)), process)
    (worker,) = workers_of(process)
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "the worker of run 1 died" in stderr
    assert f"{RUNS} of {RUNS} models trained" in stdout
    assert_whole(root, undisturbed)


def test_what_is_left_of_a_measurement_is_no_run_s_result(root: Paths) -> None:
    """A worker dies while they are measured: the other's result is read by nobody, and not by the next run either."""
    settings = Settings(
        replace(get_recipe("emotorch"), epochs=1), get_scheme("emotorch4"), Factors(fer_aug=0, ckp_aug=0)
    )
    index = DatasetIndex.load(root, settings.scheme)
    with open_sweep(root, settings, Design("random", 1, 0), index) as sweep:
        engine = LocalEngine(root, sweep, index)
        with contextlib.closing(engine):
            engine.resize(2)
            assert engine.measure(Measurement(settings, 0.0)) == 0.0  # of one round, which is not timed
            os.kill(engine._workers[0].process.pid or 0, signal.SIGKILL)
            assert engine.measure(Measurement(settings, 0.0)) == 0.0
            for number in (1, 2):
                engine.start(Job(number, settings, sweep.name))
            results = [engine.wait()[1] for _ in range(2)]
    assert sorted((result.number, result.status) for result in results if result) == [(1, "finished"), (2, "finished")]


def test_ctrl_c_while_workers_still_import_leaves_one_line(root: Paths) -> None:
    process = start(root, 2)
    until(lambda: bool(servers_of(process)), process)
    (server,) = servers_of(process)
    (blocked,) = re.findall(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{server}/status").read_text(), re.MULTILINE)
    assert int(blocked, 16) >> (signal.SIGINT - 1) & 1, "it would say where in an import it was interrupted"
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    line = error_line(subprocess.CompletedProcess([], process.returncode, stdout, stderr), status=130)
    assert stderr == f"{line}\n"


def test_ctrl_c_leaves_an_interrupted_run_and_one_line(root: Paths, undisturbed: tuple[Paths, Path]) -> None:
    process = start(root, 2)
    until(lambda: bool(in_training(root)), process)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert "the same command goes on" in error_line(
        subprocess.CompletedProcess([], process.returncode, stdout, stderr), status=130
    )
    assert not any(map(alive, workers))
    assert "running" not in {run.record["status"] for run in list_runs(root.models)}
    assert not [path for run in list_runs(root.models) for path in run.folder.glob(".*-*")]
    assert last_line(call_script(root, SWEEP, *OPTIONS, "--workers", 1))
    assert_whole(root, undisturbed)


def test_the_same_sweep_twice_at_once_is_refused_and_another_one_shares_no_folder(
    root: Paths, undisturbed: tuple[Paths, Path]
) -> None:
    process = start(root, 1)
    until(lambda: bool(list_runs(root.models)), process)
    process.send_signal(signal.SIGSTOP)  # else it may end before the other has begun
    assert "the same sweep" in error_line(call_script(root, SWEEP, *OPTIONS))
    process.send_signal(signal.SIGCONT)
    other = Path(last_line(call_script(root, SWEEP, *OPTIONS, "--workers", 1, "--new")))
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    (first,) = set(root.models.glob("sweep_*")) - {other}
    names = [path.name for sweep in (first, other) for path in by_number(root, sweep).values()]
    assert sorted(names) == sorted({run.name for run in list_runs(root.models)})
    assert len(names) == 2 * RUNS
    for folder in by_number(root, other).values():
        shutil.rmtree(folder)
    shutil.rmtree(other)
    assert_whole(root, undisturbed)
