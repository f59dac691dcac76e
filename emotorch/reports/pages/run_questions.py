"""The questions that the page of a run answers by analysis: computed where they are not, or said to be missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

import torch
from markupsafe import Markup

from emotorch.analysis.explanations import choose
from emotorch.analysis.held_out import HeldOut, held_out
from emotorch.analysis.results import read_findings
from emotorch.analysis.robustness import find_reference
from emotorch.data.split import SPLIT_SEED
from emotorch.errors import EmoTorchError
from emotorch.paths import Paths
from emotorch.reports.card import scores as card_scores
from emotorch.reports.pages.page import Section, missing, picture, preformatted, text
from emotorch.reports.questions.error_sheets import answer_errors
from emotorch.reports.questions.explanation_sheets import answer_explanations
from emotorch.reports.questions.robustness import answer_robustness
from emotorch.runs import Run
from emotorch.training.checkpoints import Model

_EXPLAINED, _ROWS = 64, 8
_TILES, _PAIRS = 40, 2

Found = tuple[Path, Sequence[str]]


@dataclass(frozen=True)
class Questions:
    """What is asked of a run.

    Attributes:
        paths: Where its data is.
        run: The run.
        weights: The file of its model.
        model: What is in it.
        device: To run on.
        threads: Likewise.
        force: Whether to compute again what is there.
    """

    paths: Paths
    run: Run
    weights: Path
    model: Model
    device: torch.device
    threads: int
    force: bool

    @cached_property
    def _images(self) -> HeldOut:
        return held_out(self.paths, self.run, self.model, None, self.device)

    def sections(self) -> list[Section]:
        """An answer to each, about images that the run was not trained on; or why there is none."""
        name = self.run.name
        return [
            _section(
                "calibration", "Does its confidence mean what it says?", self._calibration, f"evaluate_model.py {name}"
            ),
            _section(
                "robustness", "Does it survive worse pictures?", self._robustness, f"measure_robustness.py {name}"
            ),
            _section("explanations", "Does it look at the face?", self._explanations, f"explain_model.py {name}"),
            _section("errors", "What does it get wrong?", self._errors, f"show_errors.py {name}"),
            _section(
                "fairness", "Does it hold for everyone?", self._fairness, f"analyze_fairness.py {name} --attributes CSV"
            ),
        ]

    def _calibration(self) -> Found:
        found = card_scores.measure(self.paths, self.run, self.weights, self.model, self.device, force=self.force)
        if found is None:
            raise EmoTorchError("the dataset is not here")
        return self.run.folder / card_scores.QUESTION, [f"{line}." for part in found["sets"] for line in part["lines"]]

    def _robustness(self) -> Found:
        reference = find_reference(self.paths, None, self.model, self.weights)
        answer = partial(answer_robustness, self.run, self.weights, self.model, self._images, reference, self.device)
        return answer(threads=self.threads, force=self.force)

    def _explanations(self) -> Found:
        faces = choose(self._images, self.model.labels, _EXPLAINED, SPLIT_SEED)
        answer = partial(answer_explanations, self.run, self.weights, self.model, faces, self.device)
        return answer(named=False, rows=_ROWS, seed=SPLIT_SEED, force=self.force)

    def _errors(self) -> Found:
        answer = partial(answer_errors, self.run, self.weights, self.model, self._images)
        return answer(tiles=_TILES, pairs=_PAIRS, force=self.force)

    def _fairness(self) -> Found:
        found = read_findings(self.run, "fairness", self.weights)
        if found is None:
            raise EmoTorchError("no table of attributes was given")
        return self.run.folder / "fairness", found["lines"]


def _section(key: str, title: str, answer: Callable[[], Found], command: str) -> Section:
    try:
        folder, lines = answer()
    except EmoTorchError as error:
        return Section(key, title, [missing(f"Not measured: {error}", command)])
    pictures = [picture(path, f"{title} {path.stem.replace('_', ' ')}") for path in sorted(folder.glob("*.png"))]
    return Section(key, title, [*_words(lines), *pictures])


def _words(lines: Sequence[str]) -> list[Markup]:
    """The rows of tables keep their columns, which have spaces between them; sentences flow."""
    rows = [line for block in lines for line in block.splitlines() if line.strip()]
    return [
        preformatted("\n".join(group)) if in_columns else text(" ".join(group))
        for in_columns, group in groupby(rows, lambda line: "  " in line.strip())
    ]
