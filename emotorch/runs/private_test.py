"""The record of every scoring on FER-2013's PrivateTest, which is for one look at the end.

It stands in the run's `run.json`; of a model that ships in `private_scorings.json` beside its evaluations, with the
SHA-256 of the weights, since another model may ship by its name later.
"""

from pathlib import Path
from typing import Any

from emotorch.files import hash_file, now, read_json, write_json
from emotorch.replacing import exclusive
from emotorch.runs.folder import Run
from emotorch.runs.record_types import PrivateScoring
from emotorch.typed import require

_KEY = "private_scorings"


def record_private_scoring(run: Run, weights: Path, dataset: str, images: int, correct: int) -> None:
    """Adds a scoring to those of a run's file of weights; `dataset` is PrivateTest, or what has it."""
    scoring = {"time": now(), "dataset": dataset, "images": images, "correct": correct}
    with exclusive(run.outputs / ".private_scorings.lock", f"another scoring of {run.name}"):  # none overwrites another
        if run.evaluations is None:
            run.update(**{_KEY: [*run.record.get(_KEY, []), scoring]})
        else:
            write_json(_file(run.evaluations), [*_beside(run), {**scoring, "weights_sha256": hash_file(weights)}])


def private_scorings(run: Run, weights: Path) -> list[dict[str, Any]]:
    """`time`, `images`, `correct` and, but in old records, `dataset` of every scoring of these weights."""
    digest = hash_file(weights)
    return [*run.record.get(_KEY, []), *(found for found in _beside(run) if found["weights_sha256"] == digest)]


def _beside(run: Run) -> list[dict[str, Any]]:
    if run.evaluations is None or not _file(run.evaluations).is_file():
        return []
    found: list[dict[str, Any]] = read_json(_file(run.evaluations))
    require(found, list[PrivateScoring], f"{_file(run.evaluations)}:")
    return found


def _file(evaluations: Path) -> Path:
    return evaluations / f"{_KEY}.json"
