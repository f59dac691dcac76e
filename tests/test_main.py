"""The command `emotorch`: the script's predictions, with `compact` as its default, from wherever it is installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import draw_images
from desk import Desk
from running import Done, error_line
from scenes import SyntheticFace, write_clip

from emotorch import __version__
from emotorch.__main__ import main
from emotorch.errors import installing
from emotorch.paths import REPOSITORY

HEAVY = {"torch", "numpy", "cv2", "pandas", "matplotlib", "scipy", "PIL", "onnxruntime", "fastapi"}


def emotorch(root: Path, *arguments: object, hidden: str = "", **environment: str) -> Done:
    """The command in a process of its own, in which a package may be hidden."""
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({hidden.split()!r})); "
    code += "runpy.run_module('emotorch', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "EMOTORCH_ROOT": str(root), **environment},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )


def said(done: Done) -> str:
    """What stderr holds beside the imports."""
    return "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("import time:"))


def test_it_predicts_as_the_script_does_with_compact_as_its_default(desk: Desk) -> None:
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    done = emotorch(desk.paths.root, path, "--json")
    assert (done.returncode, said(done)) == (0, "")
    assert [json.loads(done.stdout)] == desk.ask(path, "--model", "compact")


@pytest.mark.slow
def test_a_name_that_the_font_has_no_letters_for_is_drawn_without_a_word(desk: Desk) -> None:
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    done = emotorch(desk.paths.root, path.rename(path.with_name("写真.png")), "--save", "drawn.png")
    assert (done.returncode, said(done)) == (0, "")


def test_ctrl_c_promises_nothing_that_prediction_does_not_keep(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emotorch.inference.command.expand", interrupt)
    line = "error: interrupted; run the same command again"
    assert error_line(desk.predict("photo.jpg", desk.model), 130) == line
    monkeypatch.setattr("emotorch.__main__.run_prediction", interrupt)
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["get-yunet", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    done = emotorch(tmp_path, *arguments)
    assert (done.returncode, said(done)) == (0, "")
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "argparse" in imported
    assert not imported & HEAVY
    assert done.stdout.startswith(f"emotorch {__version__}\n" if "--version" in arguments else "usage: emotorch")


def test_the_page_without_its_packages_names_the_extra(tmp_path: Path) -> None:
    done = emotorch(tmp_path, "demo", "--port", 0, hidden="fastapi")
    assert (done.returncode, said(done)) == (2, f"error: the page needs fastapi: {installing('demo')}\n")


def test_get_yunet_without_a_network_says_so_and_writes_nothing(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = emotorch(tmp_path, "get-yunet", XDG_CACHE_HOME=str(tmp_path / "cache"), **nowhere)
    assert done.stdout == ""
    assert "onnx: Connection refused; fetch it by other means" in error_line(done)
    assert not list(tmp_path.rglob("*.onnx"))


def test_what_an_extra_brings_is_named_where_it_is_needed(desk: Desk) -> None:
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    weights = desk.paths.models / "model_00224_final" / "model.pth"
    done = emotorch(desk.paths.root, path, weights, hidden="torch")
    assert (done.returncode, done.stdout) == (2, "")
    assert said(done).startswith(f"error: {weights} without an ONNX file beside it needs torch: {installing('train')}")
    done = emotorch(desk.paths.root, path, "--save", "out.png", hidden="matplotlib")
    assert (done.returncode, done.stdout) == (2, "")
    what = "drawing pictures (--save, --visualize) needs matplotlib"
    assert said(done) == f"error: {what}: {installing('draw')}\n"
    write_clip(desk.paths.root / "clip.avi", [[SyntheticFace(100, 100, 160)]] * 3)
    done = emotorch(desk.paths.root, "clip.avi", "--save", "copy.mp4", hidden="matplotlib")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "copy.mp4")
    assert said(done) == f"copy_timeline.png is not drawn, which needs matplotlib: {installing('draw')}\n"
    assert (desk.paths.root / "copy.mp4").is_file()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with ours as pyproject.toml lays it out in a wheel."""
    folder = tmp_path_factory.mktemp("site")
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    package, *patterns = (pattern.removeprefix("/") for pattern in wheel["include"])
    shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in patterns:
        for file in REPOSITORY.glob(pattern):
            ((source, target),) = wheel["sources"].items()
            copy = folder / target / file.relative_to(REPOSITORY / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return folder


def installed(site: Path, root: Path, *arguments: object) -> Done:
    return emotorch(root, *arguments, PYTHONPATH=str(site), EMOTORCH_ROOT="")


def test_installed_without_a_checkout_both_models_predict_as_in_one(site: Path, desk: Desk) -> None:
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    for name in ("compact", "emotorch"):
        done = installed(site, desk.paths.root, path, "--model", name, "--json")
        assert (done.returncode, said(done)) == (0, "")
        prediction, (expected,) = json.loads(done.stdout), desk.ask(path, "--model", name)
        assert prediction["model"] == str(site / "emotorch" / "shipped" / name / "model.onnx")
        assert prediction["faces"] == expected["faces"]
    assert {file.parent.name for file in site.glob("emotorch/shipped/*/README.md")} == {"compact", "emotorch"}


@pytest.mark.slow
def test_installed_without_a_checkout_the_root_is_the_current_folder(site: Path, desk: Desk) -> None:
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    done = installed(site, desk.paths.root, path, "--model", "model_00224_final", "--json")
    assert json.loads(done.stdout)["model"] == str(desk.model)
    line = error_line(installed(site, desk.paths.root, path, "--model", "model_00042"), 2)
    assert f"no model folder 'model_00042' in {desk.paths.models}" in line
    assert line.endswith("models that ship: compact, emotorch")


def test_what_a_prediction_imports_of_ours_needs_no_posix(desk: Desk) -> None:
    """Names of the standard library that Windows has not; `AF_UNIX` is asked for after the platform is."""
    only_posix = re.compile(r"\b(fork|fcntl|grp|pwd|resource|termios|uname|getuid|pthread_\w+|SIGKILL|SIGALRM)\b(?!=)")
    path = desk.picture("face.png", draw_images(1, seed=3)[0])
    done = emotorch(desk.paths.root, path, "--csv", "out.csv")
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    ours = {module for module in modules if module.startswith("emotorch.")}
    assert len(ours) > 15
    for module in ours:
        file = REPOSITORY.joinpath(*module.split(".")).with_suffix(".py")
        if file.is_file():
            code = re.sub(r'"""(.|\n)*?"""|#.*', "", file.read_text(encoding="utf-8"))
            assert not only_posix.findall(code), module
