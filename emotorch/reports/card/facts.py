"""All that a model card is made from, and how it calls datasets and sets of images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotorch.data.variants import is_variant
from emotorch.datasets import find_dataset
from emotorch.runs.folder import Run
from emotorch.runs.usage import read_image_usage
from emotorch.training.checkpoints import Model

DASH, UNKNOWN = "–", "unknown"


SCRIPTS = "develop_baseline_model/models"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def words(name: str) -> str:
    """A name in files as a person reads it."""
    return name.replace("_", " ")


def bytes_of(path: Path) -> str:
    """A file's size, with commas."""
    return f"{path.stat().st_size:,}"


def code_block(lines: Sequence[str], language: str = "sh") -> str:
    """Lines of code, fenced."""
    return "\n".join([f"```{language}", *lines, "```"])


def missing(what: str, command: str) -> str:
    """Says what is not there, and how to get it."""
    return f"{what}: run `python {command}`."


def percent(value: float) -> str:
    """A figure that is in percent already, or a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:.1f}"


CARD_NAME = "README.md"


@dataclass(frozen=True)
class Facts:
    """All that a card is made from.

    Attributes:
        run: The model's.
        record: Its run.json; without settings when other code wrote the run.
        model: Its best epoch.
        weights: The file of it.
        scores: What `scores.measure` found, by the set's name.
    """

    run: Run
    record: Mapping[str, Any]
    model: Model
    weights: Path
    scores: Mapping[str, Mapping[str, Any]]

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.record.get("settings", {})
        return found

    @property
    def synthetic(self) -> bool:
        return bool(self.record.get("dataset", {}).get("synthetic"))

    @property
    def train_on(self) -> str:
        """The name in files of the dataset that was trained on: `fer`, …"""
        return str(self.settings.get("train_on", "FER")).lower()

    @property
    def fer_usage(self) -> str | None:
        return self.settings["recipe"]["fer_usage"] if self.settings and self.train_on == "fer" else None


def kind_of(facts: Facts, dataset: str) -> str:
    """What the metadata call a dataset, by its name in files."""
    return "synthetic-faces" if facts.synthetic else find_dataset(dataset).card_id or dataset


def set_of(facts: Facts, name: str) -> tuple[str, str]:
    """The dataset and the part of it that a set of a run's record is: `fer_reference`, …"""
    dataset = name.removesuffix("_reference")
    if dataset == "fer" and facts.fer_usage == "official":
        counts = facts.record["counts"]
        with_variants = name == dataset and counts.get("fer") != counts.get("fer_reference")
        return dataset, "PublicTest as drawn, with variants" if with_variants else "PublicTest"
    if name == dataset:
        return dataset, "validation images"
    return dataset, "all originals" if dataset == "ckp" else "held-out originals"


def is_repeated(facts: Facts, name: str) -> bool:
    """Whether a reference set is the validation set itself: whole, and no variant among it."""
    dataset, counts = name.removesuffix("_reference"), facts.record["counts"]
    if dataset == name or counts.get(dataset) != counts[name]:
        return False
    return dict(variant_counts(facts)).get(f"{dataset} validation") == 0


def set_title(facts: Facts, name: str) -> str:
    """A set of a run's record, for a person."""
    if name == "training":
        return "training"
    dataset, part = set_of(facts, name)
    return f"{title_of(facts, dataset)}, {part}"


def title_of(facts: Facts, dataset: str) -> str:
    """A dataset, for a person; drawn faces are called that."""
    title = find_dataset(dataset).full_title
    return f"{title} (drawn faces)" if facts.synthetic else title


def variant_counts(facts: Facts) -> list[tuple[str, int]]:
    """How many of each usage's images are variants."""
    counts: dict[str, int] = {}
    for row in read_image_usage(facts.run) or []:
        usage = words(row["usage"])
        counts[usage] = counts.get(usage, 0) + is_variant(row["image_path"])
    return list(counts.items())
