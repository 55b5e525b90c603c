"""The order `common_to_rare`: steps of rising rarity, each of about as many documents, shuffled inside.

Rarity is what the vocabulary says of it: tokens a byte. A tokenizer that was trained on the corpora has a token of its
own for every frequent word and spells a rare one, so a text of rare words takes more tokens for as many bytes. It costs
no pass over the tokens. Only documents in one language compare: others take more tokens of an English vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.steps import Bins, in_steps
from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described

RARITIES: Final = Bins(least=0.0, width=0.001, number=2048, digits=3)
"""Tokens a byte, to 2."""


@dataclass(frozen=True)
class CommonToRare(Order):
    """Documents by their tokens a byte, in the order of their keys within a step."""

    name = "common_to_rare"
    bins = RARITIES.number

    rarity_edges: tuple[float, ...]
    """Where one step ends and the next begins, tokens a byte, rising."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        return RARITIES.of(_values(documents))

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        return cls(RARITIES.edges(counts, stage.grade_steps))

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        return in_steps(sort_keys, _values(documents)[chosen], self.rarity_edges)


def _values(documents: Described) -> np.ndarray:
    """Without the token that ends a document, which has no bytes."""
    return (documents.lengths - 1) / np.maximum(documents.sizes, 1)
