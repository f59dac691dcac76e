"""Which pixels a network's predictions depend on, and whether maps of that importance can be trusted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from emotorch.analyses.explained_faces import Faces, choose
from emotorch.analyses.importance_maps import METHODS, Map, evidence, find_map_layer, importance_maps
from emotorch.analyses.map_checks import DELETION_STEPS, RANDOM, RANDOMISED_NETWORKS, MethodChecks, check_maps
from emotorch.analyses.registry import Analysis, Subject, Tables
from emotorch.data.images import Pixels
from emotorch.data.split import SPLIT_SEED, Indices
from emotorch.evaluation.evaluate import outputs_of, prepared
from emotorch.figures.canvas import new_figure, save, tidy
from emotorch.figures.colours import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from emotorch.figures.overlays import mosaic_figure, overlay, without_map
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.runs.findings import Findings, find_folder
from emotorch.tables import Table, write_table
from emotorch.training.checkpoints import Model


@dataclass(frozen=True)
class Explanation:
    """A network's predictions for some faces, and which pixels they depend on.

    Attributes:
        predictions: (N,) classes.
        confidences: (N,) 0-1, calibrated.
        maps: By method, (N, H, W). Positive values speak for the prediction; integrated gradients and occlusion also
            have negative ones, which speak against it.
        layer: The part of the network whose map Grad-CAM shows; None without Grad-CAM.
        curves: By method, and of random order: (steps + 1,) mean probability of the prediction while pixels are
            removed.
    """

    faces: Faces
    predictions: Indices
    confidences: NDArray[np.float32]
    maps: Mapping[str, Map]
    layer: str | None
    curves: Mapping[str, NDArray[np.float64]]
    checks: Mapping[str, MethodChecks]


def explain(model: Model, faces: Faces, device: torch.device, seed: int, threads: int = 1) -> Explanation:
    """Maps of predictions for some faces, and how they stand the checks; the same by any number of threads."""
    model = prepared(model, device)
    outputs = outputs_of(model, faces.pixels)
    predictions = predicted_classes(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    maps = importance_maps(model.network, model.form, faces.pixels, predictions, seed, threads)
    layer = find_map_layer(model.network, model.form)
    curves, checks = check_maps(model, faces.pixels, predictions, maps, seed, threads)
    return Explanation(faces, predictions, confidences, maps, layer[0] if layer else None, curves, checks)


# --- The analysis -------------------------------------------------------------------------------------------

_PICTURES = {"sheet": "explanations.png", "means": "mean_maps.png", "checks": "checks.png"}
# Taller sheets are no help to the eye.
MOST_ROWS = 64


def analyse_explanations(
    subject: Subject, named: Faces | None = None, *, count: int = 64, rows: int = 8, seed: int = SPLIT_SEED
) -> tuple[Path, Findings]:
    """Explains the predictions for faces that a user named, or for some held-out ones, unless that has been done.

    Args:
        named: They have a folder of their own.
        count: Of held-out images.
        rows: Faces in the sheet.
        seed: Of the choice, the noise and the checks.

    Returns:
        The folder, and the findings.
    """
    loaded = subject.loaded
    faces = named or choose(subject.held_out, loaded.model.labels, count, seed)
    name = f"{ANALYSIS.name}_of_{faces.fingerprint[:8]}" if named else ANALYSIS.name
    rows = min(rows, MOST_ROWS, len(faces.files))
    made_from = {"images": faces.fingerprint, "scheme": loaded.model.scheme.name, "rows": rows, "seed": seed}
    findings = subject.compute_once(name, made_from, partial(_make, subject, faces, rows, seed))
    return find_folder(loaded.run, name, loaded.weights), findings


def _make(subject: Subject, faces: Faces, rows: int, seed: int, folder: Path) -> Findings:
    loaded = subject.loaded
    explanation = explain(loaded.model, faces, loaded.device, seed, subject.threads)
    labels, title = loaded.model.labels, f"Importance maps of {faces.title}"
    importance = {name: evidence(maps) for name, maps in explanation.maps.items()}
    groups = {label: np.flatnonzero(explanation.predictions == number) for number, label in enumerate(labels)}
    findings = {
        "title": title,
        "lines": _describe(explanation, groups, rows),
        "methods": {name: METHODS[name] for name in explanation.maps},
        "grad_cam_layer": explanation.layer,
        "seed": seed,
        "images": len(explanation.predictions),
        "sheet_rows": rows,
        "checks": {name: asdict(checks) for name, checks in explanation.checks.items()},
        "deletion_curves": {name: curve.tolist() for name, curve in explanation.curves.items()},
        "predictions": {
            label: {"images": len(group), "thirds": {name: _thirds(maps[group]) for name, maps in importance.items()}}
            for label, group in groups.items()
        },
        "pictures": _PICTURES,
        "tables": {name: f"{name}.csv" for name in ("images", "checks", "deletion_curves")},
    }
    _plot_sheet(folder / _PICTURES["sheet"], explanation, importance, labels, rows, title)
    _plot_means(folder / _PICTURES["means"], faces.pixels, importance, groups, title)
    _plot_checks(folder / _PICTURES["checks"], explanation, f"Checks of the importance maps of {loaded.run.name}")
    write_table(folder / "images.csv", _images_table(explanation, labels))
    write_table(folder / "checks.csv", _checks_table(findings))
    write_table(folder / "deletion_curves.csv", _curves_table(explanation))
    return findings


def _compute(subject: Subject) -> Findings:
    return analyse_explanations(subject)[1]


def _thirds(maps: Map) -> list[float] | None:
    """What part of the importance is in the upper, middle and lower third of the picture; None without a map."""
    total = float(maps.sum())
    if not total:
        return None
    return [float(part.sum()) / total for part in np.array_split(maps, 3, axis=1)]


# --- Lines and tables ---------------------------------------------------------------------------------------

_READING = (
    "deletion: mean probability of the prediction while pixels turn grey, the most important first; lower than in "
    "random order is right; below random: the proportion of images for which it is lower",
    f"random weights: rank correlation with the maps of {RANDOMISED_NETWORKS} networks of random weights; near 0 is "
    "right: a map that stays shows the picture's edges or the network's form, not what was learned",
)
# How the columns of checks.csv are shown to a person.
_SHOWN = {
    "images": ("images", "{}"),
    "deletion": ("deletion", "{:.3f}"),
    "random": ("random order", "{:.3f}"),
    "below_random": ("below random", "{:.0%}"),
    "correlation": ("random weights", "{:z.2f}"),
    "magnitude_correlation": ("without signs", "{:z.2f}"),
    "undetermined": ("undetermined", "{}"),
}


def _describe(explanation: Explanation, groups: Mapping[str, Indices], rows: int) -> list[str]:
    counts = ", ".join(f"{label} {len(group)}" for label, group in groups.items())
    faces = len(explanation.predictions)
    lines = [*explanation.faces.lines, f"predictions for the {faces} explained: {counts}"]
    if rows < faces:
        lines.append(f"the sheet shows the first {rows}; means and checks are of all {faces}")
    lines.append(
        f"Grad-CAM shows the map of {explanation.layer}"
        if explanation.layer
        else "no Grad-CAM: the network has no convolution that gives a map"
    )
    flat = {name: faces - checks.images for name, checks in explanation.checks.items() if checks.images < faces}
    if flat:
        which = ", ".join(f"{METHODS[name]} {count}" for name, count in flat.items())
        lines.append(f"flat maps, which say nothing and are left out of the checks: {which}")
    return lines


def _lines(findings: Findings) -> list[str]:
    # Earlier versions wrote the table of the checks too, below an empty line.
    return [*takewhile(bool, findings["lines"]), *_READING]


def _tables(findings: Findings) -> Tables:
    frame = _checks_table(findings).frame
    shown = frame.rename(columns={name: title for name, (title, _) in _SHOWN.items()})
    return {"Checks of the maps": Table(shown.replace({"method": findings["methods"]}), dict(_SHOWN.values()))}


def _checks_table(findings: Findings) -> Table:
    frame = pd.DataFrame(findings["checks"].values())
    figures = ["deletion", "random", "below_random", "correlation", "magnitude_correlation"]
    frame[figures] = frame[figures].astype(float)
    frame.insert(0, "method", list(findings["checks"]))
    return Table(frame, dict.fromkeys(figures, "{:.6f}"))


def _images_table(explanation: Explanation, labels: Sequence[str]) -> Table:
    frame = pd.DataFrame({"image": explanation.faces.files, "truth": explanation.faces.truths or ""})
    frame["prediction"] = np.array(labels)[explanation.predictions]
    frame["confidence"] = explanation.confidences
    return Table(frame, {"confidence": "{:.4f}"})


def _curves_table(explanation: Explanation) -> Table:
    frame = pd.DataFrame(dict(explanation.curves))
    frame.insert(0, "share_removed", np.arange(DELETION_STEPS + 1) / DELETION_STEPS)
    frame = frame.melt("share_removed", var_name="method", value_name="probability")
    frame = frame[["method", "share_removed", "probability"]]
    return Table(frame, dict.fromkeys(("share_removed", "probability"), "{:.6f}"))


# --- Figures ------------------------------------------------------------------------------------------------

_STYLES = {
    "saliency": (BLUE, "-"),
    "smoothgrad": (ORANGE, "--"),
    "integrated_gradients": (GREEN, "-."),
    "grad_cam": (PURPLE, (0, (5, 1, 1, 1, 1, 1))),
    "occlusion": (VERMILLION, (0, (3, 1))),
    RANDOM: (BLACK, ":"),
}


def _plot_sheet(
    path: Path, explanation: Explanation, importance: Mapping[str, Map], labels: Sequence[str], rows: int, title: str
) -> None:
    """A row for every face, and each method's map over it."""
    faces = explanation.faces.pixels[:rows]
    tiles = np.stack(
        [without_map(faces, colour=faces.ndim == 4), *(overlay(faces, maps[:rows]) for maps in importance.values())],
        axis=1,
    )
    captions = []
    for row in range(rows):
        label = labels[explanation.predictions[row]]
        prediction = f"predicted: {label} {explanation.confidences[row]:.0%}"
        truths = explanation.faces.truths
        if truths is None:
            name = Path(explanation.faces.files[row]).name
            captions.append(f"{name if len(name) <= 24 else f'…{name[-23:]}'}\n{prediction}")
        else:
            captions.append(f"true: {truths[row]}\n{'✓' if truths[row] == label else '✗'} {prediction}")
    scale = "Importance for the prediction (1: the map's own full scale)"
    save(mosaic_figure(tiles, captions, ["face", *_names(importance)], title, scale), path)


