"""What `audit_model.py` does: audits files one by one, compares them, and writes what it found."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from emotorch.data.split import group_sources
from emotorch.datasets import PARTS
from emotorch.errors import UsageError
from emotorch.evaluation.official_tests import shows_private_test
from emotorch.files import write_json, write_text
from emotorch.inference.reader import ONNX_SUFFIX
from emotorch.metrics.paired import holm, mcnemar
from emotorch.model_audit.audit import Audit, Request, audit, describe
from emotorch.model_audit.page import audit_page
from emotorch.model_audit.scores import WITHOUT_COPIES
from emotorch.paths import SHIPPED_MODELS, Paths
from emotorch.runs.folder import run_in, weights_file
from emotorch.runs.private_test import record_private_scoring
from emotorch.tables import Format, Table, p_value, to_text, with_interval, write_table


def run(paths: Paths, files: Sequence[str], request: Request, *, as_json: bool = False) -> int:
    """Audits models, prints what was found, and writes it into `evaluations/NAME/audit/` of each.

    The files are of the models, or names of model folders; the last may be a dataset. Returns the exit status: 1 where
    a claim does not hold or a fault was found.

    Raises:
        EmoTorchError: see `audit`.
        UsageError: no model is named, or two are the same file.
    """
    models, dataset = _split(paths, files)
    request = replace(request, dataset=dataset)
    audits = []
    for name, path in models:
        found = audit(paths, path, name, request)
        folder = paths.evaluations / name / "audit"
        folder.mkdir(parents=True, exist_ok=True)
        _record_private_scorings(paths, path, found)
        write_json(folder / "audit.json", found.as_dict())
        write_text(folder / "report.html", audit_page(found))
        audits.append(found)
        if not as_json:
            print("\n".join(describe(found)))
            print(f"page: {folder / 'report.html'}\n")
    if as_json:
        print(json.dumps([found.as_dict() for found in audits], allow_nan=False))
    else:
        table, pairs = models_table(audits), pairs_table(audits)
        write_table(paths.evaluations / "models.csv", table)
        print(to_text(table))
        if len(pairs.frame):
            print("\n" + to_text(pairs))
        print(paths.evaluations / "models.csv")
    return int(not all(found.passed for found in audits))


def _record_private_scorings(paths: Paths, path: Path, found: Audit) -> None:
    """Of a model of ours an audit on PrivateTest is a look at it like any other."""
    run = run_in(paths, path.parent)
    for scored in found.sets:
        if run.record and shows_private_test(paths, found.scheme, run, scored.name, scored.hashes.tolist()):
            weights = path.with_suffix(".pth")  # of which the ONNX file is made
            record_private_scoring(
                run, weights if weights.is_file() else path, scored.name, scored.main.images, scored.main.correct
            )


def _split(paths: Paths, files: Sequence[str]) -> tuple[list[tuple[str, Path]], str | None]:
    """The models, with what to call each, and the dataset."""
    *first, last = files
    is_model = any((folder / last / "model.pth").is_file() for folder in (Path(), paths.models, SHIPPED_MODELS))
    is_dataset = last in PARTS or (Path(last).is_dir() and not is_model)
    named, dataset = (first, last) if is_dataset else (list(files), None)
    if not named:
        raise UsageError(f"{last} is a dataset: name a model's file before it")
    models = [_find(paths, name) for name in named]
    for name, path in models:
        if [other for _, other in models].count(path) > 1:
            raise UsageError(f"{name} is named twice")
    names = [name for name, _ in models]
    apart = [(name if names.count(name) == 1 else path.stem, path) for name, path in models]
    if len({name for name, _ in apart}) < len(apart):
        raise UsageError("two models are called the same: rename a file, or audit them one by one")
    return apart, dataset


def _find(paths: Paths, named: str) -> tuple[str, Path]:
    path = Path(named)
    if not path.is_file():
        path = weights_file(paths, named)
        if path.with_suffix(ONNX_SUFFIX).is_file():
            path = path.with_suffix(ONNX_SUFFIX)  # the same model, and faster
    path = path.resolve()
    return (path.parent.name if path.stem.startswith("model") else path.stem), path


def models_table(audits: Sequence[Audit]) -> Table:
    """A row for each model and set of images: what `docs/results/` shows of models of others."""
    rows = []
    for found in audits:
        for scored in found.sets:
            main = scored.main
            low, high = main.interval
            copies = scored.by(WITHOUT_COPIES)
            rows.append(
                {
                    "model": found.name,
                    "images": scored.title,
                    "n": main.images,
                    "accuracy %": (100 * main.accuracy, 100 * low, 100 * high),
                    "without copies %": None if copies is None else 100 * copies.accuracy,
                    "macro-F1 %": scored.macro_f1,
                    "ECE %": 100 * scored.ece,
                    "parameters": found.size.parameters if found.size else None,
                    "ms": found.latency_ms,
                    "faults": ", ".join(fault.name for fault in found.faults if fault.serious) or "none",
                }
            )
    frame = pd.DataFrame(rows).astype({"parameters": "Int64"})
    numbers = ("n", "parameters")
    two_decimals = dict.fromkeys(("without copies %", "macro-F1 %", "ECE %", "ms"), "{:.2f}")
    formats: dict[str, Format] = {"accuracy %": with_interval(2), **dict.fromkeys(numbers, "{:,}"), **two_decimals}
    return Table(frame, formats, csv_formats=dict.fromkeys(numbers, "{:d}"))


def pairs_table(audits: Sequence[Audit]) -> Table:
    """Every two models on every set that both were scored on: McNemar's exact test, corrected for their number."""
    rows = []
    for first, second in combinations(audits, 2):
        for ours in first.sets:
            theirs = next((scored for scored in second.sets if scored.name == ours.name), None)
            if theirs is None or not np.array_equal(theirs.hashes, ours.hashes):
                continue
            test = mcnemar(ours.right, theirs.right, group_sources(ours.sources))
            rows.append(
                {
                    "models": f"{first.name} – {second.name}",
                    "images": ours.title,
                    "difference, points": 100 * (ours.main.accuracy - theirs.main.accuracy),
                    "only the first right": test.only_first,
                    "only the second": test.only_second,
                    "p (Holm)": test.p,
                }
            )
    frame = pd.DataFrame(rows)
    if rows:
        frame["p (Holm)"] = holm(frame["p (Holm)"].tolist())
    return Table(frame, {"difference, points": "{:+.2f}", "p (Holm)": p_value})
