"""Work in several processes."""

import io
import subprocess
import sys
import time

import pytest

from emotorch import workers

IN_A_PROCESS_WHOSE_OPENCV_HAS_THREADS = """
import cv2, numpy as np
from emotorch.workers import map_in_order

def average(grey):
    return int(cv2.resize(np.full((400, 400), grey, np.uint8), (48, 48), interpolation=cv2.INTER_AREA).mean())

cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (9, 9), 3)
print(list(map_in_order(average, [3, 1, 2], 2)))
"""


def test_workers_do_not_wait_for_threads_that_only_their_parent_has() -> None:
    command = [sys.executable, "-c", IN_A_PROCESS_WHOSE_OPENCV_HAS_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[3, 1, 2]\n", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_carries_the_figures_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_FIGURES_EVERY_S", -1.0)
    done: list[int] = []
    for screen in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", screen)
        for item in workers.progress(
            range(4), total=4, description="epoch 1", unit="batch", figures=lambda: f"loss {sum(done)}.0000"
        ):
            time.sleep(0.12)  # longer than the bar waits between two looks of it
            done.append(item)
        said = screen.getvalue()
        assert ("epoch 1" in said) == ("loss 3.0000" in said) == screen.isatty()
    assert done == [0, 1, 2, 3] * 2


TOO_FEW_DESCRIPTORS = """
import resource
from emotorch.errors import EmoTorchError
from emotorch.workers import map_in_order

resource.setrlimit(resource.RLIMIT_NOFILE, (16, 200))
try:
    list(map_in_order(abs, range(12), 8))
except EmoTorchError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
print(list(map_in_order(abs, [-3, 1, -2], 8)))
"""


def test_too_few_descriptors_for_the_workers_are_said_and_nobody_waits() -> None:
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", TOO_FEW_DESCRIPTORS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    refused = "cannot start 8 workers: Too many open files; rerun with fewer --workers"
    assert done.stdout == f"{refused}\n[3, 1, 2]\n"
