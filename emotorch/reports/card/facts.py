"""What a model card knows of the run, and what it calls datasets and sets of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emotorch.data.variants import is_variant
from emotorch.datasets import FER_PUBLIC, find_dataset
from emotorch.evaluation.loaded_run import LoadedRun
from emotorch.paths import mark_synthetic
from emotorch.runs.folder import Run
from emotorch.runs.record import fer_usage_of
from emotorch.runs.usage import read_image_usage
from emotorch.training.checkpoints import Model


@dataclass(frozen=True)
class Facts:
    """A run with its record, which has no settings when other code wrote the run; and what the analysis `scores` found,
    by the set's name."""

    loaded: LoadedRun
    record: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Any]]

    @property
    def run(self) -> Run:
        return self.loaded.run

    @property
    def model(self) -> Model:
        return self.loaded.model

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.record.get("settings", {})
        return found

    @property
    def recipe(self) -> str:
        """Its name; what is in the published format was made by the baseline's."""
        name: str = self.settings.get("recipe", {}).get("name", "emotorch")
        return name

    @property
    def synthetic(self) -> bool:
        return bool(self.record.get("dataset", {}).get("synthetic"))

    @property
    def train_on(self) -> str:
        """The name in files of the dataset that was trained on: `fer`, …"""
        return str(self.settings.get("train_on", "FER")).lower()

    @property
    def fer_usage(self) -> str | None:
        """How FER-2013 was split; None where it was not trained on."""
        return fer_usage_of(self.record)

    @property
    def counts(self) -> Mapping[str, int]:
        """Images by the set's name, in the record's order."""
        found: Mapping[str, int] = self.record.get("counts", {})
        return found

    @property
    def validating(self) -> list[str]:
        """The names of the sets that chose the epoch; of the published format those that it knows."""
        names = self.counts or ("fer", "ckp")
        return [name for name in names if name != "training" and not name.endswith("_reference")]

    @cached_property
    def usage(self) -> list[dict[str, str]] | None:
        """The rows of `image_usage.csv`; None without it."""
        return read_image_usage(self.run)

    @cached_property
    def variants(self) -> dict[str, int]:
        """How many images of each usage are variants."""
        counts: dict[str, int] = {}
        for row in self.usage or []:
            counts[row["usage"]] = counts.get(row["usage"], 0) + is_variant(row["image_path"])
        return counts

    def card_id(self, dataset: str) -> str:
        """What the metadata call a dataset, by its name in files."""
        return "synthetic-faces" if self.synthetic else find_dataset(dataset).card_id or dataset

    def dataset_title(self, dataset: str) -> str:
        """A dataset, for a person; synthetic faces are called that."""
        return mark_synthetic(find_dataset(dataset).full_title, self.synthetic)

    def part(self, name: str) -> str:
        """Which part of its dataset a set of the record is: `fer_reference`, …"""
        dataset = name.removesuffix("_reference")
        if dataset == "fer" and self.fer_usage == "official":
            with_variants = name == dataset and self.counts.get("fer") != self.counts.get("fer_reference")
            return "PublicTest as drawn, with variants" if with_variants else "PublicTest"
        if name == dataset:
            return "validation images"
        return "all originals" if dataset == "ckp" != self.train_on else "held-out originals"

    def title(self, name: str) -> str:
        """A set of the record, or PublicTest (`fer-public`), for a person."""
        if name == "training":
            return "training"
        if name == FER_PUBLIC:
            return f"{self.dataset_title('fer')}, PublicTest"
        return f"{self.dataset_title(name.removesuffix('_reference'))}, {self.part(name)}"

    def is_repeated(self, name: str) -> bool:
        """Whether a reference set is the validation set itself: whole, and no variant among it."""
        dataset = name.removesuffix("_reference")
        if dataset == name or self.counts.get(dataset) != self.counts[name]:
            return False
        return self.variants.get(f"{dataset}_validation") == 0
