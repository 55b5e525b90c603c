"""Blank-separated chunks of text, analysed once and looked up ever after.

Few chunks of a text are new, so a chunk gets a number on its first look-up, and what is counted of it (a `View`: the
strings it is cut into and their features) is worked out for all new chunks of a batch at once, in numpy. After that a
text is an array of chunk numbers. Nothing that is looked up depends on what was looked up before.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from pipeline.base.ids import GAMMA, splitmix64
from pipeline.curation.text.punctuation import PUNCTUATION, SENTENCE_ENDS, TERMINAL

SYMBOL, ALPHABETIC, SENTENCE_END, PUNCTUATED = 1, 2, 4, 8
"""Bits of a token's flags: made of punctuation and control characters only (datatrove's table), holds a letter, ends a
sentence, of Unicode categories P* only."""
_STOP_WORDS: Final = {
    word: 1 << bit for bit, word in enumerate(("and", "be", "have", "of", "that", "the", "to", "with"))
}
_VOWELS: Final = frozenset("aeiouy")
_LIMIT: Final = 400_000
"""Chunks remembered before starting afresh: about 150 MB."""

Columns = tuple[np.ndarray, ...]


class View:
    """What chunks are cut into, tokens or words: features `columns[c][starts[n] : starts[n + 1]]` of chunk n."""

    def __init__(self, split: Callable[[str], list[str]], features: Callable[[list[str]], Columns]) -> None:
        self._split, self._features = split, features
        self._starts = np.zeros(1, dtype=np.int64)
        self._columns = features([])

    def expand(self, chunks: Sequence[str], numbers: np.ndarray) -> tuple[Columns, np.ndarray]:
        """Features of what the chunks `numbers` (int64 [C]) are cut into, and the chunks' offsets, int64 [C + 1]."""
        self._learn(chunks[len(self._starts) - 1 :])
        lengths = np.diff(self._starts)[numbers]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(self._starts[numbers] - offsets[:-1], lengths)
        return tuple(column[places] for column in self._columns), offsets

    def _learn(self, chunks: Sequence[str]) -> None:
        if not chunks:
            return
        strings: list[str] = []
        ends = []
        for chunk in chunks:
            strings += self._split(chunk)
            ends.append(len(strings))
        self._starts = np.concatenate([self._starts, self._starts[-1] + np.array(ends)])
        new = self._features(strings)
        self._columns = tuple(np.concatenate(pair) for pair in zip(self._columns, new, strict=True))


class ChunkTable(dict[str, int]):
    """The number of each chunk that was met, with a view of its tokens and one of its plain words."""

    def __init__(self, tokens: Callable[[str], list[str]], words: Callable[[str], list[str]]) -> None:
        super().__init__()
        self.chunks: list[str] = []
        self.tokens = View(tokens, token_features)
        self.words = View(words, word_features)

    def __missing__(self, chunk: str) -> int:
        self[chunk] = number = len(self.chunks)
        self.chunks.append(chunk)
        return number

    @property
    def full(self) -> bool:
        """Whether it is time to start afresh."""
        return len(self) > _LIMIT


