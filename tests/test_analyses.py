"""The registry of analyses: what page and card go through."""

import json
from pathlib import Path

import pytest

from emotorch.analyses import analyses
from emotorch.analyses.registry import by_name
from emotorch.paths import REPOSITORY, SHIPPED_MODELS
from emotorch.tables import to_text


def test_every_analysis_has_a_script_and_a_name_of_its_own() -> None:
    found = analyses()
    assert list(found) == ["scores", "robustness", "explanations", "errors", "fairness"]
    for analysis in found.values():
        script = analysis.command("model_00001").split()[1]
        assert (REPOSITORY / script).is_file()
    assert found["fairness"].command("M").endswith("analyze_fairness.py M --attributes CSV")
    with pytest.raises(ValueError, match="already an analysis named scores"):
        by_name([*found.values(), found["scores"]])


@pytest.mark.parametrize(
    "findings", sorted(SHIPPED_MODELS.glob("*/*/findings.json")), ids=lambda path: str(path.parent)
)
def test_findings_that_ship_are_read_as_lines_and_tables(findings: Path) -> None:
    analysis = analyses()[findings.parent.name]
    found = json.loads(findings.read_text())
    assert all(line.strip() for line in analysis.lines(found))
    for title, table in analysis.tables(found).items():
        assert title
        assert to_text(table).count("\n") == len(table.frame)
