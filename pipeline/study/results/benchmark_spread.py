"""What benchmarks can tell apart at this size: how far runs of one recipe spread, beside what recipes differ by.

In: runs with scores of multiple-choice items. Out: a row a benchmark and metric: the share of right answers, and where
runs have them the bits per byte of the right answers and their margin over the likeliest wrong ones. The spread over
seeds is pooled over the arms (the root of the mean variance within an arm); a spread that chance alone would give a
share is that of so many fair draws of an item.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.study.results.intervals import Interval
from pipeline.study.results.results import Results, by_arm, by_seed, difference
from pipeline.study.results.run_result import FINISHED
from pipeline.study.results.runs_table import Run
from pipeline.study.results.signal import pooled_deviation

ITEMS: Final = "items"
BY_LENGTH: Final = "acc_norm"
WITHOUT_LENGTH: Final = ("copa", "winogrande", "boolq")
"""Tasks of which lm-eval reports `acc` alone."""
OF_ANSWERS: Final = ("answer_bits_per_byte", "answer_margin")
SEEDS: Final = 3
"""An arm of fewer is not named as the lowest or highest where others have as many."""


@dataclass(frozen=True)
class Spread:
    """One benchmark over all runs by one metric."""

    task: str
    metric: str
    items: int
    mean: float
    """Over all runs."""
    over_seeds: float | None
    """Standard deviation within an arm, pooled; none without two seeds of one arm."""
    by_chance: float | None
    """One standard error of a share of so many items; none for other metrics."""
    lowest: tuple[str, float]
    """The arm of three seeds with the lowest mean, and that mean."""
    highest: tuple[str, float]
    difference: Interval | None
    """The arm asked about minus its reference, on these items."""

    @property
    def told_apart(self) -> float | None:
        """The smallest difference of two arms' means over three seeds that is twice its standard error."""
        return None if self.over_seeds is None else 2 * math.sqrt(2 / 3) * self.over_seeds

    @property
    def tells_apart(self) -> bool:
        """Whether the two arms asked about differ by more than that, and by their own runs."""
        gap, least = self.difference, self.told_apart
        return gap is not None and least is not None and abs(gap.mean) > least and gap.low * gap.high > 0


def spreads(results: Results) -> list[Spread]:
    """A row for every benchmark and metric that runs were scored by; its difference is of the study's recipe and its
    baseline."""
    scored = [run for run in results.runs if run.state == FINISHED and run.benchmarks]
    known = {key for run in scored for key in run.benchmarks}
    rows = []
    for task in sorted({key.partition(":")[0] for key in known}):
        metrics = ("acc" if task in WITHOUT_LENGTH else BY_LENGTH, *OF_ANSWERS)
        rows += [_spread(results, task, metric, scored) for metric in metrics if f"{task}:{metric}" in known]
    return rows


def _spread(results: Results, task: str, metric: str, runs: Sequence[Run]) -> Spread:
    design = results.design
    key = f"{task}:{metric}"
    groups = by_arm([run for run in runs if key in run.benchmarks])
    arms = {name: [run.benchmarks[key] for run in group] for name, group in groups.items()}
    most = max(map(len, arms.values()))
    means = {name: statistics.fmean(values) for name, values in arms.items() if len(values) >= min(most, SEEDS)}
    mean = statistics.fmean(value for values in arms.values() for value in values)
    items = int(next(iter(groups.values()))[0].benchmarks[f"{task}:{ITEMS}"])
    apart = None
    if design.recipe is not None:
        sides = (by_seed(groups.get(name, [])) for name in (design.recipe, design.baseline))
        shares = [{seed: run.benchmarks[key] for seed, run in side.items()} for side in sides]
        apart = difference(*shares, together=design.alike(design.recipe, design.baseline))
    return Spread(
        task,
        metric,
        items,
        mean,
        pooled_deviation(list(arms.values())),
        None if metric in OF_ANSWERS else math.sqrt(mean * (1 - mean) / items),
        min(means.items(), key=lambda item: item[1]),
        max(means.items(), key=lambda item: item[1]),
        apart,
    )


def bits_spread(runs: Sequence[Run], score: str) -> tuple[float, float] | None:
    """Standard deviation of a score in bits per byte within an arm: pooled over all arms, which one unstable arm can
    carry, and that of the arm in the middle. None without two seeds of one arm."""
    arms = by_arm([run for run in runs if run.state == FINISHED])
    groups = [[run.scores[score] for run in group] for group in arms.values()]
    pooled = pooled_deviation(groups)
    if pooled is None:
        return None
    return pooled, statistics.median(statistics.stdev(group) for group in groups if len(group) > 1)