def _plot_means(
    path: Path, faces: Pixels, importance: Mapping[str, Map], groups: Mapping[str, Indices], title: str
) -> None:
    """A row for every class that was predicted: the mean face, and each method's mean map over it."""
    rows, captions = [], []
    predicted = {label: group for label, group in groups.items() if len(group)}
    for label, group in predicted.items():
        face = faces[group].mean(axis=0)
        means = [maps[group].mean(axis=0) for maps in importance.values()]
        full = [mean / mean.max() if mean.max() else mean for mean in means]
        rows.append(np.stack([without_map(face, colour=face.ndim == 3), *(overlay(face, mean) for mean in full)]))
        captions.append(f"predicted: {label}\nmean of {len(group)}")
    missing = [label for label in groups if label not in predicted]
    note = f"; never predicted: {', '.join(missing)}" if missing else ""
    scale = "Mean importance for the prediction (1: the mean map's maximum)"
    columns = ["mean face", *_names(importance)]
    save(mosaic_figure(np.stack(rows), captions, columns, f"{title}, by prediction{note}", scale), path)


def _names(importance: Mapping[str, Map]) -> list[str]:
    return [METHODS[name].replace(" ", "\n") for name in importance]


def _plot_checks(path: Path, explanation: Explanation, title: str) -> None:
    figure = new_figure(10.5, 5.6, title)
    deletion, randomisation = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_deletion(deletion, explanation)
    _draw_correlations(randomisation, explanation.checks)
    save(figure, path)


