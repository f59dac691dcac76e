"""The model card of a run, `MODEL/README.md`: every figure read from the run's files, what is missing said to be.

The text stands in templates/card.md.j2. What a card holds: Mitchell et al., "Model cards for model reporting" (FAT*
2019).
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emotorch.analyses import analyses
from emotorch.analyses.registry import Analysis, Tables
from emotorch.analyses.scores import analyse_scores
from emotorch.data.split import VALIDATION_SHARE
from emotorch.datasets import FER, FER_TEST, find_dataset
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.files import STAMP_NAME, hash_file, write_text
from emotorch.networks.describe import Size, layers, total
from emotorch.paths import Paths
from emotorch.reports.card.facts import Facts
from emotorch.reports.card.results import METRICS, Accuracy, ScoredSet, class_tables, scored_sets
from emotorch.reports.rendering import MARKDOWN, YAML
from emotorch.reports.reproduction import commands
from emotorch.runs.folder import (
    FACELESS,
    FACELESS_FINDINGS,
    FER_VS_CKP,
    MATRICES,
    Run,
    best_weights,
    write_parameters,
)
from emotorch.runs.private_test import private_scorings
from emotorch.screen import lines
from emotorch.tables import Table
from emotorch.training.checkpoints import load_model
from emotorch.training.preprocessing import InputForm

CARD_NAME = "README.md"
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
    """Measures what there are images for, and writes `README.md` among the run's outputs; returns it.

    Args:
        loaded: A finished run, also one in the published format.
        force: Measure again what is measured already.

    Raises:
        EmoTorchError: the weights or an image are damaged.
    """
    measured = analyse_scores(loaded, force=force) or {"sets": []}
    facts = Facts(loaded, loaded.run.record, {found["name"]: found for found in measured["sets"]})
    path = loaded.run.outputs / CARD_NAME
    write_text(path, render(Card.of(facts)))
    return path


@dataclass(frozen=True)
class AnalysisSection:
    """What one analysis of the registry found.

    Attributes:
        name: Of its folder.
        title: Its heading.
        command: How to have it.
        lines: Sentences; None where it found nothing about these weights.
        tables: By title.
        files: Names of its tables and pictures.
        folder: Of these, as the card's links name it.
        pictures: Likewise, those without a face.
    """

    name: str
    title: str
    command: str
    lines: Sequence[str] | None
    tables: Tables
    files: Sequence[str]
    folder: str
    pictures: Sequence[str]

    @classmethod
    def of(cls, analysis: Analysis, loaded: LoadedRun) -> "AnalysisSection":
        name, folder = analysis.name, analysis.folder(loaded)
        command = analysis.command(shlex.quote(loaded.run.name))
        found = analysis.read(loaded.run, loaded.weights)
        if found is None:
            return cls(name, analysis.title, command, None, {}, [], name, [])
        lines = [line.strip() for line in analysis.lines(found)]
        files = [path.name for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png")]
        shown = _matching(folder, FACELESS_FINDINGS.get(name, ()))
        outputs = loaded.run.outputs
        pictures = [_link(folder / file, outputs) for file in shown if file.endswith(".png")]
        return cls(
            name, analysis.title, command, lines, analysis.tables(found), files, _link(folder, outputs), pictures
        )


@dataclass(frozen=True)
class Twins:
    """Images of a set that have an exact twin in training, and the accuracy on the others."""

    title: str
    images: int
    scored: int
    without: Accuracy


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights in the run's folder."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """What templates/card.md.j2 is filled from.

    Attributes:
        facts: The run.
        title: The card's.
        form: What the network takes.
        size: The network's.
        scored: Sets of images with the model's scores.
        twins: Of the sets of which images have twins in training.
        public_twins: What was found of PublicTest's.
        private_scorings: When PrivateTest was scored, and what it gave.
        classes: Tables of the classes, by the set's title.
        analyses: All of the registry.
        validation_share: Of a dataset that has no split of its own, 0 to 1.
        tells_persons: Whether what was trained on tells who is shown: it is split by person then.
        settings: Every setting of the recipe that says something.
        commands: That make the run again; None where only the recorded code can.
        weights: Files of weights.
        pictures: Of the results, as the card's links name them.
        publishable: Names of files in the folder that hold no face.
    """

    facts: Facts
    title: str
    form: InputForm
    size: Size
    scored: Sequence[ScoredSet]
    twins: Sequence[Twins]
    public_twins: Sequence[str]
    private_scorings: Sequence[tuple[str, Accuracy]]
    classes: Mapping[str, Table]
    analyses: Sequence[AnalysisSection]
    validation_share: float
    tells_persons: bool
    settings: Mapping[str, str]
    commands: Sequence[str] | None
    weights: Sequence[WeightsFile]
    pictures: Sequence[str]
    publishable: Sequence[str]

    @classmethod
    def of(cls, facts: Facts) -> "Card":
        folder, form = facts.run.folder, facts.model.form
        record = facts.record
        public = facts.scores.get("fer-public", {"lines": []})
        return cls(
            facts=facts,
            title=facts.run.name if facts.recipe in facts.run.name else f"{facts.run.name} ({facts.recipe})",
            form=form,
            size=total(layers(facts.model.network, (form.channels, form.image_size, form.image_size))),
            scored=scored_sets(facts),
            twins=[_twins(facts, name, without) for name, without in record.get("without_twins", {}).items()],
            public_twins=[line for line in public["lines"] if "twin" in line],
            private_scorings=[
                (_when(looked), Accuracy(100 * looked["correct"] / looked["images"], looked["images"]))
                for looked in private_scorings(facts.run, facts.loaded.weights)
            ],
            classes=class_tables(facts),
            analyses=[AnalysisSection.of(analysis, facts.loaded) for analysis in analyses()],
            validation_share=VALIDATION_SHARE,
            tells_persons=find_dataset(facts.train_on).tells_persons,
            settings=dict(_settings(facts.settings.get("recipe", {}))),
            commands=commands(record) if facts.settings else None,
            weights=[
                WeightsFile(name, (folder / name).stat().st_size, hash_file(folder / name))
                for name in sorted(_matching(folder, _WEIGHTS))
            ],
            pictures=[_link(folder / name, facts.run.outputs) for name in _matching(folder, _PICTURES)],
            publishable=[CARD_NAME, *_matching(folder, _PUBLISHABLE)],
        )


def _when(looked: Mapping[str, Any]) -> str:
    beside = {FER_TEST: ", with PublicTest", FER.key: ", among all of FER-2013 that it was not trained on"}
    return f"{looked['time']}{beside.get(str(looked.get('dataset')), '')}"


def _twins(facts: Facts, name: str, without: Mapping[str, Any]) -> Twins:
    scored = facts.record["scores"][name]["images"]
    return Twins(facts.title(name), scored - without["images"], scored, Accuracy.of(without))


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


def render(card: Card) -> str:
    """The card as Markdown, with its metadata in front."""
    facts = card.facts
    tags = ["emotorch", facts.recipe, "facial-expression-recognition", "emotion-recognition", "pytorch"]
    if facts.synthetic:
        tags.append("synthetic-data")
    datasets = [] if facts.synthetic else [facts.card_id(facts.train_on)]
    front = front_matter(facts.run.name, tags, datasets, [found for found in card.scored if found.accuracy.images])

    text = MARKDOWN.get_template("card.md.j2").render(vars(card), shell_name=shlex.quote(facts.run.name))
    return f"{front}\n{lines(text)}"


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
