"""Words of a batch of texts as arrays, so that everything counted over words is numpy at memory speed.

Two notions of a word. *Tokens* are what the published filters count: spaCy's English tokens, as in datatrove, or runs
of letters and single marks in other languages. *Words* are what n-grams are compared on: lower-cased runs of letters
and digits, single characters in scripts without spaces. Both depend only on the blank-separated chunk they occur
in, and few chunks are new, so each chunk is analysed once and looked up ever after.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from pipeline.curation.english import english_tokenizer
from pipeline.curation.punctuation import PUNCTUATION, SENTENCE_ENDS, TERMINAL

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_STOP_WORDS: Final = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_UNSPACED: Final = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['’\-][^\W{_UNSPACED}]+)*|[^\w\s]")
_VOWELS = re.compile(r"[aeiouy]+")
_MEMO_LIMIT: Final = 500_000
"""Chunks remembered before starting afresh: about 200 MB."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a batch of N texts, T in all; text i has tokens [offsets[i], offsets[i + 1])."""

    offsets: np.ndarray
    """int64 [N + 1]"""
    length: np.ndarray
    """int64 [T], characters"""
    concatenable: np.ndarray
    """uint64 [T], a polynomial hash of the characters, and `power`, the multiplier to append it to another hash."""
    power: np.ndarray
    symbol: np.ndarray
    """bool [T], made of punctuation only"""
    alphabetic: np.ndarray
    """bool [T], holds a letter"""
    stop_word: np.ndarray
    """int8 [T], bit mask of the English stop words"""
    sentence_end: np.ndarray
    """bool [T]"""
    punctuation: np.ndarray
    """bool [T], of Unicode categories P*"""
    syllables: np.ndarray
    """int64 [T], groups of vowels, at least 1 in a token with a letter"""


class _Memo(dict[str, int]):
    """Number of each chunk; a new chunk is analysed on its first look-up."""

    def __init__(self, split: Any) -> None:
        super().__init__()
        self._split = split
        self.starts = array("q", [0])
        self.pieces = array("q")
        self.kinds: dict[str, int] = {}
        self.features: list[tuple[Any, ...]] = []
        self._arrays: tuple[int, tuple[np.ndarray, ...]] | None = None

    def __missing__(self, chunk: str) -> int:
        for piece in self._split(chunk):
            kind = self.kinds.get(piece)
            if kind is None:
                kind = self.kinds[piece] = len(self.features)
                self.features.append(_features(piece))
            self.pieces.append(kind)
        self.starts.append(len(self.pieces))
        self[chunk] = number = len(self.starts) - 2
        return number

    def look_up(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Piece numbers of all texts, one after the other, and the offsets of each text in them."""
        if len(self) > _MEMO_LIMIT:
            self.__init__(self._split)  # type: ignore[misc]
        get = self.__getitem__
        chunks = array("q")
        ends = [0]
        for text in texts:
            chunks.extend(map(get, text.split()))
            ends.append(len(chunks))
        starts = np.array(self.starts)
        counts = np.diff(starts)
        ids = np.array(chunks)
        lengths = counts[ids]
        after = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(after[-1]) + np.repeat(starts[ids] - after[:-1], lengths)
        return np.array(self.pieces)[places], after[np.array(ends)]

    def table(self) -> tuple[np.ndarray, ...]:
        """The features of every piece, a column each."""
        if self._arrays is None or self._arrays[0] != len(self.features):
            columns = zip(*self.features, strict=True) if self.features else [[]] * 9
            kinds = (np.int64, np.uint64, np.uint64, bool, bool, np.int16, bool, bool, np.int64)
            arrays = tuple(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True))
            self._arrays = (len(self.features), arrays)
        return self._arrays[1]


def _features(piece: str) -> tuple[Any, ...]:
    value = 0
    for char in piece:
        value = (value * 0x9E3779B97F4A7C15 + _mix(ord(char))) & 0xFFFFFFFFFFFFFFFF
    alphabetic = any(char.isalpha() for char in piece)
    stop = 0
    if piece in _STOP_WORDS:
        stop = 1 << sorted(_STOP_WORDS).index(piece)
    return (
        len(piece),
        value,
        pow(0x9E3779B97F4A7C15, len(piece), 1 << 64),
        all(char in _punctuation() for char in piece),
        alphabetic,
        stop,
        piece in SENTENCE_ENDS,
        all(unicodedata.category(char).startswith("P") for char in piece),
        max(1, len(_VOWELS.findall(piece.lower()))) if alphabetic else 0,
    )


def _mix(value: int) -> int:
    """splitmix64's finaliser."""
    value = (value + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


@lru_cache(maxsize=1)
def _punctuation() -> frozenset[str]:
    """Marks that make a token a symbol: datatrove's table, control characters included."""
    return frozenset(PUNCTUATION) | TERMINAL


@lru_cache(maxsize=1)
def _english() -> _Memo:
    return _Memo(english_tokenizer())


@lru_cache(maxsize=1)
def _other() -> _Memo:
    return _Memo(_TOKEN.findall)


@lru_cache(maxsize=1)
def _plain() -> _Memo:
    return _Memo(words_of)


def words_of(text: str) -> list[str]:
    """The plain words of a text."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def tokenize(texts: Sequence[str], *, english: bool) -> Tokens:
    """Tokens of texts that are all English, or all of other languages."""
    memo = _english() if english else _other()
    pieces, offsets = memo.look_up(texts)
    return Tokens(offsets, *(column[pieces] for column in memo.table()))


def word_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes (uint64) of the plain words of all texts, one after the other, and the offsets of each text in them."""
    memo = _plain()
    pieces, offsets = memo.look_up(texts)
    return mix(memo.table()[1])[pieces], offsets


def mix(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser over uint64 values."""
    values = values + _MULTIPLIER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ngrams(hashes: np.ndarray, size: int) -> np.ndarray:
    """Hash of the `size` values from each place on; the last `size` - 1 places have none."""
    if len(hashes) < size:
        return np.empty(0, dtype=np.uint64)
    count = len(hashes) - size + 1
    total = hashes[:count].copy()
    for step in range(1, size):
        total = total * _MULTIPLIER + hashes[step : step + count]
    return mix(total)


def shingles(hashes: np.ndarray, offsets: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The set of word n-grams of each text, sorted, one after the other, and their offsets.

    A text of fewer than `size` words is one n-gram of all its words; one without words has none.
    """
    grams = ngrams(hashes, size)
    sets = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if stop - start >= size:
            sets.append(np.unique(grams[start : stop - size + 1]))
        elif stop > start:
            sets.append(ngrams(hashes[start:stop], stop - start))
        else:
            sets.append(hashes[:0])
    ends = np.concatenate([[0], np.cumsum([len(values) for values in sets])]).astype(np.int64)
    return (np.concatenate(sets) if sets else hashes[:0]), ends
