"""The analyses of one model: what each is called, computes and tells. Page and model card go through them in order.

A new one is a module with a record `ANALYSIS`, its name in `emotorch.analyses.analyses`, and its script.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emotorch.evaluation.evaluate import Evaluation
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import held_out
from emotorch.runs.findings import Findings, compute_once, find_folder, read_findings
from emotorch.runs.folder import Run
from emotorch.tables import Table, to_text

# By title: the same on the console, on the page and in the card.
Tables = Mapping[str, Table]


@dataclass(frozen=True)
class Subject:
    """A model that is analysed.

    Attributes:
        threads: Parts of an analysis at the same time.
        force: Whether what is there and up to date is computed again.
        dataset: Whose images are used; None for the run's own validation images.
    """

    loaded: LoadedRun
    threads: int = 1
    force: bool = False
    dataset: str | None = None

    @classmethod
    def from_options(cls, options: Namespace, threads: int | None = None) -> "Subject":
        """What a script's options name; `threads` of an operation, where an analysis has another use for the others."""
        loaded = LoadedRun.from_options(options, threads)
        return cls(loaded, options.threads, options.force, vars(options).get("dataset"))

    @cached_property
    def held_out(self) -> Evaluation:
        """Images that it was not trained on, which the analyses share.

        Raises:
            EmoTorchError: none are known, or they are not here.
        """
        return held_out(self.loaded, self.dataset)

    def compute_once(self, name: str, made_from: Mapping[str, Any], make: Callable[[Path], Findings]) -> Findings:
        """The findings of an analysis of this name about the model's weights; see `findings.compute_once`."""
        return compute_once(self.loaded.run, name, self.loaded.weights, made_from, make, force=self.force)

    def head(self) -> dict[str, Any]:
        """What findings say of the model, and of the images."""
        return {
            "model": self.loaded.run.name,
            "dataset": self.held_out.images.name,
            "title": self.held_out.title,
            "images": self.held_out.predictions.images,
            "labels": list(self.loaded.model.labels),
            "lines": list(self.held_out.lines),
        }


@dataclass(frozen=True)
class Analysis:
    """One analysis of a model.

    Attributes:
        name: Of its folder in the model's, and of its section in links.
        title: For a heading, in the field's terms.
        script: That runs it with options of one's own, in `develop_baseline_model/models/`.
        arguments: What the script needs beyond the model.
        compute: With its default options, unless that has been done. Raises EmoTorchError where it cannot.
        lines: What it found, in sentences.
        tables: The same in figures.
    """

    name: str
    title: str
    script: str
    compute: Callable[[Subject], Findings]
    lines: Callable[[Findings], list[str]]
    tables: Callable[[Findings], Tables]
    arguments: str = ""

    def command(self, model: str) -> str:
        """How to have it of a model, from the repository's root."""
        script = f"develop_baseline_model/models/{self.script}"
        return " ".join(filter(None, ("python", script, model, self.arguments)))

    def text(self, findings: Findings) -> str:
        """Lines and tables for the console."""
        tables = [f"{title}\n{to_text(table)}" for title, table in self.tables(findings).items()]
        return "\n\n".join(["\n".join(self.lines(findings)), *tables])

    def folder(self, loaded: LoadedRun) -> Path:
        """Where its findings, tables and pictures are."""
        return find_folder(loaded.run, self.name, loaded.weights)

    def read(self, run: Run, weights: Path) -> Findings | None:
        """What it found about these very weights; None where that is missing."""
        return read_findings(run, self.name, weights)
