"""Hashes of plain words straight from the text's bytes, with no Python object a word, for most words are of ASCII.

In: texts. Out: the hash of every word that `segments.words_of` finds, as `spelling.word_features` has it, in order. A
word's hash is a polynomial in `GAMMA` over its mixed characters. Of ASCII, running sums over a segment of text, each
character times a power of the base's inverse, give that of every word: the difference of two sums, times a power of the
base. A stretch between blanks that holds anything else is looked up in a table of chunks.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np

from pipeline.base.ids import splitmix64
from pipeline.curation.text.byte_words import powers_of
from pipeline.curation.text.chunks import ChunkTable, chunk_encoded
from pipeline.curation.text.cutting import cut_bytes
from pipeline.curation.text.spelling import stretches

_TOGETHER: Final = 2 << 20
"""Bytes of text whose words other than ASCII are looked up at once, whole texts."""
_SEGMENT: Final = 1 << 16
"""Bytes worked on at a time, cut at a blank: what is made of them stays in a processor's cache."""
_LONGEST: Final = 1 << 20
"""A segment without a blank that is longer is looked up as it is: sums over it would take tables as long."""
_MOSTLY_ASCII: Final = 1.1
"""Bytes a character up to which it is worth looking at words of ASCII by themselves."""
_BLANK, _WORD = 1, 2


def hash_words(texts: Sequence[str], table: ChunkTable) -> tuple[np.ndarray, np.ndarray]:
    """Hashes (uint64 [W]) of the plain words of N texts, one after the other, and the texts' offsets in them, int64
    [N + 1]. table: gives the words of what is no ASCII."""
    encoded = [text.encode("utf-8", errors="surrogatepass") for text in texts]
    pairs = zip(texts, encoded, strict=True)
    direct = np.array([len(data) <= _MOSTLY_ASCII * len(text) for text, data in pairs], dtype=bool)
    rows = np.flatnonzero(direct), np.flatnonzero(~direct)
    found = _hashed([encoded[row] for row in rows[0].tolist()], table), _all_looked_up(encoded, rows[1], table)
    counts = np.zeros(len(texts), dtype=np.int64)
    for group, (_, ends) in zip(rows, found, strict=True):
        counts[group] = np.diff(ends)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if not len(rows[1]):
        return found[0][0], offsets
    hashes = np.empty(offsets[-1], dtype=np.uint64)
    for group, (values, ends) in zip(rows, found, strict=True):
        hashes[stretches(offsets[group], ends)] = values
    return hashes, offsets


def _all_looked_up(texts: Sequence[bytes], rows: np.ndarray, table: ChunkTable) -> tuple[np.ndarray, np.ndarray]:
    """What `hash_words` gives of some rows of texts, by the table alone."""
    return chunk_encoded([texts[row] for row in rows.tolist()], table).words()


def _hashed(texts: Sequence[bytes], table: ChunkTable) -> tuple[np.ndarray, np.ndarray]:
    """The same of texts most of which is ASCII."""
    hashes, ends = [np.empty(0, dtype=np.uint64)], [np.zeros(1, dtype=np.int64)]
    for joined, offsets in _joined(texts):
        some, starts = _of_joined(joined, table)
        hashes.append(some)
        ends.append(ends[-1][-1] + np.searchsorted(starts, offsets[1:]))
    return np.concatenate(hashes), np.concatenate(ends)


