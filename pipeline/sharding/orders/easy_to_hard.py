"""The order `easy_to_hard`: steps of rising loss of a small model, each of about as many documents, shuffled inside.

The loss is in bits a byte, by a model of n-grams that has not seen the document (`pipeline.sharding.losses`). It knows
of no language and no grade: what is easy is what is like much of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.sharding.losses.build import LOSS
from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.steps import Bins, in_steps
from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described

LOSSES: Final = Bins(least=0.0, width=0.005, number=2048, digits=3)
"""Bits a byte, to 10."""


@dataclass(frozen=True)
class EasyToHard(Order):
    """Documents by their loss, in the order of their keys within a step."""

    name = "easy_to_hard"
    bins = LOSSES.number
    beside = LOSS

    loss_edges: tuple[float, ...]
    """Where one step ends and the next begins, bits a byte, rising."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        return LOSSES.of(_values(documents))

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        if not counts.sum():
            raise ShardError(f"schedule: no document of stage {stage.name!r}, which goes from easy to hard, has a loss")
        return cls(LOSSES.edges(counts, stage.grade_steps))

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        return in_steps(sort_keys, _values(documents)[chosen], self.loss_edges)


def _values(documents: Described) -> np.ndarray:
    return documents.beside if documents.beside is not None else np.full(len(documents.lengths), np.nan)
