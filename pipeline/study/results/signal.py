"""What a metric can tell about models of a study's size: its signal, its noise, and the decisions one may base on it.

In: runs with what they were scored by. Out: a row a metric.

- Noise is how far runs of one recipe spread over seeds, pooled over the arms; signal how far the arms' means spread,
  less what that noise alone would spread them (Heineman et al. 2025, "Signal and Noise", whose signal is the largest
  difference of two models and whose noise that of a run's last checkpoints).
- Noise of checkpoints is how far a run's last `LAST_CHECKPOINTS` scores lie from a straight line through them, pooled
  over runs (the noise of Heineman et al.; the line takes away what training still gained between them). It needs no
  second seed, and says how much of a difference is where a run happened to stop.
- Verdicts are the study's own in bits per byte: arms whose difference from their reference, or from each other, is
  significant. A metric reproduces one where its own difference of the means has the sign that says the same; a
  difference of nothing reproduces nothing.
- Decisions are two recipes put in order by one short (or small) run of each, right where the long (or large) runs' mean
  bits per byte put them in that order (decision accuracy, Magnusson et al. 2025, "DataDecide"). Recipes whose long runs
  are not significantly apart are no decision to be right about.

A metric is kept by a rule that names no result: its signal is at least `LEAST_RATIO` of its noise.

Where a study has ladders, each rung has rows of its own: what a longer run or a larger model gains is no difference of
recipes, and would be signal in every metric.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.study.results.effects import SIGNIFICANT
from pipeline.study.results.results import Results, difference, ends
from pipeline.study.results.run_result import FINISHED, POOLED

LEAST_RATIO: Final = 1.0
LAST_CHECKPOINTS: Final = 5
"""Of each run, as many or those there are; at least three tell a spread from a line."""
BITS: Final = "bits per byte"
ALL_TEXT: Final = "all held-out text"
Ladders = Sequence[Sequence[Sequence[str]]]
"""Each several rungs, the lowest first; a rung is the arms of the same recipes in the same order."""
_LESS_IS_BETTER: Final = ("bits_per_byte", "perplexity", "loss")
_NO_SCORES: Final = "items"


@dataclass(frozen=True)
class Measure:
    """One metric over a study's runs."""

    group: str
    """What it is of: a benchmark, a suite, or held-out text."""
    metric: str
    values: Mapping[str, Mapping[int, float]]
    """By arm and seed."""
    higher_is_better: bool = True
    items: int | None = None
    """How many of its items a run was scored on, the fewest; none where that is not known."""
    courses: Mapping[tuple[str, int], Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Of each run, by arm and seed, that was scored at several checkpoints: (tokens, value), in order."""

    @property
    def name(self) -> str:
        return f"{self.group} {self.metric}"

    def of(self, arms: Collection[str]) -> Measure:
        """The same of these arms alone."""
        values = {arm: seeds for arm, seeds in self.values.items() if arm in arms}
        courses = {run: course for run, course in self.courses.items() if run[0] in arms}
        return replace(self, values=values, courses=courses)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    right: int
    of: int

    def __str__(self) -> str:
        return f"{self.right}/{self.of}" if self.of else "-"

    @property
    def value(self) -> float | None:
        return self.right / self.of if self.of else None


@dataclass(frozen=True)
class Signal:
    """What a metric can tell."""

    group: str
    metric: str
    arms: int
    runs: int
    mean: float
    noise: float | None
    """Standard deviation over seeds, pooled; none without two seeds of one arm."""
    checkpoint_noise: float | None
    """Standard deviation of runs' last checkpoints about a line, pooled; none where no run has three."""
    signal: float | None
    """Standard deviation of the arms' means without the noise in them; none with fewer than two arms."""
    verdicts: Share
    """Of the arms that differ from their reference in bits per byte, how many differ in the same sense by this."""
    pairs: Share
    """The same of all pairs of arms that differ in bits per byte."""
    decisions: Share
    """Single runs of a lower rung, this one or where it is the highest any, that put two recipes in the order of the
    highest rung's bits per byte."""
    rung: int = 0
    """0: the highest rungs and what is on no ladder."""
    tokens: int = 0
    """Of its runs, the middle one's."""
    items: int | None = None
    least_parameters: int = 0
    most_parameters: int = 0
    """Of the models it was measured on."""

    @property
    def ratio(self) -> float | None:
        """Signal to noise; infinite where nothing but the recipe moves it, none where nothing does."""
        if self.signal is None or self.noise is None:
            return None
        return self.signal / self.noise if self.noise else (math.inf if self.signal else None)

    @property
    def told_apart(self) -> float | None:
        """The smallest difference of two arms' means over three seeds that is twice its standard error."""
        return None if self.noise is None else 2 * math.sqrt(2 / 3) * self.noise

    @property
    def kept(self) -> bool:
        """Whether it has as much signal as noise."""
        return self.ratio is not None and self.ratio >= LEAST_RATIO


def measures(results: Results, scores: Iterable[Mapping[str, Any]] = ()) -> list[Measure]:
    """Every metric that finished runs were scored by, bits per byte of all held-out text first.

    scores: rows of `scores.csv`, what suites said of runs that kept their weights.
    """
    values: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    less: dict[tuple[str, str], bool] = {}
    courses: dict[tuple[str, str], dict[tuple[str, int], list[tuple[float, float]]]] = {}
    items: dict[tuple[str, str], int] = {}

    def add(
        group: str, metric: str, arm: str, seed: int, value: float, less_is_better: bool, count: float | None = None
    ) -> None:
        key = (group, metric)
        values.setdefault(key, {}).setdefault(arm, {})[seed] = value
        less[key] = less_is_better
        if count:
            items[key] = min(items.get(key, int(count)), int(count))

    finished = [run for run in results.runs if run.state == FINISHED]
    for run in finished:
        for corpus, value in run.scores.items():
            group = ALL_TEXT if corpus == POOLED else corpus
            add(group, BITS, run.arm, run.seed, value, True)
            courses.setdefault((group, BITS), {})[run.arm, run.seed] = [*run.curves.get(corpus, ())]
        for name, value in run.benchmarks.items():
            task, _, metric = name.partition(":")
            if metric != _NO_SCORES:
                count = run.benchmarks.get(f"{task}:{_NO_SCORES}")
                add(task, metric, run.arm, run.seed, value, metric.endswith(_LESS_IS_BETTER), count)
    known = {(run.arm, run.seed): run.tokens for run in finished}
    for row in scores:
        run_of = (row["arm"], int(row["seed"]))
        if run_of in known:
            on_the_way = row.get("checkpoint")
            course = courses.setdefault((row["task"], row["metric"]), {}).setdefault(run_of, [])
            course.append((float(on_the_way or known[run_of]), float(row["value"])))
            if on_the_way:
                continue
            less_is_better = str(row["higher_is_better"]) != "True"
            add(row["task"], row["metric"], *run_of, float(row["value"]), less_is_better, float(row.get("count") or 0))
    found = [
        Measure(
            *key, arms, not less[key], items.get(key), {of: sorted(one) for of, one in courses.get(key, {}).items()}
        )
        for key, arms in values.items()
    ]
    return sorted(found, key=lambda item: (item.metric != BITS, item.group != ALL_TEXT))


def signals(results: Results, found: Sequence[Measure], ladders: Ladders = ()) -> list[Signal]:
    """A row a metric for each rung that it was measured on, those of the highest rungs first."""
    verdicts, pairs = list(_verdicts(results)), list(_pairs(results))
    rows = []
    for rung, (arms, upwards) in enumerate(_rungs(results, ladders)):
        for measure in found:
            of_rung = measure.of(arms)
            if of_rung.values:
                decisions = _decisions(results, measure, upwards)
                rows.append(replace(_signal(results, of_rung, verdicts, pairs, decisions), rung=rung))
    return rows


def _rungs(results: Results, ladders: Ladders) -> Iterator[tuple[Collection[str], Ladders]]:
    """The arms that are compared with each other, and the ladders on which they decide. Those beside the lower rungs
    have their references with them, which may stand on one: a study's baseline is also where its ladder begins."""
    arms = results.design.arms
    lower = {arm for *below, _ in ladders for rung in below for arm in rung}
    highest = {arm for *_, rung in ladders for arm in rung}
    beside = {name for name in arms if name in highest or name not in lower}
    references = {arms[name].against for name in beside}
    yield [name for name in arms if name in beside or name in references], ladders
    for *below, top in ladders:
        for rung in below:
            yield rung, [[rung, top]]


Decided = tuple[str, str, float]
"""Two arms and the first minus the second in bits per byte, which is significant."""


def _verdicts(results: Results) -> Iterator[Decided]:
    design = results.design
    for name, arm in design.arms.items():
        if name != arm.against and (decided := _decided(results, name, arm.against)) is not None:
            yield decided


def _pairs(results: Results) -> Iterator[Decided]:
    arms = [name for name in results.design.arms if results.finished(name)]
    for one, other in itertools.combinations(arms, 2):
        if (decided := _decided(results, one, other)) is not None:
            yield decided


def _decided(results: Results, one: str, other: str) -> Decided | None:
    sides = (ends(results.finished(name), POOLED) for name in (one, other))
    found = difference(*sides, together=results.design.alike(one, other))
    if found is None or found.p is None or found.values < 2 or found.p >= SIGNIFICANT:
        return None
    return one, other, found.mean


def _signal(
    results: Results,
    measure: Measure,
    verdicts: Sequence[Decided],
    pairs: Sequence[Decided],
    decisions: Share,
) -> Signal:
    groups = {arm: list(seeds.values()) for arm, seeds in measure.values.items()}
    noise = pooled_deviation(list(groups.values()))
    runs = [
        run for arm, seeds in measure.values.items() for seed, run in results.finished(arm).items() if seed in seeds
    ]
    return Signal(
        measure.group,
        measure.metric,
        arms=len(groups),
        runs=sum(map(len, groups.values())),
        mean=statistics.fmean(value for group in groups.values() for value in group),
        noise=noise,
        checkpoint_noise=spread_about_lines(course[-LAST_CHECKPOINTS:] for course in measure.courses.values()),
        signal=_spread(list(groups.values()), noise),
        verdicts=_reproduced(measure, verdicts),
        pairs=_reproduced(measure, pairs),
        decisions=decisions,
        tokens=statistics.median_low(run.tokens for run in runs),
        items=measure.items,
        least_parameters=min(run.parameters for run in runs),
        most_parameters=max(run.parameters for run in runs),
    )


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float | None:
    """The root of the mean variance within groups, each weighted by its degrees of freedom; none without two values of
    one group."""
    squares = math.fsum(statistics.variance(group) * (len(group) - 1) for group in groups if len(group) > 1)
    freedom = sum(len(group) - 1 for group in groups)
    return math.sqrt(squares / freedom) if freedom else None


def spread_about_lines(courses: Iterable[Sequence[tuple[float, float]]]) -> float | None:
    """The root of the mean squared distance of values from the least-squares line of their own course, each course
    weighted by its degrees of freedom; none where no course has three points at different places."""
    squares, freedom = [], 0
    for course in courses:
        if len({at for at, _ in course}) > 2:
            places, values = zip(*course, strict=True)
            line = statistics.linear_regression(places, values)
            squares += [(value - line.intercept - line.slope * at) ** 2 for at, value in course]
            freedom += len(course) - 2
    return math.sqrt(math.fsum(squares) / freedom) if freedom else None


def _spread(groups: Sequence[Sequence[float]], noise: float | None) -> float | None:
    """Standard deviation of the groups' means less what the noise of each mean adds to it."""
    if len(groups) < 2 or noise is None:
        return None
    of_means = statistics.variance([statistics.fmean(group) for group in groups])
    of_noise = statistics.fmean(noise**2 / len(group) for group in groups)
    return math.sqrt(max(0.0, of_means - of_noise))


def _reproduced(measure: Measure, decided: Sequence[Decided]) -> Share:
    means = {arm: statistics.fmean(seeds.values()) for arm, seeds in measure.values.items()}
    asked = [(one, other, bits) for one, other, bits in decided if one in means and other in means]
    return Share(sum(_worse(measure, means[one] - means[other]) * bits > 0 for one, other, bits in asked), len(asked))


def _worse(measure: Measure, gap: float) -> float:
    """A difference in the sense of bits per byte, where more is worse."""
    return -gap if measure.higher_is_better else gap


def _decisions(results: Results, measure: Measure, ladders: Ladders) -> Share:
    right = of = 0
    for *lower, highest in ladders:
        for (i, one), (j, other) in itertools.combinations(enumerate(highest), 2):
            decided = _decided(results, one, other)
            for rung in lower if decided is not None else ():
                sides = (measure.values.get(rung[place], {}).values() for place in (i, j))
                for a, b in itertools.product(*sides):
                    right += decided is not None and _worse(measure, a - b) * decided[2] > 0
                    of += 1
    return Share(right, of)
