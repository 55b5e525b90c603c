"""Texts as hashed word n-grams: what a quality model looks at.

In: texts. Out: for every word the buckets of the n-grams that begin there, in numpy, without a Python object an
n-gram. Words are told apart by their bytes (`pipeline.curation.text.byte_words`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.base.ids import GAMMA, splitmix64
from pipeline.curation.text.byte_words import hashed_words


@dataclass(frozen=True, slots=True)
class Ngrams:
    """N-grams of N texts of W words in all."""

    buckets: np.ndarray
    """uint32 [W, n]: of the 1-gram to the n-gram from each word on; 2**bits where the text ends before."""
    offsets: np.ndarray
    """int64 [N + 1]: text i has the words [offsets[i], offsets[i + 1])."""

    @property
    def counts(self) -> np.ndarray:
        """N-grams of each text, int64 [N]."""
        words = np.diff(self.offsets)
        return sum((np.maximum(words - size, 0) for size in range(self.buckets.shape[1])), np.zeros_like(words))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """The sum of the weights (float [2**bits + 1], the last one 0) of each text's n-grams, float64 [N]."""
        running = np.zeros(len(self.buckets) + 1, dtype=np.float64)
        np.cumsum(sum(weights[column] for column in self.buckets.T), out=running[1:])
        return running[self.offsets[1:]] - running[self.offsets[:-1]]

    def of(self, texts: np.ndarray) -> Ngrams:
        """Some texts (int64 [M]), in the order of their numbers."""
        starts, lengths = self.offsets[texts], np.diff(self.offsets)[texts]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ngrams(self.buckets[rows], offsets)


def ngram_blocks(texts: pa.Array, size: int, bits: int) -> Iterator[Ngrams]:
    """The n-grams of 1 to `size` words of some texts in 2**bits buckets, a block of texts after the other."""
    nothing, shift = 1 << bits, np.uint64(64 - bits)
    for hashes, offsets in hashed_words(texts):
        buckets = np.full((len(hashes), size), nothing, dtype=np.uint32)
        left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(hashes))
        running = hashes
        for place in range(min(size, len(hashes))):
            if place:
                running = running[:-1] * GAMMA + hashes[place:]
            found = (splitmix64(running) >> shift).astype(np.uint32)
            buckets[: len(found), place] = np.where(left[: len(found)] > place, found, nothing)
        yield Ngrams(buckets, offsets)


def ngrams_of(texts: pa.Array, size: int, bits: int) -> Ngrams:
    """The n-grams of all texts."""
    nothing = Ngrams(np.empty((0, size), dtype=np.uint32), np.zeros(1, dtype=np.int64))
    return joined([nothing, *ngram_blocks(texts, size, bits)])


def joined(some: Sequence[Ngrams]) -> Ngrams:
    """The texts of several, one after the other."""
    lengths = np.concatenate([np.diff(each.offsets) for each in some])
    return Ngrams(np.concatenate([each.buckets for each in some]), np.concatenate([[0], np.cumsum(lengths)]))
