"""The tables of docs/promises.md: what each system promises, the command that shows it, and where to look."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from running import Done, call_script

from emotorch.paths import REPOSITORY, Paths

PAGE = (REPOSITORY / "docs" / "promises.md").read_text(encoding="utf-8")
# What is shown by tests of their own, or takes as long as it says.
NOT_RUN = ("make pipeline", "python benchmarks/bench_video.py")


@dataclass(frozen=True)
class Promise:
    """A row of a table: "the same" has the command of the row above."""

    text: str
    command: str
    where: str

    @property
    def fails(self) -> bool:
        return self.where.startswith("fails: ")

    @property
    def printed(self) -> list[str]:
        return re.findall("“(.+?)”", self.where)

    @property
    def files(self) -> list[str]:
        """Patterns below the root; `…/` stands for the folder of the one before."""
        found: list[str] = []
        for name in re.findall("`(.+?)`", self.where):
            found.append(name.replace("…", found[-1].rpartition("/")[0]) if name.startswith("…") else name)
        return found


def read_promises() -> dict[str, list[Promise]]:
    """By the system's title, up to a colon."""
    promises: dict[str, list[Promise]] = {}
    for section in PAGE.split("\n## ")[1:]:
        rows: list[Promise] = []
        for line in section.splitlines():
            if line.startswith("| ") and not line.startswith("| promise "):
                text, command, where = (cell.strip() for cell in line.strip("|").split(" | "))
                rows.append(Promise(text, rows[-1].command if command == "the same" else command.strip("`"), where))
        promises[section.partition("\n")[0].partition(":")[0]] = rows
    return promises


class Reader:
    """Somebody who types the commands of a table in a root, in their order."""

    def __init__(self, paths: Paths, besides: Mapping[str, Sequence[str]], training: Sequence[str] = ()) -> None:
        """`besides`: what a script is given after the page's own words, so that it ends in seconds; `training`: what
        a training is given before them, which they win over."""
        self._paths, self._besides, self._training = paths, besides, training
        self._models = sorted(path.name for path in paths.models.glob("model_0*"))
        self._done: dict[str, Done] = {}

    def look(self, promise: Promise) -> None:
        """Types the command, unless it was typed already, and looks where the promise says."""
        if promise.command not in self._done:
            self._done[promise.command] = self._type(promise.command)
        done = self._done[promise.command]
        assert (done.returncode != 0) is promise.fails, (promise, done.stdout[-2000:], done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        printed = done.stdout + done.stderr
        assert not [word for word in promise.printed if word not in printed], (promise, printed)
        for file in promise.files:
            folder, slash, rest = file.partition("/")
            found = self._meant(folder, "develop_baseline_model/models/") + slash + rest
            assert list(self._paths.root.glob(found)), (promise, found)

    def _type(self, command: str) -> Done:
        python, script, *words = shlex.split(command)
        assert python == "python"
        words = [self._meant(word) for word in words]
        if script == "-c":
            return subprocess.run(
                [sys.executable, script, *words],
                cwd=self._paths.root,
                env={**os.environ, "EMOTORCH_ROOT": str(self._paths.root), "PYTHONPATH": str(REPOSITORY)},
                capture_output=True,
                text=True,
            )
        if script.endswith("convolutional_nn_pytorch.py"):
            words = [*self._training, *words]
        done = call_script(self._paths, script, *words, *self._besides.get(Path(script).name, ()))
        folder = Path(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else Path()
        if script.endswith("convolutional_nn_pytorch.py") and folder.name.startswith("model_"):
            self._models.append(folder.name)
        return done

    def _meant(self, word: str, folder: str = "") -> str:
        """A word with MODEL and OTHER replaced; where a file of theirs is meant, with their path."""
        for capital, place in (("MODEL", -1), ("OTHER", -2)):
            if capital in word:
                path = folder or ("develop_baseline_model/models/" if f"{capital}/" in word else "")
                word = word.replace(capital, path + self._models[place])
        return word
