"""The order `short_to_long`: steps of rising length in tokens, each of about as many documents, shuffled inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.steps import Bins, in_steps
from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described

LENGTHS: Final = Bins(least=0.0, width=1 / 64, number=2048, digits=6)
"""Base-2 logarithms of lengths, to 2^32 tokens."""


@dataclass(frozen=True)
class ShortToLong(Order):
    """Documents by their length, in the order of their keys within a step."""

    name = "short_to_long"
    bins = LENGTHS.number

    length_edges: tuple[float, ...]
    """Where one step ends and the next begins, base-2 logarithms of tokens, rising."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        return LENGTHS.of(_values(documents))

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        return cls(LENGTHS.edges(counts, stage.grade_steps))

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        return in_steps(sort_keys, _values(documents)[chosen], self.length_edges)


def _values(documents: Described) -> np.ndarray:
    return np.log2(np.maximum(documents.lengths, 1))
