"""The model card of a run, `MODEL/README.md`: every figure read from the run's files, what is missing said to be.

Source of what a card holds: Mitchell et al., "Model cards for model reporting" (FAT* 2019).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from emotorch.analysis.results import read_findings
from emotorch.files import write_text
from emotorch.networks.describe import layers, total
from emotorch.paths import Paths
from emotorch.reports.card import texts as card_texts
from emotorch.reports.card.confidence import describe_confidence
from emotorch.reports.card.facts import CARD_NAME, Facts, kind_of
from emotorch.reports.card.findings import render_findings
from emotorch.reports.card.markdown import SCRIPTS, UNKNOWN, bytes_of, missing, table
from emotorch.reports.card.metadata import Result, front_matter
from emotorch.reports.card.protocol import describe_data, describe_training
from emotorch.reports.card.results import describe_classes, describe_results, scored_sets
from emotorch.reports.card.robustness import render_robustness
from emotorch.reports.card.scores import measure
from emotorch.reports.card.use import (
    describe_files,
    describe_publishable,
    describe_reproduction,
    describe_terms,
    describe_use,
)
from emotorch.runs import Run
from emotorch.training.checkpoints import load_model


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


def _found(facts: Facts, question: str, script: str, show: Callable[[Mapping[str, Any]], list[str]]) -> str:
    """The findings of an analysis; or that there are none."""
    findings = read_findings(facts.run, question, facts.weights)
    if findings is None:
        return missing("Not measured", f"{SCRIPTS}/{script.replace('MODEL', facts.run.name)}")
    folder = facts.run.folder / question
    files = ", ".join(f"`{path.name}`" for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png"))
    more = f"\n\nTables and pictures, in `{question}/` of the run's folder: {files}." if files else ""
    return "\n\n".join(show(findings)) + more
