"""What is in a dataset: balance, brightness and sharpness, samples and faults, as CSV and PNG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emotorch.data.audit import AuditedFolder
from emotorch.data.duplicates import Duplicates, find, table_of_pairs
from emotorch.data.faults import (
    MEASURES,
    Finding,
    Person,
    Photo,
    inspect,
    measure,
    people_in_several_splits,
    photos_of,
    shared_images,
)
from emotorch.figures.canvas import save
from emotorch.figures.dataset import balance_figure, distributions_figure, sheet_figure
from emotorch.files import printable, write_json
from emotorch.seeding import generator
from emotorch.tables import Table, to_text, write_table

_SAMPLES, _SAMPLE_COLUMNS = 48, 12
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ALL = "all"


@dataclass(frozen=True)
class Audit:
    """All that was found out about a dataset."""

    audited: AuditedFolder
    measures: pd.DataFrame
    duplicates: Duplicates
    photos: Sequence[Photo]
    findings: Sequence[Finding]
    shared: Mapping[tuple[str, str], Mapping[str, int]]
    people: Sequence[Person]

    @cached_property
    def leaking(self) -> set[int]:
        """The images of photos and of people that several splits have."""
        shared = [photo.positions for photo in self.photos if photo.is_shared]
        return set[int]().union(*shared, *(person.positions for person in self.people))

    def as_dict(self) -> dict[str, Any]:
        """For programs; the number of images is that of those that could be read."""
        audited = self.audited
        return {
            "path": printable(str(audited.folder)),
            "images": len(audited.entries),
            "read": [
                {
                    "dataset": origin.title,
                    "where": printable(str(origin.where)),
                    "why": origin.why,
                    "notes": list(origin.notes),
                    "formats": dict(origin.formats),
                    "refused": printable(origin.refused) or None,
                }
                for origin in audited.origins
            ],
            "passed_over": [
                {"where": printable(str(one.where)), "found": printable(one.found)} for one in audited.passed_over
            ],
            "classes": class_counts(audited),
            "findings": {finding.name: len(finding.images) for finding in self.findings},
            "shared": [{"split": one, "other": other, **counts} for (one, other), counts in self.shared.items()],
            "leak": len(self.leaking),
        }


def make_audit(audited: AuditedFolder, threshold: float | None = None) -> Audit:
    """Measures all images, and looks for faults, and for copies by a threshold as `duplicates.find` takes it."""
    measures = measure(audited.faces)
    duplicates = find(audited, threshold=threshold, mirrored=True)
    photos, people = photos_of(duplicates), people_in_several_splits(audited)
    findings = inspect(audited, measures, photos, people)
    return Audit(audited, measures, duplicates, photos, findings, shared_images(audited, photos, people), people)


def write_audit_files(folder: Path, audit: Audit, title: str, examples: int) -> None:
    """Writes the tables and pictures of an audit, and `audit.json`, with so many examples of each kind of fault."""
    _write_balance(folder, class_counts(audit.audited), title)
    _write_measures(folder, audit.audited, audit.measures, title)
    _write_samples(folder, audit.audited, title)
    _write_findings(folder, audit.audited, audit.findings, title, examples)
    write_table(folder / "copies.csv", table_of_pairs(audit.duplicates))
    write_json(folder / "audit.json", audit.as_dict())


def describe(audit: Audit) -> str:
    """For a terminal: what was read, class balance, and how many images have which fault."""
    audited = audit.audited
    read = [
        printable(f"{origin.where}: {origin.title}, {origin.why}")
        + (f"; stage 2 refuses it: {printable(origin.refused)}" if origin.refused else "")
        for origin in audited.origins
    ]
    read += [printable(f"{one.where}: not recognised, passed over: {one.found}") for one in audited.passed_over]
    tables = (balance_table(class_counts(audited)), finding_table(audit))
    return "\n\n".join(["\n".join(read), *map(to_text, tables)])


def class_counts(audited: AuditedFolder) -> dict[str, dict[str, int]]:
    """Readable images by split, or of all where there are no splits, and by class."""
    labels = sorted(set(audited.labels))
    counts = {split or _ALL: dict.fromkeys(labels, 0) for split in audited.splits}
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
    save(balance_figure(counts, f"{title}: class balance"), folder / "class_balance.png")


def balance_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """A row for each class and one for all; a column for each split."""
    images = pd.DataFrame(counts)
    images.loc[_ALL] = images.sum()
    percent = 100 * images / images.loc[_ALL]
    cells = {split: list(zip(images[split], percent[split], strict=True)) for split in counts}
    frame = pd.DataFrame({"class": images.index, **cells})
    return Table(frame, dict.fromkeys(cells, lambda cell: f"{cell[0]:,} {cell[1]:5.1f}%"))


def _write_measures(folder: Path, audited: AuditedFolder, measures: pd.DataFrame, title: str) -> None:
    frame = pd.DataFrame(
        {
            "file": [entry.shown for entry in audited.entries],
            "split": audited.splits,
            "class": audited.labels,
            "height": audited.sizes[:, 0],
            "width": audited.sizes[:, 1],
        }
    ).join(measures)
    write_table(folder / "images.csv", Table(frame, dict.fromkeys(MEASURES, "{:.2f}")))
    percentiles = [f"percentile_{100 * quantile:.0f}" for quantile in _QUANTILES]
    rows = [
        (label, name, len(images), *np.quantile(images[name], _QUANTILES))
        for label, images in frame.groupby("class")
        for name in MEASURES
    ]
    spread = pd.DataFrame(rows, columns=["class", "measure", "images", *percentiles])
    write_table(folder / "brightness_sharpness.csv", Table(spread, dict.fromkeys(percentiles, "{:.2f}")))
    figure = light_figure(audited, measures, f"{title}: brightness and sharpness at 48×48 pixels")
    save(figure, folder / "brightness_sharpness.png")


def light_figure(audited: AuditedFolder, measures: pd.DataFrame, title: str) -> Figure:
    """Draws how light and how sharp the images of each class are."""
    by_label = list(measures.groupby(np.array(audited.labels)))
    brightness, sharpness = (
        {str(label): values[name].to_numpy() for label, values in by_label} for name in ("brightness", "sharpness")
    )
    return distributions_figure(brightness, sharpness, title)


def _write_samples(folder: Path, audited: AuditedFolder, title: str) -> None:
    labels = np.array(audited.labels)
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        drawn = generator("dataset samples", label).permutation(members)[:_SAMPLES]
        said = f"{title}: {label}, {len(drawn)} of {len(members):,} images, drawn at random"
        figure = sheet_figure([("", audited.faces[drawn])], said, _SAMPLE_COLUMNS)
        save(figure, folder / f"samples_{label}.png")


def _write_findings(
    folder: Path, audited: AuditedFolder, findings: Sequence[Finding], title: str, examples: int
) -> None:
    files = pd.DataFrame(
        [
            (finding.name, found.entry.shown, found.entry.split, found.entry.label, printable(found.detail))
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
            "examples": "; ".join(found.entry.shown for found in finding.images[:examples]),
        }
        for finding in findings
    )
    write_table(folder / "findings.csv", Table(kinds))
    rows = []
    for finding in findings:
        shown = [found.position for found in finding.images if found.position is not None][:examples]
        if shown:
            caption = f"{finding.name} ({finding.meaning}): {len(finding.images):,} images, {len(shown)} shown"
            rows.append((caption, audited.faces[shown]))
    if rows:
        save(sheet_figure(rows, f"{title}: what may be wrong", examples), folder / "findings.png")


def finding_table(audit: Audit) -> Table:
    """A row for each kind of fault."""
    total = len(audit.audited.entries) + len(audit.audited.unreadable)
    frame = pd.DataFrame(
        {
            "finding": finding.name,
            "images": len(finding.images),
            "percent": 100 * len(finding.images) / total,
            "meaning": finding.meaning,
            "first": finding.images[0].entry.shown if finding.images else None,
        }
        for finding in audit.findings
    )
    return Table(frame, {"images": "{:,}", "percent": "{:.2f}"})
