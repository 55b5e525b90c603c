"""The study's arithmetic on plain numbers: intervals of differences, and curves read at a common cost.

Of pairs, the interval is Student's over their differences (Student 1908); of two independent samples, Welch's, with
his degrees of freedom rounded down (Welch 1947). Many differences are judged together by Holm's step-down (Holm 1979).
Where two runs end at different costs, both curves are read at the
smaller one, linearly between their points; a point on the way is one of a schedule that has not come to its end.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

Curve = Sequence[tuple[float, float]]
"""(cost, value) with rising cost."""


class Interval(NamedTuple):
    """A mean with its 95% interval; the interval is infinite for a single value."""

    mean: float
    low: float
    high: float
    values: int
    """How many it is of; of two samples, the smaller."""
    p: float | None = None
    """Probability of a mean at least as far from zero where there is no difference; none for a single value."""

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95% interval of independent values, by Student's t. Raises ValueError for none."""
    count = len(values)
    if not count:
        raise ValueError("an interval needs at least one value")
    mean = statistics.fmean(values)
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    return _student(mean, math.sqrt(statistics.variance(values, mean) / count), count - 1, count)


def welch(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Difference of the means of two independent samples with its 95% interval, which is infinite where one of them is
    a single value. Raises ValueError for an empty one."""
    means = [interval(sample).mean for sample in (values, reference)]
    mean, fewest = means[0] - means[1], min(len(values), len(reference))
    if fewest == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    samples = list(zip((values, reference), means, strict=True))
    errors = [statistics.variance(sample, middle) / len(sample) for sample, middle in samples]
    total = math.fsum(errors)
    if total == 0:
        return _student(mean, 0.0, fewest - 1, fewest)
    # divided by the total before squaring, so that tiny errors do not vanish
    weights = math.fsum(
        (error / total) ** 2 / (len(sample) - 1) for error, (sample, _) in zip(errors, samples, strict=True)
    )
    return _student(mean, math.sqrt(total), int(1 / weights + 1e-9), fewest)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p of each of several: below 0.05 where its null hypothesis is rejected and the chance of any
    false rejection among them all is at most 0.05."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for done, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - done) * values[name]))
        adjusted[name] = largest
    return adjusted


def _student(mean: float, error: float, freedom: int, values: int) -> Interval:
    """The interval of a mean with its standard error."""
    from scipy.special import stdtr

    half = _t_975(freedom) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error else float(mean == 0)
    return Interval(mean, mean - half, mean + half, values, p)


@cache
def _t_975(freedom: int) -> float:
    """The 97.5% quantile of Student's t, to the three decimals of printed tables."""
    from scipy.special import stdtrit

    return round(float(stdtrit(freedom, 0.975)), 3)


def paired(values: Mapping[int, float], reference: Mapping[int, float]) -> Interval | None:
    """The interval of `values - reference` over the seeds both have; none where there are none."""
    common = sorted(values.keys() & reference.keys())
    return interval([values[seed] - reference[seed] for seed in common]) if common else None


def at_cost(curve: Curve, cost: float) -> float | None:
    """The curve's value at a cost, linear between its points; none outside them."""
    if not curve or not curve[0][0] <= cost <= curve[-1][0]:
        return None
    # not np.interp, which rounds otherwise: the last digits of tables that are kept would move
    after = bisect_left([x for x, _ in curve], cost)
    if curve[after][0] == cost:
        return curve[after][1]
    (x0, y0), (x1, y1) = curve[after - 1], curve[after]
    return y0 + (y1 - y0) * (cost - x0) / (x1 - x0)


def at_common_cost(
    curves: Mapping[int, Curve], reference: Mapping[int, Curve]
) -> tuple[dict[int, float], dict[int, float]]:
    """Both arms' values, by seed, at the largest cost that all their runs have reached; without those whose curve does
    not begin before it."""
    ends = [curve[-1][0] if curve else 0.0 for side in (curves, reference) for curve in side.values()]
    cost = min(ends, default=0.0)
    sides = [{seed: at_cost(curve, cost) for seed, curve in side.items()} for side in (curves, reference)]
    of_arm, of_reference = ({seed: value for seed, value in side.items() if value is not None} for side in sides)
    return of_arm, of_reference


def cost_to_reach(curve: Curve, target: float) -> float | None:
    """The first cost at which the curve is at or below `target`, linear between points; none where it never is."""
    for number, (x, y) in enumerate(curve):
        if y <= target:
            if number == 0 or y == target:
                return x
            x0, y0 = curve[number - 1]
            return x0 + (x - x0) * (y0 - target) / (y0 - y)
    return None


def shown(difference: Interval | None) -> str:
    """`-0.0123 ± 0.0045`, or the mean alone of a single run."""
    if difference is None:
        return "-"
    spread = f" ± {difference.half:.4f}" if difference.values > 1 else " (one seed)"
    return f"{difference.mean:+.4f}{spread}"
