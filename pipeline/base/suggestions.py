"""The nearest of the words that are known, for a message about one that is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from trainer.errors import did_you_mean

__all__ = ["did_you_mean", "did_you_mean_or_known", "nearest"]

MOST_LISTED = 12


def nearest(given: str, known: Iterable[str], *, most: int = 1, least_alike: float = 0.6) -> list[str]:
    """Up to `most` known words that are alike, the most alike first; none where nothing is.

    least_alike: from 0 to 1, as `difflib.get_close_matches` measures it.
    """
    return difflib.get_close_matches(given, list(known), n=most, cutoff=least_alike)


def did_you_mean_or_known(given: str, known: Iterable[str]) -> str:
    """As `did_you_mean`, and where nothing is alike the known words themselves: `; known: a, b, c`."""
    words = sorted(known)
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return did_you_mean(given, words) or f"; known: {', '.join(words[:MOST_LISTED])}{more}"
