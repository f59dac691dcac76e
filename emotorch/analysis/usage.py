"""Scoring a model on the images that its own image_usage.csv names, each part under its own title."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emotorch.analysis.evaluate import Evaluation, EvaluationSet, answer
from emotorch.data.images import Pixels, hash_pixels, read_face
from emotorch.data.selection import dataset_title
from emotorch.errors import EmoTorchError
from emotorch.labels import LabelScheme
from emotorch.paths import Paths
from emotorch.runs import CKP_VALIDATION, FER_VALIDATION, TRAINING, Run, read_image_usage
from emotorch.training.checkpoints import Model

_VALIDATION = "_validation"


def evaluate_usage(paths: Paths, run: Run, model: Model, device: torch.device) -> list[Evaluation]:
    """An evaluation for each part of image_usage.csv that has images: held out, CK+, training.

    Raises:
        EmoTorchError: the run has no image_usage.csv, or none of its images is here.
    """
    rows = read_image_usage(run)
    if rows is None:
        raise EmoTorchError(f"{run.folder} has no image_usage.csv: which images it was validated on is unknown")
    suffix = " (synthetic faces)" if paths.is_synthetic else ""
    evaluations: list[Evaluation] = []
    missing: list[str] = []
    for usage in _usages(rows):
        name, title = _name_and_title(usage)
        chosen = [row for row in rows if row["usage"] == usage]
        images, unmatched = _read(paths, chosen, name, model.scheme)
        if images is None:
            if chosen:
                missing.append(f"none of the {len(chosen)} images of {title} is here: not scored")
            elif usage == CKP_VALIDATION:
                missing.append("the run had no CK+ images: no CK+ score")
            continue
        answers = answer(model, images, device)
        lines = [f"{run.name} on {title}{suffix}: {answers.line()}"]
        if unmatched:
            lines.append(f"  {unmatched} more are named in image_usage.csv, but are not here or not the same pictures")
        evaluations.append(Evaluation(images, answers, f"{run.name}: {title}{suffix}", lines))
    if not evaluations:
        raise EmoTorchError(f"none of the {len(rows)} images of {run.name} is in {paths.root}: run stages 1-3 there")
    evaluations[-1] = replace(evaluations[-1], lines=[*evaluations[-1].lines, *missing])
    return evaluations


def _usages(rows: Sequence[dict[str, str]]) -> list[str]:
    """What to score, in order: FER's and CK+'s validation images, then other datasets', then training's."""
    others = {row["usage"] for row in rows if row["usage"].endswith(_VALIDATION)} - {FER_VALIDATION, CKP_VALIDATION}
    return [FER_VALIDATION, CKP_VALIDATION, *sorted(others), TRAINING]


def _name_and_title(usage: str) -> tuple[str, str]:
    if usage == TRAINING:
        return TRAINING, "training images (trained on: no test of anything)"
    dataset = usage.removesuffix(_VALIDATION)
    held_out = "" if usage == CKP_VALIDATION else " (held out)"
    return f"{dataset}_val", f"{dataset_title(dataset)} validation{held_out}"


def _read(
    paths: Paths, rows: Sequence[dict[str, str]], name: str, scheme: LabelScheme
) -> tuple[EvaluationSet | None, int]:
    """The images that are here, and how many are not (or are another picture than the run saw)."""
    files, pixels, labels = [], [], []
    for row in rows:
        if row["emotion"] not in scheme.labels:
            raise EmoTorchError(f"image_usage.csv names the class {row['emotion']!r}, which {scheme.name} has not")
        found = _find(paths.root / row["image_path"], row.get("source_hash"))
        if found is not None:
            files.append(row["image_path"])
            pixels.append(found)
            labels.append(scheme.index(row["emotion"]))
    if not files:
        return None, len(rows)
    hashes = np.array([hash_pixels(image) for image in pixels])
    return EvaluationSet(name, files, np.stack(pixels), np.array(labels), hashes), len(rows) - len(files)


def _find(path: Path, source_hash: str | None) -> Pixels | None:
    if not path.is_file():
        return None
    pixels = read_face(path)
    is_variant = "_" in path.stem
    if source_hash and not is_variant and hash_pixels(pixels) != source_hash:
        return None
    return pixels
