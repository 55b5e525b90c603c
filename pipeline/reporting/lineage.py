"""An artifact's ancestry as lines of a tree: for the page, the card and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lineage:
    """An artifact of the ancestry."""

    key: str
    fingerprint: str
    content_hash: str
    built: str
    """UTC time of the commit."""
    inputs: tuple[tuple[str, str], ...]
    """(key, fingerprint) of its own inputs."""


def lineage_tree(lineage: Sequence[Lineage]) -> list[str]:
    """The ancestry from the first artifact down, each unfolded once."""
    by_fingerprint = {item.fingerprint: item for item in lineage}
    lines: list[str] = []
    seen: set[str] = set()

    def walk(key: str, fingerprint: str, prefix: str, joint: str) -> None:
        item = by_fingerprint.get(fingerprint)
        again = fingerprint in seen
        seen.add(fingerprint)
        mark = f"{item.fingerprint[:12]}  content {item.content_hash[:12]}" if item else "(gone)"
        lines.append(f"{prefix}{joint}{key}  {'…' if again else mark}")
        if item is None or again:
            return
        below = prefix + {"": "", "├─ ": "│  ", "└─ ": "   "}[joint]
        for number, parent in enumerate(item.inputs):
            walk(*parent, below, "└─ " if number == len(item.inputs) - 1 else "├─ ")

    if lineage:
        walk(lineage[0].key, lineage[0].fingerprint, "", "")
    return lines
