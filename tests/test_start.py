"""Weights that a run starts from have shown what their own run was trained on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import refusal
from running import Trained, copy_trained

from emotorch.data.selection import DatasetIndex, Factors
from emotorch.errors import UsageError
from emotorch.experiment.settings import Settings
from emotorch.experiment.start import require_unseen
from emotorch.runs.folder import Run
from emotorch.runs.usage import TrainingImages, write_inherited


def require(trained: Trained, weights: Path, **changes: object) -> None:
    """For a run like the trained one, with such changes, that starts from weights."""
    settings = Settings.from_record(Run(trained.folder).record)
    recipe = replace(settings.recipe, pretrained=str(weights), fer_usage=str(changes.pop("fer_usage", "all")))
    settings = replace(settings, recipe=recipe, **changes)
    index = DatasetIndex.load(trained.paths, settings.scheme)
    require_unseen(settings, index, settings.select(index))


def test_a_run_may_start_from_one_of_its_split_or_from_nobody_s_weights(trained: Trained, tmp_path: Path) -> None:
    weights = trained.folder / "model.pth"
    require(trained, weights)
    # Nothing tells what such a file has seen.
    alone = tmp_path / "model.pth"
    shutil.copy(weights, alone)
    require(trained, alone, fer_usage="official")


def test_damaged_weights_are_no_start(ours: Trained) -> None:
    weights = ours.folder / "model.pth"
    weights.write_bytes(weights.read_bytes()[:-1])
    with refusal(f"{weights}: damaged or replaced"):
        require(ours, weights)


@pytest.mark.parametrize("changes", [{"fer_usage": "official"}, {"factors": Factors(0.5, 0, 1, 0)}], ids=str)
def test_weights_that_have_seen_what_is_scored_are_no_start(trained: Trained, changes: dict[str, object]) -> None:
    with pytest.raises(
        UsageError, match=rf"^pretrained: {trained.folder.name} was trained on \d+ images that are scor"
    ):
        require(trained, trained.folder / "model.pth", **changes)


def test_what_weights_have_seen_is_remembered_through_a_run_of_other_data(trained: Trained, tmp_path: Path) -> None:
    middle = copy_trained(trained, tmp_path / "root")
    run = Run(middle.folder)
    rows = (middle.folder / "image_usage.csv").read_text().splitlines(keepends=True)
    other = [row.replace("FER/", "RAF/").replace("training", "fer_validation", 1) for row in rows[1:]]
    (middle.folder / "image_usage.csv").write_text("".join([rows[0], *other]))
    (middle.folder / "run.json").unlink()
    assert not TrainingImages.stated_by(run).hashes
    write_inherited(run, Run(trained.folder), own=())
    assert TrainingImages.stated_by(run).hashes == TrainingImages.stated_by(Run(trained.folder)).hashes
    assert TrainingImages.stated_by(run).has("anything.png", next(iter(TrainingImages.stated_by(run).hashes)))
    with pytest.raises(UsageError, match=r"^pretrained: model_00001 was trained on \d+ images that are scored"):
        require(trained, middle.folder / "model.pth", fer_usage="official")


def test_a_twin_of_an_image_that_both_were_trained_on_is_no_more_than_a_twin(trained: Trained, tmp_path: Path) -> None:
    first, second = Run(trained.folder), Run(copy_trained(trained, tmp_path / "root").folder)
    write_inherited(second, first, own=TrainingImages.stated_by(first).hashes)
    assert TrainingImages.stated_by(second) == TrainingImages.stated_by(first)
