"""Writes locks/licences.md: the licence that each locked package states, as it is installed here.

Reads  locks/all.txt and what is installed
Writes locks/licences.md
"""

from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from emotorch import cli
from emotorch.files import write_text
from emotorch.tables import Table, to_markdown

LOCKS = Path(__file__).resolve().parent
ALL, PREDICTION, LICENCES = LOCKS / "all.txt", LOCKS / "prediction.txt", LOCKS / "licences.md"
_LONGEST = 60
_INTRODUCTION = """\
# Licences

What each package of [all.txt](all.txt) states of itself, by `make licences`. Those of [prediction.txt](prediction.txt),
which `pip install .` brings, are marked. The NVIDIA packages come with PyTorch for Linux and are not used without a GPU
of theirs. EmoTorch itself is under the [MIT licence](../LICENSE).
"""


def read_lock(path: Path) -> dict[str, list[Requirement]]:
    """A lock's requirements by name: some have a version for one Python and another for the next."""
    found: dict[str, list[Requirement]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", " ")):
            requirement = Requirement(line.removesuffix("\\").strip())
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def licence_of(stated: PackageMetadata) -> str:
    """An SPDX expression where there is one, else classifiers, else the first line of a text that is not long."""
    lines = stated.get_all("Classifier", [])
    classifiers = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License")]
    expressions, texts = (stated.get_all(key, []) for key in ("License-Expression", "License"))
    short = [first for text in texts if len(first := text.strip().partition("\n")[0]) <= _LONGEST]
    return ", ".join(expressions or classifiers or short) or "none stated"


def main() -> None:
    cli.make_parser(__doc__, "make licences").parse_args()
    predicting = read_lock(PREDICTION)
    rows = []
    for name, requirements in sorted(read_lock(ALL).items()):
        try:
            licence = licence_of(metadata(name))
        except PackageNotFoundError:
            licence = f"not installed here: for {requirements[0].marker}"
        rows.append((name, "yes" if name in predicting else "", licence))
    table = Table(pd.DataFrame(rows, columns=["package", "prediction", "licence"]))
    write_text(LICENCES, f"{_INTRODUCTION}\n{to_markdown(table)}\n")
    print(LICENCES)


if __name__ == "__main__":
    cli.run(main)
