"""The commands that make a run again: stages 1 to 4 with its settings."""

import shlex
from collections.abc import Mapping
from typing import Any

from emotorch.labels import SCHEMES, command
from emotorch.overrides import override, setting_types
from emotorch.paths import STAGE_1, STAGE_2, STAGE_3, STAGE_4
from emotorch.recipes import RECIPES, Recipe

# What has an option of its own in stage 4.
_OWN_OPTIONS = {"epochs": "--epochs", "fer_usage": "--fer-usage", "split": "--split"}


def commands(record: Mapping[str, Any]) -> list[str] | None:
    """Stages 1 to 4, with every option and setting that is not the recipe's own, for the record of a run.

    None where today's recipe of that name cannot be changed into the run's: only the recorded code makes it.
    """
    settings = record["settings"]
    wanted = Recipe.from_dict(settings["recipe"])
    named = RECIPES.get(wanted.name)
    if named is None:
        return None
    keys = [key for key in setting_types(named) if _value(named, key) != _value(wanted, key)]
    changes = {key: _text(_value(wanted, key)) for key in keys}
    if override(named, [f"{key}={value}" for key, value in changes.items()]) != wanted:
        return None
    stages = [STAGE_1, command(STAGE_2, settings["scheme"]["name"])]
    if settings["factors"]["fer_aug"] or settings["factors"]["ckp_aug"]:
        stages.append(command(STAGE_3, settings["scheme"]["name"]))
    options = " ".join(_options(settings, wanted, changes))
    return [f"python {stage}" for stage in (*stages, f"{STAGE_4} {options}")]


def _value(recipe: Recipe, key: str) -> Any:
    part, dot, name = key.partition(".")
    content = getattr(recipe, part)
    if not dot:
        return content
    return content.get(name) if isinstance(content, Mapping) else getattr(content, name)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(settings: Mapping[str, Any], recipe: Recipe, changes: Mapping[str, str]) -> list[str]:
    options = ["--recipe", recipe.name]
    scheme = settings["scheme"]["name"]
    if scheme != recipe.scheme:
        # A user's own scheme is named by its file.
        options += ["--scheme", scheme if scheme in SCHEMES else f"{scheme}.toml"]
    defaults = {"fer": 1.0, "fer_aug": recipe.variants, "ckp": 1.0, "ckp_aug": recipe.variants}
    for factor, default in defaults.items():
        if settings["factors"][factor] != default:
            options += [f"--{factor.replace('_', '-')}", repr(settings["factors"][factor])]
    if settings["train_on"] != "FER":
        options += ["--train-on", settings["train_on"]]
    for key, value in changes.items():
        options += [_OWN_OPTIONS[key], value] if key in _OWN_OPTIONS else ["--set", f"{key}={value}"]
    options += ["--seed", str(settings["seed"]), "--threads", str(settings["threads"])]
    if settings["device"] != "auto":
        options += ["--device", settings["device"]]
    return [shlex.quote(option) for option in options]
