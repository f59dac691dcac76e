"""What is tortured: every stage on ten images, the roots it starts from, and what an untouched run makes of them."""

import hashlib
import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from conftest import draw_images, write_fer_csv
from running import (
    COMPARE,
    EVALUATE,
    EVALUATE_USAGE,
    EXPORT_ONNX,
    MODELS,
    PLOT_CONFUSION,
    PLOT_HISTORY,
    PREDICT,
    SWEEP,
    TRAIN,
    interrupt,
)

from emotorch.data.images import read_stored, write_png
from emotorch.files import write_atomically
from emotorch.paths import SHIPPED_MODELS, STAGE_1, STAGE_2, STAGE_3, Paths
from emotorch.runs.folder import FINISHED, list_runs
from torture.processes import Ended, call

MODEL = "model_00001"
HELPERS = "develop_baseline_model/helpers"
# Rows of FER-2013's emotions: angry, fear, neutral, surprise.
EMOTIONS = [0, 2, 6, 5, 0, 2, 6, 5, 0, 2]
USAGES = ["Training"] * 6 + ["PublicTest"] * 4
_OF_BOTH = ("--epochs", "2", "--fer-usage", "official", "--set", "learning_rate=0.003", "--set", "batch_size=2")
_TIMES = re.compile(rb"\d{8}_\d{6}(_\d+)?|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d)?)?")
_TIME_NAMES = re.compile(r"\d{8}_\d{6}(_\d+)?")
# Keys of records that hold times, or digests of files that do.
_TIME_KEYS = {"started", "finished", "timings_s", "versions", "record_sha256", "model_parameters.txt"}

# Of memory, in which disks are made.
PAGE = 4096
_ALONE = ("--threads", "1")
_PATIENCE_S = 30

Tree = dict[str, set[str]]


