"""Results item by item: two models side by side on the very same items.

Most of what makes an item hard is the item. So the noise of the difference of two models' scores is that of the
differences item by item, which is far smaller than that of two independent samples. In: the folders of two finished
suites. Out: the difference's standard error and a p-value: McNemar's exact test where every item is right or wrong
(McNemar 1947), else two-sided normal on the paired standard error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.base.parquet import read_table, reading
from pipeline.evaluation.item_values import ItemValues, ratio_stderr
from pipeline.evaluation.results import Score, SuiteResult

if TYPE_CHECKING:
    import numpy as np

SIGNIFICANT: Final = 0.05
"""Differences that chance gives more often than this are within noise."""


@dataclass(frozen=True)
class Paired:
    """The difference of two models on the same items."""

    stderr: float
    """One standard error of the difference, in the score's unit."""
    p_value: float

    @property
    def within_noise(self) -> bool:
        return self.p_value >= SIGNIFICANT


class Scored:
    """A finished suite with its items, read when they are needed."""

    def __init__(self, result: SuiteResult, folder: Path) -> None:
        self.result = result
        self.folder = folder

    def values(self, score: Score) -> ItemValues | None:
        """The items behind a score; none where they are not kept. Raises EvaluationError where they are damaged."""
        with reading(self._path, EvaluationError):
            return self.result.details.values(score, self._items)

    @property
    def _path(self) -> Path:
        return self.folder / self.result.details.items_file

    @cached_property
    def _items(self) -> Mapping[str, list[Any]]:
        if not (self.result.details.items_file and self._path.is_file()):
            return {}
        with reading(self._path, EvaluationError):
            return read_table(self._path).to_pydict()


def same_items(a: ItemValues | None, b: ItemValues | None) -> bool | None:
    """Whether two scores are about the very same items; none where either did not keep them."""
    return None if a is None or b is None else a.keys == b.keys


def paired(a: Score, b: Score, values_a: ItemValues | None, values_b: ItemValues | None) -> Paired | None:
    """How certain the difference of two models' scores is; none where it cannot be worked out item by item, also where
    their items do not give the scores."""
    import numpy as np

    if values_a is None or values_b is None or values_a.keys != values_b.keys or len(values_a.keys) < 2:
        return None
    if not np.array_equal(values_a.weights, values_b.weights):
        return None
    formula = values_a.formula
    for groups in _weightings(values_a):
        ratios = [_ratio(values, groups) for values in (values_a, values_b)]
        if all(
            math.isclose(formula.value(ratio), score.value, rel_tol=1e-6, abs_tol=1e-9)
            for ratio, score in zip(ratios, (a, b), strict=True)
        ):
            error = _difference_error(values_a, values_b, groups)
            stderr = error * formula.slope(sum(ratios) / 2)
            return Paired(stderr, _p_value(values_a, values_b, ratios[1] - ratios[0], error))
    return None


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value of McNemar's test: items that one model alone got right, by a fair coin."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _weightings(values: ItemValues) -> list[np.ndarray]:
    """Each item's group under the two ways in which a group of tasks can be scored: as the mean of all its items, or of
    its tasks' scores. Which one a group's is (`weight_by_size`) is not among lm-eval's results; its score tells."""
    import numpy as np

    as_one = np.zeros_like(values.groups)
    return [as_one] if len(set(values.groups.tolist())) == 1 else [as_one, values.groups]


def _ratio(values: ItemValues, groups: np.ndarray) -> float:
    """sum(amounts) / sum(weights), the mean over groups of it."""
    import numpy as np

    return float(
        np.mean([values.amounts[groups == g].sum() / values.weights[groups == g].sum() for g in np.unique(groups)])
    )


def _difference_error(a: ItemValues, b: ItemValues, groups: np.ndarray) -> float:
    """Standard error of the difference of the two ratios over items drawn at random, the same for both."""
    import numpy as np

    numbers = np.unique(groups)
    errors = [ratio_stderr((b.amounts - a.amounts)[groups == g], a.weights[groups == g]) or 0.0 for g in numbers]
    return math.hypot(*errors) / len(numbers)


def _p_value(a: ItemValues, b: ItemValues, difference: float, error: float) -> float:
    import numpy as np
    from scipy.stats import norm

    both = np.concatenate([a.amounts, b.amounts])
    if np.isin(both, (0.0, 1.0)).all() and (a.weights == 1).all():
        return mcnemar(int((a.amounts > b.amounts).sum()), int((a.amounts < b.amounts).sum()))
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * norm.sf(abs(difference) / error))
