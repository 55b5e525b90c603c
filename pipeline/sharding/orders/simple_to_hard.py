"""The order `simple_to_hard`: steps of rising reading grade, each of about as many documents, shuffled inside.

A document without a grade (other languages than English) keeps its key, so that such documents are spread evenly over
all steps. Where a step ends is worked out from a count of the stage's documents by grade, before any is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.steps import Bins, in_steps
from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described

GRADES: Final = Bins(least=-5.0, width=0.02, number=2048, digits=2)
"""Reading grades are counted from -5 to 36."""


@dataclass(frozen=True)
class SimpleToHard(Order):
    """Documents by reading grade, in the order of their keys within a step."""

    name = "simple_to_hard"
    bins = GRADES.number

    grade_edges: tuple[float, ...]
    """Where one step ends and the next begins, rising."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        return GRADES.of(documents.grades)

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        """Edges that divide the stage's graded documents into `grade_steps` steps of about the same number."""
        if not counts.sum():
            raise ShardError(
                f"schedule: stage {stage.name!r} goes from simple to hard, but none of its documents has a reading "
                "grade (English documents do); set its order to shuffled"
            )
        return cls(GRADES.edges(counts, stage.grade_steps))

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        return in_steps(sort_keys, documents.grades[chosen], self.grade_edges)
