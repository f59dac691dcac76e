"""Where a network looks when it answers, and whether its maps can be trusted."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from emotorch.analyses.importance_maps import (
    METHODS,
    Map,
    evidence,
    find_map_layer,
    importance_maps,
    outputs_of,
    prepared,
)
from emotorch.analyses.map_checks import DELETION_STEPS, RANDOM, RANDOMISED_NETWORKS, MethodChecks, check_maps
from emotorch.analyses.registry import Analysis, Findings, Subject, Tables
from emotorch.data.faces import cut_face
from emotorch.data.images import SIZE, Pixels, hash_pixels
from emotorch.data.split import SPLIT_SEED, Indices
from emotorch.errors import EmoTorchError
from emotorch.evaluation.evaluate import Evaluation
from emotorch.figures.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, new_figure, save, tidy
from emotorch.files import write_csv
from emotorch.inference.inputs import Kind, expand
from emotorch.inference.predictions import predict_file
from emotorch.inference.torch_reader import TorchReader
from emotorch.metrics.calibration import predicted_classes, probabilities
from emotorch.runs.findings import read_findings, result_folder, write_findings
from emotorch.runs.folder import Run
from emotorch.seeding import generator
from emotorch.tables import Table, text_table
from emotorch.training.checkpoints import Model


@dataclass(frozen=True)
class Faces:
    """Pictures to explain the answers to.

    Attributes:
        title: What they are.
        files: N, as people know them.
        pixels: (N, 48, 48).
        truths: N labels; None where nobody says.
        lines: How they were found, in words.
    """

    title: str
    files: Sequence[str]
    pixels: Pixels
    truths: Sequence[str] | None
    lines: Sequence[str]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every face's file, label and pixels, in hex."""
        truths = self.truths or [""] * len(self.files)
        rows = zip(self.files, truths, map(hash_pixels, self.pixels), strict=True)
        return hashlib.sha256("\n".join(map("\t".join, rows)).encode()).hexdigest()


@dataclass(frozen=True)
class Explanation:
    """A network's answers to some faces, and where it looked.

    Attributes:
        faces: The faces.
        answers: (N,) classes.
        confidences: (N,) 0-1, calibrated.
        maps: By method, (N, 48, 48). Positive values speak for the answer; integrated gradients and occlusion also
            have negative ones, which speak against it.
        layer: The part of the network whose map Grad-CAM shows; None without Grad-CAM.
        curves: By method, and of random order: (steps + 1,) mean probability of the answer while pixels are removed.
        checks: By method.
    """

    faces: Faces
    predictions: Indices
    confidences: NDArray[np.float32]
    maps: Mapping[str, Map]
    layer: str | None
    curves: Mapping[str, NDArray[np.float64]]
    checks: Mapping[str, MethodChecks]


def choose(held_out: Evaluation, labels: Sequence[str], count: int, seed: int) -> Faces:
    """A random choice of held-out images, in turn of every class: each beginning of it is balanced too.

    Args:
        held_out: To choose from.
        labels: Of the classes.
        count: How many; all where there are fewer. A class that has too few leaves its turns to the others.
        seed: Of the choice.
    """
    images = held_out.images
    turns: list[tuple[int, int, int]] = []
    for number, label in enumerate(labels):
        # By pixels, so that the choice does not depend on the order of the list.
        members = np.flatnonzero(images.labels == number)
        members = members[np.argsort(images.hashes[members], kind="stable")]
        order = generator("explanations", seed, label).permutation(members)
        turns += [(turn, number, int(image)) for turn, image in enumerate(order)]
    chosen = [image for _, _, image in sorted(turns)[:count]]
    return Faces(
        held_out.title,
        [images.files[image] for image in chosen],
        images.pixels[chosen],
        [labels[number] for number in images.labels[chosen]],
        [*held_out.lines, f"{len(chosen)} of these are explained, in turn of every class (seed {seed})"],
    )


