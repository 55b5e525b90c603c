"""What each arm is worth: its runs beside its reference's, at the end and at equal tokens, FLOPs and time.

In: the results. Out: an `Effect` an arm. Differences are arm minus reference in bits per byte: below zero is better.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from pipeline.study.results.intervals import Curve, Interval, at_common_cost, holm
from pipeline.study.results.results import Results, by_seed, difference, ends, reach, text_price
from pipeline.study.results.run_result import POOLED
from pipeline.study.results.runs_table import Run

SAME_COST: Final = 0.02
"""Ends whose costs differ by less than this share are compared as they are; budgets round to whole batches."""
SIGNIFICANT: Final = 0.05
ONE_DRAW: Final = "one draw of the text"


class Differences(NamedTuple):
    """An arm minus its reference, of one corpus or of the pooled sample; none where there is nothing to compare."""

    at_end: Interval | None
    """Both as they end, wherever that is."""
    equal_tokens: Interval | None
    """At the end where both end at equal tokens (at equal bytes of text, where the tokenizers differ), else both curves
    at the smaller number. Curves are of a part of the sample."""
    equal_flops: Interval | None
    equal_time: Interval | None


NOTHING: Final = Differences(None, None, None, None)


@dataclass(frozen=True)
class Effect:
    """An arm against its reference."""

    arm: str
    idea: int
    title: str
    against: str
    seeds: int
    """Finished runs."""
    reference_seeds: int
    """Finished runs of the reference."""
    paired: bool
    """Whether runs of one seed begin alike, and are compared with each other."""
    diverged: int
    parameters: int
    flops: float
    """Of a run."""
    tokens_per_second: float | None
    bits_per_byte: float | None
    """Mean over all finished runs at the end."""
    pooled: Differences
    corpora: Mapping[str, Differences]
    reach: Mapping[int, float]
    """By seed, the share of the reference's tokens after which the arm is as good as the reference's best end."""
    one_draw: bool = False
    """Whether it is about a choice or an order of text that was drawn once: its runs do not say how far another draw
    would move it."""
    margin: float = 0.0
    """Bits per byte within which a difference counts as none."""
    holm: float | None = None
    """Its p at the end by Holm's correction over all arms that have one."""

    @property
    def runs_compared(self) -> str:
        """`3` pairs, or `3/5`: three runs against five."""
        if self.paired:
            return str(self.pooled.at_end.values if self.pooled.at_end else 0)
        return f"{self.seeds}/{self.reference_seeds}"

    @property
    def verdict(self) -> str:
        """In words, from the interval at the end alone: there, and only there, both schedules have come to theirs."""
        at_end = self.pooled.at_end
        if self.diverged:
            return f"diverged in {self.diverged} of {self.diverged + self.seeds} runs"
        if at_end is None or at_end.values < 2:
            return "too few seeds"
        if self.one_draw:
            return ONE_DRAW
        within = -self.margin < at_end.low and at_end.high < self.margin
        if at_end.low <= 0 <= at_end.high:
            unseen = "no difference seen" if at_end.values > 2 else "too few seeds"
            return f"equal within {self.margin:g}" if within else unseen
        word = "helps" if at_end.high < 0 else "hurts"
        if within:
            word += f", by less than {self.margin:g}"
        return word if self.holm is None or self.holm < SIGNIFICANT else f"{word}, not after Holm"


def effects(results: Results) -> list[Effect]:
    """An effect for every arm with runs, but for the baseline, in the study's order."""
    design = results.design
    found = [
        replace(
            effect(
                results.by_arm[name],
                results.by_arm.get(arm.against, []),
                results.speed,
                together=design.alike(name, arm.against),
            ),
            one_draw=design.one_draw(name, arm.against),
            margin=design.margin,
        )
        for name, arm in design.arms.items()
        if name in results.by_arm and name != design.baseline
    ]
    alone = {item.arm: item.pooled.at_end.p for item in found if item.pooled.at_end is not None}
    together = holm({arm: p for arm, p in alone.items() if p is not None})
    return [replace(item, holm=together.get(item.arm)) for item in found]


def effect(runs: Sequence[Run], reference: Sequence[Run], speed: Mapping[str, float], *, together: bool) -> Effect:
    """One arm's runs beside its reference's, seed by seed where they begin alike (`together`)."""
    of_arm, of_reference = by_seed(runs), by_seed(reference)
    run = runs[0]
    at_end = list(ends(of_arm, POOLED).values())
    rates = (speed.get(run.arm), speed.get(reference[0].arm) if reference else None)
    corpora = [name for name in next(iter(of_arm.values())).scores if name != POOLED] if of_arm else []
    return Effect(
        arm=run.arm,
        idea=run.idea,
        title=run.title,
        against=reference[0].arm if reference else run.against,
        seeds=len(of_arm),
        reference_seeds=len(of_reference),
        paired=together,
        diverged=len(runs) - len(of_arm),
        parameters=run.parameters,
        flops=run.flops_per_token * run.tokens,
        tokens_per_second=rates[0],
        bits_per_byte=statistics.fmean(at_end) if at_end else None,
        pooled=_differences(of_arm, of_reference, rates, POOLED, together=together),
        corpora={name: _differences(of_arm, of_reference, rates, name, together=together) for name in corpora},
        reach=reach(of_arm, of_reference),
    )


def _differences(
    arm: Mapping[int, Run],
    reference: Mapping[int, Run],
    rates: tuple[float | None, float | None],
    corpus: str,
    *,
    together: bool,
) -> Differences:
    if not arm or not reference:
        return NOTHING

    def at_equal(*prices: Callable[[Run], float]) -> Interval | None:
        """At equal cost; `prices` are what a token costs in either arm."""
        sides = list(zip((arm, reference), prices, strict=True))
        last, last_of_reference = (max(run.tokens * price(run) for run in side.values()) for side, price in sides)
        if abs(last / last_of_reference - 1) < SAME_COST:
            return difference(ends(arm, corpus), ends(reference, corpus), together=together)
        curves = [{seed: _priced(run, corpus, price(run)) for seed, run in side.items()} for side, price in sides]
        return difference(*at_common_cost(*curves), together=together)

    def flops(run: Run) -> float:
        return run.flops_per_token

    times = [lambda _, rate=rate: 1 / rate for rate in rates if rate]
    return Differences(
        at_end=difference(ends(arm, corpus), ends(reference, corpus), together=together),
        equal_tokens=at_equal(*[text_price(arm, reference)] * 2),
        equal_flops=at_equal(flops, flops),
        equal_time=at_equal(*times) if len(times) == 2 else None,
    )


def _priced(run: Run, corpus: str, price: float) -> Curve:
    return [(tokens * price, value) for tokens, value in run.curves.get(corpus, [])]
