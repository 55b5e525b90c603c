"""What is counted of tokens and words, from their characters, for many of them at once.

In: strings, as the code points of all of them and the length of each. Out: features, an array each. Nothing here knows
how text is cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, Self

import numpy as np

from pipeline.base.ids import GAMMA, splitmix64
from pipeline.curation.text.punctuation import PUNCTUATION, SENTENCE_ENDS, TERMINAL

SYMBOL, ALPHABETIC, SENTENCE_END, PUNCTUATED = 1, 2, 4, 8
"""Bits of a token's flags: made of punctuation and control characters only (datatrove's table), holds a letter, ends a
sentence, of Unicode categories P* only."""
_STOP_WORDS: Final = ("and", "be", "have", "of", "that", "the", "to", "with")
_VOWELS: Final = frozenset("aeiouy")
_OF_SYMBOLS, _LETTER, _ENDS, _OF_PUNCTUATION, _VOWEL, _VOWEL_LAST = 1, 2, 4, 8, 16, 32
"""Bits of a character: the last two of what it is as a small letter, which may be more than one."""
_SPARSE: Final = 8
"""Code points beyond this many times the characters are told apart by sorting, others in a table of all up to them."""

Columns = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Spelled:
    """S strings, one after the other."""

    codes: np.ndarray
    """uint32 [K], code points"""
    lengths: np.ndarray
    """int64 [S]"""

    @classmethod
    def of(cls, strings: Sequence[str]) -> Self:
        """The characters of strings."""
        codes = np.frombuffer("".join(strings).encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
        return cls(codes, np.fromiter(map(len, strings), dtype=np.int64, count=len(strings)))

    @property
    def starts(self) -> np.ndarray:
        """Where each begins, int64 [S]."""
        return np.cumsum(self.lengths) - self.lengths


def stretches(starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The places from `starts` on of S stretches one after the other, given as offsets, int64 [S + 1]."""
    places = np.arange(offsets[-1])
    places += np.repeat(starts - offsets[:-1], np.diff(offsets))
    return places


def token_features(tokens: Spelled) -> Columns:
    """Of T tokens: length (int32), spelling hash (uint64) and the multiplier that appends the token to another hash
    (uint64), flags (uint8, see `SYMBOL`), stop word (uint8, a bit for each), syllables (int32)."""
    starts, lengths = tokens.starts, tokens.lengths
    distinct, which = _distinct(tokens.codes)
    characters = np.array([_character(code) for code in distinct.tolist()], dtype=np.uint8)[which]
    vowel_before = np.concatenate([[0], characters[:-1]])[: len(characters)] & _VOWEL_LAST > 0
    vowel_before[starts] = False
    syllable = (characters & _VOWEL > 0) & ~vowel_before
    # two counts in one running sum, the second in its upper half
    symbols, punctuation = _halves(_sums(_pair(characters & _OF_SYMBOLS, characters & _OF_PUNCTUATION), tokens))
    letters, syllables = _halves(_sums(_pair(characters & _LETTER, syllable), tokens))
    flags = np.where(symbols == lengths, SYMBOL, 0) | np.where(punctuation == lengths, PUNCTUATED, 0)
    flags |= np.where(letters > 0, ALPHABETIC, 0)
    flags |= np.where((lengths == 1) & (characters[starts] & _ENDS > 0), SENTENCE_END, 0)
    hashes, powers = _hashes(distinct, which, tokens)
    stop = np.zeros(len(lengths), dtype=np.uint8)
    for bit, (size, spelled) in enumerate(_stop_words()):
        stop[(hashes == spelled) & (lengths == size)] = 1 << bit
    syllables = np.where(letters > 0, np.maximum(syllables, 1), 0)
    return lengths.astype(np.int32), hashes, powers, flags.astype(np.uint8), stop, syllables.astype(np.int32)


def word_features(words: Spelled) -> Columns:
    """Of W words: a hash of each, uint64."""
    return (splitmix64(_hashes(*_distinct(words.codes), words)[0]),)


@lru_cache(maxsize=1)
def _stop_words() -> tuple[tuple[int, np.uint64], ...]:
    """Length and hash of each."""
    words = Spelled.of(_STOP_WORDS)
    hashes, _ = _hashes(*_distinct(words.codes), words)
    return tuple(zip(words.lengths.tolist(), hashes, strict=True))


@cache
def _character(code: int) -> int:
    char = chr(code)
    lowered = char.lower()
    return (
        _OF_SYMBOLS * (char in _symbols())
        | _LETTER * char.isalpha()
        | _ENDS * (char in SENTENCE_ENDS)
        | _OF_PUNCTUATION * (unicodedata.category(char)[0] == "P")
        | _VOWEL * (lowered[0] in _VOWELS)
        | _VOWEL_LAST * (lowered[-1] in _VOWELS)
    )


def _distinct(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The code points that occur, in order, and which one each is."""
    most = int(codes.max(initial=0)) + 1
    if most > _SPARSE * len(codes):
        distinct, which = np.unique(codes, return_inverse=True)
        return distinct, which
    occurs = np.zeros(most, dtype=bool)
    occurs[codes] = True
    distinct = np.flatnonzero(occurs)
    places = np.empty(most, dtype=np.int32)
    places[distinct] = np.arange(len(distinct))
    return distinct, places[codes]


def _hashes(distinct: np.ndarray, which: np.ndarray, strings: Spelled) -> tuple[np.ndarray, np.ndarray]:
    """A polynomial in `GAMMA` over each string's mixed code points, the last one constant, and its next power."""
    lengths = strings.lengths
    powers = np.full(int(lengths.max(initial=0)) + 1, GAMMA, dtype=np.uint64)
    powers[0] = 1
    powers = np.cumprod(powers, dtype=np.uint64)
    after = np.repeat(np.cumsum(lengths) - 1, lengths) - np.arange(len(which))
    return _sums(splitmix64(distinct.astype(np.uint64))[which] * powers[after], strings), powers[lengths]


def _sums(values: np.ndarray, strings: Spelled) -> np.ndarray:
    """Sums over each string's characters, uint64, modulo 2^64."""
    running = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, dtype=np.uint64, out=running[1:])
    ends = np.cumsum(strings.lengths)
    return running[ends] - running[ends - strings.lengths]


def _pair(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return (lower > 0).astype(np.uint64) | (upper > 0).astype(np.uint64) << np.uint64(32)


def _halves(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), (pairs >> np.uint64(32)).astype(np.int64)


@lru_cache(maxsize=1)
def _symbols() -> frozenset[str]:
    return frozenset(PUNCTUATION) | TERMINAL
