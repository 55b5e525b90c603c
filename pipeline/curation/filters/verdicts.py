"""Thresholds applied to stored signals, vectorised over a batch.

In: documents' signals and the corpus's thresholds. Out: for each document the first rule that it breaks, in FineWeb's
order: language, Gopher repetition, Gopher quality, C4, FineWeb's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.curation.filters.filters import C4, Filters, FineWeb, GopherQuality, GopherRepetition
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.signals.signals import SIGNAL_FIELDS

SIGNALS: Final = tuple(field.name for field in SIGNAL_FIELDS if field.name != "minhash")

_Rule = tuple[str, np.ndarray, np.ndarray]
"""Name, bool [N] where the rule is broken, and the N values it looked at."""


def failures(batch: pa.RecordBatch, settings: CorpusSettings) -> list[tuple[str, str] | None]:
    """For each document the first rule it breaks and the value it was judged by, or None.

    Args:
        batch: documents with `lang` and the columns `SIGNALS`.
        settings: the corpus's `filters` and `languages`.
    """
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    result: list[tuple[str, str] | None] = [None] * batch.num_rows
    for lang in dict.fromkeys(langs):
        rows = np.flatnonzero(langs == lang)
        taken = batch.take(pa.array(rows))
        for name, broken, values in broken_rules(taken, settings.filters_for(lang)):
            for place in np.flatnonzero(broken):
                if result[rows[place]] is None:
                    result[rows[place]] = (name, _shown(values[place]))
    return result


def broken_rules(batch: pa.RecordBatch, filters: Filters) -> Iterator[_Rule]:
    """Every rule that is on, with the documents that break it, in the order of the steps."""
    column = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
    if filters.language is not None:
        yield "language", ~np.isin(column["lang"].astype(str), filters.language), column["lang"]
    if filters.language_score is not None:
        wrong = (column["detected"] != column["lang"]) | (column["language_score"] < filters.language_score)
        pairs = zip(column["detected"], column["language_score"], strict=True)
        yield "language score", wrong, np.array([f"{lang} {score:.2f}" for lang, score in pairs], dtype=object)
    yield from _bounds(column, "words", filters.minimum_words, filters.maximum_words, "", "words")
    if filters.gopher_repetition is not None:
        for name in GopherRepetition.model_fields:
            most = getattr(filters.gopher_repetition, name)
            yield from _bounds(column, name, None, most, "gopher repetition: ")
    if filters.gopher_quality is not None:
        yield from _gopher_quality(column, filters.gopher_quality)
    if filters.c4 is not None:
        yield from _c4(column, filters.c4)
    if filters.fineweb is not None:
        yield from _fineweb(column, filters.fineweb)
    yield from _bounds(column, "grade", filters.minimum_grade, filters.maximum_grade, "")


def _gopher_quality(column: dict[str, np.ndarray], rules: GopherQuality) -> Iterator[_Rule]:
    label = "gopher quality: "
    yield from _bounds(column, "words", rules.minimum_words, rules.maximum_words, label)
    yield from _bounds(column, "word_length", rules.minimum_word_length, rules.maximum_word_length, label)
    for name in ("hashes_per_word", "ellipses_per_word", "bullet_lines", "ellipsis_lines"):
        yield from _bounds(column, name, None, getattr(rules, name), label)
    yield from _bounds(column, "alphabetic_words", rules.alphabetic_words, None, label)
    yield from _bounds(column, "stop_words", rules.stop_words, None, label)


def _c4(column: dict[str, np.ndarray], rules: C4) -> Iterator[_Rule]:
    if rules.lorem_or_bracket:
        yield "c4: lorem ipsum or bracket", column["lorem_or_bracket"], column["lorem_or_bracket"]
    yield from _bounds(column, "c4_sentences", rules.sentences, None, "c4: ", "sentences")


def _fineweb(column: dict[str, np.ndarray], rules: FineWeb) -> Iterator[_Rule]:
    yield from _bounds(column, "punctuated_lines", rules.punctuated_lines, None, "fineweb: ")
    for name in ("short_lines", "duplicate_line_characters", "newlines_per_word"):
        yield from _bounds(column, name, None, getattr(rules, name), "fineweb: ")


def _bounds(
    column: dict[str, np.ndarray], name: str, least: float | None, most: float | None, label: str, called: str = ""
) -> Iterator[_Rule]:
    """The rules "at least" and "at most" of one signal; NaN breaks neither."""
    called = called or name.replace("_", " ")
    counted = called in ("words", "sentences")
    if least is not None:
        title = f"{label}too few {called}" if counted else f"{label}{called} too low"
        yield title, column[name] < least, column[name]
    if most is not None:
        title = f"{label}too many {called}" if counted else f"{label}{called} too high"
        yield title, column[name] > most, column[name]


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)
