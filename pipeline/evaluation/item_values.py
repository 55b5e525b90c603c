"""The items behind one score: what two models' scores are set side by side by.

A score follows from sum(amounts) / sum(weights) over its items by one formula: the share of right answers from ones
and zeros, bits per byte from nats and bytes. Each kind of suite says of which items and by which formula its scores are
made (`Details.values`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Formula:
    """How a score follows from its items' ratio r = sum(amounts) / sum(weights)."""

    value: Callable[[float], float]
    slope: Callable[[float], float]
    """Size of its derivative at r, which carries r's standard error over to the score."""


MEAN: Final = Formula(lambda r: r, lambda r: 1.0)
PERPLEXITY: Final = Formula(lambda r: math.exp(-r), lambda r: math.exp(-r))
"""Of log-likelihoods."""
BITS: Final = Formula(lambda r: -r / math.log(2), lambda r: 1 / math.log(2))
"""Of log-likelihoods."""


@dataclass(frozen=True)
class ItemValues:
    """The items of one score; arrays run over items."""

    keys: tuple[Any, ...]
    """What each item is; two models' values can be paired where these are equal."""
    amounts: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    """Number of the task each item is of, for scores over several tasks."""
    formula: Formula


def item_values(
    keys: Sequence[Any],
    pairs: Sequence[tuple[float, float]],
    formula: Formula = MEAN,
    groups: Sequence[int] | None = None,
) -> ItemValues | None:
    """Values of items given as (amount, weight), of one task where no groups are given; none where there are none."""
    import numpy as np

    if not keys:
        return None
    amounts, weights = np.array(pairs, dtype=np.float64).T
    return ItemValues(tuple(keys), amounts, weights, np.array(groups or [0] * len(keys)), formula)


def item_rows(items: Mapping[str, list[Any]], *columns: str) -> Iterator[tuple[Any, ...]]:
    """Rows of these columns of an items file; none where items are not kept. Raises KeyError for a column that it
    lacks."""
    return zip(*(items[name] for name in columns), strict=True) if items else iter(())


def ratio_stderr(amounts: np.ndarray, weights: np.ndarray) -> float | None:
    """Standard error of sum(amounts) / sum(weights) over items drawn at random (the ratio estimator's linearisation,
    Cochran 1977, section 2.11); none for fewer than two items.
    """
    import numpy as np

    count = len(weights)
    if count < 2:
        return None
    residuals = amounts - amounts.sum() / weights.sum() * weights
    return float(np.sqrt((residuals**2).sum() / (count - 1) * count) / weights.sum())
