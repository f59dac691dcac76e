"""The settings of a run: from options, or from its record."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from emotorch.data.dataset import training_dataset
from emotorch.data.images import PixelForm
from emotorch.data.selection import DatasetIndex, Factors, Selection, select
from emotorch.errors import EmoTorchError
from emotorch.labels import LabelScheme, get_scheme
from emotorch.overrides import override
from emotorch.paths import Paths
from emotorch.recipes import Recipe, get_recipe
from emotorch.typed import JsonObject


@dataclass(frozen=True)
class Settings:
    """Everything that makes a run, but for the data."""

    recipe: Recipe
    scheme: LabelScheme
    factors: Factors
    train_on: str = "FER"
    seed: int = 42
    device: str = "auto"
    threads: int = 1
    tensorboard: bool = False
    checkpoint_every_s: float = 120.0

    def pixel_form(self, index: DatasetIndex) -> PixelForm:
        """The form that the run reads its images in: see `DatasetIndex.form_for`."""
        config = self.recipe.network_config
        return index.form_for(int(config["image_size"]), int(config["channels"]), self.train_on)

    def select(self, index: DatasetIndex) -> Selection:
        """The images of a run with these settings; see `select` for what is raised."""
        return select(
            index,
            self.factors,
            train_on=self.train_on,
            fer_usage=self.recipe.fer_usage,
            split=self.recipe.split,
            copies=self.recipe.copies,
            targets=self.recipe.targets,
            seed=self.seed,
        )

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "scheme": self.scheme.as_dict()}

    @classmethod
    def from_options(cls, options: argparse.Namespace, paths: Paths) -> "Settings":
        """From the options of stages 4 and 5; one that a stage lacks, or that is None, stands for the default.

        Raises:
            UsageError: an option is wrong, or none chooses among several datasets.
        """
        recipe = _recipe_from_options(options)
        scheme = get_scheme(options.scheme or recipe.scheme)
        given = {name: value for name, value in vars(options).items() if value is not None}
        factors = {f.name: given[f.name] for f in fields(Factors) if f.name in given}
        return cls(
            recipe=recipe,
            scheme=scheme,
            factors=Factors(**{"fer_aug": recipe.variants, "ckp_aug": recipe.variants, **factors}),
            train_on=training_dataset(paths.for_scheme(scheme.name), options.train_on),
            seed=options.seed,
            device=options.device,
            threads=options.threads,
            tensorboard=given.get("tensorboard", False),
            checkpoint_every_s=given.get("checkpoint_every", cls.checkpoint_every_s),
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Settings":
        """The settings that a run's record states.

        Raises:
            EmoTorchError: one is missing, unknown, or of another type or range.
        """
        file = record.file if isinstance(record, JsonObject) else "the record"
        settings = dict(record["settings"])
        try:
            settings["recipe"] = Recipe.from_dict(settings["recipe"])
            settings["scheme"] = LabelScheme.from_dict(settings["scheme"])
            return cls(**{**settings, "factors": Factors(**settings["factors"])})
        except EmoTorchError as error:
            raise EmoTorchError(f"{file}: settings: {error}") from None
        except TypeError as error:
            raise EmoTorchError(f"{file}: its settings are damaged, or of a later version ({error})") from None


def _recipe_from_options(options: argparse.Namespace) -> Recipe:
    """The recipe that `cli.add_training_options` names, with its changes."""
    changes = {name: getattr(options, name) for name in ("epochs", "fer_usage", "split", "copies")}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(override(get_recipe(options.recipe), options.set), **given)
