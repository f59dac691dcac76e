"""What is in a dataset: balance, brightness and sharpness, samples and faults, as CSV and PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emotorch.data.audit import AuditedFolder, Finding, Measures, inspect, measure
from emotorch.evaluation.evaluate import synthetic_suffix
from emotorch.figures import dataset as figures
from emotorch.files import new_folder
from emotorch.paths import Paths
from emotorch.seeding import generator
from emotorch.tables import Table, to_text, write_table

_SAMPLES, _SAMPLE_COLUMNS = 48, 12
_MEASURES = ("brightness", "contrast", "sharpness")
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ALL = "all"


@dataclass(frozen=True)
class DatasetReport:
    """What was found and where it was written.

    Attributes:
        folder: With all files of the report.
        text: For a terminal.
    """

    folder: Path
    text: str


def write_dataset_report(paths: Paths, audited: AuditedFolder, *, examples: int) -> DatasetReport:
    """Writes `reports/dataset_report_<time>/`, whole or not at all.

    Args:
        paths: The root.
        audited: The dataset.
        examples: Images shown of each kind of fault, and files named in `findings.csv`.
    """
    measures = measure(audited.faces)
    findings = inspect(audited, measures)
    counts = class_counts(audited)
    title = f"{audited.folder.name}{synthetic_suffix(paths, str(audited.folder))}"
    with new_folder(paths.reports, "dataset_report") as new:
        _write_balance(new.prepared, counts, title)
        _write_measures(new.prepared, audited, measures, title)
        _write_samples(new.prepared, audited, title)
        _write_findings(new.prepared, audited, findings, title, examples)
    return DatasetReport(
        new.final, f"{to_text(_balance_table(counts))}\n\n{to_text(_finding_table(audited, findings))}"
    )


# --- Balance ------------------------------------------------------------------------------------------------


def class_counts(audited: AuditedFolder) -> dict[str, dict[str, int]]:
    """Readable images by split, or of all where there are no splits, and by class."""
    labels = sorted(set(audited.labels))
    splits = list(dict.fromkeys(audited.splits))
    counts = {split or _ALL: dict.fromkeys(labels, 0) for split in splits}
    for entry in audited.entries:
        counts[entry.split or _ALL][entry.label] += 1
    return counts


def _write_balance(folder: Path, counts: Mapping[str, Mapping[str, int]], title: str) -> None:
    rows = [
        (split, label, number, 100 * number / sum(classes.values()))
        for split, classes in counts.items()
        for label, number in classes.items()
    ]
    frame = pd.DataFrame(rows, columns=["split", "class", "images", "percent_of_split"])
    write_table(folder / "class_balance.csv", Table(frame, {"percent_of_split": "{:.2f}"}))
    figures.plot_class_balance(folder / "class_balance.png", counts, f"{title}: class balance")


def _balance_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """A row for each class and one for all; a column for each split."""
    images = pd.DataFrame(counts)
    images.loc[_ALL] = images.sum()
    percent = 100 * images / images.loc[_ALL]
    cells = {split: list(zip(images[split], percent[split], strict=True)) for split in counts}
    frame = pd.DataFrame({"class": images.index, **cells})
    return Table(frame, dict.fromkeys(cells, lambda cell: f"{cell[0]:,} {cell[1]:5.1f}%"))


# --- Measures and samples -----------------------------------------------------------------------------------


def _write_measures(folder: Path, audited: AuditedFolder, measures: Measures, title: str) -> None:
    frame = pd.DataFrame(
        {
            "file": [entry.file for entry in audited.entries],
            "split": audited.splits,
            "class": audited.labels,
            "height": audited.sizes[:, 0],
            "width": audited.sizes[:, 1],
            **{name: getattr(measures, name) for name in _MEASURES},
        }
    )
    write_table(folder / "images.csv", Table(frame, dict.fromkeys(_MEASURES, "{:.2f}")))
    percentiles = [f"percentile_{100 * quantile:.0f}" for quantile in _QUANTILES]
    rows = [
        (label, name, len(images), *np.quantile(images[name], _QUANTILES))
        for label, images in frame.groupby("class")
        for name in _MEASURES
    ]
    spread = pd.DataFrame(rows, columns=["class", "measure", "images", *percentiles])
    write_table(folder / "brightness_sharpness.csv", Table(spread, dict.fromkeys(percentiles, "{:.2f}")))
    brightness, sharpness = (
        {str(label): images[name].to_numpy() for label, images in frame.groupby("class")}
        for name in ("brightness", "sharpness")
    )
    picture = folder / "brightness_sharpness.png"
    figures.plot_brightness_sharpness(
        picture, brightness, sharpness, f"{title}: brightness and sharpness at 48×48 pixels"
    )


def _write_samples(folder: Path, audited: AuditedFolder, title: str) -> None:
    labels = np.array(audited.labels)
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        drawn = generator("dataset samples", label).permutation(members)[:_SAMPLES]
        figures.plot_sheet(
            folder / f"samples_{label}.png",
            [figures.SheetRow("", audited.faces[drawn])],
            f"{title}: {label}, {len(drawn)} of {len(members):,} images, drawn at random",
            _SAMPLE_COLUMNS,
        )


# --- Faults -------------------------------------------------------------------------------------------------


def _write_findings(
    folder: Path, audited: AuditedFolder, findings: Sequence[Finding], title: str, examples: int
) -> None:
    files = pd.DataFrame(
        [
            (finding.name, found.entry.file, found.entry.split, found.entry.label, found.detail)
            for finding in findings
            for found in finding.images
        ],
        columns=["finding", "file", "split", "class", "detail"],
    )
    write_table(folder / "findings_files.csv", Table(files))
    kinds = pd.DataFrame(
        {
            "finding": finding.name,
            "meaning": finding.meaning,
            "images": len(finding.images),
            "examples": "; ".join(found.entry.file for found in finding.images[:examples]),
        }
        for finding in findings
    )
    write_table(folder / "findings.csv", Table(kinds))
    rows = []
    for finding in findings:
        shown = [found.position for found in finding.images if found.position is not None][:examples]
        if shown:
            caption = f"{finding.name} ({finding.meaning}): {len(finding.images):,} images, {len(shown)} shown"
            rows.append(figures.SheetRow(caption, audited.faces[shown]))
    if rows:
        figures.plot_sheet(folder / "findings.png", rows, f"{title}: what may be wrong", max(examples, 1))


def _finding_table(audited: AuditedFolder, findings: Sequence[Finding]) -> Table:
    total = len(audited.entries) + len(audited.unreadable)
    frame = pd.DataFrame(
        {
            "finding": finding.name,
            "images": len(finding.images),
            "percent": 100 * len(finding.images) / total,
            "meaning": finding.meaning,
            "first": finding.images[0].entry.file if finding.images else None,
        }
        for finding in findings
    )
    return Table(frame, {"images": "{:,}", "percent": "{:.2f}"})