def named_faces(names: Sequence[str], model: Model, weights: Path, detector: str) -> Faces:
    """The faces in pictures, or in all pictures of folders, found and cut out just as for a prediction.

    Raises:
        EmoTorchError: a picture cannot be read, or no face is found in it.
    """
    reader = TorchReader(model, weights)
    files: list[str] = []
    faces: list[Pixels] = []
    for found in expand(names):
        if found.error or found.kind is Kind.VIDEO:
            raise EmoTorchError(f"{found.path}: {found.error or 'a video; name pictures'}")
        prediction = predict_file(reader, found.path, detector)
        if prediction.error or prediction.picture is None:
            raise EmoTorchError(f"{found.path}: {prediction.error}")
        several = len(prediction.faces) > 1
        for number, face in enumerate(prediction.faces, start=1):
            files.append(f"{found.path}, face {number}" if several else str(found.path))
            faces.append(cut_face(prediction.picture, face.box))
    title = Path(names[0]).name if len(names) == 1 else f"{len(names)} inputs"
    return Faces(title, files, np.stack(faces), None, [f"{title}: {len(faces)} faces"])


def explain(model: Model, faces: Faces, device: torch.device, seed: int) -> Explanation:
    """Maps of a model's answers to some faces, and how they stand the checks."""
    model = replace(model, network=prepared(model.network, device))
    outputs = outputs_of(model, faces.pixels)
    predictions = predicted_classes(outputs)
    confidences = probabilities(outputs, model.temperature).amax(1).numpy()
    maps = importance_maps(model.network, model.form, faces.pixels, predictions, seed)
    layer = find_map_layer(model.network, model.form)
    curves, checks = check_maps(model, faces.pixels, predictions, maps, seed)
    return Explanation(faces, predictions, confidences, maps, layer[0] if layer else None, curves, checks)


NAME = "explanations"


SHEET, MEANS, CHECKS = "explanations.png", "mean_maps.png", "checks.png"


_IMAGES_TABLE, _CHECKS_TABLE, _CURVES_TABLE = "images.csv", "checks.csv", "deletion_curves.csv"


# Taller sheets are no help to the eye.
MOST_ROWS = 64


_TILE, _GAP = 0.95, 4  # inches; pixels of a face between tiles


# From a dark purple, which shows on white faces, to a yellow that shows on dark ones.
_COLOURS = colormaps["inferno"](np.linspace(0.3, 0.95, 256))[:, :3]


_MOST_OPAQUE, _OPACITY_POWER = 0.85, 0.7


_FACE_CONTRAST = 0.75  # of the grey face below the colours, about the middle grey


_STYLES = {
    "saliency": (BLUE, "-"),
    "smoothgrad": (ORANGE, "--"),
    "integrated_gradients": (GREEN, "-."),
    "grad_cam": (PURPLE, (0, (5, 1, 1, 1, 1, 1))),
    "occlusion": (VERMILLION, (0, (3, 1))),
    RANDOM: (BLACK, ":"),
}


_CHECKS_HEADER = (
    "method",
    "images",
    "deletion",
    "random order",
    "below random",
    "random weights",
    "without signs",
    "undetermined",
)


_Colours = NDArray[np.float64]


def analyse_explanations(
    run: Run,
    weights: Path,
    model: Model,
    faces: Faces,
    device: torch.device,
    *,
    named: bool,
    rows: int,
    seed: int,
    force: bool,
) -> tuple[Path, list[str]]:
    """Explains the answers to some faces, unless that has been done; returns the folder and the result in words.

    Args:
        run: The model's.
        weights: Its file.
        model: What is in it.
        faces: To explain.
        device: To run on.
        named: The user named the pictures: their folder is one of their own, beside that of the held-out images.
        rows: Faces in the sheet.
        seed: Of all that is random.
        force: Explain again what is there.
    """
    analysis = f"{NAME}_of_{faces.fingerprint[:8]}" if named else NAME
    rows = min(rows, MOST_ROWS, len(faces.files))
    made_from = {"images": faces.fingerprint, "scheme": model.scheme.name, "rows": rows, "seed": seed}
    with result_folder(run, analysis, weights, made_from, force=force) as folder:
        if folder is not None:
            explanation = explain(model, faces, device, seed)
            _write(folder, run, model, explanation, rows, seed)
    findings = read_findings(run, analysis, weights)
    if findings is None:
        raise RuntimeError(f"{analysis} of {run.name} is gone, though it has just been made")
    return run.folder / analysis, findings["lines"]


