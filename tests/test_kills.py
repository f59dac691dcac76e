"""Stages 1 to 3 killed, interrupted, or out of disk: what is half-written is never taken for whole, and the same
command again ends as if nothing had happened, byte for byte."""

import contextlib
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import draw_images, the_error, tree, write_fer_csv, write_small_ckplus, write_small_fer
from forks import killed_before
from running import Done, error_line

import emotorch.workers
from emotorch.data import dataset, fer2013, variants
from emotorch.data.operations import OPERATIONS
from emotorch.labels import get_scheme
from emotorch.paths import REPOSITORY, STAGE_1, STAGE_2, STAGE_3, Paths

pytestmark = pytest.mark.slow

PATIENCE_S = 600
KILLS = 3


@dataclass(frozen=True)
class Stage:
    """A stage, and how much work the tests give it.

    Attributes:
        number: 1 to 3.
        command: Its script.
        rows: Of the CSV that it all begins with; the stage then works long enough to be met at it.
        chunk: How many files a finished chunk has at least, but for the last one.
    """

    number: int
    command: str
    rows: int
    chunk: int

    def folder(self, paths: Paths) -> Path:
        return (paths.fer_images, paths.originals, paths.augmented)[self.number - 1]

    def partial(self, paths: Paths) -> Path:
        folder = self.folder(paths)
        return folder.with_name(f".{folder.name}.partial")

    def start(self, paths: Paths, workers: int, **options: object) -> subprocess.Popen[str]:
        """The script, in a process group of its own, as a terminal starts it."""
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / self.command), "--workers", str(workers)],
            env={**os.environ, "EMOTORCH_ROOT": str(paths.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def run(self, paths: Paths, workers: int, **options: object) -> Done:
        return ended(self.start(paths, workers, **options))


STAGES = [
    Stage(1, STAGE_1, rows=6000, chunk=200),
    Stage(2, STAGE_2, rows=900, chunk=200),
    Stage(3, STAGE_3, rows=140, chunk=400),
]
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"stage {stage.number}")


def make(number: int, paths: Paths, *, seed: int = 42, force: bool = False) -> None:
    """A stage by one worker, in this process."""
    if number == 1:
        fer2013.convert(paths, workers=1, force=force, skip_bad_rows=False)
    elif number == 2:
        dataset.create(paths, get_scheme("emotorch4"), workers=1, force=force)
    else:
        variants.create(paths, seed=seed, workers=1, force=force)


def ended(process: subprocess.Popen[str]) -> Done:
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Done(process.args, process.returncode, stdout, stderr)


Undisturbed = Callable[[Stage], tuple[Paths, dict[str, bytes]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A stage's input, and the files that it makes of it."""
    made: dict[int, Paths] = {}
    after: dict[Stage, tuple[Paths, dict[str, bytes]]] = {}

    def after_stage(stage: Stage) -> tuple[Paths, dict[str, bytes]]:
        if stage not in after:
            if stage.rows not in made:
                made[stage.rows] = Paths(tmp_path_factory.mktemp("undisturbed"))
                write_small_fer(made[stage.rows], stage.rows)
                write_small_ckplus(made[stage.rows])
            paths = made[stage.rows]
            for number in range(1, stage.number + 1):
                make(number, paths)
            after[stage] = paths, tree(stage.folder(paths))
        return after[stage]

    return after_stage


def new_root(
    undisturbed: Undisturbed, stage: Stage, root: Path, copy: Callable[..., object]
) -> tuple[Paths, dict[str, bytes]]:
    """A root in which the stage has not run yet, and the files that it ought to make."""
    source, expected = undisturbed(stage)
    outputs = [later.folder(source).name for later in STAGES[stage.number - 1 :]]
    shutil.copytree(source.root, root, copy_function=copy, ignore=shutil.ignore_patterns(".*", *outputs))
    return Paths(root), expected


@pytest.fixture
def before(undisturbed: Undisturbed, stage: Stage, tmp_path: Path) -> tuple[Paths, dict[str, bytes]]:
    return new_root(undisturbed, stage, tmp_path / "root", os.link)


def files_below(folder: Path) -> dict[Path, int]:
    """The files of a folder in which another process works, with their times of change."""
    found = {}
    for name, _, files in os.walk(folder):
        for file in files:
            with_time = Path(name, file)
            try:
                found[with_time.relative_to(folder)] = with_time.stat().st_mtime_ns
            except FileNotFoundError:
                continue
    return found


def wait_for_files(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Until so many files are there, or the process has ended."""
    while process.poll() is None and sum(len(files) for _, _, files in os.walk(folder)) < count:
        time.sleep(0.002)


# kill -9.


@every_stage
def test_killed_at_any_moment_it_ends_as_if_undisturbed(before: tuple[Paths, dict[str, bytes]], stage: Stage) -> None:
    """With its workers; without any, it is killed before every step below."""
    paths, expected = before
    folder, partial = stage.folder(paths), stage.partial(paths)
    chance = random.Random(f"stage {stage.number}")
    kills = 0
    for _ in range(100):
        process = stage.start(paths, workers=2)
        wait_for_files(process, partial, int(len(expected) * (kills + chance.random()) / KILLS))
        process.kill()
        if ended(process).returncode == 0:
            shutil.rmtree(folder)  # it was faster than the kill: from the start again
            continue
        assert process.returncode == -signal.SIGKILL
        assert not folder.exists()
        kills += 1
        if kills == KILLS:
            break
    assert kills == KILLS
    journal = partial / ".journal.jsonl"
    recorded = journal.read_text().count("\n") if journal.exists() else 0
    there = files_below(partial)
    done = stage.run(paths, workers=2)
    assert done.returncode == 0, done.stderr
    assert tree(folder) == expected
    assert [path.name for path in folder.parent.glob(f".{folder.name}*")] == [f".{folder.name}.lock"]
    # What was done before is not done again.
    kept = there.items() & files_below(folder).items()
    assert len(kept) > (recorded - 1) * stage.chunk


def live_processes_of(group: int) -> set[int]:
    """The processes of a group that are not zombies."""
    listed = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listed.splitlines())
    return {int(pid) for pid, its_group, state in rows if int(its_group) == group and not state.startswith("Z")}


def at_work(stage: Stage, paths: Paths) -> tuple[subprocess.Popen[str], set[int]]:
    """A stage in the middle of its work, and its two workers; one that is faster than this look starts again."""
    for _ in range(50):
        process = stage.start(paths, 2)
        wait_for_files(process, stage.partial(paths), 50)
        workers = live_processes_of(process.pid) - {process.pid}
        if len(workers) == 2:
            return process, workers
        assert ended(process).returncode == 0
        shutil.rmtree(stage.folder(paths))
    raise AssertionError("never met at work")


@every_stage
def test_no_worker_outlives_a_killed_stage(before: tuple[Paths, dict[str, bytes]], stage: Stage) -> None:
    paths, _ = before
    process, _ = at_work(stage, paths)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while (left := live_processes_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    process.communicate()


@pytest.mark.parametrize("stage", STAGES[2:], ids=["stage 3"])
def test_a_killed_worker_is_one_line(before: tuple[Paths, dict[str, bytes]], stage: Stage) -> None:
    paths, expected = before
    process, workers = at_work(stage, paths)
    os.kill(max(workers), signal.SIGKILL)
    assert the_error(ended(process)).startswith("error: a worker process was killed (out of memory?)")
    assert not stage.folder(paths).exists()
    assert stage.run(paths, 2).returncode == 0
    assert tree(stage.folder(paths)) == expected


@pytest.mark.parametrize("stage", STAGES[:1], ids=["stage 1"])
def test_no_other_run_begins_while_an_orphan_may_still_write(
    before: tuple[Paths, dict[str, bytes]], stage: Stage
) -> None:
    paths, _ = before
    process, workers = at_work(stage, paths)
    orphan = min(workers)
    os.kill(orphan, signal.SIGSTOP)
    try:
        process.kill()
        process.wait()
        assert "stage 1 is running already" in the_error(stage.run(paths, 1))
    finally:
        os.kill(orphan, signal.SIGCONT)
    process.communicate()
    assert stage.run(paths, 1).returncode == 0


# Killed before every single step: each writing, renaming or removing of a file.


@dataclass(frozen=True)
class Case:
    """What a stage is killed at: afresh, or in place of something.

    Attributes:
        stage: Its number.
        instead_of: What is there before: `nothing`, an `older` output of another seed, or the `same` (by force).
    """

    stage: int
    instead_of: str = "nothing"

    def prepare(self, paths: Paths) -> None:
        """A root of three images, before the run that is to be killed."""
        write_fer_csv(paths.fer_csv, draw_images(3, seed=1), [0, 2, 5], ["Training"] * 3)
        for earlier in range(1, self.stage):
            make(earlier, paths)
        if self.instead_of != "nothing":
            self.run(paths, seed=1 if self.instead_of == "older" else 7)

    def run(self, paths: Paths, *, seed: int = 7) -> None:
        make(self.stage, paths, seed=seed, force=self.instead_of == "same")


def kill_before_every_step(case: Case, scratch: Path) -> int:
    """For each step of a stage: a run that is killed there, and another one. Returns how many steps there are.

    To be called in a fresh process, which forks the ones to be killed.
    """
    fer2013._ROWS_PER_CHUNK = dataset._IMAGES_PER_CHUNK = variants._SOURCES_PER_CHUNK = 2
    emotorch.workers._KEPT_BYTES = 0  # it takes longer to get them than all the rest
    for name in list(OPERATIONS)[2:]:
        del OPERATIONS[name]
    template, killed, undisturbed = (Paths(scratch / name) for name in ("template", "killed", "undisturbed"))
    case.prepare(template)
    shutil.copytree(template.root, undisturbed.root)
    case.run(undisturbed)
    expected = tree(undisturbed.root)
    folder = STAGES[case.stage - 1].folder
    whole = [tree(folder(paths)) for paths in (template, undisturbed)]
    for step in itertools.count():
        shutil.copytree(template.root, killed.root)
        all_steps_done = not killed_before(step, lambda: case.run(killed))
        assert tree(folder(killed)) in (whole if folder(killed).exists() else [{}]), f"half a folder, step {step}"
        case.run(killed)
        assert tree(killed.root) == expected, f"not as undisturbed, step {step}"
        shutil.rmtree(killed.root)
        if all_steps_done:
            return step
    raise AssertionError


@pytest.fixture(scope="module")
def fresh() -> Iterator[ProcessPoolExecutor]:
    """A process of its own, in which nothing has run that a fork could not take along."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize(
    "case",
    [
        Case(1),
        Case(1, "same"),
        Case(2),
        Case(3, "older"),
    ],
    ids=lambda case: f"stage {case.stage} instead of {case.instead_of}",
)
def test_killed_before_any_step_it_ends_as_if_undisturbed(fresh: ProcessPoolExecutor, case: Case) -> None:
    memory = Path("/dev/shm")  # thousands of files come and go
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        assert fresh.submit(kill_before_every_step, case, Path(scratch)).result() > 20


# Ctrl-C.


@every_stage
@pytest.mark.parametrize(("workers", "when"), [(1, (0.1, 0.6)), (2, (0.88, 0.94))], ids=["all at work", "one idle"])
def test_interrupted_it_says_so_in_a_line_and_goes_on_later(
    before: tuple[Paths, dict[str, bytes]], stage: Stage, workers: int, when: tuple[float, float]
) -> None:
    paths, expected = before
    chance = random.Random(f"stage {stage.number}, {workers} workers")
    for _ in range(20):
        process = stage.start(paths, workers)
        wait_for_files(process, stage.partial(paths), int(len(expected) * chance.uniform(*when)))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        done = ended(process)
        if not stage.folder(paths).exists():
            break
        shutil.rmtree(stage.folder(paths))  # it was faster than the signal: from the start again
    assert error_line(done, 130) == "error: interrupted; the same command goes on from here"
    assert stage.run(paths, workers).returncode == 0
    assert tree(stage.folder(paths)) == expected


# A full disk.


@pytest.mark.parametrize(
    ("stage", "limit"),
    [(stage, 1500) for stage in STAGES] + [(stage, 8000) for stage in STAGES[:2]],
    ids=lambda value: f"stage {value.number}" if isinstance(value, Stage) else f"{value} bytes",
)
def test_a_limit_on_the_size_of_files_is_one_line_that_names_one(
    before: tuple[Paths, dict[str, bytes]], stage: Stage, limit: int
) -> None:
    """Below the size of a picture, and of the records; stage 3 writes nothing larger than that."""
    paths, expected = before
    done = stage.run(paths, 2, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert error_line(done).startswith(f"error: cannot write {stage.partial(paths)}/")
    assert not stage.folder(paths).exists()
    assert stage.run(paths, 2).returncode == 0
    assert tree(stage.folder(paths)) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which `resize_disk` makes larger or smaller."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode != 0:
        pytest.skip("only the superuser may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def resize_disk(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


@every_stage
def test_a_full_disk_is_one_line_and_more_room_ends_it(
    undisturbed: Undisturbed, stage: Stage, small_disk: Path
) -> None:
    paths, expected = new_root(undisturbed, stage, small_disk / "root", shutil.copy2)
    used = shutil.disk_usage(small_disk).used
    resize_disk(small_disk, used + 4096 * len(expected) // 2)
    line = error_line(stage.run(paths, 2))
    assert str(stage.partial(paths)) in line
    assert line.endswith(("No space left on device", "the disk is full"))
    assert not stage.folder(paths).exists()
    resize_disk(small_disk, used + 3 * 4096 * len(expected))
    assert stage.run(paths, 2).returncode == 0
    assert tree(stage.folder(paths)) == expected
