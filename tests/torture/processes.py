"""Scripts run in forks of this process, which has imported what they need."""

import atexit
import contextlib
import os
import re
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from emotorch.paths import REPOSITORY, SHIPPED_MODELS

LIMIT_S = 120.0
LIMIT_BYTES = 3 << 30
_LOOKS_EVERY_S = 0.001
# What a terminal would act on.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Ended:
    """How a script ended.

    Attributes:
        status: Its exit status; below 0 the signal that ended it.
        stdout: What it printed.
        stderr: Likewise.
        seconds: From fork to end.
        peak_bytes: Of memory.
        timed_out: Whether it was ended for taking too long.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    peak_bytes: int
    timed_out: bool = False

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL and not self.timed_out

    def fault(self, *, may_fail: bool) -> str:
        """What is wrong with how it ended, "" for nothing: it is done, or where it may fail refuses in one line."""
        if self.timed_out:
            return f"not done after {LIMIT_S:.0f} s"
        if self.status < 0:
            return f"ended by signal {-self.status}"
        if "Traceback" in self.stderr:
            return f"traceback: {self.stderr.rstrip().splitlines()[-1]}"
        if _CONTROL.search(self.stdout + self.stderr):
            return "a raw control character on the terminal"
        if self.peak_bytes > LIMIT_BYTES:
            return f"{self.peak_bytes >> 20} MiB of memory"
        if self.status == 0:
            return ""
        if not may_fail or self.status not in (1, 2):
            return f"exit status {self.status}: {self.stderr.rstrip().splitlines()[-1:]}"
        # Where several pictures are predicted, or runs of a sweep trained, each has a line of its own.
        lines = [line for line in self.stderr.splitlines() if "error:" in line or " failed: " in line]
        return "" if lines or '"error": "' in self.stdout else f"refused without a word: {self.stderr[-200:]!r}"


def import_all() -> None:
    """What the scripts import, once, and without starting a thread: a fork has none of its parent's."""
    import cv2
    import matplotlib

    import emotorch.analyses.comparison
    import emotorch.data.dataset
    import emotorch.evaluation.evaluate
    import emotorch.experiment.train
    import emotorch.figures.history
    import emotorch.inference.command
    import emotorch.inference.onnx_export
    import emotorch.reports.card.model_card
    import emotorch.reports.page
    import emotorch.sweep.scheduler  # noqa: F401
    from emotorch.inference.onnx_reader import _import_onnxruntime

    _import_onnxruntime()

    cv2.setNumThreads(1)
    matplotlib.use("agg")
    threads = len(list(Path("/proc/self/task").glob("*")))
    assert threads <= 1, f"{threads} threads: forks would lack them"


def call(
    root: Path,
    script: str,
    arguments: tuple[str, ...],
    *,
    first: Callable[[], object] | None = None,
    last: Callable[[], object] | None = None,
    kill_after_s: float | None = None,
    kill_group: bool = True,
    limit_s: float = LIMIT_S,
) -> Ended:
    """Runs a script on a root, as a user would.

    Args:
        root: EMOTORCH_ROOT and working directory; models are shipped to and from its folder `shipped`.
        script: Its path in the repository.
        arguments: Of it.
        first: Called in the fork before it.
        last: Called in the fork after it, if it got that far.
        kill_after_s: When to kill it.
        kill_group: Whether its worker processes are killed at the same moment.
        limit_s: When it hangs.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _be(root, script, arguments, stdout, stderr, first, last)
        status, peak, timed_out = _wait(child, started, kill_after_s, kill_group, limit_s)
        seconds = time.perf_counter() - started
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode(errors="backslashreplace"))
    return Ended(status, texts[0], texts[1], seconds, peak, timed_out)


def _wait(
    child: int, started: float, kill_after_s: float | None, kill_group: bool, limit_s: float
) -> tuple[int, int, bool]:
    timed_out = False
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        passed = time.perf_counter() - started
        timed_out = passed > limit_s
        if timed_out or (kill_after_s is not None and passed > kill_after_s):
            _kill(child, kill_group or timed_out)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(_LOOKS_EVERY_S)
    if kill_group or timed_out:
        _kill(child, group=True)  # what it left behind
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10, timed_out


def _kill(child: int, group: bool) -> None:
    """The group may not be one yet, or none any more."""
    for kill in (os.killpg, os.kill) if group else (os.kill,):
        with contextlib.suppress(ProcessLookupError):
            kill(child, signal.SIGKILL)


def _be(
    root: Path,
    script: str,
    arguments: tuple[str, ...],
    stdout: IO[bytes],
    stderr: IO[bytes],
    first: Callable[[], object] | None,
    last: Callable[[], object] | None,
) -> None:
    """In the fork: what the interpreter does with a script, to its end."""
    status = 1
    try:
        os.setsid()
        for number, file in ((1, stdout), (2, stderr)):
            os.dup2(file.fileno(), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(EMOTORCH_ROOT=str(root), HOME=str(root / ".home"), TMPDIR=str(root.parent))
        tempfile.tempdir = str(root.parent)
        os.chdir(root)
        ship_within(root)
        path = REPOSITORY / script
        sys.argv = [str(path), *arguments]
        if first:
            first()
        try:
            runpy.run_path(str(path), run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if last:
            last()
    except BaseException:  # noqa: BLE001 - as the interpreter shows it
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            atexit._run_exitfuncs()
        finally:
            os._exit(status)


def ship_within(root: Path) -> None:
    """Models are shipped to a root's own folder, never to the repository's."""
    for module in list(sys.modules.values()):
        if getattr(module, "SHIPPED_MODELS", None) == SHIPPED_MODELS and module.__name__ != __name__:
            module.SHIPPED_MODELS = root / "shipped"
