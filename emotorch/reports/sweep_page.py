"""The page of a sweep: its runs as a table to sort, their distances drawn, and the best beside the original."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from emotorch.analyses.comparison import Comparison, comparison_figure, varied
from emotorch.analyses.distance import Distance
from emotorch.paths import MODEL_ORIGINAL, Paths
from emotorch.reports.page import Fact, Section, beside, drawing, matrix, render, table, text
from emotorch.runs.confusion import validation_matrices
from emotorch.runs.folder import FINISHED, Run, find_run
from emotorch.sweep.job import Result


def sweep_page(
    paths: Paths, name: str, about: Mapping[str, Any], results: Sequence[Result], comparison: Comparison | None
) -> str:
    """The page as HTML.

    Args:
        paths: Where its runs are.
        name: The sweep's.
        about: Its `sweep.json`.
        results: How its runs ended.
        comparison: Of its finished runs; None where none can be compared with the original.
    """
    design, settings = about["design"], about["settings"]
    sections = []
    if comparison is not None:
        alternative = f"Distance of each run of {name} to the published original, by rank and over what was varied"
        sections = [
            Section("distances", "Distances", [drawing(comparison_figure(comparison), alternative)]),
            Section("best", "The best beside the original", _best(paths, comparison)),
        ]
    sections.append(Section("runs", "All runs", [_runs(results, comparison)]))
    subtitle = (
        f"{design['count']} runs by the strategy {design['strategy']}, recipe {settings['recipe']['name']}, trained on "
        f"{settings['train_on']}; begun {about['started']}."
    )
    synthetic = comparison is not None and any(run.synthetic for run in comparison.distances)
    warning = "Drawn faces: these figures say nothing about real ones." if synthetic else ""
    return render(name, subtitle, _facts(design["count"], results, comparison), sections, warning)


def _facts(planned: int, results: Sequence[Result], comparison: Comparison | None) -> list[Fact]:
    finished = [result for result in results if result.status == FINISHED]
    failed = len(results) - len(finished)
    detail = f"of {planned} planned" + (f", {failed} failed" if failed else "")
    facts = [Fact("Trained", f"{len(finished):,}", detail)]
    facts.append(Fact("Collapsed to one class", f"{sum(result.collapsed for result in results):,}"))
    if finished:
        mean = sum(result.seconds for result in finished) / len(finished)
        facts.append(Fact("A run takes", f"{mean:.0f} s", "mean of the finished ones"))
    if comparison is not None:
        best = comparison.best
        interval = "" if math.isnan(best.low) else f"95% interval {best.low:.5f}–{best.high:.5f}"
        facts.append(Fact("Smallest distance", f"{best.combined:.5f}", f"{best.model}; {interval}"))
        parts = "FER and CK+" if best.complete else "FER alone"
        recreation = comparison.recreation(complete=best.complete)
        facts.append(Fact("Published recreation", f"{recreation:.5f}", f"best of 300, with leaks; {parts}"))
    return facts


def _best(paths: Paths, comparison: Comparison) -> list[Markup]:
    best = comparison.best
    parts = [text(_noise(comparison))]
    original = validation_matrices(Run(MODEL_ORIGINAL))
    for title, found in validation_matrices(find_run(paths, best.model)).items():
        pair = [matrix(found.labels, found.proportions, found.counts, f"{best.model}, {title}")]
        if title in original:
            published = original[title]
            pair.append(matrix(published.labels, published.proportions, None, f"published original, {title}"))
        parts.append(beside(pair))
    return parts


def _noise(comparison: Comparison) -> str:
    equal = len(comparison.within_noise) - 1
    if equal < 0:
        return "Without confusion counts it is unknown whether the best is so beyond chance."
    if not equal:
        return "The best is so beyond chance: its interval overlaps no other's."
    return f"The best is so only within noise: {equal} of the others cannot be told from it (their intervals overlap)."


def _runs(results: Sequence[Result], comparison: Comparison | None) -> Markup:
    distances = {run.model: run for run in comparison.distances} if comparison else {}
    factors, recipe = varied(list(distances.values()))
    if not any(run.complete for run in distances.values()):
        factors = [name for name in factors if not name.startswith("ckp")]  # they chose among no images
    settings = [*factors, *recipe]
    rows = []
    for result in sorted(results, key=lambda result: (_rank(distances.get(result.model)), result.number)):
        run = distances.get(result.model)
        note = result.error if result.status != FINISHED else run.note if run else ""
        values = [None if run is None else f"{run.setting(name):.4g}" for name in settings]
        shown = [None] * 3 if run is None else [f"{run.combined:.5f}", *(f"{value:.2f}" for value in run.accuracies)]
        rows.append((result.number, result.model, result.status, *shown, *values, f"{result.seconds:.0f}", note))
    columns = ["run", "model", "status", "distance", "training %", "validation %", *settings, "seconds", "note"]
    caption = "Press a heading to sort by it."
    notes = {row[-1] for row in rows}
    if len(notes) == 1:  # of every run: said once, and no column
        columns, rows = columns[:-1], [row[:-1] for row in rows]
        caption = f"Of every run: {notes.pop()}. {caption}" if all(notes) else caption
    return table(columns, rows, sortable=True, caption=caption)


def _rank(run: Distance | None) -> tuple[bool, float]:
    return (True, 0.0) if run is None else (run.collapsed, run.combined)