def _joined(texts: Sequence[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
    """Some texts after the other, a line end behind each, and where they begin and the last ends."""
    some: list[bytes] = []
    ends = [0]
    for text in texts:
        some.append(text)
        ends.append(ends[-1] + len(text) + 1)
        if ends[-1] >= _TOGETHER:
            yield b"\n".join(some) + b"\n", np.array(ends)
            some, ends = [], [0]
    if some:
        yield b"\n".join(some) + b"\n", np.array(ends)


def _of_joined(joined: bytes, table: ChunkTable) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of all words, and for each a place in the text not after it and after the word before, int64 [W]."""
    data = np.frombuffer(joined, dtype=np.uint8)
    kinds = np.frombuffer(joined.translate(_kinds()), dtype=np.uint8)
    hashes, starts = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    other_starts, other_stops = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for start, stop in _segments(joined):
        segment, kind = data[start:stop], kinds[start:stop]
        if stop - start > _LONGEST:
            first, last = np.array([0]), np.array([stop - start - 1])
        else:
            first, last = _not_ascii(segment, kind)
            some, at = _ascii_words(segment, kind, first, last)
            hashes.append(some)
            starts.append(start + at)
        other_starts.append(start + first)
        other_stops.append(start + last)
    words, places = np.concatenate(hashes), np.concatenate(starts)
    first, last = np.concatenate(other_starts), np.concatenate(other_stops)
    if not len(first):
        return words, places
    others, counts = _looked_up(data, first, last, table)
    at = np.searchsorted(places, first)  # how many words of ASCII are before each stretch
    before = np.repeat(at, counts)
    return np.insert(words, before, others), np.insert(places, before, np.repeat(first, counts))


def _segments(joined: bytes) -> Iterator[tuple[int, int]]:
    """Where segments begin and end, with a blank or a line end as the last byte; in one that is longer than `_SEGMENT`
    no line ends before that."""
    start = 0
    while start < len(joined):
        stop = len(joined)
        if stop - start > _SEGMENT:
            near = start + _SEGMENT
            before = max(joined.rfind(b" ", start, near), joined.rfind(b"\n", start, near))
            stop = (before + 1) or (joined.find(b"\n", near) + 1)
        yield start, stop
        start = stop


def _not_ascii(segment: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretches without blanks of ASCII that hold other characters: where they begin, and the blanks behind them."""
    high = np.flatnonzero(segment >= 0x80)
    if not len(high):
        return high, high
    blanks = np.flatnonzero(kind == _BLANK)
    behind = np.searchsorted(blanks, high)
    behind = behind[np.diff(behind, prepend=-1) > 0]
    return np.where(behind > 0, blanks[behind - 1] + 1, 0), blanks[behind]


def _ascii_words(
    segment: np.ndarray, kind: np.ndarray, without: np.ndarray, until: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of words of ASCII, and where they begin; none in stretches from `without` to `until`."""
    word = np.zeros(len(segment) + 1, dtype=bool)  # the last byte is a blank, and so ends what precedes the first
    np.equal(kind, _WORD, out=word[1:])
    left_out = stretches(without, np.concatenate([[0], np.cumsum(until - without)]))
    word[1 + left_out] = False
    edges = np.flatnonzero(word[1:] != word[:-1])
    starts, stops = edges[::2], edges[1::2]
    powers, inverses = powers_of(len(segment))
    mixed = _mixed().take(segment)
    mixed *= inverses[: len(segment)]
    sums = np.empty(len(segment) + 1, dtype=np.uint64)
    sums[0] = 0
    np.cumsum(mixed, out=sums[1:])
    return splitmix64((sums[stops] - sums[starts]) * powers[stops - 1]), starts


def _looked_up(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, table: ChunkTable
) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the words of stretches of the text, one after the other, and how many each has."""
    offsets = np.concatenate([[0], np.cumsum(stops - starts + 1)])
    some = data[stretches(starts, offsets)]
    some[offsets[1:] - 1] = ord("\n")
    cut = cut_bytes(some, offsets)
    numbers = table.number(cut.distinct)[cut.which]
    (hashes,), ends = table.words.expand(table.chunks, numbers)
    return hashes, np.diff(ends[cut.text_chunks])


@cache
def _kinds() -> bytes:
    """Of each byte: `_BLANK`, `_WORD`, or 0 for neither."""
    chars = map(chr, range(128))
    return bytes(_WORD if char in _WORDLY else _BLANK * char.isspace() for char in chars) + bytes(128)


@cache
def _mixed() -> np.ndarray:
    """What each byte of a word of ASCII counts for: its small form, mixed; 0 of others; uint64 [256]."""
    lowered = np.array([ord(chr(code).lower()) if chr(code) in _WORDLY else 0 for code in range(256)], dtype=np.uint64)
    return np.where(lowered > 0, splitmix64(lowered), np.uint64(0))


_WORDLY: Final = frozenset(string.ascii_letters + string.digits + "_")
