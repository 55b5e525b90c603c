"""Signals that need the tokens of the texts, for a whole batch at once."""

from __future__ import annotations

import numpy as np

from pipeline.curation.signals.repetition import repetition
from pipeline.curation.signals.sentences import Lines, Sentences, c4_sentences, reading_grade
from pipeline.curation.text.words import tokens_of


def token_signals(lines: Lines, *, english: bool) -> dict[str, np.ndarray]:
    """Counts and shares of N texts, [N] each, by signal; texts that are not `english` have no grade."""
    texts = lines.texts
    tokens = tokens_of(lines.chunked)
    sum_of = _Sums(tokens.offsets)
    count = np.diff(tokens.offsets)
    per_word = np.maximum(count, 1)
    plain = ~tokens.symbol
    words = sum_of(plain)
    characters = np.array([len(text) for text in texts], dtype=np.int64)
    newlines = np.array([text.count("\n") for text in texts])
    ellipses = np.array([text.count("...") + text.count("…") for text in texts])
    stop_words = np.zeros(len(texts), dtype=np.int64)
    filled = count > 0
    if filled.any():
        stop_words[filled] = np.bitwise_count(np.bitwise_or.reduceat(tokens.stop_word, tokens.offsets[:-1][filled]))
    sentences = Sentences(tokens)
    grade = np.full(len(texts), np.nan)
    if english:
        grade = reading_grade(sentences.count(tokens.offsets), sum_of(tokens.alphabetic), sum_of(tokens.syllables))
    c4, dropped = c4_sentences(lines, tokens, sentences)
    return {
        "words": words,
        "word_length": sum_of(tokens.length * plain) / np.maximum(words, 1),
        "hashes_per_word": np.array([text.count("#") for text in texts]) / per_word,
        "ellipses_per_word": ellipses / per_word,
        "alphabetic_words": sum_of(tokens.alphabetic) / per_word,
        "newlines_per_word": newlines / per_word,
        "stop_words": stop_words,
        "c4_sentences": c4,
        "lorem_or_bracket": dropped,
        "grade": grade,
        **repetition(tokens, characters),
    }


class _Sums:
    """Sums over each text's tokens."""

    def __init__(self, offsets: np.ndarray) -> None:
        self._offsets = offsets

    def __call__(self, values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0], np.cumsum(values.astype(np.int64))])
        return total[self._offsets[1:]] - total[self._offsets[:-1]]
