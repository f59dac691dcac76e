"""Every command of the README, as it stands there, in the order of a first hour with the pipeline."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from conftest import write_small_ckplus
from promises import NOT_RUN, Reader, read_promises
from running import call_script
from scenes import SyntheticFace, draw_scene
from silence import silence

from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.files import write_csv
from emotorch.paths import REPOSITORY, Paths

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MODELS = "develop_baseline_model/models"
# What a command is given beyond the README's own words, so that it ends in seconds and leaves the repository alone.
BESIDES = {
    "convolutional_nn_pytorch.py": ("--epochs", "1", "--threads", "1"),
    "train_multiple_models.py": ("--num-models", "1", "--epochs", "1", "--workers", "1"),
    "measure_robustness.py": ("fer-public",),
    "explain_model.py": ("--count", "4"),
    # By default they are of the shipped baseline, whose folder no test may write to.
    "eval_model.py": ("--model", "model_00001"),
    "export_onnx.py": ("model_00001",),
}
# Documented by their own tests: a server that does not end, what is written into the repository, and real data.
NOT_HERE = {"demo.py", "ship_model.py", "check_models.py", "write_tables.py", "run_pipeline.py"}
# Scripts that the README leaves to other pages.
OTHERS = {
    "develop_baseline_model/helpers/explore_dataset.py": (),
    "develop_baseline_model/helpers/remove_duplicates.py": (),
    "develop_baseline_model/models/publish_model.py": ("model_00001", "published"),
}

pytestmark = pytest.mark.slow


def commands_in_blocks() -> list[list[str]]:
    """The `python …` and `emotorch …` lines of the README's shell blocks, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    scripts = [words[1:] for words in lines if words[:1] == ["python"]]
    return scripts + [["emotorch/__main__.py", *words[1:]] for words in lines if words[:1] == ["emotorch"]]


def commands_in_tables() -> list[list[str]]:
    """The scripts of the tables of stages and analyses, with the folder that the README names."""
    tables = README.partition("## Stages")[2].partition("## Results")[0] + README.partition("## Analyses")[2]
    found, folder = [], f"{MODELS}/"
    for row in tables.splitlines():
        if not row.startswith("| "):
            continue
        folder = "baseline_model/model/" if "`baseline_model/model/`" in row else f"{MODELS}/"
        for command in re.findall(r"`([\w/]+\.py[^`]*)`", row):
            words = shlex.split(command)
            found.append([words[0] if "/" in words[0] else folder + words[0], *words[1:]])
    return found


def first_hour(paths: Paths) -> dict[str, list[str]]:
    """Puts raw synthetic data into a root; returns what the README's capital words stand for there."""
    write_fer2013_csv(paths.fer_csv, rows=250, seed=5)
    write_small_ckplus(paths)
    paths.synthetic_marker.write_text("synthetic faces\n")
    (paths.root / "photos").mkdir()
    scene = draw_scene([SyntheticFace(80, 90, 200), SyntheticFace(360, 110, 180, "happy", 4)])
    for name in ("photo.jpg", "photos/one.png", "photos/two.png"):
        assert cv2.imwrite(str(paths.root / name), scene)
    return {
        "MODEL": ["model_00001"],
        "DATASET": ["fer-public"],
        "IMAGES": [],
        "CSV": ["people.csv"],
        "FILE": ["model_00001"],
    }


def meant_by(words: list[str], stands_for: dict[str, list[str]]) -> list[str]:
    """Words with the README's capital ones replaced; two models of one command are two different ones."""
    taken = 0
    meant: list[str] = []
    for word in words:
        name = word.strip("[]")
        if name == "MODEL" and taken:
            meant.append("model_00002")
        else:
            meant += stands_for.get(name, [word])
        taken += name == "MODEL"
    return meant


def test_every_script_of_the_readme_is_tried_here_or_left_out_by_name() -> None:
    tried = {Path(command[0]).name for command in (*commands_in_blocks(), *commands_in_tables())}
    assert set(re.findall(r"[\w]+\.py", README)) == (tried | NOT_HERE) - {"__main__.py"}


def test_the_commands_run_as_they_stand_there_keep_the_promises_and_talk_to_nobody(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with silence(tmp_path) as environment:
        done = subprocess.run(
            [sys.executable, "-c", "import sys, test_readme; test_readme.follow(sys.argv[1])", root],
            env={**environment, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            timeout=1200,
        )
    assert done.returncode == 0, done.stderr[-5000:]


def follow(root: str) -> None:
    """Runs every command of the README in a root, in this process, and looks at what EmoTorch promises."""
    paths = Paths(Path(root))
    stands_for = first_hour(paths)
    for script, *words in [*commands_in_tables(), *commands_in_blocks()]:
        name = Path(script).name
        if name in NOT_HERE:
            continue
        if name == "analyze_fairness.py":
            files = sorted((paths.originals / "FER").rglob("*.png"))
            rows = [(paths.relative(file), ("a", "b")[number % 2]) for number, file in enumerate(files)]
            write_csv(paths.root / "people.csv", ("image_path", "group"), rows)
        done = call_script(paths, script, *meant_by(words, stands_for), *BESIDES.get(name, ()))
        # A claim about few synthetic faces holds or does not: either is a verdict.
        verdicts = (0, 1) if name == "audit_model.py" else (0,)
        assert done.returncode in verdicts, (script, words, done.stdout[-2000:], done.stderr[-2000:])
        assert not re.search("Traceback", done.stderr)
    for script, words in OTHERS.items():
        assert call_script(paths, script, *words).returncode == 0, script
    reader = Reader(paths, {name: words for name, words in BESIDES.items() if name != "eval_model.py"})
    for promise in read_promises()["EmoTorch"]:
        if promise.command not in NOT_RUN:
            reader.look(promise)


@pytest.mark.parametrize("target", ["pipeline", "test", "quick", "coverage", "lint", "bench", "torture"])
def test_make_knows_the_target(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sys.version_info[:2] >= (3, 11)
