"""The trainer's own exceptions. Each message names the file or setting, what was found and what to do.

They stand apart from `pipeline.base.errors` because the trainer runs without the pipeline and never imports it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TrainerError(Exception):
    """Something the user can put right; shown without a traceback."""


class ConfigError(TrainerError, ValueError):
    """A setting that is unknown or not allowed. Also a ValueError, so that pydantic reports it with its place."""


class DataError(TrainerError):
    """Shards or tokens that are missing, damaged, or of another tokenizer or manifest."""


class CheckpointError(TrainerError):
    """A checkpoint that is missing, damaged, or of another architecture or run."""


class DivergedError(TrainerError):
    """A run whose loss or gradient is no longer finite, and that has no way left to go round it."""


class ExportError(TrainerError):
    """A model that no stock `transformers` class can hold; the message names the switch."""


def nearest(given: str, known: Iterable[str], *, most: int = 1, least_alike: float = 0.6) -> list[str]:
    """Up to `most` known words that are alike, the most alike first; none where nothing is.

    least_alike: from 0 to 1, as `difflib.get_close_matches` measures it.
    """
    return difflib.get_close_matches(given, list(known), n=most, cutoff=least_alike)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error: `; did you mean 'wiki'?` where a known word is alike, else nothing."""
    near = nearest(given, known)
    return f"; did you mean {near[0]!r}?" if near else ""
