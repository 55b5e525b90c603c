"""Many assets in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MOST_NAMED: Final = 3
"""Assets of one folder that are named in a line; more of them are counted."""


def named(keys: Sequence[str]) -> str:
    """`corpus/books, corpus/web, mixture`; of a folder with many, `5 corpus`."""
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0] or key, []).append(key)
    return ", ".join(
        ", ".join(inside) if len(inside) <= MOST_NAMED else f"{len(inside)} {folder}"
        for folder, inside in folders.items()
    )
