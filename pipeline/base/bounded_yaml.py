"""Reading YAML that somebody else may have written, in bounded time and space.

In: text. Out: its values; a YAMLError for all that is wrong with it, whatever the library raises. An alias stands for
all that it names, so a few lines of aliases of aliases may stand for billions of values, or for themselves: what is
written out is counted before anybody walks through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

MOST_VALUES: Final = 100_000
DEEPEST: Final = 64
MOST_CHARACTERS: Final = 4_000_000


def load_yaml(text: str, kind: Literal["rt", "safe"] = "safe") -> Any:
    """The values of a YAML 1.2 text; `rt` keeps the places of keys. Raises ruamel's YAMLError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if len(text) > MOST_CHARACTERS:
        raise YAMLError(f"{len(text):,} characters, which is more than {MOST_CHARACTERS:,}")
    deep = f"values in one another more than {DEEPEST} deep"
    try:
        value = YAML(typ=kind, pure=True).load(text)
    except RecursionError:
        raise YAMLError(deep) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError) as error:
        raise YAMLError(f"{type(error).__name__}: {error}") from None
    sizes: dict[int, int] = {}
    try:
        values = _written_out(value, sizes, DEEPEST)
    except RecursionError:
        raise YAMLError(deep) from None
    if values > MOST_VALUES:
        raise YAMLError(f"its aliases stand for more than {MOST_VALUES:,} values")
    return value


def _written_out(value: Any, sizes: dict[int, int], left: int) -> int:
    """How many values it has where every alias is written out. Raises RecursionError where they are too deep."""
    if not isinstance(value, Mapping | list | tuple | set):
        return 1
    if left == 0:
        raise RecursionError
    if id(value) not in sizes:
        items = value.values() if isinstance(value, Mapping) else value
        sizes[id(value)] = 1 + sum(_written_out(item, sizes, left - 1) for item in items)
    return sizes[id(value)]
