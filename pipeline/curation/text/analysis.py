"""The tokens and plain words of many chunks at once: most chunks are so plain that numpy cuts them all together.

In: chunks without blanks. Out: features of what they are cut into, as `chunks.View` keeps them. What numpy cuts is what
`EnglishTokenizer` and `words_of` would make of each chunk; whatever is not surely plain is left to those.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from pipeline.curation.text.english import english_tokenizer
from pipeline.curation.text.segments import tokens_and_symbols, words_of
from pipeline.curation.text.spelling import Columns, Spelled, stretches, token_features, word_features

_OPENING: Final = '"(“'
_CLOSING: Final = '.,;:!?")”'
_SMALL, _LETTER, _DIGIT, _OPENS, _CLOSES = 1, 2, 4, 8, 16
_MOST_CLOSING: Final = 2
"""Marks after a word."""
_SHORTEST_WORD: Final = 2
"""With a mark beside it."""


def english_tokens(chunks: Sequence[str]) -> tuple[Columns, np.ndarray]:
    """Features of spaCy's English tokens, and how many each chunk has, int64 [C]."""
    spelled = Spelled.of(chunks)
    plain, opened, word, closed = _plain(chunks, spelled)
    counts = opened + 1 + closed
    cut = english_tokenizer()
    by_rules = [list(map(len, cut(chunks[place]))) for place in np.flatnonzero(~plain).tolist()]
    counts[~plain] = list(map(len, by_rules))
    lengths = np.ones(counts.sum(), dtype=np.int64)
    starts = np.cumsum(counts) - counts
    lengths[(starts + opened)[plain]] = word[plain]
    lengths[stretches(starts[~plain], _offsets(counts[~plain]))] = [length for token in by_rules for length in token]
    return token_features(Spelled(spelled.codes, lengths)), counts  # the tokens of a chunk joined are the chunk


def other_tokens(chunks: Sequence[str]) -> tuple[Columns, np.ndarray]:
    """Features of the tokens of other languages, and how many each chunk has, int64 [C]."""
    return _by_rules(list(map(tokens_and_symbols, chunks)), token_features)


def plain_word_hashes(chunks: Sequence[str]) -> tuple[Columns, np.ndarray]:
    """Hashes of the plain words, and how many each chunk has, int64 [C]."""
    ascii_ = np.fromiter(map(str.isascii, chunks), dtype=bool, count=len(chunks))
    places = np.flatnonzero(ascii_), np.flatnonzero(~ascii_)
    some = [[chunks[place] for place in group.tolist()] for group in places]
    found = _ascii_words(some[0]), _by_rules(list(map(words_of, some[1])), word_features)
    counts = np.zeros(len(chunks), dtype=np.int64)
    for group, (_, each) in zip(places, found, strict=True):
        counts[group] = each
    starts = np.cumsum(counts) - counts
    hashes = np.empty(counts.sum(), dtype=np.uint64)
    for group, ((values,), each) in zip(places, found, strict=True):
        hashes[stretches(starts[group], _offsets(each))] = values
    return (hashes,), counts


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


def _by_rules(strings: list[list[str]], features: Callable[[Spelled], Columns]) -> tuple[Columns, np.ndarray]:
    counts = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
    return features(Spelled.of([each for some in strings for each in some])), counts


def _ascii_words(chunks: list[str]) -> tuple[Columns, np.ndarray]:
    """The same of chunks of ASCII: their words are runs of letters, digits and `_`."""
    sizes = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks)) + 1
    lowered = _lowered()[np.frombuffer("\n".join([*chunks, ""]).encode(), dtype=np.uint8)]
    inside = np.concatenate([[False], lowered > 0])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts = edges[::2]
    counts = np.diff(np.searchsorted(starts, np.concatenate([[0], np.cumsum(sizes)])))
    return word_features(Spelled(lowered[inside[1:]].astype(np.uint32), edges[1::2] - starts)), counts


def _plain(chunks: Sequence[str], spelled: Spelled) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which chunks are a word or a number, perhaps after a mark and before one or two, in which no rule cuts (bool
    [C]); how many marks stand before it (int64 [C]), its length, and how many marks after it."""
    codes, lengths, starts = spelled.codes, spelled.lengths, spelled.starts
    kinds = _kinds()[np.minimum(codes, len(_kinds()) - 1)]
    ends = starts + lengths
    opened = (kinds[starts] & _OPENS > 0).astype(np.int64)
    closed = np.zeros(len(lengths), dtype=np.int64)
    goes_on = np.ones(len(lengths), dtype=bool)
    for back in range(1, _MOST_CLOSING + 2):
        goes_on &= (back <= lengths - opened) & (kinds[ends - np.minimum(back, lengths)] & _CLOSES > 0)
        closed += goes_on
    word = lengths - opened - closed
    stops = np.maximum(ends - closed, 1)
    running = np.cumsum(np.concatenate([[0], (kinds & _LETTER > 0) + ((kinds & _DIGIT > 0).astype(np.int64) << 32)]))
    totals = running[ends] - running[starts]
    letters, digits = totals & 0xFFFFFFFF, totals >> 32
    small = kinds[stops - 1] & _SMALL > 0
    plain = (word >= _SHORTEST_WORD) & (closed <= _MOST_CLOSING)
    plain &= ((letters == word) & small) | ((digits == word) & (opened == 0))
    twice = closed == _MOST_CLOSING
    plain[twice] &= codes[ends[twice] - 1] != codes[ends[twice] - 2]
    plain |= letters == lengths
    special = _special_words()
    for place in np.flatnonzero(plain & (opened + closed == 0)).tolist():
        if chunks[place] in special:
            plain[place] = False
    marked = np.flatnonzero(plain & (opened + closed > 0))
    for place, start, size in zip(marked.tolist(), opened[marked].tolist(), word[marked].tolist(), strict=True):
        chunk = chunks[place]
        if chunk[start : start + size] in special or chunk[start + size :] in special:
            plain[place] = False
    return plain, opened, word, closed


@lru_cache(maxsize=1)
def _special_words() -> frozenset[str]:
    """What no special case consists of but for marks around it: a chunk of another word is none, nor any part of it."""
    cases = english_tokenizer().special_cases
    without = {case[1:] for case in cases if case[0] in _OPENING}
    return frozenset(cases) | {case.rstrip(_CLOSING) for case in (*cases, *without)} - {""}


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """Of each code point up to the last that counts, and of one beyond, what it is in a plain chunk; uint8."""
    of = dict.fromkeys(string.ascii_lowercase, _LETTER | _SMALL)
    of |= dict.fromkeys(string.ascii_uppercase, _LETTER) | dict.fromkeys(string.digits, _DIGIT)
    for chars, bit in ((_OPENING, _OPENS), (_CLOSING, _CLOSES)):
        for char in chars:
            of[char] = of.get(char, 0) | bit
    kinds = np.zeros(max(map(ord, of)) + 2, dtype=np.uint8)
    for char, kind in of.items():
        kinds[ord(char)] = kind
    return kinds


@lru_cache(maxsize=1)
def _lowered() -> np.ndarray:
    """Of each byte of ASCII that is part of a word, its small form; 0 of others; uint8 [256]."""
    table = np.zeros(256, dtype=np.uint8)
    for char in string.ascii_letters + string.digits + "_":
        table[ord(char)] = ord(char.lower())
    return table