def _write(folder: Path, run: Run, model: Model, explanation: Explanation, rows: int, seed: int) -> None:
    labels, title = model.labels, f"Where {run.name} looks: {explanation.faces.title.removeprefix(f'{run.name}: ')}"
    shares = {name: evidence(maps) for name, maps in explanation.maps.items()}
    groups = [np.flatnonzero(explanation.predictions == number) for number in range(len(labels))]
    _plot_sheet(folder / SHEET, explanation, shares, labels, rows, title)
    _plot_means(folder / MEANS, explanation, shares, labels, groups, title)
    _plot_checks(folder / CHECKS, explanation, f"Whether the maps of {run.name} can be trusted")
    _write_tables(folder, explanation, labels)
    looks = {
        label: {"images": len(group), "thirds": {name: _thirds(maps[group]) for name, maps in shares.items()}}
        for label, group in zip(labels, groups, strict=True)
    }
    write_findings(
        folder,
        {
            "title": title,
            "lines": _lines(explanation, labels, groups, rows),
            "methods": {name: METHODS[name] for name in explanation.maps},
            "grad_cam_layer": explanation.layer,
            "seed": seed,
            "images": len(explanation.predictions),
            "sheet_rows": rows,
            "checks": {name: _plain(asdict(checks)) for name, checks in explanation.checks.items()},
            "deletion_curves": {name: curve.tolist() for name, curve in explanation.curves.items()},
            "answers": looks,
            "pictures": {"sheet": SHEET, "means": MEANS, "checks": CHECKS},
            "tables": {"images": _IMAGES_TABLE, "checks": _CHECKS_TABLE, "deletion_curves": _CURVES_TABLE},
        },
    )


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _thirds(maps: Map) -> list[float] | None:
    """The mean map's shares in the upper, middle and lower third of the picture; None without a map."""
    total = float(maps.sum())
    if not total:
        return None
    return [float(part.sum()) / total for part in np.split(maps, 3, axis=1)]


# --- Words and tables ---------------------------------------------------------------------------------------


def _lines(
    explanation: Explanation, labels: Sequence[str], groups: Sequence[NDArray[np.int64]], rows: int
) -> list[str]:
    counts = ", ".join(f"{label} {len(group)}" for label, group in zip(labels, groups, strict=True))
    faces = len(explanation.predictions)
    lines = [*explanation.faces.lines, f"answers to the {faces} explained: {counts}"]
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
    rows_of_table = [_CHECKS_HEADER, *(_row(name, checks) for name, checks in explanation.checks.items())]
    return [
        *lines,
        "",
        *text_table(rows_of_table, left=_CHECKS_HEADER[:1]).splitlines(),
        "",
        "deletion: the answer's mean probability while pixels turn grey, the most important first; lower than in",
        "  random order is right. below random: the share of images for which it is",
        f"random weights: rank correlation with the maps of {RANDOMISED_NETWORKS} networks of random weights; near 0",
        "  is right: a map that stays shows the picture's edges or the network's form, not what was learned",
    ]


def _row(name: str, checks: MethodChecks) -> tuple[str, ...]:
    figures = (
        (checks.deletion, ".3f"),
        (checks.random, ".3f"),
        (checks.below_random, ".0%"),
        (checks.correlation, ".2f"),
        (checks.magnitude_correlation, ".2f"),
    )
    cells = ("-" if math.isnan(value) else format(value, form) for value, form in figures)
    return (METHODS[name], str(checks.images), *cells, str(checks.undetermined))


def _write_tables(folder: Path, explanation: Explanation, labels: Sequence[str]) -> None:
    faces = explanation.faces
    truths = faces.truths or [""] * len(faces.files)
    answered = zip(faces.files, truths, explanation.predictions.tolist(), explanation.confidences.tolist(), strict=True)
    images = [(file, truth, labels[prediction], f"{share:.4f}") for file, truth, prediction, share in answered]
    write_csv(folder / _IMAGES_TABLE, ("image", "truth", "answer", "confidence"), images)
    columns = list(asdict(next(iter(explanation.checks.values()))))
    checks = [
        (name, *(f"{value:.6f}" if isinstance(value, float) else value for value in asdict(found).values()))
        for name, found in explanation.checks.items()
    ]
    write_csv(folder / _CHECKS_TABLE, ("method", *columns), checks)
    curves = [
        (name, f"{step / DELETION_STEPS:.6f}", f"{share:.6f}")
        for name, curve in explanation.curves.items()
        for step, share in enumerate(curve.tolist())
    ]
    write_csv(folder / _CURVES_TABLE, ("method", "share_removed", "probability"), curves)


