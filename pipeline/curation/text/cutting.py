"""Texts cut at their blanks and line ends, on UTF-8 bytes: numpy finds the cuts, Arrow numbers what lies between.

In: texts. Out: the chunks that `str.split` gives and the lines that `str.splitlines` gives, as numbers and offsets;
only chunks that differ become Python strings. Texts are taken a block at a time, so that what is made of their bytes
stays in a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.arrow import from_numbers, numbers

_BLOCK: Final = 2 << 20
"""Bytes of text taken together, whole texts."""
_BLANK, _LINE_END = 1, 2
_WIDEST: Final = 0x3000
"""The last blank of Unicode."""


@dataclass(frozen=True, slots=True)
class Cut:
    """N texts with L lines and C chunks in all."""

    distinct: list[str]
    """Chunks, each once, in the order of their first occurrence."""
    which: np.ndarray
    """int64 [C], the place of each chunk among `distinct`"""
    text_chunks: np.ndarray
    """int64 [N + 1]: text i has chunks [text_chunks[i], text_chunks[i + 1])"""
    line_chunks: np.ndarray
    """int64 [L + 1], the same of lines"""
    text_lines: np.ndarray
    """int64 [N + 1]: text i has lines [text_lines[i], text_lines[i + 1])"""


def cut_texts(texts: Iterable[bytes]) -> Iterator[Cut]:
    """Cut texts in UTF-8, a block of them after the other."""
    block: list[bytes] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text) + 1
        if size >= _BLOCK:
            yield _cut(block)
            block, size = [], 0
    if block:
        yield _cut(block)


def _cut(texts: list[bytes]) -> Cut:
    offsets = np.concatenate([[0], np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)) + 1)])
    return cut_bytes(np.frombuffer(b"\n".join(texts) + b"\n", dtype=np.uint8), offsets)


def cut_bytes(data: np.ndarray, offsets: np.ndarray) -> Cut:
    """Cut N texts in UTF-8 (uint8 [B]), each with a line end behind it, where they begin and the last ends (int64
    [N + 1]). Of the line end `kinds` says nothing where it would end an empty line."""
    kinds = _kinds(data)
    added = offsets[1:] - 1
    needless = (added == offsets[:-1]) | (kinds[added - 1] == _LINE_END)
    kinds[added[needless]] = _BLANK
    written = kinds == 0
    edges = np.flatnonzero(written[1:] != written[:-1]) + 1
    if written[0]:
        edges = np.concatenate([[0], edges])
    starts, stops = edges[::2], edges[1::2]
    line_ends = np.flatnonzero(kinds == _LINE_END)
    distinct, which = _numbered(data[written], stops - starts)
    return Cut(
        distinct,
        which,
        np.searchsorted(starts, offsets),
        np.concatenate([[0], np.searchsorted(starts, line_ends)]),
        np.searchsorted(line_ends, offsets),
    )


def _numbered(data: np.ndarray, lengths: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The distinct strings among C that lie one after the other, and which one each is, int64 [C]."""
    if not len(lengths):
        return [], np.empty(0, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    encoded = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lengths), buffers).dictionary_encode()
    every = pa.LargeListArray.from_arrays(from_numbers(np.array([0, len(encoded.dictionary)])), encoded.dictionary)
    joined: bytes = pc.binary_join(every, pa.scalar(b"\n", pa.large_binary()))[0].as_py()
    which = numbers(encoded.indices).astype(np.int64)
    return joined.decode("utf-8", errors="surrogatepass").split("\n"), which


def _kinds(data: np.ndarray) -> np.ndarray:
    """Of each byte of UTF-8 text: 0, `_BLANK`, or `_LINE_END` where it is the last of a line's end; uint8 [B]."""
    of_byte, of_two, of_three = _tables()
    kinds = of_byte[data]
    returns = np.flatnonzero(data == ord("\r"))
    kinds[returns[data[returns + 1] == ord("\n")]] = _BLANK
    for lead, table in of_two.items():
        places = np.flatnonzero(data == lead)
        _mark(kinds, places, table[data[places + 1] & 63], 2)
    for lead, table in of_three.items():
        places = np.flatnonzero(data == lead)
        _mark(kinds, places, table[data[places + 1] & 63, data[places + 2] & 63], 3)
    return kinds


def _mark(kinds: np.ndarray, places: np.ndarray, found: np.ndarray, size: int) -> None:
    """Mark the characters of `size` bytes that begin at some of these places."""
    blank = found > 0
    if not blank.any():
        return
    places, found = places[blank], found[blank]
    for byte in range(size - 1):
        kinds[places + byte] = _BLANK
    kinds[places + size - 1] = found


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Kinds of characters of one byte; of two bytes, by the first, at the second's last six bits; and of three."""
    of_byte = np.zeros(256, dtype=np.uint8)
    of_two: dict[int, np.ndarray] = {}
    of_three: dict[int, np.ndarray] = {}
    for char in map(chr, range(_WIDEST + 1)):
        if char.isspace():
            kind = _LINE_END if len(f"a{char}b".splitlines()) > 1 else _BLANK
            first, *rest = char.encode()
            if not rest:
                of_byte[first] = kind
            elif len(rest) == 1:
                of_two.setdefault(first, np.zeros(64, dtype=np.uint8))[rest[0] & 63] = kind
            else:
                of_three.setdefault(first, np.zeros((64, 64), dtype=np.uint8))[rest[0] & 63, rest[1] & 63] = kind
    return of_byte, of_two, of_three
