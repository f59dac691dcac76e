"""A run's scores on its validation images and on unseen test images, and whether its confidences are calibrated."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.data.selection import DatasetIndex
from emotorch.data.sources import MANIFEST
from emotorch.datasets import FER, FER_PUBLIC, FER_USAGES, PARTS
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import evaluate
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.evaluation.own_images import evaluate_validation
from emotorch.figures.reliability import write_reliability
from emotorch.files import hash_file
from emotorch.recipes import FER_FOLDS
from emotorch.runs.findings import Findings
from emotorch.runs.folder import validation_title
from emotorch.runs.record import fer_usage_of
from emotorch.runs.usage import usage_file
from emotorch.tables import Table

# How a run must have split FER-2013 for PublicTest to be unseen: it neither trained nor selected.
_PUBLIC_UNSEEN = ("training", "search", *FER_FOLDS)


def analyse_scores(subject: Subject) -> Findings | None:
    """Scores the run's validation images, and PublicTest where it is unseen, into `MODEL/scores/`.

    Returns:
        The findings, with a list `sets`; those of an earlier time where the dataset is not here now; None where
        there never were any.

    Raises:
        EmoTorchError: an image is damaged, or the same is being measured.
    """
    loaded = subject.loaded
    manifest = loaded.paths.for_scheme(loaded.model.scheme.name).originals / MANIFEST
    if not manifest.is_file():
        return ANALYSIS.read(loaded.run, loaded.weights)
    usage = usage_file(loaded.run)
    made_from = {
        "dataset": hash_file(manifest),
        "image_usage": None if usage is None else hash_file(usage),
        "fer_usage": fer_usage_of(loaded.run.record),
    }
    return subject.compute_once(ANALYSIS.name, made_from, partial(_make, loaded))


def _make(loaded: LoadedRun, folder: Path) -> Findings:
    evaluations = evaluate_validation(loaded)
    if fer_usage_of(loaded.run.record) in _PUBLIC_UNSEEN:
        index = DatasetIndex.load(loaded.paths, loaded.model.scheme)
        if len(index.originals_of(FER.name, FER_USAGES[1])):
            evaluations.append(evaluate(loaded, FER_PUBLIC))
    sets = []
    for evaluation in evaluations:
        name, reliability = evaluation.images.name, evaluation.reliability
        if reliability is not None:
            write_reliability(folder, name, reliability, evaluation.title)
        lines = [line.strip() for line in evaluation.lines]
        counts = evaluation.predictions.counts.tolist()
        sets.append(
            {"name": name, "lines": lines, "counts": counts, "reliability": reliability and asdict(reliability)}
        )
    return {"sets": sets}


def _compute(subject: Subject) -> Findings:
    found = analyse_scores(subject)
    if found is None:
        raise EmoTorchError("the dataset is not here")
    return found


def _lines(findings: Findings) -> list[str]:
    return [line for scored in findings["sets"] for line in scored["lines"]]


def _tables(findings: Findings) -> Tables:
    rows = [_calibration(scored["name"], scored["reliability"]) for scored in findings["sets"] if scored["reliability"]]
    if not rows:
        return {}
    frame = pd.DataFrame(rows)
    formats = {name: "{:.4f}" if name.startswith(("Brier", "NLL")) else "{:.2f}" for name in frame.columns[2:]}
    title = "Expected calibration error (ECE), Brier score and negative log-likelihood (NLL)"
    return {title: Table(frame, {"n": "{:,}", **formats})}


def _calibration(name: str, reliability: Mapping[str, Any]) -> dict[str, object]:
    before, after, crossed = (reliability[key] for key in ("before", "after", "crossed"))
    return {
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


ANALYSIS = Analysis("scores", "Calibration", "write_model_card.py", _compute, _lines, _tables)