@dataclass(frozen=True, slots=True)
class Chunked:
    """Texts as chunk numbers: text i has chunks [offsets[i], offsets[i + 1])."""

    table: ChunkTable
    numbers: np.ndarray
    """int64 [C]"""
    offsets: np.ndarray
    """int64 [N + 1]"""

    def tokens(self) -> tuple[Columns, np.ndarray]:
        """Features of all tokens (`token_features`) and the offsets of the chunks in them, int64 [C + 1]."""
        return self.table.tokens.expand(self.table.chunks, self.numbers)

    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all plain words, uint64, and the offsets of the texts in them, int64 [N + 1]."""
        (hashes,), offsets = self.table.words.expand(self.table.chunks, self.numbers)
        return hashes, offsets[self.offsets]


def chunk_texts(texts: Sequence[str], table: ChunkTable) -> Chunked:
    """Number the chunks of texts."""
    number_of = table.__getitem__
    numbers = array("q")
    ends = [0]
    for text in texts:
        numbers.extend(map(number_of, text.split()))
        ends.append(len(numbers))
    return Chunked(table, np.array(numbers, dtype=np.int64), np.array(ends))


def token_features(tokens: list[str]) -> Columns:
    """Of T tokens: length (int64), spelling hash (uint64) and the multiplier that appends the token to another hash
    (uint64), flags (uint8, see `SYMBOL`), stop word (uint8, a bit for each), syllables (int64)."""
    codes, starts, lengths, distinct, kind = _spelled(tokens)
    characters = [chr(code) for code in distinct.tolist()]
    symbol = np.array([char in _symbols() for char in characters], dtype=bool)[kind]
    punctuation = np.array([unicodedata.category(char)[0] == "P" for char in characters], dtype=bool)[kind]
    alphabetic = np.array([char.isalpha() for char in characters], dtype=bool)[kind]
    lowered = [char.lower() for char in characters]
    vowel = np.array([text[0] in _VOWELS for text in lowered], dtype=bool)[kind]
    vowel_last = np.array([text[-1] in _VOWELS for text in lowered], dtype=bool)[kind]
    goes_on = np.concatenate([[False], vowel_last[:-1]])[: len(codes)]
    goes_on[starts] = False
    total = _Totals(starts, lengths)
    flags = np.where(total(symbol) == lengths, SYMBOL, 0) | np.where(total(punctuation) == lengths, PUNCTUATED, 0)
    letters = total(alphabetic) > 0
    flags |= np.where(letters, ALPHABETIC, 0)
    flags |= np.array([SENTENCE_END if token in SENTENCE_ENDS else 0 for token in tokens], dtype=np.int64)
    hashes, powers = _hashes(codes, starts, lengths)
    stop = np.array([_STOP_WORDS.get(token, 0) for token in tokens], dtype=np.uint8)
    syllables = np.where(letters, np.maximum(total(vowel & ~goes_on), 1), 0)
    return lengths, hashes, powers, flags.astype(np.uint8), stop, syllables


def word_features(words: list[str]) -> Columns:
    """Of W words: a hash of each, uint64."""
    codes, starts, lengths, _, _ = _spelled(words)
    return (splitmix64(_hashes(codes, starts, lengths)[0]),)


def _spelled(strings: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Code points of all strings, where each starts, its length; the distinct code points and which one each is."""
    codes = np.frombuffer("".join(strings).encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
    lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
    distinct, kind = np.unique(codes, return_inverse=True)
    return codes, np.cumsum(lengths) - lengths, lengths, distinct, kind


def _hashes(codes: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A polynomial in `GAMMA` over each string's mixed code points, the last one constant, and its next power."""
    powers = np.full(int(lengths.max(initial=0)) + 1, GAMMA, dtype=np.uint64)
    powers[0] = 1
    powers = np.cumprod(powers, dtype=np.uint64)
    after = np.repeat(starts + lengths, lengths) - np.arange(len(codes)) - 1
    return _Totals(starts, lengths)(splitmix64(codes.astype(np.uint64)) * powers[after]), powers[lengths]


class _Totals:
    """Sums over each string's characters, modulo 2^64 for uint64."""

    def __init__(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        self._starts, self._ends = starts, starts + lengths

    def __call__(self, values: np.ndarray) -> np.ndarray:
        kind = np.uint64 if values.dtype == np.uint64 else np.int64
        running = np.zeros(len(values) + 1, dtype=kind)
        np.cumsum(values, dtype=kind, out=running[1:])
        return running[self._ends] - running[self._starts]


@lru_cache(maxsize=1)
def _symbols() -> frozenset[str]:
    return frozenset(PUNCTUATION) | TERMINAL
