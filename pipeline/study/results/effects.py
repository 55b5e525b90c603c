"""What each arm is worth: its runs beside its reference's, at the end and at equal tokens, FLOPs and time.

In: runs and, for equal time, every arm's speed on a quiet machine. Out: an `Effect` an arm, and the answers to the
study's questions. Differences are arm minus reference in bits per byte: below zero is better.

All seeds read the same text in the same order; a seed decides the initial weights (and dropout's masks). Runs of one
seed are therefore a pair where both arms begin with the same weights, and are not where the models differ
(`begin_alike`). Which test is used follows from that rule alone, never from the figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.study.results.intervals import Curve, Interval, at_common_cost, cost_to_reach, paired, welch
from pipeline.study.results.runs_table import FINISHED, Run
from pipeline.study.settings import POOLED, StudySettings

SAME_COST: Final = 0.02
"""Ends whose costs differ by less than this share are compared as they are; budgets round to whole batches."""
SAME_WEIGHTS: Final = ("model.dropout",)
"""Settings of the model that leave the initial weights as they are."""


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
        if at_end.high < 0:
            return "helps"
        if at_end.low > 0:
            return "hurts"
        return "no difference seen" if at_end.values > 2 else "too few seeds"


def effects(runs: Sequence[Run], speed: Mapping[str, float], study: StudySettings) -> list[Effect]:
    """An effect for every arm with runs, but for the baseline, in the study's order."""
    arms = by_arm(runs)
    found = []
    for name in study.arms:
        if name in arms and name != study.baseline:
            reference = study.arms[name].against or study.baseline
            together = begin_alike(study, name, reference)
            found.append(effect(arms[name], arms.get(reference, []), speed, together=together))
    return found


def begin_alike(study: StudySettings, arm: str, reference: str) -> bool:
    """Whether runs of one seed begin with the same weights in both arms: the same model and the same vocabulary."""

    def start(name: str) -> tuple[dict[str, object], str | None]:
        changes, data = study.changes(name), study.data_of(name)
        model = {key: value for key, value in changes.items() if key.startswith("model.") and key not in SAME_WEIGHTS}
        return model, study.data[data].tokenizer

    return start(arm) == start(reference)


def effect(runs: Sequence[Run], reference: Sequence[Run], speed: Mapping[str, float], *, together: bool) -> Effect:
    """One arm's runs beside its reference's, seed by seed where they begin alike (`together`)."""
    mine, theirs = _by_seed(runs), _by_seed(reference)
    first = runs[0]
    ends = [run.scores[POOLED] for run in mine.values()]
    rates = (speed.get(first.arm), speed.get(reference[0].arm) if reference else None)
    corpora = [name for name in next(iter(mine.values())).scores if name != POOLED] if mine else []
    return Effect(
        arm=first.arm,
        idea=first.idea,
        title=first.title,
        against=reference[0].arm if reference else first.against,
        seeds=len(mine),
        reference_seeds=len(theirs),
        paired=together,
        diverged=len(runs) - len(mine),
        parameters=first.parameters,
        flops=first.flops_per_token * first.tokens,
        tokens_per_second=rates[0],
        bits_per_byte=statistics.fmean(ends) if ends else None,
        pooled=_differences(mine, theirs, rates, POOLED, together=together),
        corpora={name: _differences(mine, theirs, rates, name, together=together) for name in corpora},
        reach=reach(mine, theirs),
    )


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs grouped by arm."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.arm, []).append(run)
    return found


def difference(mine: Mapping[int, float], theirs: Mapping[int, float], *, together: bool) -> Interval | None:
    """`mine - theirs` by seed: over the pairs where they begin alike, else of two independent samples."""
    if together:
        return paired(mine, theirs)
    return welch(list(mine.values()), list(theirs.values())) if mine and theirs else None


