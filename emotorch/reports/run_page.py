"""The page of a run: everything that its folder says, in one file."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from emotorch.analyses import scores as card_scores
from emotorch.analyses.explanations import analyse_explanations, choose
from emotorch.analyses.registry import Subject, analyses
from emotorch.data.split import SPLIT_SEED
from emotorch.datasets import dataset_title
from emotorch.errors import EmoTorchError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.figures.history import history_figure
from emotorch.metrics.confusion import class_scores
from emotorch.metrics.intervals import wilson_interval
from emotorch.paths import Paths
from emotorch.recipes import get_recipe
from emotorch.reports.page import (
    Fact,
    Section,
    drawing,
    folded,
    matrix,
    missing,
    picture,
    preformatted,
    render,
    table,
    text,
)
from emotorch.runs.confusion import Matrix, validation_matrices
from emotorch.runs.findings import read_findings
from emotorch.runs.folder import Run
from emotorch.runs.history import training_curves
from emotorch.training.checkpoints import Model

_UNKNOWN = "–"


def run_page(run: Run, further: Sequence[Section]) -> str:
    """The page as HTML.

    Args:
        run: A finished run, also one in the published format.
        further: What analyses found, below the run's own results.
    """
    record = run.record
    sections = [_learning(run), _predictions(run), *further, _provenance(run, record)]
    return render(run.name, _subtitle(record), _facts(run, record), sections, _warning(record))


def _subtitle(record: Mapping[str, Any]) -> str:
    if not record:
        return "A run in the published format: how it was trained is not recorded."
    labels = ", ".join(record["labels"])
    return f"Recipe {record['recipe']}, trained on {record['settings']['train_on']}, seed {record['seed']}: {labels}."


def _warning(record: Mapping[str, Any]) -> str:
    texts = []
    if record.get("dataset", {}).get("synthetic"):
        texts.append("Drawn faces: these figures say that the pipeline works, and nothing about real faces.")
    if record.get("collapsed"):
        texts.append("This run collapsed: it gives one answer to every face.")
    elif never := record.get("never_answered"):
        texts.append(f"This run never answers {', '.join(never)}.")
    return " ".join(texts)


def _facts(run: Run, record: Mapping[str, Any]) -> list[Fact]:
    facts = []
    for title, found in validation_matrices(run).items():
        correct, images = _correct(found)
        if not images:
            continue
        low, high = wilson_interval(correct, images)
        detail = f"95% interval {low:.2f}–{high:.2f}, n = {images:,}"
        facts.append(Fact(f"Accuracy, {title}", f"{100 * correct / images:.2f}%", detail))
    for name, score in record.get("scores", {}).items():
        if name.endswith("_reference"):
            title = f"{dataset_title(name.removesuffix('_reference'))} held-out originals"
            facts.append(Fact(f"Accuracy, {title}", f"{score['accuracy']:.2f}%", f"n = {score['images']:,}"))
    if "best_epoch" in record:
        facts.append(Fact("Best epoch", f"{record['best_epoch']}", f"of {record['epochs_completed']} run"))
    if "timings_s" in record:
        training = record["timings_s"]["training"]
        detail = f"{record['device']}, {record['settings']['threads']} thread(s)"
        facts.append(Fact("Training", f"{training / 60:.1f} min", detail))
    return facts


def _correct(found: Matrix) -> tuple[int, int]:
    counts = found.counts or []
    return sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))


def _learning(run: Run) -> Section:
    curves = training_curves(run)
    if not curves:
        parts = [text("The folder has no training history: it cannot be had without training anew.")]
    else:
        figure = history_figure(curves, "", run.record.get("best_epoch"))
        parts = [drawing(figure, f"Loss and accuracy of {run.name} over the epochs")]
    return Section("learning", "Learning curves", parts)


def _predictions(run: Run) -> Section:
    parts: list[Markup] = []
    for title, found in validation_matrices(run).items():
        parts.append(matrix(found.labels, found.proportions, found.counts, title))
        if found.counts:
            parts.append(_per_class(found))
    if not parts:
        parts.append(missing("There is no confusion matrix", f"evaluate_model.py {run.name}"))
    return Section("answers", "Predictions by class", parts)


def _per_class(found: Matrix) -> Markup:
    rows = []
    for score in class_scores(found.counts or [], found.labels):
        low, high = wilson_interval(score.correct, score.images)
        interval = f"{low:.1f}–{high:.1f}" if score.images else _UNKNOWN
        percents = (_percent(score.precision), _percent(score.recall), interval, _percent(score.f1))
        rows.append((score.label, *percents, score.images))
    columns = ("class", "precision %", "recall %", "recall, 95% interval", "F1 %", "images")
    return table(columns, rows)


def _percent(value: float) -> str:
    return _UNKNOWN if math.isnan(value) else f"{value:.1f}"


def _provenance(run: Run, record: Mapping[str, Any]) -> Section:
    if not record:
        return Section("provenance", "Provenance", [text("The folder has no run.json: nothing is known.")])
    versions = record["versions"]
    rows: list[tuple[str, object]] = [
        ("started", record["started"]),
        ("finished", record.get("finished")),
        ("code", versions["code"]),
        ("versions", f"emotorch {versions['emotorch']}, Python {versions['python']}, torch {versions['torch']}"),
        ("dataset fingerprint", Markup("<code>{}</code>").format(record["dataset"]["fingerprint"])),
        ("images", ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in record["counts"].items())),
        ("device, threads", f"{record['device']}, {record['settings']['threads']}"),
        ("seed, split seed", f"{record['seed']}, {record['split_seed']}"),
        ("factors", ", ".join(f"{name} {value:g}" for name, value in record["factors"].items())),
    ]
    if "sweep" in record:
        rows.append(("sweep", json.dumps(record["sweep"])))
    return Section("provenance", "Provenance", [table(("what", "value"), rows), *_recipe(record)])


def _recipe(record: Mapping[str, Any]) -> list[Markup]:
    """Every setting of the recipe, and those that were changed for this run."""
    recipe = record["settings"]["recipe"]
    named = json.loads(json.dumps(get_recipe(recipe["name"]).as_dict()))
    rows = [(name, json.dumps(value), json.dumps(named[name])) for name, value in recipe.items()]
    changed = [row for row in rows if row[1] != row[2]]
    parts = [folded("All settings of the recipe", table(("setting", "value"), [row[:2] for row in rows]))]
    if changed:
        columns = ("setting", "here", "in the recipe")
        parts.insert(0, table(columns, changed, caption=f"Changed from the recipe {recipe['name']}"))
    return parts


_EXPLAINED, _ROWS = 64, 8


Found = tuple[Path, Sequence[str]]


@dataclass(frozen=True)
class RunAnalyses:
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
    def _subject(self) -> Subject:
        loaded = LoadedRun(self.paths, self.run, self.weights, self.model, self.device)
        return Subject(loaded, self.threads, self.force)

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
        return self.run.folder / card_scores.NAME, [f"{line}." for part in found["sets"] for line in part["lines"]]

    def _robustness(self) -> Found:
        return self._registered("robustness")

    def _explanations(self) -> Found:
        faces = choose(self._subject.images, self.model.labels, _EXPLAINED, SPLIT_SEED)
        analyse = partial(analyse_explanations, self.run, self.weights, self.model, faces, self.device)
        return analyse(named=False, rows=_ROWS, seed=SPLIT_SEED, force=self.force)

    def _errors(self) -> Found:
        return self._registered("errors")

    def _registered(self, name: str) -> Found:
        analysis = analyses()[name]
        found = analysis.compute(self._subject)
        return analysis.folder(self.run), analysis.text(found).splitlines()

    def _fairness(self) -> Found:
        found = read_findings(self.run, "fairness", self.weights)
        if found is None:
            raise EmoTorchError("no table of attributes was given")
        return self.run.folder / "fairness", found["lines"]


def _section(key: str, title: str, analyse: Callable[[], Found], command: str) -> Section:
    try:
        folder, lines = analyse()
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
