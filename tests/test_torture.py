"""A small fixed part of `make torture`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emotorch.paths import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, counts and mounts as Linux does"),
]
PART = ("killed: stage 2", "write fails: stage 2", "rename fails: stage 1", "damaged: stage 3", "hostile: pictures")


def torture(folder: Path, *options: object) -> str:
    """The summary of a campaign that nothing failed in."""
    report = folder / "reliability.md"
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--folder", folder, "--report", report, *map(str, options)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *failures, summary, written = done.stdout.splitlines()
    assert failures == []
    assert written == str(report)
    assert "## What failed\n\nNothing. " in report.read_text()
    return summary


def test_a_few_trials_of_every_kind_hold(tmp_path: Path) -> None:
    only = [word for name in PART for word in ("--only", name)]
    assert re.match(r"1\d trials: 1\d held, 0 failed; ", torture(tmp_path, *only, "--most", 14))
