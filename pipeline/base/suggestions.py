"""The nearest of the words that are known, for a message about one that is not.

The trainer's own (`trainer.errors`), handed on, and what only the pipeline needs beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from trainer.errors import did_you_mean, nearest

__all__ = ["did_you_mean", "did_you_mean_or_known", "nearest"]

MOST_LISTED = 12


def did_you_mean_or_known(given: str, known: Iterable[str]) -> str:
    """As `did_you_mean`, and where nothing is alike the known words themselves: `; known: a, b, c`."""
    words = sorted(known)
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return did_you_mean(given, words) or f"; known: {', '.join(words[:MOST_LISTED])}{more}"
