"""How settings are declared and read: pydantic dataclasses whose fields carry their bounds.

In: a plain mapping (JSON, YAML) and a class. Out: a frozen instance, or `ConfigError` with every mistake in it. A
number is strict, since nothing may be trained with a `true` or a text taken for a rate; a whole number may be written
as a float (`1e6`).

Settings are identity or runtime. Identity settings change a result and enter its fingerprint. Runtime settings (paths,
worker counts, devices) change only how it is computed; a field made with `runtime()` is left out of `identity_of` at
any depth, so two machines that compute the same thing find each other's artifacts.

The trainer runs without the pipeline, so these few live here; `pipeline.base.settings` hands them on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from trainer.errors import ConfigError
from trainer.mistakes import explain, fields_of

T = TypeVar("T")

STRICT_KEYS: Final = ConfigDict(extra="forbid")
"""What every settings class is made with: an unknown key is a mistake."""
RUNTIME: Final = "runtime"
LATER: Final = "later"
MOST_TOLD: Final = 20
"""Mistakes that an error shows: a file of ten thousand items of another version has as many."""


def _as_whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""Finite, as JSON's numbers and so fingerprints are."""
Positive = Annotated[Number, Field(gt=0)]
Rate = Annotated[Number, Field(gt=0, le=10)]
"""A learning rate: beyond 10 a slip, which would end as a loss that is not finite."""
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
"""From 0 to 1."""
PartOf = Annotated[float, Field(strict=True, gt=0, le=1)]
"""Above 0 and up to 1: a stretch of a run."""
BelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]
"""From 0 to below 1: what is kept of a mean at each step, or dropped."""
Whole = Annotated[int, Field(strict=True, ge=0), BeforeValidator(_as_whole)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""One or several, as a list."""
Count = Annotated[int, Field(strict=True, gt=0), BeforeValidator(_as_whole)]
"""A whole number above 0."""


def runtime(default: Any, **kwargs: Any) -> Any:
    """A pydantic field that never enters a fingerprint. Keywords as for `pydantic.Field`."""
    return Field(default, json_schema_extra={RUNTIME: True}, **kwargs)


def later(default: Any, **kwargs: Any) -> Any:
    """A pydantic field that enters a fingerprint only where it is not its default: what was built before there was such
    a setting stays what it is. Keywords as for `pydantic.Field`."""
    return Field(default, json_schema_extra={LATER: True}, **kwargs)


def turned(value: Any) -> dict[str, bool]:
    """The fields of a settings object that were made with `later()`, and whether each is not at its default."""
    return {
        name: bool(getattr(value, name) != info.default)
        for name, info in fields_of(type(value)).items()
        if _is_made(info, LATER)
    }


def from_mapping(kind: type[T], data: object, where: str, moved: Mapping[str, str] | None = None) -> T:
    """Build `kind` from `data`; `where` stands before each key in errors (`training`, or a file's name and a colon).

    `moved` is as for `trainer.mistakes.new_place`. Raises `ConfigError` with a line for every unknown or missing key
    and every value that does not fit, and the number of those beyond `MOST_TOLD`.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(data) if isinstance(data, Mapping) else data)
    except ValidationError as error:
        lines = [mistake.told(where) for mistake in explain(error, kind, data, moved or {})]
        lines[MOST_TOLD:] = [f"and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
        raise ConfigError("\n  ".join(lines)) from None


def identity_of(value: Any) -> Any:
    """The settings that change a result, as plain JSON values: runtime fields are left out, at any depth.

    In: settings, dataclasses and containers of them. A dataclass with an `identity()` of its own answers for itself.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "identity", None)
        return own() if own is not None else identity_of_fields(value)
    if fields_of(type(value)):
        return identity_of_fields(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: identity_of(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [identity_of(item) for item in value]
    return value


def identity_of_fields(value: Any) -> dict[str, Any]:
    """The identity of a settings object or dataclass, field by field."""
    described = fields_of(type(value))
    names = list(described) or [field.name for field in dataclasses.fields(value)]
    counted = [name for name in names if _counts(described.get(name), getattr(value, name))]
    return {name: identity_of(getattr(value, name)) for name in counted}


def is_runtime(info: Any) -> bool:
    """Whether pydantic's description of a field says that it was made with `runtime()`."""
    return _is_made(info, RUNTIME)


def is_later(info: Any) -> bool:
    """Whether pydantic's description of a field says that it was made with `later()`."""
    return _is_made(info, LATER)


def _counts(info: Any, value: Any) -> bool:
    return not is_runtime(info) and not (is_later(info) and value == info.default)


def _is_made(info: Any, word: str) -> bool:
    extra = getattr(info, "json_schema_extra", None)
    return isinstance(extra, dict) and bool(extra.get(word))
