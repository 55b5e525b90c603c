"""Steps of a rising value, each of about as many documents: the arithmetic of every order from easy to hard.

In: a value for each document, counts of a stage's documents by bins of that value, and sort keys. Out: the edges
between steps, worked out before any document is sorted, and sort keys that put the steps behind each other, shuffled
inside. A document without a value (NaN) keeps its key, so that such documents are spread evenly over all steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bins(NamedTuple):
    """Equal bins of a value; what lies outside counts at the ends."""

    least: float
    width: float
    number: int
    digits: int
    """Decimal places of an edge."""

    def of(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value (float64 [n]), int64 [n]; -1 for NaN."""
        there = ~np.isnan(values)
        bins = np.full(len(values), -1, dtype=np.int64)
        bins[there] = np.clip((values[there] - self.least) // self.width, 0, self.number - 1)
        return bins

    def edges(self, counts: np.ndarray, steps: int) -> tuple[float, ...]:
        """Where one step ends and the next begins, rising, so that each has about as many of the documents that the
        bins count (float64 [number], not all 0)."""
        sums = np.cumsum(counts)
        wanted = sums[-1] * np.arange(1, steps) / steps
        places = np.searchsorted(sums, wanted)
        return tuple(round(self.least + self.width * (int(place) + 1), self.digits) for place in places)


def in_steps(sort_keys: np.ndarray, values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The sort keys (uint64 [m]) that put documents of these values (float64 [m]) in the order of their steps.

    sort_keys: a uniform permutation's, uint64 [m].
    """
    count = len(edges) + 1
    steps = np.searchsorted(edges, values, side="right").astype(np.uint64)
    width = np.uint64((1 << 64) // count)
    return np.where(np.isnan(values), sort_keys, steps * width + sort_keys // np.uint64(count))
