"""Plain values from JSON, TOML and checkpoints, checked against declared types.

Whatever is read is a value of its declared type, or an error that names the file and the key; so is a missing key,
wherever it is asked for. Undeclared keys may hold anything.
"""

import json
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from emotorch.errors import EmoTorchError

# Larger numbers mean nothing here, and fit into no int64.
_LARGEST = 2**63
_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_SHOWN = 60  # characters of a wrong value


class MissingError(EmoTorchError, KeyError):
    """A key that is not there."""

    __str__ = Exception.__str__


class JsonObject(dict[str, Any]):
    """A JSON object of a file; a key that it lacks is an error that a user can understand."""

    file: str = ""

    def __missing__(self, key: str) -> Any:
        raise MissingError(f"{self.file}: no {key} in it; it is damaged, or of another program")


def parse_json(text: str, file: object) -> Any:
    """The value of JSON text, with objects as `JsonObject`; `file`: named in messages.

    Raises:
        EmoTorchError: it is no JSON, or nested too deeply to be read.
    """

    def table(pairs: dict[str, Any]) -> JsonObject:
        made = JsonObject(pairs)
        made.file = str(file)
        return made

    try:
        return json.loads(text, object_hook=table)
    except RecursionError:
        raise EmoTorchError(f"{file}: nested too deeply") from None
    except ValueError as error:
        raise EmoTorchError(f"{file}: not valid JSON ({error}); delete it and rerun what writes it") from None


def require(value: object, type_: Any, name: str) -> None:
    """Checks a plain value against a type: one of JSON's, a union, list or dict of these, or a TypedDict of them.

    The name in messages is a file and a colon, or the keys that lead to the value.

    Raises:
        EmoTorchError: it is of another type; the message names the place within it.
    """
    if type_ is Any:
        return
    origin = get_origin(type_)
    if is_typeddict(type_):
        _require_keys(value, type_, name)
    elif origin in (Union, types.UnionType):
        if not any(_fits(value, one, name) for one in get_args(type_)):
            raise _wrong(value, type_, name)
    elif origin is Literal:
        if value not in get_args(type_):
            raise _wrong(value, type_, name)
    elif origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise _wrong(value, type_, name)
        for place, item in enumerate(value):
            require(item, get_args(type_)[0], f"{name}[{place}]")
    elif origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(value, type_, name)
        for key, item in value.items():
            if not isinstance(key, str):
                raise _wrong(key, str, f"{name}: a key")
            require(item, get_args(type_)[1], _within(name, key))
    elif not _is_plain(value, type_):
        raise _wrong(value, type_, name)


def _require_keys(value: object, type_: Any, name: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(value, type_, name)
    for key, inner in _hints(type_).items():
        if key in value:
            require(value[key], inner, _within(name, key))
        elif key in type_.__required_keys__:
            raise MissingError(f"{name.removesuffix(':')}: no {key} in it; it is damaged, or of another program")


def _within(name: str, key: str) -> str:
    return f"{name} {key}" if name.endswith(":") else f"{name}.{key}"


@lru_cache
def _hints(type_: Any) -> dict[str, Any]:
    return get_type_hints(type_)


def _fits(value: object, type_: Any, name: str) -> bool:
    try:
        require(value, type_, name)
    except EmoTorchError:
        return False
    return True


def _is_plain(value: object, type_: Any) -> bool:
    if type_ in (int, float):
        right = isinstance(value, (int, float) if type_ is float else int) and not isinstance(value, bool)
        return right and not (isinstance(value, int) and abs(value) >= _LARGEST)
    return isinstance(value, type_)


def _wrong(value: object, type_: Any, name: str) -> EmoTorchError:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return EmoTorchError(f"{name} is {shown}, not {_words(type_)}")


def _words(type_: Any) -> str:
    origin = get_origin(type_)
    if is_typeddict(type_) or origin in (dict, Mapping):
        return "a table"
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, get_args(type_)))
    if origin in (list, tuple):
        return "a list"
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(type_)))}"
    return _WORDS.get(type_, str(type_))
