"""The page of a run: everything that its folder says, in one file."""

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from emotorch.analyses import analyses
from emotorch.analyses.registry import Analysis, Subject
from emotorch.errors import EmoTorchError
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.figures.history import history_figure
from emotorch.files import write_text
from emotorch.metrics.intervals import wilson_interval
from emotorch.recipes import get_recipe
from emotorch.reports import page
from emotorch.reports.rendering import class_table
from emotorch.runs.confusion import validation_matrices
from emotorch.runs.folder import Run, set_title
from emotorch.runs.history import training_curves
from emotorch.tables import Table, counted

logger = logging.getLogger(__name__)


def write_run_page(loaded: LoadedRun, *, threads: int, force: bool) -> Path:
    """Makes every analysis of a finished run that is not made yet (all with `force`), and writes the page; returns it.

    Raises:
        EmoTorchError: a file of the run is damaged.
    """
    run, record = loaded.run, loaded.run.record
    subject = Subject(loaded, threads, force)
    sections = [
        _learning(run),
        _predictions(run),
        *(_analysis(analysis, subject) for analysis in analyses()),
        _provenance(record),
    ]
    subtitle = "A run in the published format: how it was trained is not recorded."
    if record:
        trained_on, labels = record["settings"]["train_on"], ", ".join(record["labels"])
        subtitle = f"Recipe {record['recipe']}, trained on {trained_on}, seed {record['seed']}: {labels}."
    path = run.outputs / page.NAME
    write_text(path, page.render(run.name, subtitle, _facts(run, record), sections, _warning(record)))
    return path


def _warning(record: Mapping[str, Any]) -> str:
    texts = []
    if record.get("dataset", {}).get("synthetic"):
        texts.append("Synthetic faces: these figures say that the pipeline works, and nothing about real faces.")
    if record.get("collapsed"):
        texts.append("This run collapsed: it predicts the same class for every face.")
    elif never := record.get("never_answered"):
        texts.append(f"This run never predicts {', '.join(never)}.")
    return " ".join(texts)


def _facts(run: Run, record: Mapping[str, Any]) -> list[page.Fact]:
    facts = []
    for title, found in validation_matrices(run).items():
        counts = found.counts or []
        correct, images = sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))
        if images:
            low, high = wilson_interval(correct, images)
            detail = f"95% interval {low:.2f}–{high:.2f}, n = {images:,}"
            facts.append(page.Fact(f"Accuracy, {title}", f"{100 * correct / images:.2f}%", detail))
    for name, score in record.get("scores", {}).items():
        if name.endswith("_reference"):
            facts.append(
                page.Fact(f"Accuracy, {set_title(name)}", f"{score['accuracy']:.2f}%", f"n = {score['images']:,}")
            )
    if "best_epoch" in record:
        facts.append(page.Fact("Best epoch", f"{record['best_epoch']}", f"of {record['epochs_completed']} run"))
    if "timings_s" in record:
        seconds = record["timings_s"]["training"]
        threads = counted(record["settings"]["threads"], "thread")
        duration = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
        facts.append(page.Fact("Training", duration, f"{record['device']}, {threads}"))
    return facts


def _learning(run: Run) -> page.Section:
    curves = training_curves(run)
    if not curves:
        parts = [page.text("The folder has no training history: it cannot be had without training anew.")]
    else:
        figure = history_figure(curves, "", run.record.get("best_epoch"))
        parts = [page.drawing(figure, f"Loss and accuracy of {run.name} over the epochs")]
    return page.Section("learning", "Learning curves", parts)


def _predictions(run: Run) -> page.Section:
    parts: list[Markup] = []
    for title, found in validation_matrices(run).items():
        classes = [page.table(class_table(found.counts, found.labels))] if found.counts else []
        parts.append(page.beside([page.matrix(found, title), *classes]))
    if not parts:
        parts.append(page.text("The folder has no confusion matrix: it cannot be had without training anew."))
    return page.Section("predictions", "Predictions by class", parts)


def _analysis(analysis: Analysis, subject: Subject) -> page.Section:
    try:
        found = analysis.compute(subject)
    except EmoTorchError as error:
        logger.warning("%s: not measured: %s", analysis.title, error)
        parts = [page.missing(f"Not measured: {error}", analysis.command(shlex.quote(subject.loaded.run.name)))]
    else:
        tables = [page.table(shown, caption=title) for title, shown in analysis.tables(found).items()]
        files = sorted(analysis.folder(subject.loaded).glob("*.png"))
        pictures = [page.picture(path, f"{analysis.title}: {path.stem.replace('_', ' ')}") for path in files]
        parts = [page.sentences(analysis.lines(found)), *tables, *pictures]
    return page.Section(analysis.name, analysis.title, parts)


def _provenance(record: Mapping[str, Any]) -> page.Section:
    if not record:
        return page.Section("provenance", "Provenance", [page.text("The folder has no run.json: nothing is known.")])
    versions = record["versions"]
    values = {
        "started": record["started"],
        "finished": record.get("finished"),
        "code": versions["code"],
        "versions": f"emotorch {versions['emotorch']}, Python {versions['python']}, torch {versions['torch']}",
        "dataset fingerprint": record["dataset"]["fingerprint"],
        "images": ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in record["counts"].items()),
        "device, threads": f"{record['device']}, {record['settings']['threads']}",
        "seed, split seed": f"{record['seed']}, {record['split_seed']}",
        "factors": ", ".join(f"{name} {value:g}" for name, value in record["factors"].items()),
    }
    if "sweep" in record:
        values["sweep"] = json.dumps(record["sweep"])
    return page.Section("provenance", "Provenance", [page.pairs(values), *_recipe(record["settings"]["recipe"])])


def _recipe(recipe: Mapping[str, Any]) -> list[Markup]:
    """What was changed from the recipe of the name for this run, and every setting."""
    named = json.loads(json.dumps(asdict(get_recipe(recipe["name"]))))
    rows = [(name, json.dumps(value), json.dumps(named.get(name))) for name, value in recipe.items()]
    frame = pd.DataFrame(rows, columns=["setting", "here", "in the recipe"])
    changed = frame[frame["here"] != frame["in the recipe"]]
    parts = [
        page.folded("All settings of the recipe", page.pairs(dict(zip(frame["setting"], frame["here"], strict=True))))
    ]
    if len(changed):
        parts.insert(0, page.table(Table(changed), caption=f"Changed from the recipe {recipe['name']}"))
    return parts
