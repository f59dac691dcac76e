"""What an analysis found about a model: a folder of its own, valid for just what it was made from.

It is written where `Run.outputs` says. Findings that ship with a model stand until others about the same weights are
made beside them.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotorch.errors import EmoTorchError
from emotorch.files import check_stamped, hash_file, read_json, read_stamp, stage_folder, write_json, write_stamp
from emotorch.runs.folder import Run

_FINDINGS = "findings.json"
_REMEDY = "bring that file back, or measure again with --force"


# What an analysis leaves for reports: the content of its findings.json, plain values.
Findings = Mapping[str, Any]


def compute_once(
    run: Run,
    analysis: str,
    weights: Path,
    made_from: Mapping[str, Any],
    make: Callable[[Path], Findings],
    *,
    force: bool,
) -> Findings:
    """The findings in an analysis's folder, which is made, whole or not at all, unless it is there and up to date.

    Args:
        analysis: The folder's name: `robustness`, `errors`, …
        weights: The file that the findings are about.
        made_from: What else they depend on: the data's fingerprint, and every option. Plain values.
        make: Writes tables and pictures into a folder, and returns the findings.

    Raises:
        EmoTorchError: the same analysis is running, or somebody else's files are in the folder.
    """
    stamp = json.loads(json.dumps({"weights": hash_file(weights), **made_from}))
    standing = find_folder(run, analysis, weights)
    ships = standing.parent != run.outputs
    if force or not ships or read_stamp(standing, analysis) != stamp:
        with stage_folder(run.outputs / analysis, stamp, stage=f"{analysis} of {run.name}", force=force) as build:
            if build is not None:
                write_findings(build.folder, make(build.folder))
    found = read_findings(run, analysis, weights)
    assert found is not None, "written just now"
    return found


def find_folder(run: Run, analysis: str, weights: Path) -> Path:
    """The folder of what an analysis found about these very weights, or where it would go."""
    own, shipped = run.outputs / analysis, run.folder / analysis
    return shipped if _is_about(shipped, weights) and not _is_about(own, weights) else own


def _is_about(folder: Path, weights: Path) -> bool:
    made_from = _made_from(folder)
    return bool(made_from) and made_from["weights"] == hash_file(weights)


def _made_from(folder: Path) -> dict[str, Any]:
    try:
        return read_stamp(folder, folder.name)
    except EmoTorchError:
        return {}  # not there, or not whole: the same as never made


def write_findings(folder: Path, findings: Findings) -> None:
    write_json(folder / _FINDINGS, findings)


def read_findings(run: Run, analysis: str, weights: Path) -> Findings | None:
    """The findings about these very weights; None where they are missing, or of other weights; damaged ones raise."""
    folder = find_folder(run, analysis, weights)
    if not _is_about(folder, weights):
        return None
    path = folder / _FINDINGS
    check_stamped(path, _REMEDY)
    findings: Findings = read_json(path)
    return findings


def carry_over(folder: Path, to: Path, patterns: Sequence[str], before: str, after: str) -> None:
    """Copies findings, the files of some patterns, to a model that has the same weights in another file, and says there
    that they are its own.

    Args:
        folder: The findings; where there are none, or they are of other weights, nothing is copied.
        to: A folder that does not exist yet.
        before, after: The SHA-256 of the file of weights that they must be of, and of the other.
    """
    made_from = _made_from(folder)
    if made_from.get("weights") != before:
        return
    to.mkdir()
    for pattern in patterns:
        for file in sorted(folder.glob(pattern)):
            check_stamped(file, _REMEDY)
            shutil.copy(file, to / file.name)
    write_stamp(to, {**made_from, "weights": after})
