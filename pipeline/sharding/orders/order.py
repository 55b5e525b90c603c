"""What an order is: in which sequence a stage's documents are read.

In: a stage's settings, a count of the documents that the stage takes, and documents' sort keys. Out: other sort keys.
An order is a frozen dataclass whose fields are what the schedule settles on, so that every document finds its place by
itself: they are written into `schedule.json` beside the order's name, and enter the fingerprint of the epoch's shards.

What always holds: sort keys come in uniformly distributed over uint64 and should go out nearly so, for the shuffle
divides its work by ranges of keys; documents of equal keys are read in the order of their ids.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from pipeline.sharding.settings import StageSettings
from pipeline.tokenization.corpus_tokens.store import Described


@dataclass(frozen=True)
class Order:
    """The base of all orders: it needs to know nothing, and leaves the keys as they are."""

    name: ClassVar[str]
    """As in a stage's `order:`."""
    bins: ClassVar[int] = 0
    """Bins in which the schedule counts documents for this order; 0 where it needs no count."""
    beside: ClassVar[str] = ""
    """Name of the numbers of documents (`pipeline.sharding.beside`) that it takes as `Described.beside`, if it does."""

    @classmethod
    def bins_of(cls, documents: Described) -> np.ndarray:
        """The bin of each document, int64 [n]; -1 for those that are not counted. Asked only where there are bins."""
        return np.full(len(documents.lengths), -1, dtype=np.int64)

    @classmethod
    def settle(cls, stage: StageSettings, counts: np.ndarray) -> Self:
        """The order of one stage. counts: its documents by bin, repeats included, float64 [bins].

        Raises `ShardError` for a stage whose documents cannot be put in this order.
        """
        return cls()

    def arrange(self, sort_keys: np.ndarray, documents: Described, chosen: np.ndarray) -> np.ndarray:
        """The sort keys (uint64 [m]) that put documents in this order.

        sort_keys: a uniform permutation's, uint64 [m]; chosen: which of `documents` each key is of, int64 [m].
        """
        return sort_keys

    def to_json(self) -> dict[str, Any]:
        """As it stands in a stage of `schedule.json`."""
        return {"order": self.name} | asdict(self)

    @classmethod
    def from_json(cls, stage: dict[str, Any]) -> Self:
        """The inverse of `to_json`, from a stage of `schedule.json`. Raises KeyError where a field is missing."""
        values = {field.name: stage[field.name] for field in fields(cls)}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
