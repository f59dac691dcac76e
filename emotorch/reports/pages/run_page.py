"""The page of a run: everything that its folder says, in one file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from emotorch.analysis.metrics import wilson_interval
from emotorch.data.selection import dataset_title
from emotorch.recipes import get_recipe
from emotorch.reports.figures import history_figure
from emotorch.reports.pages.page import Fact, Section, drawing, folded, matrix, missing, render, table, text
from emotorch.reports.runs.pictures import training_curves, validation_matrices
from emotorch.runs import Matrix, Run

_UNKNOWN = "–"


def run_page(run: Run, further: Sequence[Section]) -> str:
    """The page as HTML.

    Args:
        run: A finished run, also one in the published format.
        further: What analyses found, below the run's own results.
    """
    record = run.record
    sections = [_learning(run), _answers(run), *further, _provenance(run, record)]
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


def _answers(run: Run) -> Section:
    parts: list[Markup] = []
    for title, found in validation_matrices(run).items():
        parts.append(matrix(found.labels, found.proportions, found.counts, title))
        if found.counts:
            parts.append(_per_class(found))
    if not parts:
        parts.append(missing("There is no confusion matrix", f"evaluate_model.py {run.name}"))
    return Section("answers", "Answers by class", parts)


def _per_class(found: Matrix) -> Markup:
    counts = found.counts or []
    rows = []
    for place, label in enumerate(found.labels):
        hits, truths, answers = counts[place][place], sum(counts[place]), sum(row[place] for row in counts)
        f1 = 2 * hits / (truths + answers) if truths + answers else 0.0
        low, high = wilson_interval(hits, truths)
        interval = f"{low:.1f}–{high:.1f}" if truths else _UNKNOWN
        rows.append((label, _share(hits, answers), _share(hits, truths), interval, f"{100 * f1:.1f}", truths))
    columns = ("class", "precision %", "recall %", "recall, 95% interval", "F1 %", "images")
    return table(columns, rows)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else _UNKNOWN


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
