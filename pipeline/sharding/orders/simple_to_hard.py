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
from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described

GRADE_MIN: Final = -5.0
GRADE_STEP: Final = 0.02
GRADE_BINS: Final = 2048
"""Reading grades are counted from -5 to 36; what lies outside counts at the ends."""


@dataclass(frozen=True)
class SimpleToHard(Order):
    """Documents by reading grade, in the order of their keys within a step."""

    name = "simple_to_hard"
    bins = GRADE_BINS

    grade_edges: tuple[float, ...]
    """Where one step ends and the next begins, rising."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        with_grade = ~np.isnan(documents.grades)
        bins = np.full(len(with_grade), -1, dtype=np.int64)
        bins[with_grade] = np.clip((documents.grades[with_grade] - GRADE_MIN) // GRADE_STEP, 0, GRADE_BINS - 1)
        return bins

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        """Edges that divide the stage's graded documents into `grade_steps` steps of about the same number."""
        sums = np.cumsum(counts)
        if not sums[-1]:
            raise ShardError(
                f"schedule: stage {stage.name!r} goes from simple to hard, but none of its documents has a reading "
                "grade (English documents do); set its order to shuffled"
            )
        wanted = sums[-1] * np.arange(1, stage.grade_steps) / stage.grade_steps
        return cls(tuple(round(GRADE_MIN + GRADE_STEP * (int(i) + 1), 2) for i in np.searchsorted(sums, wanted)))

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        grades, count = documents.grades[chosen], len(self.grade_edges) + 1
        steps = np.searchsorted(self.grade_edges, grades, side="right").astype(np.uint64)
        width = np.uint64((1 << 64) // count)
        return np.where(np.isnan(grades), sort_keys, steps * width + sort_keys // np.uint64(count))
