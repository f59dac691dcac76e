"""Findings of an analysis: made once for the same weights and options, and whole."""

from pathlib import Path

import pytest

from emotorch.errors import EmoTorchError
from emotorch.runs.findings import Findings, compute_once, read_findings
from emotorch.runs.folder import Run


def analyse(run: Run, weights: Path, *, severity: int = 1, force: bool = False) -> bool:
    """Whether it was made anew."""
    folders = []

    def make(folder: Path) -> Findings:
        folders.append(folder)
        (folder / "curve.csv").write_text("severity,accuracy\n")
        return {"severity": severity}

    assert compute_once(run, "robustness", weights, {"severity": severity}, make, force=force)["severity"] == severity
    return bool(folders)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.pth"
    path.write_bytes(b"weights")
    return path


def test_an_analysis_is_made_once_for_the_same_weights_and_options(tmp_path: Path, weights: Path) -> None:
    run = Run(tmp_path)
    assert read_findings(run, "robustness", weights) is None
    assert analyse(run, weights)
    assert not analyse(run, weights)
    assert analyse(run, weights, force=True)
    assert analyse(run, weights, severity=2)
    assert read_findings(run, "robustness", weights) == {"severity": 2}
    assert (tmp_path / "robustness" / "curve.csv").is_file()


def test_findings_about_other_weights_are_none(tmp_path: Path, weights: Path) -> None:
    run = Run(tmp_path)
    analyse(run, weights)
    weights.write_bytes(b"other weights")
    assert read_findings(run, "robustness", weights) is None
    assert analyse(run, weights)


def test_an_analysis_that_failed_half_way_leaves_no_findings(tmp_path: Path, weights: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(ZeroDivisionError):
        compute_once(run, "robustness", weights, {}, lambda _: {"severity": 1 // 0}, force=False)
    assert read_findings(run, "robustness", weights) is None


def test_a_figure_that_was_changed_in_findings_is_no_finding(tmp_path: Path, weights: Path) -> None:
    run = Run(tmp_path)
    analyse(run, weights, severity=2)
    findings = tmp_path / "robustness" / "findings.json"
    findings.write_text(findings.read_text().replace('"severity": 2', '"severity": 3'))
    with pytest.raises(EmoTorchError, match=r"findings\.json: damaged, or changed by hand"):
        read_findings(run, "robustness", weights)