def end_difference(runs: Sequence[Run], study: StudySettings, arm: str, reference: str) -> Interval | None:
    """The pooled difference of two arms at their ends, whatever the study compares them with."""
    sides = (_ends(seed_runs(runs, name), POOLED) for name in (arm, reference))
    return difference(*sides, together=begin_alike(study, arm, reference))


def tuned_baseline(runs: Sequence[Run], study: StudySettings) -> str | None:
    """The arm of `study.tuned` that ends best beside the baseline, over the seeds both have; none before any has run.

    An arm of which a run diverged is not taken.
    """
    arms, baseline = by_arm(runs), _ends(seed_runs(runs, study.baseline), POOLED)
    gains = {
        name: found.mean
        for name in study.tuned
        if all(run.state == FINISHED for run in arms.get(name, []))
        and (found := paired(_ends(seed_runs(runs, name), POOLED), baseline)) is not None
    }
    return min(gains, key=lambda name: gains[name]) if gains else None


def reach(mine: Mapping[int, Run], theirs: Mapping[int, Run]) -> dict[int, float]:
    """By seed, the share of the reference's tokens (of its text, where the tokenizers differ) after which the arm's
    curve is at the best of the reference's ends; infinite where it never is."""
    if not mine or not theirs:
        return {}
    price = _text_price(mine, theirs)
    target = min(run.curve[-1][1] for run in theirs.values())
    last = max(run.tokens * price(run) for run in theirs.values())
    shares = {}
    for seed, run in sorted(mine.items()):
        tokens = cost_to_reach(run.curve, target)
        shares[seed] = float("inf") if tokens is None else tokens * price(run) / last
    return shares


def seed_runs(runs: Sequence[Run], arm: str) -> dict[int, Run]:
    """The finished runs of an arm by seed."""
    return _by_seed([run for run in runs if run.arm == arm])


def _by_seed(runs: Sequence[Run]) -> dict[int, Run]:
    return {run.seed: run for run in runs if run.state == FINISHED}


def _ends(runs: Mapping[int, Run], corpus: str) -> dict[int, float]:
    return {seed: run.scores[corpus] for seed, run in runs.items()}


def _text_price(mine: Mapping[int, Run], theirs: Mapping[int, Run]) -> Callable[[Run], float]:
    """What a token counts at equal tokens: 1, or its bytes of text where the tokenizers differ."""
    sizes = {run.vocab_size for run in (*mine.values(), *theirs.values())}
    return (lambda run: run.bytes_per_token) if len(sizes) > 1 else (lambda run: 1.0)


def _differences(
    mine: Mapping[int, Run],
    theirs: Mapping[int, Run],
    rates: tuple[float | None, float | None],
    corpus: str,
    *,
    together: bool,
) -> Differences:
    if not mine or not theirs:
        return NOTHING

    def at_equal(price: Callable[[Run], float]) -> Interval | None:
        sides = (mine, theirs)
        mine_last, their_last = (max(run.tokens * price(run) for run in side.values()) for side in sides)
        if abs(mine_last / their_last - 1) < SAME_COST:
            return difference(_ends(mine, corpus), _ends(theirs, corpus), together=together)
        curves = [{seed: _priced(run, corpus, price(run)) for seed, run in side.items()} for side in sides]
        return difference(*at_common_cost(*curves), together=together)

    rate_of = {
        side[0].arm: rate for side, rate in zip((list(mine.values()), list(theirs.values())), rates, strict=True)
    }
    return Differences(
        at_end=difference(_ends(mine, corpus), _ends(theirs, corpus), together=together),
        equal_tokens=at_equal(_text_price(mine, theirs)),
        equal_flops=at_equal(lambda run: run.flops_per_token),
        equal_time=at_equal(lambda run: 1 / (rate_of[run.arm] or 1)) if all(rates) else None,
    )


def _priced(run: Run, corpus: str, price: float) -> Curve:
    return [(tokens * price, value) for tokens, value in run.curves.get(corpus, [])]
