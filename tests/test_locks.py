"""The locks fit what the project asks for; they name no index, and every package's licence is known."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from emotorch.paths import REPOSITORY

_SPECIFICATION = importlib.util.spec_from_file_location("write_licences", REPOSITORY / "locks" / "write_licences.py")
assert _SPECIFICATION is not None
assert _SPECIFICATION.loader is not None
licences = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(licences)
LOCKS = (licences.ALL, licences.PREDICTION)


def asked_for(lines: list[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def assert_locks(lock: Path, requirements: list[Requirement]) -> None:
    locked = licences.read_lock(lock)
    for requirement in requirements:
        for exact in locked[canonicalize_name(requirement.name)]:
            (version,) = (specifier.version for specifier in exact.specifier)
            assert requirement.specifier.contains(version), (str(requirement), str(exact))


def test_all_is_what_requirements_txt_asks_for() -> None:
    assert_locks(licences.ALL, asked_for((REPOSITORY / "requirements.txt").read_text().splitlines()))


def test_prediction_is_what_the_package_asks_for_in_the_versions_of_all() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert_locks(licences.PREDICTION, asked_for(project["dependencies"]))
    whole = licences.read_lock(licences.ALL)
    for name, requirements in licences.read_lock(licences.PREDICTION).items():
        assert {str(one.specifier) for one in requirements} <= {str(one.specifier) for one in whole[name]}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_has_hashes_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    packages = [part for part in re.split(r"\n(?=\w)", text) if not part.startswith("#")]
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}", package) for package in packages)
    assert not re.search(r"://|index-url|find-links|emotorch", text)


def test_the_licence_of_every_locked_package_is_listed() -> None:
    text = licences.LICENCES.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| (?:yes)? \| (.+) \|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == sorted(licences.read_lock(licences.ALL))
    assert all(licence.strip() for _, licence in rows)


@pytest.mark.parametrize("target", ["lock", "licences"])
def test_make_writes_them(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert "locks/" in done.stdout
