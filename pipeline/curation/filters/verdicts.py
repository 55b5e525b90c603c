"""Filters applied to a batch of documents: for each the first rule that it breaks, and the value it was judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.curation.filters.filter import Signals
from pipeline.curation.filters.filters import Filters
from pipeline.curation.signals.signals import SIGNAL_FIELDS

SIGNALS: Final = tuple(field.name for field in SIGNAL_FIELDS if field.name != "minhash")
"""The signals that filters may look at."""


class Reason(NamedTuple):
    """Why a document is removed: the step that does, and what it saw."""

    step: str
    detail: str


def verdicts(batch: pa.RecordBatch, filters_for: Callable[[str], Filters]) -> list[Reason | None]:
    """Why filters remove each document; None for those they keep.

    Args:
        batch: documents with `lang`, `bytes` and the columns `SIGNALS`.
        filters_for: the thresholds for documents of a language.
    """
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    reasons: list[Reason | None] = [None] * batch.num_rows
    for lang in dict.fromkeys(langs):
        rows = np.flatnonzero(langs == lang)
        signals = signals_of(batch.take(pa.array(rows)))
        for rule in filters_for(lang).rules(signals):
            for place in np.flatnonzero(rule.broken):
                if reasons[rows[place]] is None:
                    reasons[rows[place]] = Reason(rule.name, _shown(rule.judged[place]))
    return reasons


def signals_of(batch: pa.RecordBatch) -> Signals:
    """A batch's columns as filters take them."""
    return {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)
