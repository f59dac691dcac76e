"""The folder of a dataset's report: balance, brightness and sharpness, samples and faults, as CSV and PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotorch.data.audit import AuditedFolder, Finding, Found, Measures, inspect, measure
from emotorch.figures import dataset as pictures
from emotorch.files import new_folder, write_csv
from emotorch.paths import Paths
from emotorch.seeding import generator
from emotorch.tables import text_table

_SAMPLES, _SAMPLE_COLUMNS = 48, 12


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
        contents: The dataset.
        examples: Images shown of each kind of fault, and files named in `findings.csv`.
    """
    measures = measure(audited.faces)
    findings = inspect(audited, measures)
    counts = class_counts(audited)
    inside = audited.folder.is_relative_to(paths.root)
    title = f"{audited.folder.name}{' (synthetic faces)' if inside and paths.is_synthetic else ''}"
    with new_folder(paths.reports, "dataset_report") as new:
        _write_balance(new.prepared, counts, title)
        _write_measures(new.prepared, audited, measures, title)
        _write_samples(new.prepared, audited, title)
        _write_findings(new.prepared, audited, findings, title, examples)
    text = f"{_balance_text(counts)}\n\n{_findings_text(audited, findings)}"
    return DatasetReport(new.final, text)


def class_counts(audited: AuditedFolder) -> dict[str, dict[str, int]]:
    """Readable images by split, or of all where there are no splits, and by class."""
    labels = sorted(set(audited.labels))
    splits = list(dict.fromkeys(audited.splits))
    counts = {split or _ALL: dict.fromkeys(labels, 0) for split in splits}
    for entry in audited.entries:
        counts[entry.split or _ALL][entry.label] += 1
    return counts


def _write_balance(folder: Path, counts: dict[str, dict[str, int]], title: str) -> None:
    rows = [
        (split, label, number, f"{100 * number / sum(classes.values()):.2f}")
        for split, classes in counts.items()
        for label, number in classes.items()
    ]
    write_csv(folder / "class_balance.csv", ("split", "class", "images", "percent_of_split"), rows)
    pictures.plot_class_balance(folder / "class_balance.png", counts, f"{title}: class balance")


def _write_measures(folder: Path, audited: AuditedFolder, measures: Measures, title: str) -> None:
    columns = {name: getattr(measures, name) for name in ("brightness", "contrast", "sharpness")}
    labels = np.array(audited.labels)
    write_csv(
        folder / "images.csv",
        ("file", "split", "class", "height", "width", *columns),
        (
            (entry.file, entry.split, entry.label, *size, *(f"{value:.2f}" for value in values))
            for entry, size, *values in zip(
                audited.entries,
                audited.sizes.tolist(),
                *(column.tolist() for column in columns.values()),
                strict=True,
            )
        ),
    )
    rows = []
    for label in np.unique(labels):
        for name, values in columns.items():
            quantiles = np.quantile(values[labels == label], _QUANTILES)
            rows.append((label, name, int((labels == label).sum()), *(f"{value:.2f}" for value in quantiles)))
    names = tuple(f"percentile_{100 * share:.0f}" for share in _QUANTILES)
    write_csv(folder / "brightness_sharpness.csv", ("class", "measure", "images", *names), rows)
    pictures.plot_brightness_sharpness(
        folder / "brightness_sharpness.png",
        {label: columns["brightness"][labels == label] for label in np.unique(labels).tolist()},
        {label: columns["sharpness"][labels == label] for label in np.unique(labels).tolist()},
        f"{title}: brightness and sharpness at 48×48 pixels",
    )


def _write_samples(folder: Path, audited: AuditedFolder, title: str) -> None:
    labels = np.array(audited.labels)
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        drawn = generator("dataset samples", label).permutation(members)[:_SAMPLES]
        pictures.plot_sheet(
            folder / f"samples_{label}.png",
            [pictures.SheetRow("", audited.faces[drawn])],
            f"{title}: {label}, {len(drawn)} of {len(members):,} images, drawn at random",
            _SAMPLE_COLUMNS,
        )


def _write_findings(
    folder: Path, audited: AuditedFolder, findings: Sequence[Finding], title: str, examples: int
) -> None:
    write_csv(
        folder / "findings.csv",
        ("finding", "meaning", "images", "examples"),
        (
            (
                finding.name,
                finding.meaning,
                len(finding.images),
                "; ".join(found.entry.file for found in finding.images[:examples]),
            )
            for finding in findings
        ),
    )
    write_csv(
        folder / "findings_files.csv",
        ("finding", "file", "split", "class", "detail"),
        (
            (finding.name, found.entry.file, found.entry.split, found.entry.label, found.detail)
            for finding in findings
            for found in finding.images
        ),
    )
    rows = []
    for finding in findings:
        shown = [found.position for found in finding.images if found.position is not None][:examples]
        if shown:
            caption = f"{finding.name} ({finding.meaning}): {len(finding.images):,} images, {len(shown)} shown"
            rows.append(pictures.SheetRow(caption, audited.faces[shown]))
    if rows:
        pictures.plot_sheet(folder / "findings.png", rows, f"{title}: what may be wrong", max(examples, 1))


def _balance_text(counts: dict[str, dict[str, int]]) -> str:
    labels = list(next(iter(counts.values())))
    totals = {split: sum(classes.values()) for split, classes in counts.items()}
    rows = [["class", *(f"{split}  " for split in counts)]]
    rows += [
        [
            label,
            *(f"{classes[label]:,} {100 * classes[label] / totals[split]:5.1f}%" for split, classes in counts.items()),
        ]
        for label in labels
    ]
    rows.append([_ALL, *(f"{total:,} 100.0%" for total in totals.values())])
    return text_table(rows, left={"class"})


def _findings_text(audited: AuditedFolder, findings: Sequence[Finding]) -> str:
    rows = [["finding", "images", "share", "meaning", "first"]]
    total = len(audited.entries) + len(audited.unreadable)
    for finding in findings:
        first = finding.images[0] if finding.images else None
        share = f"{100 * len(finding.images) / total:.2f}%"
        rows.append([finding.name, f"{len(finding.images):,}", share, finding.meaning, _first(first)])
    return text_table(rows, left={"finding", "meaning", "first"})


def _first(found: Found | None) -> str:
    return found.entry.file if found else "–"
