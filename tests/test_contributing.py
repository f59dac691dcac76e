"""The recipes of CONTRIBUTING.md, carried out word for word in a copy of the repository."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import Trained, call_script

from emotorch.paths import REPOSITORY, Paths

PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXECUTED = ("Add a network", "Add a dataset", "Add an analysis")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Block:
    """A fenced block of a section: its language and its text."""

    language: str
    text: str


def blocks(section: str) -> list[Block]:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [Block(language, body) for language, body in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)]


def apply_change(file: Path, lines: list[str]) -> None:
    """Carries out the body of a diff: a `-` line is replaced by the `+` lines that follow it; others go before the
    unmarked line below them."""
    text = file.read_text(encoding="utf-8")
    added: list[str] = []
    removed: str | None = None

    def settle(before: str | None) -> None:
        nonlocal text, removed
        place = removed if removed is not None else before
        assert place is not None, "added lines without a place"
        assert text.count(f"{place}\n") == 1, f"{file} does not have once: {place}"
        kept = [] if removed is not None else [place]
        text = text.replace(f"{place}\n", "".join(f"{line}\n" for line in [*added, *kept]))
        added.clear()
        removed = None

    for line in lines:
        if line[0] == "+":
            added.append(line[1:])
        elif line[0] == "-":
            if removed is not None:
                settle(None)
            removed = line[1:]
        else:
            if removed is not None:
                settle(None)
            settle(line[1:])
    if removed is not None or added:
        settle(None)
    file.write_text(text, encoding="utf-8")


def carry_out(section: str, repository: Path) -> list[list[str]]:
    """Writes the section's files and makes its changes; returns its commands."""
    commands = []
    for block in blocks(section):
        lines = block.text.splitlines()
        if block.language == "python":
            file = repository / lines[0].removeprefix("# ")
            assert not file.exists(), file
            file.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
        elif block.language == "diff":
            apply_change(repository / lines[1].removeprefix("+++ b/"), lines[2:])
        else:
            commands += [shlex.split(line) for line in lines]
    return commands


def follow(root: str, commands: str) -> None:
    """In the copy: runs commands one after the other in this process, so that imports are paid once; prints what each
    printed, as JSON."""
    printed = []
    for python, *words in json.loads(commands):
        assert python == "python"
        if words[:2] == ["-m", "pytest"]:
            with contextlib.redirect_stdout(io.StringIO()) as said:
                assert pytest.main(words[2:]) == pytest.ExitCode.OK, said.getvalue()
            printed.append(said.getvalue())
        else:
            done = call_script(Paths(Path(root)), *words)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            printed.append(done.stdout)
    print(json.dumps(printed))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, so that nothing of a machine's own gets in."""
    copy = tmp_path_factory.mktemp("contributing") / "repository"
    for folder in ("emotorch", "develop_baseline_model", "tests"):
        shutil.copytree(
            REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "model_[0-9]*", "sweep_*")
        )
    for file in ("pyproject.toml", "CONTRIBUTING.md"):
        shutil.copy(REPOSITORY / file, copy)
    return copy


def test_a_network_a_dataset_and_an_analysis_are_added_as_the_page_says(repository: Path, ours: Trained) -> None:
    commands = [command for section in EXECUTED for command in carry_out(section, repository)]
    program = "import sys, test_contributing; test_contributing.follow(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, ours.paths.root, json.dumps(commands)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    of_network, training, of_dataset, _, analysed = json.loads(done.stdout.splitlines()[-1])
    assert int(re.search(r"(\d+) passed", of_network)[1]) >= 2  # type: ignore[index]
    assert (ours.paths.models / Path(training.splitlines()[-1]).name / "model.pth").is_file()
    assert "1 passed" in of_dataset
    assert re.match(r"dark half: accuracy \d+\.\d\d%\nbright half: accuracy \d+\.\d\d%\n", analysed)
    assert (ours.folder / "brightness" / "brightness.csv").is_file()


def test_what_is_added_is_clean(repository: Path) -> None:
    texts = [block.text for section in EXECUTED for block in blocks(section) if block.language == "python"]
    files = {repository / name: text for name, _, text in (text.removeprefix("# ").partition("\n") for text in texts)}
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    for arguments in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, *files], cwd=repository, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
