"""Reading the project's own JSON files: strict JSON that fits a class, or one error that names the file and the cure.

In: a file and the class (any type that pydantic checks) that it holds. Out: an instance, or the reader's own exception
with the file, what is wrong in it and what to do. What a damaged disk or a stranger's hand can make of a file never
passes: bytes that are no UTF-8, a key given twice, NaN and infinities, whole numbers beyond 64 bits, half a character,
or lists nested so deeply that whoever walks them runs out of stack.

The trainer runs without the pipeline, so this lives here; readers under `pipeline` use it as well.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

MOST_DEEP: Final = 100
"""Levels of lists and mappings: ours have about ten."""
_LEAST, _MOST = -(2**63), 2**63 - 1


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The JSON value of a text. Raises ValueError, and nothing else, saying what is wrong.

    finite: refuse NaN and infinities, which JSON does not have and Python writes all the same.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    number = _finite if finite else float
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_int=_whole, parse_float=number, parse_constant=number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    if "\\u" in text:  # what it stands for may be half a character, which no file can hold again
        json.dumps(value, ensure_ascii=False).encode()
    return value


def check(kind: type[T], value: object) -> T:
    """A value that `parse_json` gave, as `kind`. Raises ValueError naming the key and what is wrong there."""
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_python(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise ValueError(f"{place}: {first['msg']}, found {_short(first['input'])}{more}") from None


def reason(error: Exception) -> str:
    """What was wrong with a value, in words also where only a key's name was raised."""
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def read_json(path: Path, error: Callable[[str], Exception], *, what: str, cure: str, finite: bool = True) -> Any:
    """The JSON value of a file. Raises `error` with one sentence that begins with the file and ends with the `cure`.

    what: what the file should be, with its article, such as `a schedule`.
    """
    try:
        return parse_json(path.read_bytes(), finite=finite)
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror}); {cure}") from None
    except ValueError as reason:
        raise error(f"{path}: not {what} ({reason}); {cure}") from None


def read_record(
    path: Path, kind: type[T], error: Callable[[str], Exception], *, what: str, cure: str, finite: bool = True
) -> T:
    """As `read_json`, of a file that holds nothing but the fields of `kind`."""
    value = read_json(path, error, what=what, cure=cure, finite=finite)
    try:
        return check(kind, value)
    except ValueError as reason:
        raise error(f"{path}: not {what} ({reason}); {cure}") from None


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is there twice")
    return result


def _whole(text: str) -> int:
    value = int(text)
    if not _LEAST <= value <= _MOST:
        raise ValueError(f"the whole number {text[:30]} is beyond 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is no finite number")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEEP):
        inner = [item for item in level if isinstance(item, dict | list)]
        if not inner:
            return
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
    raise ValueError(f"nested more than {MOST_DEEP} levels deep")
