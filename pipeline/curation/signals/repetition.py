"""Gopher's repetition signals over tokens (Rae et al. 2021, table A1), for a whole batch of texts at once.

The definitions are datatrove's: the characters of the most frequent 2-, 3- and 4-gram and of the 5- to 10-grams that
were met before, as shares of the text's characters. Almost no n-gram occurs twice, so a table by the leading
bits of their hashes finds the few places that the exact rules have to look at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pipeline.base.ids import splitmix64
from pipeline.curation.text.words import Tokens

_ODD = np.uint64(0xD6E8FEB86659FD93)
_SLOT_BITS = 17
_SLOT_SHIFT = np.uint64(64 - _SLOT_BITS)
"""A table by leading bits fits a core's cache and spares most values the sorting."""
_TOKENS = 10_000
"""Tokens of some whole texts taken together: enough to keep numpy busy, few enough to sort within a core's cache."""


def repetition(tokens: Tokens, characters: np.ndarray) -> dict[str, np.ndarray]:
    """`top_2gram` … `top_4gram` and `repeated_5gram` … `repeated_10gram`.

    Args:
        tokens: of N texts.
        characters: int64 [N], length of each text.
    """
    starts = [0]
    while starts[-1] < len(characters):
        upto = np.searchsorted(tokens.offsets, tokens.offsets[starts[-1]] + _TOKENS, side="right")
        starts.append(max(starts[-1] + 1, min(int(upto) - 1, len(characters))))
    crowds = _Crowds()
    some = [_repetition(tokens, characters, start, stop, crowds) for start, stop in pairwise(starts)]
    return {name: np.concatenate([values[name] for values in some]) for name in some[0]} if some else {}


def _repetition(
    tokens: Tokens, characters: np.ndarray, start: int, stop: int, crowds: _Crowds
) -> dict[str, np.ndarray]:
    """The same for texts [start, stop)."""
    texts = stop - start
    offsets = tokens.offsets[start : stop + 1] - tokens.offsets[start]
    here = slice(tokens.offsets[start], tokens.offsets[stop])
    length, concatenable, power = tokens.length[here], tokens.concatenable[here], tokens.power[here]
    text_of = np.repeat(np.arange(texts), np.diff(offsets))
    end = offsets[1:][text_of]
    salt = splitmix64(text_of.astype(np.uint64))
    spelled = splitmix64(concatenable)
    before = np.concatenate([[0], np.cumsum(length)])
    size = np.maximum(characters[start:stop], 1)
    result: dict[str, np.ndarray] = {}
    places = np.arange(len(text_of))
    grams = salt * _ODD + spelled
    for n in (2, 3, 4):
        inside = places + n <= end[places]
        places, grams = places[inside], grams[inside] * _ODD
        grams += spelled[places + n - 1]
        crowded = crowds(grams)
        by_value = crowded[_repeated(grams[crowded])]
        result[f"top_{n}gram"] = _most_frequent(places[by_value], grams[by_value], text_of, before, offsets, n) / size
        repeated = np.sort(by_value)
        places, grams = places[repeated], grams[repeated]
    grams = concatenable.copy()
    for n in range(2, 11):
        grams = grams[:-1] * power[n - 1 :]
        grams += concatenable[n - 1 :]
        if n >= 5:  # some of those that are looked at twice span two texts, or are of two texts
            places = crowds(grams)
            places = places[places + n <= end[places]]
            salted = grams[places] ^ salt[places]
            repeated = np.sort(_repeated(salted))
            result[f"repeated_{n}gram"] = (
                _seen_before(places[repeated], salted[repeated], text_of, before, n, texts) / size
            )
    return result


class _Crowds:
    """Finds values that may be equal to another by their leading bits, in tables that are used again and again."""

    def __init__(self) -> None:
        self._last = np.zeros(1 << _SLOT_BITS, dtype=np.int32)
        """By leading bits, the place of a value that has them: read only where it was just written."""
        self._crowded = np.zeros(1 << _SLOT_BITS, dtype=bool)

    def __call__(self, grams: np.ndarray) -> np.ndarray:
        """Places of all values (uint64) that occur more than once, and of few of the others."""
        slots = (grams >> _SLOT_SHIFT).view(np.int64)
        every = np.arange(len(slots), dtype=np.int32)
        self._last[slots] = every
        again = slots[self._last[slots] != every]
        self._crowded[again] = True
        places = np.flatnonzero(self._crowded[slots])
        self._crowded[again] = False
        return places


def _repeated(grams: np.ndarray) -> np.ndarray:
    """Places of the values that occur more than once, equal ones side by side."""
    order = np.argsort(grams)
    same = np.zeros(len(order) + 1, dtype=bool)
    np.equal(grams[order[1:]], grams[order[:-1]], out=same[1:-1])
    return order[same[1:] | same[:-1]]


def _most_frequent(
    places: np.ndarray, grams: np.ndarray, text_of: np.ndarray, before: np.ndarray, offsets: np.ndarray, n: int
) -> np.ndarray:
    """Characters of each text's most frequent n-gram, blanks between its words included, times its count.

    The n-grams that repeat are given with equal ones side by side.
    Of equally frequent ones the first counts; where none repeats, that is the text's first n-gram.
    """
    start = offsets[:-1]
    enough = np.diff(offsets) >= n
    top = np.zeros(len(start), dtype=np.int64)
    top[enough] = (before[start[enough] + n] - before[start[enough]]) + n - 1
    if len(places):
        groups = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]]))
        counts = np.diff(groups, append=len(grams))
        at = np.minimum.reduceat(places, groups)
        order = np.lexsort((at, -counts, text_of[at]))
        texts, best = np.unique(text_of[at[order]], return_index=True)
        chosen = at[order][best]
        top[texts] = (before[chosen + n] - before[chosen] + n - 1) * counts[order][best]
    return top


def _seen_before(
    places: np.ndarray, grams: np.ndarray, text_of: np.ndarray, before: np.ndarray, n: int, texts: int
) -> np.ndarray:
    """Characters of n-grams that were met earlier in their text, reading on after each one found."""
    total = np.zeros(texts, dtype=np.int64)
    seen: set[int] = set()
    allowed = 0
    for place, gram in zip(places.tolist(), grams.tolist(), strict=True):
        if place < allowed:
            continue
        if gram in seen:
            total[text_of[place]] += before[place + n] - before[place]
            allowed = place + n
        else:
            seen.add(gram)
    return total