def _draw_deletion(axes: Axes, explanation: Explanation) -> None:
    removed = np.linspace(0, 100, DELETION_STEPS + 1)
    for name, curve in explanation.curves.items():
        colour, style = _STYLES[name]
        checks = explanation.checks.get(name)
        area = checks.deletion if checks else float(np.trapezoid(curve, removed)) / 100
        label = f"{METHODS.get(name, 'random order')}: {area:.3f}"
        axes.plot(removed, 100 * curve, color=colour, linestyle=style, linewidth=1.8, label=label)
    axes.set(xlabel="Pixels turned grey, the most important first (%)", ylabel="Probability of the prediction (%)")
    axes.set(xlim=(0, 100), ylim=(0, None))
    axes.set_title("Deletion test: a lower curve is right", fontsize=11)
    look: dict[str, Any] = {"fontsize": 9, "title_fontsize": 9, "handlelength": 3.5, "ncols": 2, "frameon": False}
    axes.legend(title="area under the curve", loc="upper center", bbox_to_anchor=(0.5, -0.15), **look)
    tidy(axes)


def _draw_correlations(axes: Axes, checks: Mapping[str, MethodChecks]) -> None:
    places = np.arange(len(checks))
    signed = [found.correlation for found in checks.values()]
    magnitudes = [found.magnitude_correlation for found in checks.values()]
    axes.hlines(places, 0, np.nan_to_num(magnitudes), color=GREY, linewidth=1)
    axes.plot(magnitudes, places, "s", color=ORANGE, markersize=8, label="without signs")
    axes.plot(signed, places, "o", color=BLUE, markersize=6, label="as they are")
    for place, value in zip(places, signed, strict=True):
        text = "no map that is not flat" if math.isnan(value) else f"{value:.2f}"
        place_of_text: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(text, (np.nan_to_num(value), place), fontsize=8, **place_of_text)
    axes.axvline(0, color=BLACK, linewidth=1)
    axes.set_yticks(places, [METHODS[name] for name in checks])
    axes.set(xlim=(-1, 1), ylim=(len(checks) - 0.5, -0.6), xlabel="Rank correlation of the maps")
    axes.set_title("Random weights: near 0 is right", fontsize=11)
    axes.set_xticks((-1, -0.5, 0, 0.5, 1))
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    tidy(axes)


ANALYSIS = Analysis("explanations", "Importance maps", "explain_model.py", _compute, _lines, _tables)
