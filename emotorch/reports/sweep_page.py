"""The page of a sweep: its runs as a table to sort, their distances drawn, and the best beside the original."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from emotorch.analyses.comparison import Comparison, compare, comparison_figure, describe_noise, varied
from emotorch.analyses.distance import Distance, Weights
from emotorch.errors import EmoTorchError
from emotorch.files import write_text
from emotorch.paths import MODEL_ORIGINAL, Paths
from emotorch.reports.page import NAME, Fact, Section, beside, drawing, matrix, render, table, text
from emotorch.runs.confusion import validation_matrices
from emotorch.runs.folder import FINISHED, Run, find_run
from emotorch.sweep.folder import read_about, read_results
from emotorch.sweep.job import Result
from emotorch.tables import Table, counted


def write_sweep_page(paths: Paths, folder: Path) -> Path:
    """Writes the page of a sweep, also of one that is not finished; returns it."""
    results = read_results(folder)
    try:
        comparison = compare(paths, Weights(), {result.model for result in results}, leaky=True)
    except EmoTorchError:
        comparison = None  # none of its runs can be compared: the table says why for each
    page = folder / NAME
    write_text(page, sweep_page(paths, folder.name, read_about(folder), results, comparison))
    return page


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
            Section(
                "distances", "Distance to the published original", [drawing(comparison_figure(comparison), alternative)]
            ),
            Section("best", "Best run and published original", _best(paths, comparison)),
        ]
    runs = _runs(results, comparison) if results else text("No run has ended yet.")
    sections.append(Section("runs", "All runs", [runs]))
    subtitle = (
        f"{counted(design['count'], 'run')} by the strategy {design['strategy']}, recipe {settings['recipe']['name']}, "
        f"trained on {settings['train_on']}; begun {about['started']}."
    )
    synthetic = comparison is not None and any(run.synthetic for run in comparison.distances)
    warning = "Synthetic faces: these figures say nothing about real ones." if synthetic else ""
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
        recreation = comparison.recreation(complete=best.complete)
        facts.append(Fact("Published recreation", f"{recreation:.5f}", f"best of 300, with leaks; {best.parts}"))
    return facts


def _best(paths: Paths, comparison: Comparison) -> list[Markup]:
    best = comparison.best
    parts = [text(f"{describe_noise(comparison)}.")]
    original = validation_matrices(Run(MODEL_ORIGINAL))
    for title, found in validation_matrices(find_run(paths, best.model)).items():
        pair = [matrix(found, f"{best.model}, {title}")]
        if title in original:
            pair.append(matrix(original[title], f"published original, {title}"))
        parts.append(beside(pair))
    return parts


def _runs(results: Sequence[Result], comparison: Comparison | None) -> Markup:
    distances = {run.model: run for run in comparison.distances} if comparison else {}
    factors, recipe = varied(list(distances.values()))
    if not any(run.complete for run in distances.values()):
        factors = [name for name in factors if not name.startswith("ckp")]  # they chose among no images
    settings = [*factors, *recipe]
    ranked = sorted(results, key=lambda result: (_rank(distances.get(result.model)), result.number))
    frame = pd.DataFrame([_row(result, distances.get(result.model), settings) for result in ranked])
    formats = {"distance": "{:.5f}", "training %": "{:.2f}", "validation %": "{:.2f}", "seconds": "{:.0f}"}
    formats |= dict.fromkeys(settings, "{:.4g}")
    caption = "Press a heading to sort by it."
    if frame["note"].nunique() == 1:  # of every run: said once, and no column
        note = frame.pop("note").iloc[0]
        caption = f"Of every run: {note}. {caption}" if note else caption
    return table(Table(frame, formats), kind="sortable", caption=caption)


def _row(result: Result, run: Distance | None, settings: Sequence[str]) -> dict[str, object]:
    """A run that was compared, or how it ended otherwise."""
    training, validation = (math.nan, math.nan) if run is None else run.accuracies
    note = "" if run is None else run.note
    return {
        "run": result.number,
        "model": result.model,
        "status": result.status,
        "distance": math.nan if run is None else run.combined,
        "training %": training,
        "validation %": validation,
        **{name: math.nan if run is None else run.setting(name) for name in settings},
        "seconds": result.seconds,
        "note": note if result.status == FINISHED else result.error,
    }


def _rank(run: Distance | None) -> tuple[bool, float]:
    return (True, 0.0) if run is None else (run.collapsed, run.combined)
