"""The model card of a run, `MODEL/README.md`: every figure read from the run's files, what is missing said to be.

Source of what a card holds: Mitchell et al., "Model cards for model reporting" (FAT* 2019).
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emotorch.analyses.registry import analyses
from emotorch.analyses.scores import NAME as SCORES
from emotorch.analyses.scores import measure
from emotorch.files import write_text
from emotorch.networks.describe import layers, total
from emotorch.paths import Paths
from emotorch.reports.card import protocol as card_texts
from emotorch.reports.card.facts import (
    CARD_NAME,
    DASH,
    SCRIPTS,
    UNKNOWN,
    Facts,
    bytes_of,
    kind_of,
    missing,
    set_title,
    table,
    title_of,
    words,
)
from emotorch.reports.card.protocol import (
    describe_data,
    describe_files,
    describe_publishable,
    describe_reproduction,
    describe_terms,
    describe_training,
    describe_use,
)
from emotorch.reports.card.results import describe_classes, describe_results, scored_sets
from emotorch.runs.findings import read_findings
from emotorch.runs.folder import Run
from emotorch.tables import to_markdown
from emotorch.training.checkpoints import load_model


@dataclass(frozen=True)
class Result:
    """A model's figures on one set of images.

    Attributes:
        dataset: Its name for a person.
        kind: Its name for a program: `fer2013`, …
        split: Which part.
        metrics: Values by the metric's name: `accuracy`, `f1`, …; 0 to 1.
    """

    dataset: str
    kind: str
    split: str
    metrics: Mapping[str, float]


# What the metrics are called for a person.
_METRIC_NAMES = {"accuracy": "Accuracy", "f1": "Macro-F1", "expected_calibration_error": "Expected calibration error"}


def front_matter(name: str, tags: Sequence[str], datasets: Sequence[str], results: Sequence[Result]) -> str:
    """The metadata between its two lines of dashes."""
    metadata: dict[str, object] = {
        "license": "mit",
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": list(tags),
    }
    if datasets:
        metadata["datasets"] = list(datasets)
    if results:
        metadata["metrics"] = list(dict.fromkeys(metric for result in results for metric in result.metrics))
        metadata["model-index"] = [{"name": name, "results": list(map(_as_plain, results))}]
    return "\n".join(["---", *_lines(metadata), "---"])


def _as_plain(result: Result) -> dict[str, object]:
    return {
        "task": {"type": "image-classification", "name": "Facial emotion recognition"},
        "dataset": {"name": result.dataset, "type": result.kind, "split": result.split},
        "metrics": [
            {"type": metric, "value": round(value, 4), "name": _METRIC_NAMES[metric]}
            for metric, value in result.metrics.items()
        ],
    }


def _lines(value: object) -> list[str]:
    """A value as the lines of a YAML block."""
    if isinstance(value, Mapping):
        found: list[str] = []
        for key, content in value.items():
            inner = _lines(content)
            if isinstance(content, Mapping | list):
                found += [f"{key}:", *(f"  {line}" for line in inner)]
            else:
                found.append(f"{key}: {inner[0]}")
        return found
    if isinstance(value, list):
        items = (_lines(item) for item in value)
        return [("- " if place == 0 else "  ") + line for item in items for place, line in enumerate(item)]
    return [json.dumps(value, ensure_ascii=False)]


def describe_confidence(facts: Facts) -> str:
    temperature = facts.model.temperature
    if temperature == 1.0:
        parts = ["The file states no temperature: its confidences are the softmax of its outputs, as trained."]
    else:
        parts = [
            f"Confidences are the softmax of the outputs divided by the temperature {temperature:.6g}, which is fitted "
            "on all validation images (Guo et al., 2017) and stored with the weights. The expected calibration error "
            "(15 bins of equal width) on those images is one of fitting; the honest figure is the cross-fitted one: "
            "each half of them, split by source, at the temperature that the other half gives. The epoch was chosen "
            "on the same images."
        ]
    found = {name: scored for name, scored in facts.scores.items() if scored["reliability"]}
    if not found:
        command = f"{SCRIPTS}/write_model_card.py {facts.run.name}"
        return "\n\n".join([*parts, missing("The calibration is not measured: the images were not there", command)])
    rows = []
    for name, scored in found.items():
        reliability = scored["reliability"]
        before, after, crossed = reliability["before"], reliability["after"], reliability["crossed"]
        honest = f"{crossed['ece']:.2%}" if crossed else DASH
        fitted = "–" if temperature == 1.0 else "yes" if reliability["fitted_on"] else "no"
        own = (f"{after['ece']:.2%}", honest, f"{after['by_chance']:.2%}")
        losses = (f"{before['brier']:.4f} → {after['brier']:.4f}", f"{before['nll']:.4f} → {after['nll']:.4f}")
        rows.append(
            (_measured_title(facts, name), f"{after['images']:,}", fitted, f"{before['ece']:.2%}", *own, *losses)
        )
    columns = ("images", "n", "fitted on them", "as trained", "with its temperature", "cross-fitted", "by chance")
    parts.append(table((*columns, "Brier score", "NLL"), rows))
    parts.append("*By chance*: what a perfectly calibrated model with these confidences would show on so few images.")
    for name in found:
        picture = f"{SCORES}/reliability_{name}.png"
        if (facts.run.folder / picture).is_file():
            parts.append(f"![Reliability diagram of {_measured_title(facts, name)}]({picture})")
    return "\n\n".join(parts)


def _measured_title(facts: Facts, name: str) -> str:
    if name == "fer-public":
        return f"{title_of(facts, 'fer')}, PublicTest"
    return set_title(facts, name.removesuffix("_val"))


_LONG = 12  # rows; a longer table is folded


_INTERVAL = {"value", "low", "high"}


def render_findings(findings: Mapping[str, Any]) -> list[str]:
    """Sentences as a list, single figures as a table, a table for every list of records; all as they are.

    A figure with its interval (`value`, `low`, `high`) is one cell. Names of files are left out, and so are lists of
    anything else: the analysis's own tables hold them.
    """
    parts = []
    for name, value in findings.items():
        if name == "lines" and isinstance(value, list):
            parts.append("\n".join(f"- {line.strip()}" for line in value))
    rows = [(words(name), cell) for name, cell in _cells(findings)]
    if rows:
        parts.append(table(("figure", "value"), rows))
    for name, records in _lists(findings):
        parts += _render_list(words(name), records)
    return parts


def _render_list(title: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    if any(True for record in records for _ in _lists(record)):
        parts = []
        for number, record in enumerate(records, start=1):
            parts.append(f"**{title}: {record.get('name', number)}**")
            parts += render_findings({key: value for key, value in record.items() if key != "name"})
        return parts
    lines = [dict(_cells(record)) for record in records]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    drawn = table([words(column) for column in columns], [[line.get(c, DASH) for c in columns] for line in lines])
    if len(records) <= _LONG:
        return [f"{title.capitalize()}:", drawn]
    return [f"<details><summary>{title.capitalize()}, {len(records)} of them</summary>\n\n{drawn}\n\n</details>"]


def _cells(findings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in findings.items():
        if isinstance(value, Mapping) and not _is_interval(value):
            yield from _cells(value, f"{prefix}{name}, ")
        elif isinstance(value, Mapping):
            yield f"{prefix}{name}", f"{_text(value['value'])} ({_text(value['low'])}–{_text(value['high'])})"
        elif value != "" and (value is None or isinstance(value, str | int | float)) and not _is_file(value):
            yield f"{prefix}{name}", _text(value)


def _lists(findings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, list[Mapping[str, Any]]]]:
    for name, value in findings.items():
        if isinstance(value, Mapping):
            yield from _lists(value, f"{prefix}{name}, ")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) and not _is_interval(v) for v in value):
            yield f"{prefix}{name}", value


def _is_interval(value: Mapping[str, Any]) -> bool:
    return value.keys() >= _INTERVAL


def _is_file(value: object) -> bool:
    return isinstance(value, str) and value.endswith((".png", ".csv"))


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def render_robustness(findings: Mapping[str, Any]) -> list[str]:
    """The findings of `measure_robustness.py` as Markdown."""
    analysis = analyses()["robustness"]
    tables = [f"{title}:\n\n{to_markdown(shown)}" for title, shown in analysis.tables(findings).items()]
    return [_bullets(analysis.lines(findings)), *tables]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line.strip()}" for line in lines)


def write_model_card(paths: Paths, run: Run, weights: Path, device: torch.device, *, force: bool = False) -> Path:
    """Measures what there are images for, and writes `MODEL/README.md`; returns it.

    Args:
        paths: Where the datasets are.
        run: A finished run, also one in the published format.
        weights: Its best epoch.
        device: To run the network on.
        force: Measure again what is measured already.

    Raises:
        EmoTorchError: the weights or an image are damaged.
    """
    model = load_model(weights)
    measured = measure(paths, run, weights, model, device, force=force) or {"sets": []}
    facts = Facts(run, run.record, model, weights, {found["name"]: found for found in measured["sets"]})
    path = run.folder / CARD_NAME
    write_text(path, render(facts))
    return path


def render(facts: Facts) -> str:
    """The card as Markdown, with its metadata in front."""
    sections = (
        ("Results", describe_results(facts)),
        ("Answers by class", describe_classes(facts)),
        ("Confidence", describe_confidence(facts)),
        ("Robustness", _found(facts, "robustness", "measure_robustness.py MODEL", render_robustness)),
        ("Fairness", _found(facts, "fairness", "analyze_fairness.py MODEL --attributes CSV", render_findings)),
        ("Data and protocol", describe_data(facts)),
        ("Training", describe_training(facts)),
        ("Files", describe_files(facts)),
        ("How to use it", describe_use(facts)),
        ("How to make it again", describe_reproduction(facts)),
        ("Intended use", card_texts.INTENDED_USE),
        ("Misuse", card_texts.MISUSE),
        ("The law", card_texts.EU_AI_ACT),
        ("Limits", card_texts.LIMITS),
        ("Terms", describe_terms(facts)),
        ("What may be published", describe_publishable(facts)),
    )
    parts = [_metadata(facts), f"# {_name(facts)}", *_warnings(facts), _summary(facts)]
    parts += [f"## {title}\n\n{content}" for title, content in sections]
    return "\n\n".join(parts) + "\n"


def _name(facts: Facts) -> str:
    recipe = facts.settings.get("recipe", {}).get("name", "emotorch")
    return facts.run.name if recipe in facts.run.name else f"{facts.run.name} ({recipe})"


def _metadata(facts: Facts) -> str:
    recipe = facts.settings.get("recipe", {}).get("name", "emotorch")
    tags = ["emotorch", recipe, "facial-expression-recognition", "emotion-recognition", "pytorch"]
    datasets = [] if facts.synthetic else [kind_of(facts, facts.train_on)]
    if facts.synthetic:
        tags.append("synthetic-data")
    results = [
        Result(row.title, kind_of(facts, row.dataset), row.split, row.metrics)
        for row in scored_sets(facts)
        if row.images
    ]
    return front_matter(facts.run.name, list(dict.fromkeys(tags)), datasets, results)


def _warnings(facts: Facts) -> list[str]:
    found = [card_texts.SYNTHETIC] if facts.synthetic else []
    if facts.record.get("collapsed"):
        found.append("**Collapsed.** This model gives one answer to every face: it is of no use.")
    elif facts.record.get("never_answered"):
        found.append(f"**This model never answers {', '.join(facts.record['never_answered'])}.**")
    if not facts.settings:
        found.append(
            "**In the published format.** The folder has no run.json: how the model was trained, on which images, by "
            "which code and in which environment is unknown. What stands below is what its files say."
        )
    return found


def _summary(facts: Facts) -> str:
    form = facts.model.form
    size = total(layers(facts.model.network, (form.channels, form.image_size, form.image_size)))
    recipe = facts.settings.get("recipe", {})
    rows = [
        ("task", "which emotion a picture of a face would be labelled with"),
        ("classes", ", ".join(facts.model.labels)),
        ("input", f"a face in grey, {form.image_size}×{form.image_size} pixels, {form.channels} channel(s)"),
        ("recipe, network", f"`{recipe['name']}`, `{recipe['network']}`" if recipe else "`emotorch_cnn`, as published"),
        ("parameters", f"{size.parameters:,}"),
        ("multiply-adds for a face", f"{size.multiply_adds:,}"),
        ("weights", f"{bytes_of(facts.weights)} bytes"),
        ("made by", f"EmoTorch {facts.record['versions']['emotorch']}" if facts.settings else UNKNOWN),
    ]
    return table(("", ""), rows)


def _found(facts: Facts, analysis: str, script: str, show: Callable[[Mapping[str, Any]], list[str]]) -> str:
    """The findings of an analysis; or that there are none."""
    findings = read_findings(facts.run, analysis, facts.weights)
    if findings is None:
        return missing("Not measured", f"{SCRIPTS}/{script.replace('MODEL', facts.run.name)}")
    folder = facts.run.folder / analysis
    files = ", ".join(f"`{path.name}`" for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png"))
    more = f"\n\nTables and pictures, in `{analysis}/` of the run's folder: {files}." if files else ""
    return "\n\n".join(show(findings)) + more
