"""Order statistics of scores: ranks, and how far two rankings of the same documents agree.

In: numbers, one a document. Out: ranks, the area under the curve, Spearman's correlation, a cross table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

_FIFTHS: Final = 5
_MOST_RATINGS: Final = 12


@dataclass(frozen=True)
class Agreement:
    """How a model's scores go with those that documents came with."""

    documents: int
    """Documents that have a score of their own."""
    rank_correlation: float | None
    """Spearman's, of documents; none where all are rated or scored the same."""
    ratings: list[dict[str, float]] = field(default_factory=list)
    """A row for each given score, rounded to a whole number: `rating`, `documents`, the `mean` of the model's scores,
    and `fifth_1` to `fifth_5`, the shares of its documents in each fifth of all by the model's score, from the
    lowest."""


def agreement_of(given: np.ndarray, scores: np.ndarray) -> Agreement | None:
    """The agreement of given scores (float [N], NaN where a document has none) with a model's; none without any."""
    there = np.flatnonzero(~np.isnan(given))
    if not len(there):
        return None
    given, scores = given[there].astype(np.float64), scores[there].astype(np.float64)
    places = ranks(scores)
    fifths = np.minimum((places * _FIFTHS / len(places)).astype(np.int64), _FIFTHS - 1)
    correlation = spearman(given, scores)
    return Agreement(
        documents=len(there),
        rank_correlation=None if correlation is None else round(correlation, 5),
        ratings=[_row(rating, given_as, fifths, scores) for rating, given_as in _by_rating(given)],
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, equal values sharing a rank; none where either has one value only."""
    of_first, of_second = ranks(first), ranks(second)
    if not np.ptp(of_first) or not np.ptp(of_second):
        return None
    return float(np.corrcoef(of_first, of_second)[0, 1])


def auc(scores: np.ndarray, good: np.ndarray) -> float:
    """Area under the curve of true over false positives (Mann-Whitney): equal scores count half."""
    count = int(good.sum())
    above = float(ranks(scores)[good].sum()) - count * (count - 1) / 2
    return above / (count * (len(good) - count))


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value from 0, float64 [N]; equal ones share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[which]


def _by_rating(given: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Documents (bool [N]) by their given score, rounded to a whole number as FineWeb-Edu's `int_score`; where that
    would make many rows, as scores of 0 to 100 do, or one, as probabilities may, by equal stretches of it, named by
    their middles."""
    rounded = np.floor(given + 0.5)
    if not 1 < len(np.unique(rounded)) <= _MOST_RATINGS:
        low, high = float(given.min()), float(given.max())
        width = (high - low) / _FIFTHS or 1.0
        rounded = low + (np.clip((given - low) // width, 0, _FIFTHS - 1) + 0.5) * width
    return [(float(value), rounded == value) for value in np.unique(rounded)]


def _row(rating: float, of: np.ndarray, fifths: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    shares = np.bincount(fifths[of], minlength=_FIFTHS) / of.sum()
    row = {"rating": round(rating, 4), "documents": int(of.sum()), "mean": round(float(scores[of].mean()), 5)}
    return row | {f"fifth_{number}": round(float(share), 4) for number, share in enumerate(shares, 1)}
