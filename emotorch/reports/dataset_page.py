"""The page of a dataset's audit: what was read and how, what splits share, conflicting labels, faulty pictures."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from emotorch.analyses.dataset import Audit, balance_table, class_counts, light_figure, write_audit_files
from emotorch.data.faults import PEOPLE, Photo
from emotorch.data.likeness import EXACT, KINDS, MIRRORED, NEAR
from emotorch.evaluation.sets import synthetic_suffix
from emotorch.figures.dataset import balance_figure
from emotorch.files import new_folder, printable, write_text
from emotorch.paths import Paths
from emotorch.reports import page
from emotorch.tables import Table, counted

_MOST_OF_A_GROUP = 6  # images shown of one photo or person
_KINDS = {EXACT: "equal pixels", NEAR: "near copies", MIRRORED: "mirrored copies"}
# What to do about a finding, by its name.
_ADVICE = {
    "twins": "Nothing: images with equal pixels stay on one side of every split that is made here.",
    "near copies": "Nothing in a given split. Where own data is split here, they stay on one side.",
    "mirrored copies": "Nothing in a given split. Where own data is split here, they stay on one side.",
    "people, other split": "Own data: training leaves out those of its side.",
}
# The same for findings about a single picture.
_ADVICE_ON_PICTURES = {
    "unreadable": "Replace the file or take it away: stage 2 ends at it.",
    "changed": "Run the stage that wrote it again, with --force.",
    "blank": "Take them away: they show nothing.",
    "black": "Look at each: most show nothing.",
    "white": "Look at each: most show nothing, or a sign.",
    "low contrast": "Look at each.",
    "small": "They are enlarged, and stay coarse: look for larger files.",
    "not square": "Cut out the faces: as they are, they are squeezed.",
    "no face": "Take them away; if they are faces that are cut out already, --faces none takes them as they are.",
    "several faces": "Cut out the one that the label is of.",
}
_LABELS = "Look at each: at most one label is right, or the face is not clear."
_SPLITS = "Own data: training leaves them out. Official splits: --drop-copies leaves them out."


def write_dataset_report(paths: Paths, audit: Audit, *, examples: int) -> Path:
    """Writes `reports/dataset_report_<time>/` with the page, tables and pictures, whole or not at all; returns it."""
    title = f"{printable(audit.audited.folder.name)}{synthetic_suffix(paths, str(audit.audited.folder))}"
    with new_folder(paths.reports, "dataset_report") as new:
        write_audit_files(new.prepared, audit, title, examples)
        write_text(new.prepared / page.NAME, _page(audit, title, examples, new.prepared))
    return new.final


def _page(audit: Audit, title: str, examples: int, folder: Path) -> str:
    counts = class_counts(audit.audited)
    splits = [split for split in counts if split != "all"]
    light_in_words = "How light and how sharp the images of each class are, at 48×48 pixels"
    light = page.drawing(light_figure(audit.audited, audit.measures, ""), light_in_words)
    balance = page.drawing(balance_figure(counts, ""), "How many images each class has in each split")
    samples = [
        page.folded(name, page.picture(path, f"Samples of {name}"))
        for path in sorted(folder.glob("samples_*.png"))
        for name in [path.stem.removeprefix("samples_")]
    ]
    sections = [
        page.Section("findings", "What was found", [_findings(audit)]),
        page.Section("read", "What was read", _read(audit)),
        *([page.Section("shared", "What splits share", _shared(audit, examples))] if len(splits) > 1 else []),
        page.Section("labels", "Conflicting labels", _conflicts(audit, examples)),
        page.Section("copies", "Other copies", _copies(audit, examples)),
        page.Section("pictures", "Faulty pictures", _pictures(audit, examples)),
        page.Section(
            "balance", "Class balance", [balance, page.folded("As a table", page.table(balance_table(counts)))]
        ),
        page.Section("light", "Brightness and sharpness", [light]),
        page.Section("samples", "Samples", samples),
    ]
    warning = (
        f"{counted(len(audit.leaking), 'image')} of photos or people that several splits have: a model that trains on "
        "one of these splits knows such images of another, and its score there is too high."
    )
    facts, where = _facts(audit, splits), printable(str(audit.audited.folder))
    return page.render(f"Audit of {title}", where, facts, sections, warning if audit.leaking else "")


def _facts(audit: Audit, splits: Sequence[str]) -> list[page.Fact]:
    audited, numbers = audit.audited, {finding.name: len(finding.images) for finding in audit.findings}
    conflicting = {at for photo in audit.photos if photo.is_conflicting for at in photo.positions}
    about_pictures = [finding for finding in audit.findings if finding.name in _ADVICE_ON_PICTURES]
    faulty = {found.entry.file for finding in about_pictures for found in finding.images}
    copies = {at for photo in audit.photos for at in photo.positions}
    classes = counted(len(set(audited.labels)), "class")
    said = f"{classes}, {counted(len(splits), 'split') if splits else 'no splits'}"
    return [
        page.Fact("Images", f"{len(audited.entries):,}", said),
        page.Fact("Shared by splits", f"{len(audit.leaking):,}", "images of a photo or person that several have"),
        page.Fact(
            "Copies", f"{len(copies):,}", f"images of which there is another; {numbers['twins']:,} with equal pixels"
        ),
        page.Fact("Conflicting labels", f"{len(conflicting):,}", "images of one photo, labelled differently"),
        page.Fact("Faulty pictures", f"{len(faulty):,}", "unreadable, blank, dark, small or squeezed"),
    ]


# --- What was found, and what was read ----------------------------------------------------------------------


def _findings(audit: Audit) -> Markup:
    total, advice = len(audit.audited.entries) + len(audit.audited.unreadable), _ADVICE | _ADVICE_ON_PICTURES
    frame = pd.DataFrame(
        {
            "finding": finding.name,
            "what it is": finding.meaning,
            "images": len(finding.images),
            "%": 100 * len(finding.images) / total,
            "what to do": advice.get(finding.name, _LABELS if finding.name.endswith("label") else _SPLITS)
            if finding.images
            else "–",
        }
        for finding in audit.findings
    )
    shown = Table(frame, {"images": "{:,}", "%": "{:.2f}"})
    return page.table(shown, caption="findings_files.csv names every image.", kind="pairs")


def _read(audit: Audit) -> list[Markup]:
    audited = audit.audited
    frame = pd.DataFrame(
        {
            "dataset": origin.title,
            "where": printable(str(origin.where)),
            "known by": printable("; ".join((origin.why, *origin.notes))),
            "files": ", ".join(f"{number:,} {name}" for name, number in origin.formats.most_common()) or "PNG",
            "stage 2": f"refuses it: {printable(origin.refused)}" if origin.refused else "reads it",
        }
        for origin in audited.origins
    )
    heights, widths = audited.sizes.T
    sizes = Counter(f"{width}×{height}" for height, width in audited.sizes.tolist()).most_common(5)
    extent = f"{widths.min()}×{heights.min()} to {widths.max()}×{heights.max()} pixels"
    most = ", ".join(f"{size} ({number:,})" for size, number in sizes)
    people = {(entry.dataset, entry.person) for entry in audited.entries if entry.person}
    known = f"{counted(len(people), 'person')} named" if people else "nobody is named"
    lines = f"Pictures of {most}." if len(sizes) < 5 else f"Pictures of {extent}, most of {most}."
    passed_over = [printable(f"{one.where}: not recognised, passed over: {one.found}") for one in audited.passed_over]
    return [
        page.table(Table(frame), kind="pairs"),
        page.text(f"{lines} Of who is shown, {known}."),
        page.sentences(passed_over),
    ]


# --- Copies -------------------------------------------------------------------------------------------------


def _shared(audit: Audit, examples: int) -> list[Markup]:
    if not audit.shared:
        return [page.text("No split has a photo or a person of another.")]
    frame = pd.DataFrame(
        {
            "images of": one,
            "that have in": other,
            **{_KINDS[kind]: counts[kind] for kind in KINDS},
            "the same person": counts[PEOPLE],
        }
        for (one, other), counts in audit.shared.items()
    )
    formats = dict.fromkeys([*_KINDS.values(), "the same person"], "{:,}")
    parts = [
        page.table(
            Table(frame, formats), caption="How many images of a split have a copy, or the same person, in another."
        )
    ]
    shared = [photo for photo in audit.photos if photo.is_shared]
    for kind in KINDS:
        parts += _photos(audit, shared, kind, ", in several splits", examples)
    if audit.people:
        groups = [
            (f"{person.name}: {', '.join(person.splits)}", _images(audit, person.positions, with_label=False))
            for person in audit.people[:examples]
        ]
        number = _some_of(len(groups), len(audit.people), "person")
        parts += [_heading(f"The same person, in several splits: {number}"), page.gallery(groups)]
    return parts


def _conflicts(audit: Audit, examples: int) -> list[Markup]:
    conflicting = [photo for photo in audit.photos if photo.is_conflicting]
    if not conflicting:
        return [page.text("No photo is labelled differently in its copies.")]
    pairs = Counter(pair for photo in conflicting for pair in itertools.combinations(photo.labels, 2))
    frame = pd.DataFrame(
        {"label": first, "and": second, "photos": number} for (first, second), number in pairs.most_common()
    )
    parts = [page.table(Table(frame), caption="Which labels copies of one photo have beside each other.")]
    for kind in KINDS:
        parts += _photos(audit, conflicting, kind, ", labelled differently", examples)
    return parts


def _copies(audit: Audit, examples: int) -> list[Markup]:
    others = sorted(
        (photo for photo in audit.photos if not (photo.is_shared or photo.is_conflicting)),
        key=lambda photo: photo.similarity,
    )
    parts: list[Markup] = []
    for kind in KINDS:
        parts += _photos(audit, others, kind, "" if kind == EXACT else ", the least alike first", examples)
    said = "Within one split, and with one label. copies.csv lists all pairs; remove_duplicates.py moves copies away."
    return [page.text(said), *parts] if parts else [page.text("There are none.")]


def _photos(audit: Audit, photos: Iterable[Photo], kind: str, said: str, examples: int) -> list[Markup]:
    """Some of the photos of a kind, none of them twice: of many copies each two are a pair."""
    photos = [photo for photo in photos if photo.kind == kind]
    shown: list[Photo] = []
    seen: set[int] = set()
    for photo in photos:
        if len(shown) < examples and seen.isdisjoint(photo.positions):
            shown.append(photo)
            seen.update(photo.positions)
    if not shown:
        return []
    groups = []
    for photo in shown:
        heading = " ≠ ".join(photo.labels) if photo.is_conflicting else photo.labels[0]
        heading += f" · similarity {photo.similarity:.2f}" if kind != EXACT else ""
        groups.append((heading, _images(audit, photo.positions)))
    number = _some_of(len(shown), len(photos), "photo" if kind == EXACT else "pair")
    return [_heading(f"{_KINDS[kind].capitalize()}{said}: {number}"), page.gallery(groups)]


def _images(audit: Audit, positions: Sequence[int], *, with_label: bool = True) -> list[page.Shown]:
    """The first of some images, each with its label, split and file; the last one says how many more there are."""
    shown = []
    for at in positions[:_MOST_OF_A_GROUP]:
        entry = audit.audited.entries[at]
        lines = (entry.label if with_label else "", entry.split, entry.shown)
        shown.append(page.Shown(audit.audited.faces[at], [line for line in lines if line]))
    if left := len(positions) - len(shown):
        shown[-1] = page.Shown(shown[-1].pixels, [*shown[-1].lines, f"and {left:,} more"])
    return shown


def _heading(words: str) -> Markup:
    return Markup("<h3>{}</h3>").format(words)


def _some_of(shown: int, total: int, thing: str) -> str:
    """`12 of 500 photos`; `500 photos` where all are shown."""
    return counted(total, thing) if shown == total else f"{shown} of {counted(total, thing)}"


# --- Pictures, balance, samples -----------------------------------------------------------------------------


def _pictures(audit: Audit, examples: int) -> list[Markup]:
    parts: list[Markup] = []
    for finding in audit.findings:
        if finding.name not in _ADVICE_ON_PICTURES or not finding.images:
            continue
        images = finding.images[:examples]
        number = _some_of(len(images), len(finding.images), "image")
        parts.append(_heading(f"{finding.name.capitalize()}, {finding.meaning}: {number}"))
        shown = [
            page.Shown(audit.audited.faces[found.position], [found.detail, found.entry.label, found.entry.shown])
            for found in images
            if found.position is not None
        ]
        if shown:
            parts.append(page.gallery([("", shown)]))
        else:
            frame = pd.DataFrame({"file": one.entry.shown, "reason": printable(one.detail)} for one in images)
            parts.append(page.table(Table(frame)))
    return parts or [page.text("No picture has any of the faults that are looked for.")]
