"""The base of every settings class: strict, frozen, and split into identity and runtime.

Identity settings change a result and enter its fingerprint. Runtime settings (paths, worker counts, devices) change
only how it is computed; a field made with `runtime()` is left out of `Settings.identity()` at any depth, so two
machines that compute the same thing find each other's artifacts.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

RUNTIME = "runtime"


def runtime(default: Any, **kwargs: Any) -> Any:
    """A pydantic field that never enters a fingerprint. Keywords as for `pydantic.Field`."""
    return Field(default, json_schema_extra={RUNTIME: True}, **kwargs)


class Settings(BaseModel):
    """Base class of all settings under `pipeline`: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def identity(self) -> dict[str, Any]:
        """The settings that change the result, as plain JSON values, ready for a fingerprint."""
        return identity_of(self)


def identity_of(value: Any) -> Any:
    """Strip runtime fields from settings, dataclasses and containers of them, at any depth.

    A dataclass marks a runtime field with `field(metadata={"runtime": True})`.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            name: identity_of(getattr(value, name))
            for name, info in fields.items()
            if not (isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(RUNTIME))
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: identity_of(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not field.metadata.get(RUNTIME)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: identity_of(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [identity_of(item) for item in value]
    return value


def attribute_docstrings(kind: type) -> dict[str, str]:
    """The texts under a dataclass's fields, by name, read from its source: Python itself throws them away."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    texts: dict[str, str] = {}
    statements = typing.cast(ast.ClassDef, body).body
    for before, after in itertools.pairwise(statements):
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            name = typing.cast(ast.Name, before.target).id
            texts[name] = re.sub(r"\s+", " ", str(after.value.value)).strip()
    return texts
