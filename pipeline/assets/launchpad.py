"""What Dagster's launchpad shows of a settings class: the same keys with their descriptions, unset unless typed in.

In: a settings class. Out: a `dg.Config` class (`launchpad_config`), and of what was typed into it the values alone
(`typed_in`), to be laid over the settings and validated as those of a profile are. A null that was typed is a value, as
in a profile; Dagster fills in the same for a key that was left out, so what was typed is looked up in the run.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field, create_model

from pipeline.base.field_texts import field_texts
from trainer.mistakes import fields_of


def launchpad_config(kind: type, name: str, doc: str) -> type[dg.Config]:
    """A config class with the fields of `kind`, each of which may be left out; sections inside it are nested."""
    texts = field_texts(kind)
    shown: dict[str, Any] = {}
    for key, info in fields_of(kind).items():
        text = info.description or texts.get(key)
        if fields_of(info.annotation):
            section = launchpad_config(info.annotation, f"{name}{key.title()}", info.annotation.__doc__ or "")
            shown[key] = (section, Field(section(), description=text))
        else:
            shown[key] = (_plain(info.annotation) | None, Field(None, description=text))
    return create_model(name, __base__=dg.Config, __doc__=doc, **shown)


def typed_in(given: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were given, without those left out and without sections that hold none.

    given: as Dagster hands them over, every key filled in. typed: as they stand in the run, before that.
    """
    values = {
        key: typed_in(value, _section(typed.get(key))) if isinstance(value, Mapping) else value
        for key, value in given.items()
    }
    return {key: value for key, value in values.items() if value != {} and (value is not None or key in typed)}


def _section(typed: Any) -> Mapping[str, Any]:
    return typed if isinstance(typed, Mapping) else {}


def typed_config(run_config: Mapping[str, Any], op: str) -> Mapping[str, Any]:
    """What was typed for an asset's step in a run's configuration."""
    found: Any = run_config
    for key in ("ops", op, "config"):
        found = _section(_section(found).get(key))
    return found


def _plain(annotation: Any) -> Any:
    """The type of a setting that the launchpad has a field for: a number, true or false, a text, a list of numbers."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return _plain(next(item for item in arguments if item is not type(None)))
    if origin is tuple:
        return list[_plain(arguments[0])]  # type: ignore[misc]
    return str if origin is typing.Literal else annotation
