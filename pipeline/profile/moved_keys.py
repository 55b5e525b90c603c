"""Keys that profiles once had: each is reported with the place that took it over, not as unknown.

In: the path of a key that the settings refuse. Out: where its value is written now. Nothing is read from the old place:
a profile says one thing in one way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

MOVED: Final[Mapping[str, str]] = {}
"""Old place -> new place, as dotted paths from the profile's top; `*` stands for any one key or position, the same in
both."""


def new_place(path: Sequence[str | int], moved: Mapping[str, str] = MOVED) -> str | None:
    """Where the value at `path` is written now; none where nothing was ever there."""
    place = ".".join(map(str, path))
    for old, new in moved.items():
        match = re.fullmatch(re.escape(old).replace(r"\*", "([^.]+)"), place)
        if match is not None:
            names = iter(match.groups())
            return ".".join(next(names) if name == "*" else name for name in new.split("."))
    return None
