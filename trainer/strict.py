"""Plain mappings (JSON, YAML) to the trainer's dataclasses, refusing what does not fit.

In: a mapping and a dataclass. Out: an instance whose every value has the type its annotation says. An unknown key is
named with the nearest known one, a wrong type with the key's full path and what was given: the trainer runs without
Dagster and pydantic, and still must never train with a misspelt setting.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trainer.errors import ConfigError

T = TypeVar("T")


def from_mapping(cls: type[T], data: object, where: str) -> T:
    """Build dataclass `cls` from `data`; `where` is the path named in errors, such as `run.json: training`.

    Raises `ConfigError` for an unknown or missing key, or a value of another type. A nested class with a
    `from_dict(data, where)` or `from_dict(data)` of its own is built by that.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, found {data!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting {key!r}{_nearest(str(key), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in data and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing setting {', '.join(map(repr, missing))}")
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _convert(annotation: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(annotation, value, where)
    if origin is typing.Literal:
        allowed = typing.get_args(annotation)
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            raise ConfigError(f"{where}: {value!r} is not one of {', '.join(map(str, allowed))}")
        return value
    if origin is tuple:
        return _convert_tuple(annotation, value, where)
    if origin is list:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        return [_convert(typing.get_args(annotation)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        annotation = dict
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        if isinstance(value, annotation):
            return value
        return _nested(annotation, value, where)
    return _convert_scalar(annotation, value, where)


def _nested(cls: type, value: Any, where: str) -> Any:
    own = getattr(cls, "from_dict", None)
    if own is None:
        return from_mapping(cls, value, where)
    try:
        return own(value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert_union(annotation: Any, value: Any, where: str) -> Any:
    options = typing.get_args(annotation)
    if value is None and type(None) in options:
        return None
    errors = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _convert(option, value, where)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _convert_tuple(annotation: Any, value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"{where}: expected a list, found {value!r}")
    items = typing.get_args(annotation)
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_convert(items[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(items) != len(value):
        raise ConfigError(f"{where}: expected {len(items)} values, found {len(value)}: {value!r}")
    return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(items, value, strict=True)))


def _convert_scalar(annotation: Any, value: Any, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is float and is_number:
        return float(value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    wrong_bool = isinstance(value, bool) and annotation is not bool
    if wrong_bool or not isinstance(value, annotation):
        raise ConfigError(f"{where}: expected {annotation.__name__}, found {value!r}")
    return value
