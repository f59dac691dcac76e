"""What a model card measures itself: a run's validation images and unseen test images, with their calibration."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from emotorch.analyses.registry import Analysis, Findings, Subject, Tables
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST
from emotorch.datasets import FER, FER_USAGES, PARTS
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation, evaluate
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import evaluate_validation
from emotorch.figures.reliability import write_reliability
from emotorch.files import hash_file
from emotorch.paths import Paths
from emotorch.runs.findings import read_findings, result_folder, write_findings
from emotorch.runs.folder import Run, validation_title
from emotorch.tables import Table
from emotorch.training.checkpoints import Model

NAME = "scores"


# How a run must have split FER-2013 for PublicTest to be unseen: it neither trained nor selected.
_PUBLIC_UNSEEN = ("training", "search")


def measure(
    paths: Paths, run: Run, weights: Path, model: Model, device: torch.device, *, force: bool
) -> dict[str, Any] | None:
    """Scores the run's validation images, and PublicTest where it is unseen, into `MODEL/scores/`.

    Returns:
        The findings, with a list `sets`; those of an earlier time where the dataset is not here now; None where
        there never were any.

    Raises:
        EmoTorchError: an image is damaged, or the same is being measured.
    """
    paths = paths.for_scheme(model.scheme.name)
    manifest = paths.originals / MANIFEST
    if not manifest.is_file():
        return read_findings(run, NAME, weights)
    usage = run.folder / "image_usage.csv"
    made_from = {
        "dataset": hash_file(manifest),
        "image_usage": hash_file(usage) if usage.is_file() else None,
        "fer_usage": _fer_usage(run),
    }
    with result_folder(run, NAME, weights, made_from, force=force) as folder:
        if folder is not None:
            evaluations = _evaluations(LoadedRun(paths, run, weights, model, device))
            for evaluation in evaluations:
                if evaluation.reliability is not None:
                    write_reliability(folder, evaluation.images.name, evaluation.reliability, evaluation.title)
            write_findings(folder, {"sets": list(map(_describe, evaluations))})
    return read_findings(run, NAME, weights)


def _fer_usage(run: Run) -> str | None:
    settings = run.record.get("settings")
    if settings is None or settings["train_on"] != FER.name:
        return None
    usage: str = settings["recipe"]["fer_usage"]
    return usage


def _evaluations(loaded: LoadedRun) -> list[Evaluation]:
    evaluations = evaluate_validation(loaded)
    if _fer_usage(loaded.run) in _PUBLIC_UNSEEN:
        index = DatasetIndex.load(loaded.paths, loaded.model.scheme)
        if len(index.originals_of(FER.name, FER_USAGES[1])):
            evaluations.append(evaluate(loaded, "fer-public"))
    return evaluations


def _describe(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.images.name,
        "lines": [line.strip() for line in evaluation.lines],
        "counts": evaluation.predictions.counts.tolist(),
        "reliability": None if evaluation.reliability is None else asdict(evaluation.reliability),
    }


# --- For page and card --------------------------------------------------------------------------------------


def _compute(subject: Subject) -> Findings:
    loaded = subject.loaded
    found = measure(loaded.paths, loaded.run, loaded.weights, loaded.model, loaded.device, force=subject.force)
    if found is None:
        raise EmoTorchError("the dataset is not here")
    return found


def _lines(findings: Findings) -> list[str]:
    return [f"{line}." for part in findings["sets"] for line in part["lines"]]


def _tables(findings: Findings) -> Tables:
    rows = []
    for part in findings["sets"]:
        if part["reliability"] is None:
            continue
        name = part["name"]
        before, after, crossed = (part["reliability"][key] for key in ("before", "after", "crossed"))
        rows.append(
            {
                "images": PARTS[name].title if name in PARTS else validation_title(name.removesuffix("_val")),
                "n": after["images"],
                "ECE % as trained": 100 * before["ece"],
                "at its temperature": 100 * after["ece"],
                "cross-fitted": 100 * crossed["ece"] if crossed else math.nan,
                "by chance": 100 * after["by_chance"],
                "Brier as trained": before["brier"],
                "Brier": after["brier"],
                "NLL as trained": before["nll"],
                "NLL": after["nll"],
            }
        )
    if not rows:
        return {}
    frame = pd.DataFrame(rows)
    formats = {name: "{:.4f}" if name.startswith(("Brier", "NLL")) else "{:.2f}" for name in frame.columns[2:]}
    title = "Expected calibration error (ECE), Brier score and negative log-likelihood (NLL)"
    return {title: Table(frame, {"n": "{:,}", **formats})}


ANALYSIS = Analysis(NAME, "Calibration", "write_model_card.py", _compute, _lines, _tables)
