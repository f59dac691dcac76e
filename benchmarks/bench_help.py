"""`--help` of every script, against starting Python for nothing; the aim is an answer that feels immediate.

python benchmarks/bench_help.py
"""

import subprocess
import sys
from pathlib import Path

from timing import paired

from emotorch.paths import REPOSITORY

ROUNDS = 5
FOLDERS = ("develop_baseline_model", "baseline_model/model")


def main() -> None:
    scripts = sorted(
        path
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
        if "cli.run(" in path.read_text(encoding="utf-8")
    )
    for script in scripts:
        ours_s, bare_s, ratio = paired(lambda script=script: run(script, "--help"), lambda: run("-c", "pass"), ROUNDS)
        name = script.relative_to(REPOSITORY)
        print(f"{name}: {1000 * ours_s:.0f} ms, {1 / ratio:.1f} times bare Python ({1000 * bare_s:.0f} ms)")


def run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