# --- Maps over faces ----------------------------------------------------------------------------------------


def overlay(faces: NDArray[np.floating[Any]] | Pixels, shares: Map) -> _Colours:
    """(…, H, W) grey faces, 0-255, under maps, 0-1, as colours (…, H, W, 3), 0-1.

    Where a map is 0 the face shows as it is; the more important, the more opaque the colour.
    """
    grey = 0.5 + _FACE_CONTRAST * (np.asarray(faces, float)[..., None] / 255 - 0.5)
    colour = _COLOURS[np.rint(255 * shares).astype(int)]
    opacity = _MOST_OPAQUE * shares[..., None] ** _OPACITY_POWER
    return np.asarray((1 - opacity) * grey + opacity * colour)


def _plain_faces(faces: NDArray[np.floating[Any]] | Pixels) -> _Colours:
    return np.repeat(np.asarray(faces, float)[..., None] / 255, 3, axis=-1)


def _plot_sheet(
    path: Path, explanation: Explanation, shares: Mapping[str, Map], labels: Sequence[str], rows: int, title: str
) -> None:
    faces = explanation.faces.pixels[:rows]
    tiles = np.stack([_plain_faces(faces), *(overlay(faces, maps[:rows]) for maps in shares.values())], axis=1)
    captions = []
    for row in range(rows):
        prediction = f"answer: {labels[explanation.predictions[row]]} {explanation.confidences[row]:.0%}"
        truths = explanation.faces.truths
        if truths is None:
            captions.append(f"{_shortened(explanation.faces.files[row])}\n{prediction}")
        else:
            mark = "✓" if truths[row] == labels[explanation.predictions[row]] else "✗"
            captions.append(f"true: {truths[row]}\n{mark} {prediction}")
    label = "Importance for the answer (1: the map's own full scale)"
    save(_mosaic(tiles, captions, ["face", *_names(shares)], title, label), path)


def _shortened(file: str, most: int = 24) -> str:
    name = Path(file).name
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def _plot_means(
    path: Path,
    explanation: Explanation,
    shares: Mapping[str, Map],
    labels: Sequence[str],
    groups: Sequence[NDArray[np.int64]],
    title: str,
) -> None:
    """A row for every answer that was given: the mean face, and each method's mean map over it."""
    rows, captions = [], []
    for label, group in zip(labels, groups, strict=True):
        if not len(group):
            continue
        face = explanation.faces.pixels[group].mean(axis=0)
        means = [maps[group].mean(axis=0) for maps in shares.values()]
        full = [mean / mean.max() if mean.max() else mean for mean in means]
        rows.append(np.stack([_plain_faces(face), *(overlay(face, mean) for mean in full)]))
        captions.append(f"answer: {label}\nmean of {len(group)}")
    missing = [label for label, group in zip(labels, groups, strict=True) if not len(group)]
    note = f"; never answered: {', '.join(missing)}" if missing else ""
    label = "Mean importance for the answer (1: the mean map's maximum)"
    save(_mosaic(np.stack(rows), captions, ["mean face", *_names(shares)], f"{title}, by answer{note}", label), path)


def _names(shares: Mapping[str, Map]) -> Iterator[str]:
    return (METHODS[name].replace(" ", "\n") for name in shares)


def _mosaic(tiles: _Colours, rows: Sequence[str], columns: Sequence[str], title: str, label: str) -> Figure:
    """(R, C, 48, 48, 3) tiles as one picture, with words for rows and columns, and the colours' bar."""
    step = SIZE + _GAP
    height, width = len(rows) * step - _GAP, len(columns) * step - _GAP
    sheet = np.ones((height, width, 3))
    for row, column in np.ndindex(len(rows), len(columns)):
        sheet[row * step : row * step + SIZE, column * step : column * step + SIZE] = tiles[row, column]
    figure = new_figure(len(columns) * _TILE + 2.0, len(rows) * _TILE + 1.7, title, compress=True)
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest", vmin=0, vmax=1)
    middles = np.arange(max(len(rows), len(columns))) * step + (SIZE - 1) / 2
    axes.set_xticks(middles[: len(columns)], columns, fontsize=9)
    axes.set_yticks(middles[: len(rows)], rows, fontsize=8, parse_math=False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    _draw_bar(figure, axes, label)
    return figure


def _draw_bar(figure: Figure, axes: Axes, label: str) -> None:
    """The colours as they show on a middle grey."""
    steps = np.linspace(0, 1, 256, dtype=np.float32)
    colours = ListedColormap(overlay(np.full((1, 256), 127.5), steps[None])[0])
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), colours), ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


