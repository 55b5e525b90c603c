"""Words of a batch of texts as arrays, so that everything counted over words is numpy at memory speed.

Two notions of a word. *Tokens* are what the published filters count: spaCy's English tokens, as in datatrove, or runs
of letters and single symbols in other languages. *Words* are what n-grams are compared on: lower-cased runs of letters
and digits. A letter's vowel signs, accents and joiners are part of it (`segments.py`, which also says what a word is in
scripts without spaces). Both depend only on the blank-separated chunk they occur in, so a text is split once for both,
and each chunk analysed once (`chunks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.base.ids import GAMMA, splitmix64
from pipeline.curation.text.analysis import english_tokens, other_tokens, plain_word_hashes
from pipeline.curation.text.chunks import Chunked, ChunkTable, chunk_texts
from pipeline.curation.text.spelling import ALPHABETIC, PUNCTUATED, SENTENCE_END, SYMBOL
from pipeline.curation.text.word_hashing import hash_words

_BLOCK: Final = 1 << 14
"""Words whose n-grams are worked out together, in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a batch of N texts, T in all; text i has tokens [offsets[i], offsets[i + 1])."""

    offsets: np.ndarray
    """int64 [N + 1]"""
    chunks: np.ndarray
    """int64 [C + 1], offsets of the blank-separated chunks"""
    length: np.ndarray
    """int32 [T], characters"""
    concatenable: np.ndarray
    """uint64 [T], a polynomial hash of the characters, and `power`, the multiplier to append it to another hash."""
    power: np.ndarray
    symbol: np.ndarray
    """bool [T], made of punctuation only"""
    alphabetic: np.ndarray
    """bool [T], holds a letter"""
    sentence_end: np.ndarray
    """bool [T]"""
    punctuation: np.ndarray
    """bool [T], of Unicode categories P*"""
    stop_word: np.ndarray
    """uint8 [T], bit mask of the English stop words"""
    syllables: np.ndarray
    """int32 [T], groups of vowels, at least 1 in a token with a letter"""


_tables: dict[bool, ChunkTable] = {}


def chunk_table(*, english: bool) -> ChunkTable:
    """This process's table of English chunks, or of all others; a fresh one when it is full."""
    table = _tables.get(english)
    if table is None or table.full:
        table = ChunkTable(english_tokens if english else other_tokens, plain_word_hashes)
        _tables[english] = table
    return table


def forget_chunks() -> None:
    """Start this process's tables afresh: one whose learning was broken off may be half changed."""
    _tables.clear()


def tokens_of(chunked: Chunked) -> Tokens:
    """The tokens of texts that were chunked by the table of their language."""
    (length, concatenable, power, flags, stop_word, syllables), chunks = chunked.tokens()
    symbol, alphabetic, sentence_end, punctuation = (
        (flags & bit).astype(bool) for bit in (SYMBOL, ALPHABETIC, SENTENCE_END, PUNCTUATED)
    )
    return Tokens(
        chunks[chunked.offsets],
        chunks,
        length,
        concatenable,
        power,
        symbol,
        alphabetic,
        sentence_end,
        punctuation,
        stop_word,
        syllables,
    )


def tokenize(texts: Sequence[str], *, english: bool) -> Tokens:
    """Tokens of texts that are all English, or all of other languages."""
    return tokens_of(chunk_texts(texts, chunk_table(english=english)))


def word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes (uint64) of the plain words of all texts, one after the other, and the offsets of each text in them.

    For texts that are not also cut into tokens: of those `Chunked.words` gives the same. Plain words are the same in
    either table.
    """
    return hash_words(texts, chunk_table(english=True))


def ngrams(hashes: np.ndarray, size: int) -> np.ndarray:
    """Hash of the `size` values from each place on; the last `size` - 1 places have none."""
    grams = np.empty(max(0, len(hashes) - size + 1), dtype=np.uint64)
    for start in range(0, len(grams), _BLOCK):
        block = grams[start : start + _BLOCK]
        block[:] = hashes[start : start + len(block)]
        for step in range(start + 1, start + size):
            block *= GAMMA
            block += hashes[step : step + len(block)]
        block[:] = splitmix64(block)
    return grams


def shingles(hashes: np.ndarray, offsets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The set of word n-grams of each text, sorted, one after the other, and their offsets.

    A text of fewer than `size` words is one n-gram of all its words; one without words has none.
    """
    grams = ngrams(hashes, size)
    sets = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if stop - start >= size:
            ordered = np.sort(grams[start : stop - size + 1])
            new = np.empty(len(ordered), dtype=bool)
            new[0] = True
            np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
            sets.append(ordered[new])
        elif stop > start:
            sets.append(ngrams(hashes[start:stop], stop - start))
        else:
            sets.append(hashes[:0])
    ends = np.concatenate([[0], np.cumsum([len(values) for values in sets])]).astype(np.int64)
    return (np.concatenate(sets) if sets else hashes[:0]), ends
