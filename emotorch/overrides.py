"""Recipes with some settings changed, by dotted names: stage 4's `--set KEY=VALUE`, and a sweep's `--vary`."""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, get_type_hints

from emotorch.errors import UsageError
from emotorch.recipes import OPTIONAL_CONFIG, Augmentation, Recipe


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """A recipe with some fields changed by `key=value` texts.

    Fields of a part are named with a dot: `augmentation.flip=0.5`, `network_config.dropout=0.3`.

    Raises:
        UsageError: an unknown key (the nearest right one is named), or a value that does not fit.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r} is not KEY=VALUE")
        recipe = with_setting(recipe, key, _parse(key, text, setting_type(recipe, key)))
    return recipe


def setting_type(recipe: Recipe, key: str, proposed: Collection[str] = ()) -> Any:
    """The type of a field that may be changed, by its dotted name.

    Raises:
        UsageError: there is no such field; the nearest of the proposed names, by default of all, is named.
    """
    types = setting_types(recipe)
    if key not in types:
        names = proposed or list(types)
        nearest = [name for name in names if name.endswith(f".{key}")] or difflib.get_close_matches(key, names, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f": one of {', '.join(names)}"
        raise UsageError(f"a recipe has no setting {key!r}{hint}")
    return types[key]


def setting_types(recipe: Recipe) -> dict[str, Any]:
    """The type of every field that may be changed, by its dotted name."""
    types = {name: type_ for name, type_ in get_type_hints(Recipe).items() if type_ in (int, float, str, bool)}
    del types["name"]
    types |= {f"network_config.{name}": type_ for name, type_ in OPTIONAL_CONFIG.get(recipe.network, {}).items()}
    types |= {f"network_config.{name}": type(value) for name, value in recipe.network_config.items()}
    types |= {f"augmentation.{name}": type_ for name, type_ in get_type_hints(Augmentation).items()}
    return types


def with_setting(recipe: Recipe, key: str, value: Any) -> Recipe:
    """A recipe with one field changed, by its dotted name; the record's own checks apply."""
    part, dot, name = key.partition(".")
    if not dot:
        return replace(recipe, **{key: value})
    if part == "augmentation":
        return replace(recipe, augmentation=replace(recipe.augmentation, **{name: value}))
    return replace(recipe, network_config={**recipe.network_config, name: value})


def _parse(key: str, text: str, type_: Any) -> Any:
    if type_ is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} takes true or false, not {text!r}")
        return text.lower() == "true"
    if type_ == tuple[float, float]:
        try:
            low, high = map(float, text.split(","))
        except ValueError:
            raise UsageError(f"{key} takes two numbers with a comma between them, not {text!r}") from None
        return (low, high)
    try:
        return type_(text)
    except ValueError:
        number = "a whole number" if type_ is int else "a number"
        raise UsageError(f"{key} takes {number}, not {text!r}") from None
