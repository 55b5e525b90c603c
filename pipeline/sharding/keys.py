"""Keyed hashes of documents: the permutation of every epoch and the selection of fractions, from ids alone.

In: document ids and small integers. Out: uint64 keys. Sorting by key is the permutation; it depends on no library's
random generator, on no input order and on no number of workers, so anyone can compute it again.

The key is a chain of splitmix64 (Steele, Lea & Flood 2014) over (id64, seed, epoch, stage, corpus, copy). It is a chain
because XOR of all values before one hash gave two epochs the same keys for sequential ids.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.base.ids import chain, name64

FRACTION_BITS: Final = 16
FRACTIONS: Final = 1 << FRACTION_BITS
"""A corpus's documents fall into this many fractions by hash; schedules take intervals of fractions."""

_SELECT: Final = 0x53454C454354  # "SELECT": keeps the selection's chain apart from the permutation's


def fractions(ids64: np.ndarray, seed: int, corpus: str) -> np.ndarray:
    """The fraction (0 to 65,535) each document falls into; the same in every epoch, so that intervals tile."""
    return (chain(ids64, _SELECT, seed, name64(corpus)) >> np.uint64(64 - FRACTION_BITS)).astype(np.int64)


def keys(ids64: np.ndarray, seed: int, epoch: int, stage: int, corpus: str, copies: np.ndarray) -> np.ndarray:
    """Sort keys of documents (uint64) in a stage of an epoch; `copies` tells copies of a document apart."""
    return chain(ids64, seed, epoch, stage, name64(corpus), copies.astype(np.uint64))
