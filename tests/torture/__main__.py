"""Tortures every stage for some minutes, and writes docs/reliability.md.

Campaigns on the same code add up until all series are complete, after some hours of one core: the same command goes on.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from preload import build

from emotorch import cli
from emotorch.paths import REPOSITORY, Paths

if TYPE_CHECKING:
    from torture.campaign import Limits
    from torture.trials import Bench

_READY = "EMOTORCH_TORTURE_READY"
_HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = cli.make_parser(__doc__, "make torture MINUTES=120 WORKERS=2", prog="make torture")
    parser.add_argument("--minutes", type=float, default=20.0, metavar="M", help="no trial begins later (default: 20)")
    parser.add_argument("--seed", type=cli.seed, default=1, metavar="N", help="of all chance (default: 1)")
    parser.add_argument("--workers", type=cli.positive_integer, default=1, metavar="N", help="so many trials at a time")
    parser.add_argument(
        "--only",
        action="append",
        metavar="SERIES",
        help="those whose names begin so, as 'killed: stage 4'; may be repeated",
    )
    parser.add_argument("--most", type=cli.positive_integer, metavar="N", help="so many trials a worker, then no more")
    parser.add_argument("--trial", type=int, metavar="N", help="this one again, which then counts for nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was tried before")
    folders = parser.add_argument_group("folders")
    root = Paths.from_environment().root
    folders.add_argument("--folder", type=Path, default=root / "torture", help="of roots and results")
    folders.add_argument("--report", type=Path, default=REPOSITORY / "docs" / "reliability.md", help="what is written")
    options = parser.parse_args()
    # What one state of the code has gone through says nothing of another.
    folder = options.folder.resolve() / f"{_fingerprint()}-{options.seed}"
    if options.fresh and _READY not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if _READY not in os.environ:
        _start_prepared(folder)

    from torture import campaign, processes, report, subjects
    from torture.trials import Bench

    processes.import_all()
    calls = folder / "calls.so"
    only = tuple(options.only or [""])
    bench = Bench(folder, options.seed, calls=calls if calls.exists() else None)
    subjects.make_roots(bench.roots)
    if options.trial is not None:
        for one in campaign.all_series(bench, only):
            print(f"{one.name}, trial {options.trial}: {campaign.attempt(bench, one, options.trial).outcome}")
        return
    limits = campaign.Limits(time.monotonic() + 60 * options.minutes, options.most)
    children = [_fork(bench, worker, only, limits, options.workers) for worker in range(options.workers)]
    broken = [os.waitpid(child, 0)[1] for child in children]
    lines = campaign.read(folder)
    print(report.summary(lines))
    report.write(options.report, lines, options.seed)
    print(options.report)
    sys.exit(any(broken))


def _fingerprint() -> str:
    """Of the code that is tried, and of what tries it."""
    sources = sorted(path for folder in (REPOSITORY / "emotorch", _HERE) for path in folder.rglob("*.[pc]*"))
    digest = hashlib.sha256()
    for path in sources:
        if path.suffix in (".py", ".c"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _start_prepared(folder: Path) -> None:
    """Begins again as a superuser of a namespace of its own, so that disks can be mounted, with calls.c loaded."""
    environment = {**os.environ, _READY: "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if library := build(_HERE / "calls.c", folder):
        environment["LD_PRELOAD"] = str(library)
    command = [sys.executable, "-m", "torture", *sys.argv[1:]]
    namespace = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
        command = [*namespace, *command]
    os.chdir(_HERE.parent)
    os.execvpe(command[0], command, environment)


def _fork(bench: "Bench", worker: int, only: tuple[str, ...], limits: "Limits", workers: int) -> int:
    """A campaign in a process of its own; its parent, which has run nothing, is what every trial is forked from."""
    from torture import campaign

    child = os.fork()
    if child:
        return child
    status = 1
    try:
        own = replace(bench, worker=worker)
        campaign.run(own, campaign.all_series(own, only), limits, workers)
        status = 0
    except BaseException:  # noqa: BLE001 - as the interpreter shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
