"""Blank-separated chunks of text, analysed once and looked up ever after.

Few chunks of a text are new, so a chunk gets a number on its first look-up, and what is counted of it (a `View`: the
strings it is cut into and their features) is worked out for all new chunks of a batch at once, in numpy. After that a
text is an array of chunk numbers. Nothing that is looked up depends on what was looked up before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, Self, TypeAlias

import numpy as np

from pipeline.curation.text.cutting import cut_texts
from pipeline.curation.text.spelling import Columns, stretches

_LIMIT: Final = 400_000
"""Chunks remembered before starting afresh: about 150 MB."""
_PART: Final = 50_000
"""Chunks counted together, whole texts: numpy on arrays that a processor's cache holds is several times as fast."""

Analysis: TypeAlias = Callable[[Sequence[str]], tuple[Columns, np.ndarray]]
"""Of chunks: features of all strings they are cut into, one after the other, and how many each has, int64 [C]."""


class View:
    """What chunks are cut into, tokens or words: `counts[n]` features from `columns[c][starts[n]]` on of chunk n."""

    def __init__(self, analyse: Analysis) -> None:
        self._analyse = analyse
        columns, counts = analyse([])
        self._columns = tuple(map(_Growing, columns))
        self._counts, self._starts = _Growing(counts), _Growing(counts)

    def expand(self, chunks: Sequence[str], numbers: np.ndarray) -> tuple[Columns, np.ndarray]:
        """Features of what the chunks `numbers` (int64 [C]) are cut into, and the chunks' offsets, int64 [C + 1]."""
        self._learn(chunks[len(self._counts.values) :])
        offsets = np.concatenate([[0], np.cumsum(self._counts.values[numbers])])
        places = stretches(self._starts.values[numbers], offsets)
        return tuple(column.values.take(places) for column in self._columns), offsets

    def _learn(self, chunks: Sequence[str]) -> None:
        if not chunks:
            return
        new, counts = self._analyse(chunks)
        self._starts.extend(len(self._columns[0].values) + np.cumsum(counts) - counts)
        self._counts.extend(counts)
        for column, values in zip(self._columns, new, strict=True):
            column.extend(values)


class _Growing:
    """An array that grows at its end, with room for more, so that it is not copied whenever it does."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = self._room = values

    def extend(self, more: np.ndarray) -> None:
        """Append values."""
        size = len(self.values)
        if size + len(more) > len(self._room):
            self._room = np.empty(max(2 * size, size + len(more)), dtype=self.values.dtype)
            self._room[:size] = self.values
        self.values = self._room[: size + len(more)]
        self.values[size:] = more


class ChunkTable:
    """The number of each chunk that was met, with a view of its tokens and one of its plain words."""

    def __init__(self, tokens: Analysis, words: Analysis) -> None:
        self._numbers: dict[str, int] = {}
        self.chunks: list[str] = []
        self.tokens = View(tokens)
        self.words = View(words)

    def number(self, chunks: list[str]) -> np.ndarray:
        """The numbers of chunks that differ from each other, int64 [C]."""
        numbers = np.fromiter(map(self._numbers.get, chunks, repeat(-1)), dtype=np.int64, count=len(chunks))
        places = np.flatnonzero(numbers < 0)
        new = [chunks[place] for place in places.tolist()]
        known = len(self.chunks)
        numbers[places] = np.arange(known, known + len(new))
        self._numbers.update(zip(new, range(known, known + len(new)), strict=True))
        self.chunks += new
        return numbers

    @property
    def full(self) -> bool:
        """Whether it is time to start afresh."""
        return len(self.chunks) > _LIMIT


@dataclass(frozen=True, slots=True)
class Chunked:
    """N texts, L lines in all, as chunk numbers: text i has chunks [offsets[i], offsets[i + 1])."""

    table: ChunkTable
    numbers: np.ndarray
    """int64 [C]"""
    offsets: np.ndarray
    """int64 [N + 1]"""
    line_offsets: np.ndarray
    """int64 [L + 1], of the chunks of lines, as `str.splitlines` cuts them"""
    text_lines: np.ndarray
    """int64 [N + 1]: text i has lines [text_lines[i], text_lines[i + 1])"""

    def parts(self) -> Iterator[tuple[int, int, Self]]:
        """Runs of texts [start, stop) with their chunks: so few that what is counted of them stays in a cache."""
        start = 0
        while start < len(self.offsets) - 1:
            reached = int(np.searchsorted(self.offsets, self.offsets[start] + _PART, side="right")) - 1
            stop = max(reached, start + 1)
            first, last = self.offsets[start], self.offsets[stop]
            lines = self.text_lines[start : stop + 1]
            yield (
                start,
                stop,
                replace(
                    self,
                    numbers=self.numbers[first:last],
                    offsets=self.offsets[start : stop + 1] - first,
                    line_offsets=self.line_offsets[lines[0] : lines[-1] + 1] - first,
                    text_lines=lines - lines[0],
                ),
            )
            start = stop

    def tokens(self) -> tuple[Columns, np.ndarray]:
        """Features of all tokens (`token_features`) and the offsets of the chunks in them, int64 [C + 1]."""
        return self.table.tokens.expand(self.table.chunks, self.numbers)

    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all plain words, uint64, and the offsets of the texts in them, int64 [N + 1]."""
        (hashes,), offsets = self.table.words.expand(self.table.chunks, self.numbers)
        return hashes, offsets[self.offsets]


def chunk_texts(texts: Sequence[str], table: ChunkTable) -> Chunked:
    """Number the chunks of texts."""
    return chunk_encoded([text.encode("utf-8", errors="surrogatepass") for text in texts], table)


def chunk_encoded(texts: Sequence[bytes], table: ChunkTable) -> Chunked:
    """The same of texts in UTF-8."""
    numbers = [np.empty(0, dtype=np.int64)]
    ends, lines, text_lines = ([np.zeros(1, dtype=np.int64)] for _ in range(3))
    for cut in cut_texts(texts):
        numbers.append(table.number(cut.distinct)[cut.which])
        for offsets, more in ((ends, cut.text_chunks), (lines, cut.line_chunks), (text_lines, cut.text_lines)):
            offsets.append(offsets[-1][-1] + more[1:])
    return Chunked(table, *map(np.concatenate, (numbers, ends, lines, text_lines)))
