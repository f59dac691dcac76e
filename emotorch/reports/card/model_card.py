"""The model card of a run, `MODEL/README.md`: every figure read from the run's files, what is missing said to be.

The text stands in templates/card.md.j2. What a card holds: Mitchell et al., "Model cards for model reporting" (FAT*
2019).
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from emotorch.analyses import analyses
from emotorch.analyses.registry import Analysis, Subject
from emotorch.analyses.scores import analyse_scores
from emotorch.data.split import VALIDATION_SHARE
from emotorch.datasets import FER, FER_PUBLIC, FER_TEST, find_dataset
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.files import STAMP_NAME, hash_file, write_text
from emotorch.networks.describe import layers, total
from emotorch.paths import Paths
from emotorch.reports.card.facts import Facts
from emotorch.reports.card.results import METRICS, Accuracy, ScoredSet, class_tables, scored_sets
from emotorch.reports.rendering import MARKDOWN, YAML
from emotorch.reports.reproduction import commands
from emotorch.runs.folder import FACELESS, FACELESS_FINDINGS, FER_VS_CKP, MATRICES, Run, best_weights, write_parameters
from emotorch.runs.private_test import private_scorings
from emotorch.screen import lines
from emotorch.training.checkpoints import load_model

CARD_NAME = "README.md"
# What else a scoring of PrivateTest was of.
_BESIDE = {FER_TEST: ", with PublicTest", FER.key: ", among all of FER-2013 that it was not trained on"}
_WEIGHTS = ("*.pth", "*.onnx", "*.safetensors")
_PICTURES = (FER_VS_CKP, MATRICES, "training_history.png")
# Without a face in them, in the order in which the card names them.
_PUBLISHABLE = (
    *("model.pth", *_WEIGHTS[1:], "config.json", *FACELESS),
    *(f"{folder}/{name}" for folder, names in FACELESS_FINDINGS.items() for name in (*names, STAMP_NAME)),
)


def write_texts(paths: Paths, run: Run, device: torch.device) -> None:
    """Renders from a run's files what is for a person: `model_parameters.txt` and the card."""
    write_parameters(run.folder / "model_parameters.txt", run.record)
    weights = best_weights(run.folder)
    write_model_card(LoadedRun(paths, run, weights, load_model(weights), device))


def write_model_card(loaded: LoadedRun, *, force: bool = False) -> Path:
    """Measures what there are images for, and writes `README.md` among the outputs of a finished run; returns it.

    Raises:
        EmoTorchError: the weights or an image are damaged.
    """
    measured = analyse_scores(Subject(loaded, force=force)) or {"sets": []}
    facts = Facts(loaded, loaded.run.record, {found["name"]: found for found in measured["sets"]})
    path = loaded.run.outputs / CARD_NAME
    write_text(path, render(facts))
    return path


def render(facts: Facts) -> str:
    """The card as Markdown, with its metadata in front."""
    run, record, folder, outputs = facts.run, facts.record, facts.run.folder, facts.run.outputs
    tags = ["emotorch", facts.recipe, "facial-expression-recognition", "emotion-recognition", "pytorch"]
    if facts.synthetic:
        tags.append("synthetic-data")
    datasets = [] if facts.synthetic else [facts.card_id(facts.train_on)]
    scored = scored_sets(facts)
    form = facts.model.form
    text = MARKDOWN.get_template("card.md.j2").render(
        facts=facts,
        title=run.name if facts.recipe in run.name else f"{run.name} ({facts.recipe})",
        shell_name=shlex.quote(run.name),
        form=form,
        size=total(layers(facts.model.network, (form.channels, form.image_size, form.image_size))),
        scored=scored,
        twins=[_twins(facts, name, without) for name, without in record.get("without_twins", {}).items()],
        public_twins=[line for line in facts.scores.get(FER_PUBLIC, {"lines": []})["lines"] if "twin" in line],
        private_scorings=[
            (
                f"{looked['time']}{_BESIDE.get(looked.get('dataset', ''), '')}",
                Accuracy(100 * looked["correct"] / looked["images"], looked["images"]),
            )
            for looked in private_scorings(run, facts.loaded.weights)
        ],
        classes=class_tables(facts),
        analyses=[_analysis(analysis, facts.loaded) for analysis in analyses()],
        validation_share=VALIDATION_SHARE,
        tells_persons=find_dataset(facts.train_on).tells_persons,
        settings=dict(_settings(facts.settings.get("recipe", {}))),
        commands=commands(record) if facts.settings else None,
        weights=[
            (name, (folder / name).stat().st_size, hash_file(folder / name))
            for name in sorted(_matching(folder, _WEIGHTS))
        ],
        pictures=[_link(folder / name, outputs) for name in _matching(folder, _PICTURES)],
        publishable=[CARD_NAME, *_matching(folder, _PUBLISHABLE)],
    )
    front = front_matter(run.name, tags, datasets, [found for found in scored if found.accuracy.images])
    return f"{front}\n{lines(text)}"


def _analysis(analysis: Analysis, loaded: LoadedRun) -> dict[str, Any]:
    """What an analysis found: lines, tables by title, and files, of which those without a face are shown.

    The lines are None where it found nothing about these weights.
    """
    command = analysis.command(shlex.quote(loaded.run.name))
    section = {"name": analysis.name, "title": analysis.title, "command": command, "lines": None}
    found = analysis.read(loaded.run, loaded.weights)
    if found is None:
        return section
    folder, outputs = analysis.folder(loaded), loaded.run.outputs
    shown = _matching(folder, FACELESS_FINDINGS.get(analysis.name, ()))
    return {
        **section,
        "lines": [line.strip() for line in analysis.lines(found)],
        "tables": analysis.tables(found),
        "folder": _link(folder, outputs),
        "files": [path.name for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png")],
        "pictures": [_link(folder / file, outputs) for file in shown if file.endswith(".png")],
    }


def _twins(facts: Facts, name: str, without: Mapping[str, Any]) -> tuple[str, int, int, Accuracy]:
    """A set, its images that have an exact twin in training, all of its images, and the accuracy on the others."""
    scored = facts.record["scores"][name]["images"]
    return facts.title(name), scored - without["images"], scored, Accuracy.of(without)


def _settings(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value, the network's and the augmentation's last; what is empty says nothing."""
    groups = {"network": "network_config", "augmentation": "augmentation"}
    for name, value in recipe.items():
        if name not in groups.values() and value not in ("", None):
            yield name, str(value)
    for title, group in groups.items():
        for name, value in recipe.get(group, {}).items():
            yield f"{title}: {name}", " to ".join(map(str, value)) if isinstance(value, list) else str(value)


def _matching(folder: Path, patterns: Iterable[str]) -> list[str]:
    """Files of a folder, relative to it, in the order of the patterns; none of them hidden, none twice."""
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file())
    return list(dict.fromkeys(path.relative_to(folder).as_posix() for path in found if path.name[0] != "."))


def _link(path: Path, card_folder: Path) -> str:
    """A path as a card's links name it: the card of a model that ships may lie elsewhere than the model."""
    return Path(os.path.relpath(path, card_folder)).as_posix()


def front_matter(name: str, tags: Sequence[str], datasets: Sequence[str], scored: Sequence[ScoredSet]) -> str:
    """The metadata between its two lines of dashes, as Hugging Face reads them."""
    return YAML.get_template("card_metadata.yaml.j2").render(
        name=name,
        tags=list(dict.fromkeys(tags)),
        datasets=datasets,
        scored=scored,
        metrics=[name for name in METRICS if any(name in found.metrics for found in scored)],
        metric_names=METRICS,
    )
