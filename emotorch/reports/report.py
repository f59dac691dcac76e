"""Writes the page of a run or of a sweep into its folder."""

from pathlib import Path

from emotorch.analyses.comparison import compare
from emotorch.analyses.distance import Weights
from emotorch.errors import EmoTorchError
from emotorch.files import write_text
from emotorch.paths import Paths
from emotorch.reports.run_page import RunAnalyses, run_page
from emotorch.reports.sweep_page import sweep_page
from emotorch.runs.folder import find_run, weights_file
from emotorch.sweep.folder import read_about, read_results
from emotorch.training.checkpoints import load_model
from emotorch.training.device import choose_device, make_repeatable

_NAME = "report.html"


def report_on_run(paths: Paths, name: str, *, device: str, threads: int, force: bool) -> Path:
    """Asks every question that is not answered yet, and writes the page; returns it.

    Raises:
        EmoTorchError: there is no such run, or its weights are damaged.
    """
    run, weights = find_run(paths, name), weights_file(paths, name)
    make_repeatable(threads)
    analyses = RunAnalyses(paths, run, weights, load_model(weights), choose_device(device), threads, force)
    page = run.folder / _NAME
    write_text(page, run_page(run, analyses.sections()))
    return page


def report_on_sweep(paths: Paths, folder: Path) -> Path:
    """Writes the page of a sweep, also of one that is not finished; returns it."""
    results = read_results(folder)
    try:
        comparison = compare(paths, Weights(), {result.model for result in results})
    except EmoTorchError:
        comparison = None  # none of its runs can be compared: the table says why for each
    page = folder / _NAME
    write_text(page, sweep_page(paths, folder.name, read_about(folder), results, comparison))
    return page