@dataclass(frozen=True)
class Subject:
    """A script, and what it starts from.

    Attributes:
        name: As the table calls it.
        script: Its path.
        arguments: Of it.
        after: The subjects whose work it needs, the last one of them.
        units: Patterns of what is whole or not there, below the root: a folder or a file.
        kills: How many a campaign of full length makes.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    after: str
    units: tuple[str, ...]
    kills: int = 100

    def run(self, root: Path, **options: Any) -> Ended:
        return call(root, self.script, self.arguments, **options)

    def again(self, root: Path) -> Ended | None:
        """What a user does after it did not end: the same command; a training that has begun is resumed."""
        if self.script != TRAIN:
            ended = self.run(root)
            # Workers outlive a process that was killed alone, for a moment on an idle machine, and hold its lock.
            for _ in range(_PATIENCE_S):
                if "; wait for it to end" not in ended.stderr:
                    break
                time.sleep(1)
                ended = self.run(root)
            return ended
        begun = list_runs(Paths(root).models)
        if not begun:
            return self.run(root)
        if begun[0].status() == FINISHED:
            return None
        return call(root, TRAIN, ("--resume", begun[0].name))


_LEVELS = ("nothing", "stage 1", "stage 2", "stage 3", "stage 4")
# After stage 4, as if it had been killed on its way to a third epoch.
INTERRUPTED = "interrupted"
FACE, ONNX_MODEL = "face.png", "shipped/emotorch/model.onnx"
_PREDICTION = (FACE, "--detector", "none", "--csv", "predictions.csv")
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("stage 1", STAGE_1, ("--workers", "1"), "nothing", ("FER-Datasets/FER2013img",)),
        Subject("stage 2", STAGE_2, ("--workers", "1"), "stage 1", ("FER-Original-Dataset",)),
        Subject("stage 3", STAGE_3, ("--workers", "1"), "stage 2", ("FER-Original-Dataset-Augmented",)),
        Subject("subsets", f"{HELPERS}/create_train_test_subsets.py", (), "stage 2", ("TRAIN-VAL DATA/*",)),
        Subject(
            "augmented subsets",
            f"{HELPERS}/create_train_test_subsets_augmented.py",
            (),
            "stage 3",
            ("TRAIN-VAL DATA/*",),
        ),
        Subject("stage 4", TRAIN, (*_OF_BOTH, "--threads", "1", "--seed", "4"), "stage 3", ()),
        Subject("stage 4, resumed", TRAIN, ("--resume", MODEL), INTERRUPTED, ()),
        Subject(
            "stage 5, a sweep",
            SWEEP,
            ("--num-models", "2", "--workers", "1", *_OF_BOTH),
            "stage 3",
            (f"{MODELS}/sweep_*/plan.csv",),
            kills=30,
        ),
        Subject("stage 6", COMPARE, (), "stage 4", (f"{MODELS}/comparison_*",)),
        Subject("stage 7", EVALUATE, (MODEL, "fer", *_ALONE), "stage 4", (f"{MODELS}/*/evaluation_*",)),
        Subject("stage 8, matrix", PLOT_CONFUSION, (MODEL,), "stage 4", (f"{MODELS}/{MODEL}/*.png",)),
        Subject("stage 8, history", PLOT_HISTORY, (MODEL,), "stage 4", (f"{MODELS}/{MODEL}/*.png",)),
        Subject("eval_model", EVALUATE_USAGE, ("--model", MODEL, *_ALONE), "stage 4", ()),
        Subject("export_onnx", EXPORT_ONNX, (MODEL,), "stage 4", (f"{MODELS}/{MODEL}/model.onnx",)),
        Subject("ship_model", f"{MODELS}/ship_model.py", (MODEL, "emotorch", *_ALONE), "stage 4", ("shipped/*",)),
        Subject("write_report", f"{MODELS}/write_report.py", (MODEL, *_ALONE), "stage 4", (), kills=30),
        Subject("explore_dataset", f"{HELPERS}/explore_dataset.py", (), "stage 2", ()),
        Subject("predict by PyTorch", PREDICT, (*_PREDICTION, "--model", MODEL), "stage 4", ("predictions.csv",)),
        Subject("predict by ONNX", PREDICT, (*_PREDICTION, "--model", ONNX_MODEL), "stage 4", ("predictions.csv",)),
    )
}


def make_roots(folder: Path) -> None:
    """The roots that the subjects start from, `folder/<the subject before>`, where they are not there yet."""
    first = folder / _LEVELS[0]
    if not first.exists():
        prepared = folder / ".being made"
        shutil.rmtree(prepared, ignore_errors=True)
        write_fer_csv(Paths(prepared).fer_csv, draw_images(10, seed=1), EMOTIONS, USAGES)
        shutil.copytree(SHIPPED_MODELS / "emotorch", prepared / "shipped" / "emotorch")
        write_png(prepared / FACE, draw_images(1, seed=2)[0])
        prepared.rename(first)
    for before, name in pairwise(_LEVELS):
        if not (folder / name).exists():
            make_one(SUBJECTS[name], folder / before, folder / ".being made").rename(folder / name)
    if not (folder / INTERRUPTED).exists():
        shutil.copytree(folder / "stage 4", folder / ".interrupted", dirs_exist_ok=True)
        interrupt(Paths(folder / ".interrupted").models / MODEL, epochs=3)
        (folder / ".interrupted").rename(folder / INTERRUPTED)


def make_one(subject: Subject, before: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(before, to)
    ended = subject.run(to)
    assert ended.status == 0, f"{subject.name}, untouched: {ended.stderr}"
    return to


def tree(root: Path) -> Tree:
    """Every visible file below a root, by its name without times, with digests of its content less times."""
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found.setdefault(_TIME_NAMES.sub("TIME", name.as_posix()), set()).add(digest(path, root))
    return found


def digest(path: Path, root: Path) -> str:
    """Of a file's content, less times and the place of the root."""
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_without_times(json.loads(content))).encode()
    elif path.suffix == ".png" and "TRAIN-VAL DATA" in path.parts:
        content = read_stored(path).tobytes()  # a copy of a picture whose bytes may be others than ours
    elif path.suffix == ".html":
        content = b""  # rendered from the others, pictures and times and all
    elif path.name in ("model_parameters.txt", "log.txt") or b",seconds," in content.partition(b"\n")[0]:
        content = b""  # rendered from run.json, or times
    return hashlib.sha256(_TIMES.sub(b"TIME", content.replace(os.fsencode(root), b"ROOT"))).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_times(item) for key, item in value.items() if key not in _TIME_KEYS}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Untouched:
    """An untouched run of a subject.

    Attributes:
        before: The root that it starts from.
        expected: The tree that it makes.
        units: Of its units, the trees that may be there: before it and after it.
        written: Bytes on the disk of the files that it makes or replaces.
        seconds: That it takes, the least of two runs.
    """

    before: Path
    expected: Tree
    units: tuple[Tree, Tree]
    written: int
    seconds: float


