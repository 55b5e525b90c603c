"""What pydantic found wrong in settings, in words for whoever wrote them: the key, what is allowed, what was given.

In: a `ValidationError`, the class that was read, and the mapping it was read from. Out: a `Mistake` for each, with the
path as it was written, so that a reader of YAML can add the line. Names of Python types never show.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from trainer.errors import nearest

UNKNOWN_KEY: Final = "unknown key"
UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
EXPECTED: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping of settings",
    "dataclass": "a mapping of settings",
}
"""What the first word of an error's type (`int_parsing`, `dataclass_type`) says was expected."""
BOUNDS: Final = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong."""

    path: tuple[str | int, ...]
    """Keys and positions, as they were written; empty where it is about the whole."""
    text: str

    @property
    def key(self) -> str:
        """The path with dots."""
        return ".".join(map(str, self.path))

    def told(self, where: str) -> str:
        """The mistake as a line; `where` is the section that was read, or the file and a colon."""
        return f"{joined(where, self.key)}: {self.text}"


def joined(where: str, key: str) -> str:
    """`run.training` for the section `run`, `run.json: training` for the file `run.json:`."""
    if not key:
        return where.removesuffix(":")
    return f"{where} {key}" if where.endswith(":") else f"{where}.{key}"


def explain(
    error: ValidationError, kind: Any, data: Any, moved: Mapping[str, str] = MappingProxyType({})
) -> list[Mistake]:
    """Every mistake once, in the order in which pydantic found them; `moved` as for `new_place`."""
    mistakes = []
    for item in error.errors(include_url=False):
        path = _written(item["loc"], data, whole=item["type"] in (*UNKNOWN, "missing"))
        unknown = item["type"] in UNKNOWN
        place = new_place(path, moved) if unknown or isinstance(item["input"], str) else None  # a word for a section
        if place is not None:
            text = f"this key has moved: write {place}"
        else:
            text = _unknown(kind, path) if unknown else _text(item)
        mistakes.append(Mistake(path, text))
    return list(dict.fromkeys(mistakes))


def new_place(path: Sequence[str | int], moved: Mapping[str, str]) -> str | None:
    """Where the value at `path` is written now; none where nothing was ever there.

    moved: old place -> new place, as dotted paths; `*` stands for any one key or position, the same in both.
    """
    place = ".".join(map(str, path))
    for old, new in moved.items():
        match = re.fullmatch(re.escape(old).replace(r"\*", "([^.]+)"), place)
        if match is not None:
            names = iter(match.groups())
            return ".".join(next(names) if name == "*" else name for name in new.split("."))
    return None


def fields_of(kind: Any) -> dict[str, Any]:
    """A settings class's fields by name, as pydantic describes them; empty for anything else."""
    return getattr(kind, "__pydantic_fields__", {}) if isinstance(kind, type) else {}


def _written(loc: Sequence[str | int], data: Any, *, whole: bool) -> tuple[str | int, ...]:
    """Pydantic's location without the tags of unions that it puts between the keys a user wrote.

    whole: the last part is a key that was not written, or must not be.
    """
    path: list[str | int] = []
    for position, part in enumerate(loc):
        written = part in data if isinstance(data, Mapping) else isinstance(data, list) and part in range(len(data))
        if written:
            data = data[part]
        if written or (whole and position == len(loc) - 1):
            path.append(part)
    return tuple(path)


def _unknown(kind: Any, path: Sequence[str | int]) -> str:
    """Names the nearest of the keys there, or else of those one section further in."""
    fields = {name: info for place in _reached(kind, path[:-1]) for name, info in fields_of(place).items()}
    inside = {
        key: f"{name}.{key}"
        for name, info in fields.items()
        for member in _members(info.annotation)
        for key in fields_of(member)
    }
    given = str(path[-1])
    near = nearest(given, fields) or [inside[key] for key in nearest(given, inside)]
    text = f"{UNKNOWN_KEY}; did you mean {near[0]!r}?" if near else UNKNOWN_KEY
    return f"{text} (known: {', '.join(sorted(fields))})" if fields else text


def _text(item: Any) -> str:
    """What is wrong with a value, in the words of this project where pydantic's name Python's types."""
    name, given, more = item["type"], item["input"], item.get("ctx", {})
    shown = f"a mapping of {', '.join(map(str, given)) or 'nothing'}" if isinstance(given, Mapping) else repr(given)
    if name == "missing":
        return f"a value is missing, found {shown}" if isinstance(item["loc"][-1], int) else "missing, must be given"
    if name in BOUNDS:
        words, bound = BOUNDS[name]
        return f"must be {words} {more[bound]:g}, found {shown}"
    if name == "literal_error":
        return f"must be {more['expected']}, found {shown}"
    if name == "union_tag_invalid":
        return f"{more['discriminator'].strip(chr(39))} must be one of {more['expected_tags']}, found {more['tag']!r}"
    if name in ("too_long", "too_short"):
        bound = f"at most {more['max_length']}" if name == "too_long" else f"at least {more['min_length']}"
        return f"expected {bound} values, found {more['actual_length']}: {shown}"
    expected = EXPECTED.get(name.split("_")[0])
    if expected is not None and name.endswith(("_type", "_parsing", "_from_float", "_number")):
        return f"expected {expected}, found {shown}"
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"{text}; found {shown}" if isinstance(given, bool | int | float | str) else text


def _reached(kind: Any, path: Sequence[str | int]) -> list[Any]:
    """What of a class a path leads to, following the annotations; every member of a union counts."""
    places = _members(kind)
    for part in path:
        places = [inner for place in places for inner in _step(place, part)]
    return places


def _members(annotation: Any) -> list[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _members(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return [member for option in arguments for member in _members(option)]
    return [annotation]


def _step(place: Any, part: str | int) -> list[Any]:
    fields = fields_of(place)
    if fields:
        return _members(fields[str(part)].annotation) if part in fields else []
    is_mapping = typing.get_origin(place) in (dict, Mapping)
    return [member for item in typing.get_args(place)[is_mapping:][:1] for member in _members(item)]
