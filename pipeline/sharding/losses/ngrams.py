"""A language model of counts: n-grams of tokens, hashed, smoothed by the shorter ones. What it is for is to say which
text is hard for a small model, at the speed of counting.

In: documents as tokens, of which the last ends the document. Out: tables of counts, and the bits that each document
takes. Documents are divided in two halves by their ids, each of which is scored by the counts of the other: a model
that had counted a document would find whatever is rare in it easy.

The probability of a token after its context is that of a hierarchical Dirichlet model (MacKay & Peto 1995):

    p_n(w | context) = (count(context w) + a p_{n-1}(w | shorter context)) / (count(context) + a)

down to p_1, where every token of the vocabulary was counted once more than it was. Contexts and n-grams share buckets
by their hashes, so a count is at least the true one.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.base.files import whole_path
from pipeline.base.ids import chain, splitmix64
from pipeline.sharding.settings import FEW_TOKENS

TABLES: Final = ("tokens", "grams", "contexts")
HALVES: Final = 2
CONCENTRATION: Final = 4.0
"""a: how many times a context must have been seen to be believed as much as the shorter one."""
_HALF: Final = 0x48414C46  # "HALF": keeps this draw apart from others by the same ids
_START: Final = np.uint64(0x4E4752414D)  # "NGRAM"


class Tokens(NamedTuple):
    """Documents, one after another."""

    values: np.ndarray
    """int64 [T]"""
    offsets: np.ndarray
    """Where each begins, and the end, int64 [D + 1]"""
    halves: np.ndarray
    """0 or 1, int64 [D]"""


def halves_of(ids: np.ndarray) -> np.ndarray:
    """The half that each document is in, by its id (uint64 [D]), int64 [D]."""
    return (chain(ids, _HALF) >> np.uint64(63)).astype(np.int64)


class NgramModel:
    """Counts of both halves: of tokens, exactly, and for every longer n-gram of it and of its context, by hash."""

    digits: ClassVar[int] = 4
    """Of a loss a byte, which other processors agree on."""
    few: ClassVar[int] = FEW_TOKENS
    """Work on fewer tokens ends before other processes have started."""

    def __init__(self, ngram: int, bits: int, vocabulary: int, end: int) -> None:
        """ngram: tokens of the longest n-gram; bits: 2 to the power of this are a table's buckets; end: the token that
        ends a document, which also stands before its first."""
        self.ngram, self.bits, self.vocabulary, self.end = ngram, bits, vocabulary, end
        self.tokens = np.zeros((HALVES, vocabulary), dtype=np.uint64)
        self.grams = np.zeros((HALVES, ngram - 1, 1 << bits), dtype=np.uint32)
        self.contexts = np.zeros((HALVES, ngram - 1, 1 << bits), dtype=np.uint32)

    def count(self, documents: Tokens) -> None:
        """Count documents, each for its half."""
        half = np.repeat(documents.halves, np.diff(documents.offsets))
        np.add.at(self.tokens, (half, documents.values), np.uint64(1))
        for number, (contexts, grams) in enumerate(self._buckets(documents)):
            for one in range(HALVES):
                ours = half == one
                np.add.at(self.contexts[one, number], contexts[ours], np.uint32(1))
                np.add.at(self.grams[one, number], grams[ours], np.uint32(1))

    def bits_of(self, documents: Tokens) -> np.ndarray:
        """The bits that each document takes without the token that ends it, float64 [D], by the other half's counts."""
        other = 1 - np.repeat(documents.halves, np.diff(documents.offsets))
        totals = self.tokens.sum(axis=1).astype(np.float64)
        counted = self.tokens[other, documents.values].astype(np.float64)
        probability = (counted + 1) / (totals[other] + self.vocabulary)
        for number, (contexts, grams) in enumerate(self._buckets(documents)):
            seen = self.contexts[other, number, contexts].astype(np.float64)
            together = np.minimum(self.grams[other, number, grams], seen)
            probability = (together + CONCENTRATION * probability) / (seen + CONCENTRATION)
        bits = -np.log2(probability)
        bits[documents.offsets[1:] - 1] = 0.0
        return np.add.reduceat(bits, documents.offsets[:-1]) if len(documents.halves) else np.empty(0)

    def _buckets(self, documents: Tokens) -> list[tuple[np.ndarray, np.ndarray]]:
        """For n-grams of two tokens and more, the buckets of each token's context and of the context with it."""
        values, offsets, _ = documents
        place = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
        context = np.full(len(values), _START)
        shift = np.uint64(64 - self.bits)
        found = []
        for back in range(1, self.ngram):
            before = np.where(place >= back, np.roll(values, back), self.end).astype(np.uint64)
            context = splitmix64(context ^ before)
            grams = splitmix64(~context ^ values.astype(np.uint64))
            found.append(((context >> shift).astype(np.int64), (grams >> shift).astype(np.int64)))
        return found

    def write(self, folder: Path) -> None:
        """Write the tables, which any number of processes map."""
        for name, path in zip(TABLES, self.files(folder), strict=True):
            with whole_path(path) as unfinished, unfinished.open("wb") as file:
                np.save(file, getattr(self, name))

    @staticmethod
    def files(folder: Path) -> tuple[Path, ...]:
        """What `read` reads."""
        return tuple(folder / f"{name}.npy" for name in TABLES)

    @classmethod
    def read(cls, folder: Path, end: int) -> NgramModel:
        """The model of a folder, mapped. Raises `ShardError` where its files are missing or damaged."""
        model = cls.__new__(cls)
        try:
            for name, path in zip(TABLES, cls.files(folder), strict=True):
                setattr(model, name, np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise ShardError(f"{folder}: no model of n-grams ({error}); materialize the losses again") from None
        model.ngram, model.bits = model.grams.shape[1] + 1, model.grams.shape[2].bit_length() - 1
        model.vocabulary, model.end = model.tokens.shape[1], end
        return model