@cache
def untouched(subject: Subject, folder: Path, scratch: Path) -> Untouched:
    """Of two runs, which are equal: else there is nothing to hold a trial against. Kept for the next campaign.

    Args:
        subject: Whose.
        folder: With `roots`, and for what is known.
        scratch: For the runs.
    """
    path = folder / "untouched" / subject.name
    if not path.exists():
        known = _run_untouched(subject, folder / "roots" / subject.after, scratch)
        write_atomically(path, lambda temporary: temporary.write_bytes(pickle.dumps(known)))
    found: Untouched = pickle.loads(path.read_bytes())
    return found


def _run_untouched(subject: Subject, before: Path, scratch: Path) -> Untouched:
    runs, trees = [], []
    for _ in range(2):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.parent.mkdir(exist_ok=True)
        shutil.copytree(before, scratch)
        there = {path.stat().st_ino for path in scratch.rglob("*")}
        ended = subject.run(scratch)
        assert ended.status == 0, f"{subject.name}, untouched: {ended.stderr}"
        runs.append(ended.seconds)
        trees.append(tree(scratch))
        made = [status for path in scratch.rglob("*") if (status := path.stat()).st_ino not in there]
        units, written = units_of(subject, scratch), sum(-(-status.st_size // PAGE) * PAGE for status in made)
        shutil.rmtree(scratch)
    differing = {name for name in trees[0] | trees[1] if trees[0].get(name) != trees[1].get(name)}
    assert not differing, f"{subject.name}: two untouched runs differ in {sorted(differing)}"
    return Untouched(before, trees[1], (units_of(subject, before), units), written, min(runs))


def units_of(subject: Subject, root: Path) -> Tree:
    """The files of a subject's units."""
    found: Tree = {}
    for unit in (path for pattern in subject.units for path in root.glob(pattern) if not path.name.startswith(".")):
        if unit.is_file():
            name = _TIME_NAMES.sub("TIME", unit.relative_to(root).as_posix())
            found.setdefault(name, set()).add(digest(unit, root))
        else:
            inner = {f"{unit.relative_to(root).as_posix()}/{name}": value for name, value in tree(unit).items()}
            found.update({_TIME_NAMES.sub("TIME", name): value for name, value in inner.items()})
    return found


def half_written(subject: Subject, known: Untouched, root: Path) -> str:
    """A unit that is neither as before nor as after an untouched run, "" for none."""
    before, after = known.units
    found = units_of(subject, root)
    for folder in {name.rpartition("/")[0] for name in found}:
        ours = {name: value for name, value in found.items() if name.rpartition("/")[0] == folder}
        allowed = [
            {name: value for name, value in whole.items() if name.rpartition("/")[0] == folder}
            for whole in (before, after)
        ]
        if ours not in allowed and not all(value <= allowed[1].get(name, set()) for name, value in ours.items()):
            return f"half of {folder} is there"
    return ""


def differences(known: Untouched, root: Path, but: str = "") -> str:
    """How a root, but for one file, differs from that of an untouched run; "" if it does not."""
    found = tree(root)
    names = [name for name in known.expected | found if known.expected.get(name) != found.get(name) and name != but]
    return f"other than untouched: {', '.join(sorted(names)[:3])}{' …' if len(names) > 3 else ''}" if names else ""
