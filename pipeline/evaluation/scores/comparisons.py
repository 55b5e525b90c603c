"""What stands beside a score in the scorecard: each thing it is compared with is a function, found through one table.

In: a score, and everything known that it could be set against. Out: `Comparison`s, each saying whether it is within
noise. Another thing to compare with is a function here and its name in `BESIDE`: tables and pages give a column to
whatever there is. The scorecard's content moves with it, so `SCORECARD_VERSION` moves too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.baselines import Baseline, Baselines
from pipeline.evaluation.scores.noise import judge, within_noise
from pipeline.evaluation.scores.paired import Scored

EARLIER: Final = "earlier"


@dataclass(frozen=True)
class Comparison:
    """Another number for the same thing."""

    name: str
    kind: str
    """`chance`, `compressor`, `published` or `earlier`."""
    value: float
    better: bool
    """This model is better, whether or not by more than noise."""
    within_noise: bool | None
    """None where no standard error is known on either side, or the number was taken in another way."""
    stderr: float | None = None
    source: str = ""
    comparable: bool = True
    why_not: str = ""
    """Why it is not comparable, in a few words."""
    noise: float | None = None
    """One standard error of the difference, where it was worked out item by item."""


@dataclass(frozen=True)
class Known:
    """What the scores of one suite can be set against."""

    suite: str
    scored: Scored
    """This model's."""
    earlier: Mapping[str, Mapping[str, Scored]]
    """Suites of each earlier model, by the name people know it by."""
    baselines: Baselines


def chance_of(score: Score, known: Known) -> float | None:
    """What guessing gives, for a share of right answers of a task where that is known."""
    if score.metric not in ("acc", "acc_norm"):
        return None
    details = known.scored.result.details
    own = details.chance(score.task)
    return known.baselines.chance.get(details.benchmark(score.task)) if own is None else own


def guessing(score: Score, known: Known) -> Iterator[Comparison]:
    """What chance gives on a task."""
    chance = chance_of(score, known)
    if chance is not None:
        yield _against(score, "guessing", "chance", chance)


def yardsticks(score: Score, known: Known) -> Iterator[Comparison]:
    """What the suite itself measured on the same text, such as compressors."""
    for name, value in known.scored.result.details.yardsticks(score.task).items():
        yield _against(score, name, "compressor", value)


def earlier_models(score: Score, known: Known) -> Iterator[Comparison]:
    """Earlier models on the very same items."""
    for label, suites in known.earlier.items():
        other = suites.get(known.suite)
        match = next((item for item in other.result.scores if item.name == score.name), None) if other else None
        if other is not None and match is not None:
            verdict = judge(score, match, known.scored, other)
            if verdict.comparable:
                yield dataclasses.replace(
                    _against(score, label, EARLIER, match.value, stderr=match.stderr),
                    within_noise=verdict.within_noise,
                    noise=verdict.noise,
                )


def published(score: Score, known: Known) -> Iterator[Comparison]:
    """Numbers from papers and model cards, also those that were taken in another way."""
    differs = known.scored.result.details.unlike_published(score.task)
    for item in known.baselines.of(known.scored.result.details.benchmark(score.task), score.metric):
        yield _against(
            *(score, item.model, "published", item.value),
            stderr=item.stderr,
            source=item.source,
            why_not=differs or _taken_otherwise(score, item),
        )


BESIDE: Final[tuple[Callable[[Score, Known], Iterator[Comparison]], ...]] = (
    guessing,
    yardsticks,
    earlier_models,
    published,
)
"""In the order they are shown."""


def comparisons(score: Score, known: Known) -> tuple[Comparison, ...]:
    """All that stands beside a score."""
    return tuple(item for compared in BESIDE for item in compared(score, known))


def _taken_otherwise(score: Score, item: Baseline) -> str:
    """Why a published score is of something else than ours; empty where it is not."""
    if not item.comparable:
        return "taken otherwise"
    if item.count is not None and item.count != score.count:
        return f"of {item.count:,} items, this one of {score.count:,}"
    if score.shots is not None and item.shots != score.shots:
        return f"with {item.shots} shots, this one with {score.shots}"
    return ""


def _against(
    score: Score,
    name: str,
    kind: str,
    value: float,
    *,
    stderr: float | None = None,
    source: str = "",
    why_not: str = "",
) -> Comparison:
    difference = score.value - value
    return Comparison(
        name=name,
        kind=kind,
        value=value,
        better=difference > 0 if score.higher_is_better else difference < 0,
        within_noise=None if why_not else within_noise(difference, score.stderr, stderr),
        stderr=stderr,
        source=source,
        comparable=not why_not,
        why_not=why_not,
    )
