"""Do effects seen on small models carry over to larger ones?

Each rung of a ladder is a size; on each, the same recipes are set beside that rung's own baseline. Between two rungs,
Spearman's rank correlation (Spearman 1904, ties at their mean rank) says whether the recipes keep their order.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field, field_validator

from pipeline.study.questions.base import QuestionSettings
from pipeline.study.results.intervals import Interval, shown
from pipeline.study.results.results import Results


class Ladder(QuestionSettings):
    """What each of several recipes is worth on every rung of a ladder of sizes, and what holds of each verdict."""

    kind: Literal["ladder"] = "ladder"
    rungs: tuple[tuple[str, ...], ...] = Field(min_length=2)
    """The lowest first. A rung's first arm is its baseline, the others the recipes, in the same order on every rung;
    those of the lowest name them."""

    @field_validator("rungs")
    @classmethod
    def _same_recipes(cls, rungs: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        if len({len(rung) for rung in rungs}) > 1 or len(rungs[0]) < 3:
            raise ValueError("give every rung a baseline and the arms of the same recipes, two at least")
        return rungs

    def arms(self) -> Iterator[tuple[str, str]]:
        yield from (("rungs", name) for rung in self.rungs for name in rung)

    def answer(self, results: Results) -> str | None:
        """A table of effects, with the rank correlation between neighbouring rungs; none before two rungs have a
        baseline and a recipe that ran. What has not run is a dash."""
        ran = [rung for rung in self.rungs if results.finished(rung[0]) and any(map(results.finished, rung[1:]))]
        if len(ran) < 2:
            return None
        baselines = [next(iter(results.finished(rung[0]).values())) for rung in ran]
        sizes = [f"{run.parameters / 1e6:.2f}M" for run in baselines]
        effects = [[results.end_difference(arm, rung[0]) for arm in rung[1:]] for rung in ran]
        lines = [f"Up the ladder: {_kept(sizes, effects)}", ""]
        lines += [f"  | recipe | {' | '.join(sizes)} | verdict |", f"  |{'---|' * (len(sizes) + 2)}"]
        for name, *recipe in zip(self.rungs[0][1:], *effects, strict=True):
            lines.append(f"  | `{name}` | {' | '.join(map(shown, recipe))} | {verdict(recipe)} |")
        return "\n".join(lines)


def verdict(effects: Sequence[Interval | None]) -> str:
    """What holds, up the ladder, of an effect seen on its lowest rung: by the sign of each interval that leaves out
    zero."""
    signs = [_sign(effect) for effect in effects if effect is not None]
    if len(signs) < 2:
        return "too few sizes"
    first, last, seen = signs[0], signs[-1], set(signs) - {0}
    if len(seen) > 1:
        return "reverses"
    if not seen:
        return "no difference seen at any size"
    word = "helps" if seen == {-1} else "hurts"
    if all(signs):
        return f"{word} at every size"
    if first and not last:
        return f"{word} on the lowest rung, not seen on the highest"
    return f"{word} on the highest rung, not seen on every one" if last else f"{word} on a rung between alone"


def _sign(effect: Interval) -> int:
    if effect.low <= 0 <= effect.high:
        return 0
    return 1 if effect.mean > 0 else -1


def _kept(sizes: Sequence[str], effects: Sequence[Sequence[Interval | None]]) -> str:
    said = []
    for (small, of_small), (large, of_large) in itertools.pairwise(zip(sizes, effects, strict=True)):
        both = [(a.mean, b.mean) for a, b in zip(of_small, of_large, strict=True) if a and b]
        correlation = rank_correlation(*zip(*both, strict=True)) if both else None
        told = "has none" if correlation is None else f"is {correlation:+.2f}"
        said.append(f"from {small} to {large} parameters the rank correlation of {len(both)} effects {told}")
    return "; ".join(said) + "."


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation, in [-1, 1]; none where it is not defined, as all of one side are equal."""
    ranks = [_ranks(side) for side in (one, other)]
    if len(one) < 2 or any(len(set(side)) == 1 for side in ranks):
        return None
    return statistics.correlation(*ranks)


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