# --- The checks ---------------------------------------------------------------------------------------------


def _plot_checks(path: Path, explanation: Explanation, title: str) -> None:
    figure = new_figure(10.5, 5.6, title)
    deletion, randomisation = figure.subplots(1, 2, width_ratios=(1.25, 1))
    removed = np.linspace(0, 100, DELETION_STEPS + 1)
    for name, curve in explanation.curves.items():
        colour, style = _STYLES[name]
        area = (
            explanation.checks[name].deletion
            if name in explanation.checks
            else float(np.trapezoid(curve, removed)) / 100
        )
        label = f"{METHODS.get(name, 'random order')}: {area:.3f}"
        deletion.plot(removed, 100 * curve, color=colour, linestyle=style, linewidth=1.8, label=label)
    deletion.set(xlabel="Pixels turned grey, the most important first (%)", ylabel="Probability of the answer (%)")
    deletion.set(xlim=(0, 100), ylim=(0, None))
    deletion.set_title("Deletion test: a lower curve is right", fontsize=11)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15), "ncols": 2, "frameon": False}
    deletion.legend(title="area under the curve", fontsize=9, title_fontsize=9, handlelength=3.5, **below)
    tidy(deletion)
    _draw_correlations(randomisation, explanation.checks)
    save(figure, path)


def _draw_correlations(axes: Axes, checks: Mapping[str, MethodChecks]) -> None:
    places = np.arange(len(checks))
    signed = [found.correlation for found in checks.values()]
    magnitudes = [found.magnitude_correlation for found in checks.values()]
    axes.hlines(places, 0, np.nan_to_num(magnitudes), color=GREY, linewidth=1)
    axes.plot(magnitudes, places, "s", color=ORANGE, markersize=8, label="without signs")
    axes.plot(signed, places, "o", color=BLUE, markersize=6, label="as they are")
    for place, value in zip(places, signed, strict=True):
        text = "no map that is not flat" if math.isnan(value) else f"{value:.2f}"
        axes.annotate(
            text, (np.nan_to_num(value), place), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.axvline(0, color=BLACK, linewidth=1)
    axes.set_yticks(places, [METHODS[name] for name in checks])
    axes.set(xlim=(-1, 1), ylim=(len(checks) - 0.5, -0.6), xlabel="Rank correlation of the maps")
    axes.set_title("Random weights: near 0 is right", fontsize=11)
    axes.set_xticks((-1, -0.5, 0, 0.5, 1))
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    tidy(axes)


# --- For page and card --------------------------------------------------------------------------------------

_EXPLAINED, _SHEET_ROWS = 64, 8


def _compute(subject: Subject) -> Findings:
    loaded = subject.loaded
    faces = choose(subject.images, loaded.model.labels, _EXPLAINED, SPLIT_SEED)
    analyse_explanations(
        loaded.run,
        loaded.weights,
        loaded.model,
        faces,
        loaded.device,
        named=False,
        rows=_SHEET_ROWS,
        seed=SPLIT_SEED,
        force=subject.force,
    )
    found = ANALYSIS.read(loaded.run, loaded.weights)
    assert found is not None, "written just now"
    return found


def _sentences(findings: Findings) -> list[str]:
    return list(takewhile(bool, findings["lines"]))


def _tables(findings: Findings) -> Tables:
    frame = pd.DataFrame(findings["checks"].values(), index=pd.Index(findings["methods"].values(), name="method"))
    return {"Checks of the maps": Table(frame.reset_index())}


ANALYSIS = Analysis(NAME, "Importance maps", "explain_model.py", _compute, _sentences, _tables)
