"""Thresholds applied to stored signals, vectorised over a batch."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.curation.filter_settings import Filters
from pipeline.curation.settings import CorpusSettings

SIGNALS: Final = ("words", "detected", "language_score")


def failures(batch: pa.RecordBatch, settings: CorpusSettings) -> list[tuple[str, str] | None]:
    """For each document the first rule it breaks and by what value, or None.

    Args:
        batch: documents with `lang` and the columns `SIGNALS`.
        settings: the corpus's `filters` and `languages`.
    """
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    result: list[tuple[str, str] | None] = [None] * batch.num_rows
    for lang in dict.fromkeys(langs):
        rows = np.flatnonzero(langs == lang)
        taken = batch.take(pa.array(rows))
        for row, found in zip(rows, _failures(taken, settings.filters_for(lang)), strict=True):
            result[row] = found
    return result


def _failures(batch: pa.RecordBatch, filters: Filters) -> list[tuple[str, str] | None]:
    result: list[tuple[str, str] | None] = [None] * batch.num_rows
    words = batch.column("words").to_numpy()
    score = batch.column("language_score").to_numpy()
    detected = batch.column("detected").to_pylist()
    langs = batch.column("lang").to_pylist()
    rules: list[tuple[str, np.ndarray, np.ndarray | list[str]]] = []
    if filters.language is not None:
        rules.append(("language", ~np.isin(langs, filters.language), langs))
    if filters.language_score is not None:
        wrong = (np.array(detected) != np.array(langs)) | (score < filters.language_score)
        rules.append(("language score", wrong, [f"{d} {s:.2f}" for d, s in zip(detected, score, strict=True)]))
    if filters.minimum_words is not None:
        rules.append(("minimum words", words < filters.minimum_words, words))
    if filters.maximum_words is not None:
        rules.append(("maximum words", words > filters.maximum_words, words))
    for name, broken, values in rules:
        for row in np.flatnonzero(broken):
            if result[row] is None:
                result[row] = (name, str(values[row]))
    return result
