"""The check of the models that ship: against a dataset that is not the one of their cards, it says so."""

import pytest
from running import call_script

from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.paths import Paths

pytestmark = pytest.mark.slow


def test_on_synthetic_faces_there_is_nothing_to_compare(paths: Paths) -> None:
    paths.raw.mkdir()
    paths.synthetic_marker.write_text("synthetic faces\n")
    done = call_script(paths, "baseline_model/model/check_models.py")
    assert done.returncode == 0
    assert (
        done.stdout
        == f"{paths.root} has synthetic faces, and the cards tell of FER-2013: there is nothing to compare\n"
    )


def test_other_images_than_the_card_s_are_told_apart(paths: Paths) -> None:
    write_fer2013_csv(paths.fer_csv, rows=420, seed=1)
    done = call_script(paths, "baseline_model/model/check_models.py", "--threads", 1)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("compact"))
    assert line.split()[-2:] == ["–", "differs"]
