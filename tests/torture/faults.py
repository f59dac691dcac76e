"""The k-th write, rename or sync of a stage fails, for every k; and a disk that is full."""

import ctypes
import errno
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from emotorch.files import read_json, write_json
from torture.processes import Ended
from torture.subjects import PAGE, SUBJECTS, Subject, differences, half_written
from torture.trials import FAILED, MISSED, Bench, Result, Series

# As in calls.c, with the error that a disk gives.
CALLS = {"write": (0, errno.ENOSPC), "rename": (1, errno.EIO), "fsync": (2, errno.EIO)}
FULL = "disk full"
FULL_DISKS = 20
_NEVER = -1


def series(bench: Bench, only: tuple[str, ...]) -> list[Series]:
    """None of calls where their library could not be loaded, and none of disks that this user may not mount."""
    found = []
    for call in CALLS if bench.calls else ():
        for subject in SUBJECTS.values():
            one = Series(f"{call} fails", subject.name, 0, partial(_fail, bench, subject, call))
            if one.name.startswith(only) and (count := _counts(bench, subject)[call]):
                found.append(replace(one, target=count))
    disks = SUBJECTS.values() if can_mount() else ()
    return found + [Series(FULL, subject.name, FULL_DISKS, partial(_fill, bench, subject)) for subject in disks]


def _counts(bench: Bench, subject: Subject) -> dict[str, int]:
    """How many calls of each kind an untouched run makes."""
    counts = bench.folder / "calls" / f"{subject.name}.json"

    def count() -> None:
        library = ctypes.CDLL(str(bench.calls))
        write_json(counts, {call: library.counted(number) for call, (number, _) in CALLS.items()})

    if not counts.exists():
        root = bench.fresh(subject.after)
        subject.run(root, first=partial(_arm, bench, root, _NEVER, _NEVER, 0), last=count)
    found: dict[str, int] = read_json(counts)
    return found


def _arm(bench: Bench, root: Path, kind: int, at: int, error: int) -> None:
    # The library that is loaded already, by its path.
    ctypes.CDLL(str(bench.calls)).arm(os.fsencode(root), kind, ctypes.c_long(at), error)


def _fail(bench: Bench, subject: Subject, call: str, number: int) -> Result:
    kind, error = CALLS[call]
    bench.known(subject)
    root = bench.fresh(subject.after)
    ended = subject.run(root, first=partial(_arm, bench, root, kind, number, error))
    return _judge(ended, subject, bench, root)


def _judge(ended: Ended, subject: Subject, bench: Bench, root: Path) -> Result:
    """It may refuse, or do without what failed; run again, it ends as untouched."""
    known = bench.known(subject)
    half = half_written(subject, known, root)
    fault = ended.fault(may_fail=True)
    if fault or half or not differences(known, root):
        return Result.of(fault, half)
    if ended.status == 0 and "cannot write" not in ended.stdout + ended.stderr:
        return Result.of(f"done without a word, but {differences(known, root)}")
    again = subject.again(root)
    return Result.of(again.fault(may_fail=False) if again else "", differences(known, root))


@cache
def can_mount() -> bool:
    """Whether this process may mount file systems: a superuser, if only of a namespace of its own."""
    folder = Path(tempfile.mkdtemp())
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
        return mounted
    except FileNotFoundError:
        return False
    finally:
        folder.rmdir()


def _fill(bench: Bench, subject: Subject, number: int) -> Result:
    """A file system with room for a random part of what the subject writes, then with room for all."""
    chance, known = bench.chance(f"{FULL} {subject.name}", number), bench.known(subject)
    bench.clear()
    disk = bench.scratch.parent
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    try:
        root = bench.scratch
        shutil.copytree(known.before, root)
        used = shutil.disk_usage(disk).used
        _resize(disk, used + chance.randrange(known.written // PAGE) * PAGE)
        ended = subject.run(root)
        if ended.status == 0 and not differences(known, root):
            return Result(MISSED)
        _resize(disk, used + 1_000_000_000)
        result = _judge(ended, subject, bench, root)
        if result.outcome == FAILED:
            bench.keep(f"{FULL}: {subject.name}", number)
        return result
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
