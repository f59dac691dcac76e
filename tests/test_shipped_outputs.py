"""What is found out about a model that ships goes below the root; its own folder is read only."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import tree
from running import EVALUATE, EVALUATE_USAGE, MODELS, PLOT_CONFUSION, PLOT_HISTORY, Trained, call_script, last_line

from emotorch import paths as paths_module
from emotorch.analyses import errors
from emotorch.analyses.candidates import load_candidates
from emotorch.analyses.cross_dataset import score
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.files import write_json
from emotorch.paths import Paths
from emotorch.runs import folder as runs
from emotorch.runs.findings import read_findings
from emotorch.runs.folder import Run, find_run
from emotorch.runs.private_test import private_scorings

pytestmark = pytest.mark.slow

CARD = f"{MODELS}/write_model_card.py"
ERRORS = f"{MODELS}/show_errors.py"


@pytest.fixture
def shipped(lively: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """A model that ships, as `emotorch`, and nothing in the root's own models."""
    folder = tmp_path / "ships" / "emotorch"
    folder.parent.mkdir()
    shutil.move(lively.folder, folder)
    monkeypatch.setattr(runs, "SHIPPED_MODELS", folder.parent)
    return Trained(lively.paths, folder)


def test_every_output_of_a_shipped_model_is_below_the_root(shipped: Trained) -> None:
    before, outputs = tree(shipped.folder), shipped.paths.evaluations / "emotorch"
    for script, *arguments in (
        (EVALUATE, "emotorch", "fer-private"),
        (EVALUATE_USAGE,),
        (PLOT_CONFUSION, "emotorch"),
        (PLOT_HISTORY, shipped.folder),
        (ERRORS, "emotorch", "--pairs", 1, "--tiles", 4),
        (CARD, "emotorch"),
    ):
        written = Path(last_line(call_script(shipped.paths, script, *arguments)))
        assert written.exists(), script
        assert written.is_relative_to(outputs), script
    assert tree(shipped.folder) == before
    (scoring,) = private_scorings(find_run(shipped.paths, "emotorch"), shipped.folder / "model.pth")
    card = (outputs / "README.md").read_text()
    assert "PrivateTest has been scored 1 time;" in card
    assert scoring["time"] in card
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", card)
    assert len(links) >= 3
    for link in links:
        assert (outputs / link).is_file(), link


def test_a_look_at_privatetest_among_other_models_is_recorded_below_the_root(shipped: Trained) -> None:
    before = tree(shipped.folder)
    score(load_candidates(shipped.paths, ["emotorch"], device="cpu", threads=1), ["fer-private"])
    assert tree(shipped.folder) == before
    assert len(private_scorings(find_run(shipped.paths, "emotorch"), shipped.folder / "model.pth")) == 1


def test_findings_that_ship_stand_until_others_are_made_beside_them(shipped: Trained) -> None:
    loaded = LoadedRun.load(shipped.paths, None, device="cpu", threads=1)
    assert loaded.run.outputs == shipped.paths.evaluations / "emotorch"
    call_script(shipped.paths, ERRORS, "emotorch", "--pairs", 1, "--tiles", 4)
    made = shipped.paths.evaluations / "emotorch" / "errors"
    shutil.move(made, shipped.folder / "errors")
    ships = tree(shipped.folder)
    analysis = errors.ANALYSIS
    assert analysis.folder(loaded) == shipped.folder / "errors"
    # The same question is answered by what ships; another one beside it, and that then stands.
    again = call_script(shipped.paths, ERRORS, "emotorch", "--pairs", 1, "--tiles", 4)
    assert last_line(again) == str(shipped.folder / "errors")
    other = call_script(shipped.paths, ERRORS, "emotorch", "--pairs", 1, "--tiles", 5)
    assert last_line(other) == str(made) == str(analysis.folder(loaded))
    assert last_line(call_script(shipped.paths, ERRORS, "emotorch", "--pairs", 1, "--tiles", 4)) == str(made)
    assert tree(shipped.folder) == ships
    # Findings about other weights, of a model that had the name before, say nothing about this one.
    stamp = json.loads((made / "stage.json").read_text())
    stamp["made_from"]["weights"] = "0" * 64
    write_json(made / "stage.json", stamp)
    assert analysis.folder(loaded) == shipped.folder / "errors"
    found = read_findings(loaded.run, "errors", loaded.weights)
    assert found == json.loads((shipped.folder / "errors" / "findings.json").read_text())


def test_looks_at_privatetest_by_other_weights_are_not_counted(shipped: Trained) -> None:
    call_script(shipped.paths, EVALUATE, "emotorch", "fer-private")
    run, weights = find_run(shipped.paths, "emotorch"), shipped.folder / "model.pth"
    assert len(private_scorings(run, weights)) == 1
    assert private_scorings(Run(shipped.folder), weights) == []
    weights.write_bytes(b"another model")
    assert private_scorings(run, weights) == []


def test_outside_a_checkout_the_root_is_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMOTORCH_ROOT", raising=False)
    assert Paths.from_environment().root == paths_module.REPOSITORY
    monkeypatch.setattr(paths_module, "IS_INSTALLED", True)
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment().root == tmp_path
