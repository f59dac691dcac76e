"""The registry of analyses: what page and card go through."""

import json
from pathlib import Path

import pytest

from emotorch.analyses import analyses, fairness
from emotorch.paths import REPOSITORY, SHIPPED_MODELS
from emotorch.tables import to_text


def test_every_analysis_has_a_script_and_a_name_of_its_own() -> None:
    assert len({analysis.name for analysis in analyses()}) == len(analyses())
    for analysis in analyses():
        script = analysis.command("model_00001").split()[1]
        assert (REPOSITORY / script).is_file()
    assert fairness.ANALYSIS.command("M").endswith("analyze_fairness.py M --attributes CSV")


@pytest.mark.parametrize(
    "findings", sorted(SHIPPED_MODELS.glob("*/*/findings.json")), ids=lambda path: str(path.parent)
)
def test_findings_that_ship_are_read_as_lines_and_tables(findings: Path) -> None:
    (analysis,) = (analysis for analysis in analyses() if analysis.name == findings.parent.name)
    found = json.loads(findings.read_text())
    assert all(line.strip() for line in analysis.lines(found))
    for title, table in analysis.tables(found).items():
        assert title
        assert to_text(table).count("\n") == len(table.frame)
