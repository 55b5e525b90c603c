"""Words of texts by their bytes: hashed at the speed of memory, with no Python object a word or a document.

For what asks only whether words are the same, such as a quality model. A word is a run of ASCII letters, digits and
bytes beyond ASCII, capitals of ASCII as small letters; a character of Han or kana is a word of its own. That is coarser
than `words.py` (no NFKC, other quotation marks belong to a word), and many times as fast.

A word's hash is a polynomial in an odd base over its mixed bytes, modulo 2^64. Sums over a block of text give that of
every word: what lies between two words counts 0, so a word's is the difference of two sums, times a power of the base's
inverse.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import offsets_of
from pipeline.base.ids import GAMMA, splitmix64

BLOCK: Final = 1 << 16
"""Bytes worked on at a time, whole texts: what is made of them stays in a processor's cache."""
_INVERSE: Final = np.uint64(pow(int(GAMMA), -1, 1 << 64))


def text_bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The texts' UTF-8 as uint8 [B], one after the other, and where each begins, int64 [N + 1]. A view of the array."""
    offsets = offsets_of(texts).astype(np.int64)
    buffer = texts.buffers()[2] if len(texts) else None
    data = np.frombuffer(buffer, dtype=np.uint8) if buffer is not None else np.empty(0, dtype=np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def blocks(offsets: np.ndarray, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Runs of texts [start, stop) of about `size` bytes; a longer text is one by itself."""
    cuts = [0]
    while cuts[-1] < len(offsets) - 1:
        reached = int(np.searchsorted(offsets, offsets[cuts[-1]] + size, side="right")) - 1
        cuts.append(max(reached, cuts[-1] + 1))
    yield from pairwise(cuts)


def hashed_words(texts: pa.Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The words of a block of texts after the other: their hashes (uint64 [W]), and the offsets of each of its texts in
    them, int64 [N + 1]."""
    data, offsets = text_bytes(texts)
    for start, stop in blocks(offsets):
        inside = offsets[start : stop + 1] - offsets[start]
        yield _of_block(data[offsets[start] : offsets[stop]], inside)


def _of_block(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = _starts(data, offsets)
    _, mixed = _tables()
    powers, inverses = powers_of(len(data))
    sums = np.empty(len(data) + 1, dtype=np.uint64)
    sums[0] = 0
    counted = mixed[data]
    counted *= powers[: len(data)]
    np.cumsum(counted, out=sums[1:])
    at = sums[np.append(starts, len(data))]
    return splitmix64((at[1:] - at[:-1]) * inverses[starts]), np.searchsorted(starts, offsets)


def _starts(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Where words begin, int64 [W]."""
    kinds, _ = _tables()
    kind = kinds[data]
    begins = kind > 0
    begins[1:] &= kind[:-1] == 0
    alone = kind == 2
    begins |= alone
    begins[3:] |= alone[:-3] & (kind[3:] > 0)
    firsts = offsets[:-1][np.diff(offsets) > 0]
    begins[firsts] = kind[firsts] > 0
    return np.flatnonzero(begins)


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Of every byte: 0 where it parts words, 2 where it begins a character that is one, 1 otherwise (uint8 [256]); and
    what it counts for in a hash (uint64 [256]), nothing where it parts words."""
    lower = np.array([ord(chr(byte).lower()) if byte < 128 else byte for byte in range(256)], dtype=np.uint64)
    kinds = np.array([byte >= 128 or chr(byte).isalnum() for byte in range(256)], dtype=np.uint8)
    kinds[0xE3:0xEA] = 2
    return kinds, np.where(kinds > 0, splitmix64(lower), np.uint64(0))


def powers_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of the hashes' base and of its inverse modulo 2^64, uint64, at least `count` each."""
    return _powers(max(1, (count - 1) // BLOCK + 1))


@lru_cache(maxsize=2)
def _powers(blocks_: int) -> tuple[np.ndarray, np.ndarray]:
    both = []
    for base in (GAMMA, _INVERSE):
        powers = np.full(blocks_ * BLOCK, base, dtype=np.uint64)
        powers[0] = 1
        both.append(np.cumprod(powers, dtype=np.uint64))
    return both[0], both[1]
