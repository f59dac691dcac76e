"""The page of a sweep: its runs as a table to sort, what ranks them drawn, and the best one's confusion matrices."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from emotorch.analyses.comparison import Comparison, compare, comparison_figure
from emotorch.analyses.criterion import DISTANCE, Criterion, criterion_of
from emotorch.analyses.distance import Weights
from emotorch.datasets import CKP
from emotorch.errors import EmoTorchError
from emotorch.files import write_text
from emotorch.paths import MODEL_ORIGINAL, Paths
from emotorch.reports.page import NAME, Fact, Section, beside, drawing, matrix, render, sentences, table, text
from emotorch.runs.confusion import validation_matrices
from emotorch.runs.folder import FINISHED, Run, find_run
from emotorch.sweep import statistics
from emotorch.sweep.folder import plan_file, read_about, read_plan, read_results
from emotorch.sweep.job import Result
from emotorch.sweep.progress import formats, runs_frame
from emotorch.sweep.statistics import SweepRuns
from emotorch.tables import Table, counted, write_table

RUNS_NAME, BEST_OF_N_NAME = "runs.csv", "best_of_n.csv"

Plan = Mapping[int, Mapping[str, float]]


def write_sweep_page(paths: Paths, folder: Path, beside: Sequence[Path] = ()) -> tuple[Path, list[str]]:
    """Writes the page of a sweep, also of one that is not finished, and what its runs say together as tables.

    It is compared with the sweeps `beside` it. Returns the page, and the sentences on it.

    Raises:
        EmoTorchError: a file of a sweep is damaged, or the runs of another cannot be compared with the original.
    """
    about, plan, results = read_about(folder), read_plan(folder), read_results(folder)
    comparison = _compare(paths, results)
    sections: list[Section] = []
    lines = [] if comparison is None else [f"{comparison.first.describe_noise()}."]
    if comparison is not None and comparison.distances:
        runs = _sweep_runs(folder, results, comparison)
        write_table(folder / RUNS_NAME, Table(runs.frame))
        together = statistics.describe(runs)
        sections.append(
            Section("together", "What the runs say together", [sentences(together), *_best_of(folder, runs)])
        )
        lines += together
        for other in beside:
            said, tables = _beside(paths, runs, folder, other)
            sections.append(Section(other.name, f"Beside {other.name}", [sentences([said]), *tables]))
            lines.append(said)
    page = folder / NAME
    write_text(page, sweep_page(paths, folder.name, about, plan, results, comparison, sections))
    return page, lines


def _compare(paths: Paths, results: Sequence[Result]) -> Comparison | None:
    """None where no run can be ranked: the table says why for each."""
    try:
        return compare(paths, Weights(), {result.model for result in results}, leaky=True)
    except EmoTorchError:
        return None


def _sweep_runs(folder: Path, results: Sequence[Result], comparison: Comparison) -> SweepRuns:
    read_plan(folder)  # which refuses what is none
    design, planned = read_about(folder)["design"], pd.read_csv(plan_file(folder))
    return SweepRuns.of(folder.name, design, planned, results, comparison)


def _best_of(folder: Path, runs: SweepRuns) -> list[Markup]:
    if not runs.extrapolates:
        return []
    best = statistics.best_of_n_table(runs)
    write_table(folder / BEST_OF_N_NAME, best)
    alternative = f"Distance of the best of n runs of {runs.name}, over n"
    caption = "Distance of the best of n runs, with its 95% interval."
    return [drawing(statistics.best_of_n_figure(runs), alternative), table(best, caption=caption)]


def _beside(paths: Paths, runs: SweepRuns, folder: Path, other: Path) -> tuple[str, list[Markup]]:
    """What runs of equal settings and seed differ by; else what was gained by choosing runs by results."""
    results = read_results(other)
    comparison = _compare(paths, results)
    if comparison is None or not comparison.distances:
        raise EmoTorchError(f"{other}: none of its runs can be compared with the original")
    others = _sweep_runs(other, results, comparison)
    paired = statistics.pairs(runs, others)
    if len(paired) > 1:
        said = statistics.describe_pairs(paired, folder.name, other.name)
        return said, [table(statistics.paired_table(paired), caption="First less second, paired.")]
    return statistics.describe_search(runs, others), []


def sweep_page(
    paths: Paths,
    name: str,
    about: Mapping[str, Any],
    plan: Plan,
    results: Sequence[Result],
    comparison: Comparison | None,
    further: Sequence[Section] = (),
) -> str:
    """The page as HTML, with `further` sections before the table of runs.

    Args:
        plan: What is planned for each of its runs, by number.
        comparison: Of its finished runs; None where none can be ranked.
    """
    design, settings = about["design"], about["settings"]
    criterion = criterion_of(settings)
    sections = []
    if comparison is not None:
        heading = "Distance to the published original" if criterion == DISTANCE else f"Validation {criterion.word}"
        alternative = f"{heading} of each run of {name}, by rank and over what was varied"
        best = "Best run and published original" if comparison.distances else "Best run"
        sections.append(Section("ranking", heading, [drawing(comparison_figure(comparison), alternative)]))
        sections.append(Section("best", best, _best(paths, comparison)))
    sections += further
    runs = _runs(criterion, design, plan, results, comparison) if results else text("No run has ended yet.")
    sections.append(Section("runs", "All runs", [runs]))
    subtitle = (
        f"{counted(design['count'], 'run')} by the strategy {design['strategy']}, recipe {settings['recipe']['name']}, "
        f"trained on {settings['train_on']}; begun {about['started']}."
    )
    if criterion != DISTANCE:
        subtitle += f" Ranked by {criterion.word} ({criterion.direction}): no original was published to compare with."
    warning = ""
    if comparison is not None and comparison.synthetic:
        warning = "Synthetic faces: these figures say nothing about real ones."
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
    if comparison is None:
        return facts
    best, criterion = comparison.first.best, comparison.first.criterion
    interval = criterion.interval(best.low, best.high)
    name = "Smallest distance" if criterion == DISTANCE else f"Best {criterion.word}"
    detail = f"{best.model}; 95% interval {interval}" if interval else best.model
    facts.append(Fact(name, criterion.form.format(best.value), detail))
    if comparison.distances:
        recreation = comparison.recreation(complete=best.has_ckp)
        detail = f"best of 300, with leaks; {comparison.first.title}"
        facts.append(Fact("Published recreation", f"{recreation:.5f}", detail))
    return facts


def _best(paths: Paths, comparison: Comparison) -> list[Markup]:
    best = comparison.first.best
    parts = [text(f"{comparison.first.describe_noise()}.")]
    original = validation_matrices(Run(MODEL_ORIGINAL)) if comparison.distances else {}
    for title, found in validation_matrices(find_run(paths, best.model)).items():
        pair = [matrix(found, f"{best.model}, {title}")]
        if title in original:
            pair.append(matrix(original[title], f"published original, {title}"))
        parts.append(beside(pair))
    return parts


def _runs(
    criterion: Criterion,
    design: Mapping[str, Any],
    plan: Plan,
    results: Sequence[Result],
    comparison: Comparison | None,
) -> Markup:
    measured = {run.model: run for run in comparison.runs} if comparison else {}
    # Factors that differ between planned runs, and all that the sweep was told to vary.
    planned, told = pd.DataFrame(list(plan.values())), [varied["name"] for varied in design.get("varied", ())]
    settings = [name for name in planned.columns if name in told or planned[name].nunique() > 1]
    if not any(run.has_ckp for run in measured.values()):
        settings = [name for name in settings if not name.startswith(CKP.key)]  # they chose among no images
    frame = runs_frame(results, plan, settings, criterion)
    training = [measured[model].accuracies[0] if model in measured else math.nan for model in frame["model"]]
    frame.insert(list(frame.columns).index("accuracy %"), "training %", training)
    pairs = zip(frame["model"], frame["note"], strict=True)
    frame["note"] = [measured[model].note if model in measured else note for model, note in pairs]
    caption = "Press a heading to sort by it. Accuracy and macro-F1 are of the validation images."
    if frame["note"].nunique() == 1:  # of every run: said once, and no column
        note = frame.pop("note").iloc[0]
        caption = f"Of every run: {note}. {caption}" if note else caption
    return table(Table(frame, {**formats(settings), "training %": "{:.2f}"}), kind="sortable", caption=caption)
