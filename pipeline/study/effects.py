"""What each arm is worth: its runs beside its reference's, seed by seed, at equal tokens, FLOPs and time.

In: runs and, for equal time, every arm's speed on a quiet machine. Out: an `Effect` an arm, and the answers to the
study's questions. Differences are arm minus reference in bits per byte: below zero is better.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.study.settings import StudySettings
from pipeline.study.statistics import Curve, Interval, at_common_cost, cost_to_reach, paired
from pipeline.study.tables import FINISHED, POOLED, Run


@dataclass(frozen=True)
class Effect:
    """An arm against its reference. An interval is none where there is nothing to compare."""

    arm: str
    idea: int
    title: str
    against: str
    seeds: int
    """Finished runs."""
    diverged: int
    parameters: int
    flops: float
    """Of a run."""
    tokens_per_second: float | None
    bits_per_byte: float | None
    """Mean at the end."""
    at_end: Interval | None
    """Of the whole sample, both as they end, wherever that is."""
    equal_tokens: Interval | None
    """Of the whole sample at the end, or of the curves at the smaller number of tokens (of bytes of text, where the
    tokenizers differ)."""
    equal_flops: Interval | None
    equal_time: Interval | None
    corpora: Mapping[str, Interval]
    """As `equal_tokens`, by corpus, where both end at equal tokens."""
    reach: Mapping[int, float]
    """By seed, the share of the reference's tokens after which the arm is as good as the reference at its end."""

    @property
    def verdict(self) -> str:
        """In words, from the interval at the end alone: there, and only there, both schedules have come to theirs."""
        if self.diverged:
            return f"diverged in {self.diverged} of {self.diverged + self.seeds} runs"
        if self.at_end is None or self.at_end.values < 2:
            return "too few seeds"
        if self.at_end.high < 0:
            return "helps"
        if self.at_end.low > 0:
            return "hurts"
        return "no difference seen" if self.at_end.values > 2 else "too few seeds"


def effects(runs: Sequence[Run], speed: Mapping[str, float], study: StudySettings) -> list[Effect]:
    """An effect for every arm with runs, but for the baseline, in the study's order."""
    arms = by_arm(runs)
    return [
        effect(arms[name], arms.get(study.arms[name].against or study.baseline, []), speed)
        for name in study.arms
        if name in arms and name != study.baseline
    ]


def effect(runs: Sequence[Run], reference: Sequence[Run], speed: Mapping[str, float]) -> Effect:
    """One arm's runs beside its reference's."""
    mine, theirs = _by_seed(runs), _by_seed(reference)
    first = runs[0]
    ends = [run.scores[POOLED] for run in mine.values()]
    rates = (speed.get(first.arm), speed.get(reference[0].arm) if reference else None)
    corpora = {}
    if _same_tokens(mine, theirs):
        names = [name for name in next(iter(mine.values())).scores if name != POOLED]
        found = {name: paired(_ends(mine, name), _ends(theirs, name)) for name in names}
        corpora = {name: item for name, item in found.items() if item is not None}
    return Effect(
        arm=first.arm,
        idea=first.idea,
        title=first.title,
        against=reference[0].arm if reference else first.against,
        seeds=len(mine),
        diverged=len(runs) - len(mine),
        parameters=first.parameters,
        flops=first.flops_per_token * first.tokens,
        tokens_per_second=rates[0],
        bits_per_byte=statistics.fmean(ends) if ends else None,
        at_end=paired(_ends(mine, POOLED), _ends(theirs, POOLED)),
        equal_tokens=_at_equal_tokens(mine, theirs),
        equal_flops=_at_equal(mine, theirs, lambda run: run.flops_per_token),
        equal_time=_at_equal_time(mine, theirs, *rates),
        corpora=corpora,
        reach=reach(mine, theirs),
    )


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs grouped by arm."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.arm, []).append(run)
    return found


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
    """By seed, the share of the reference's tokens after which the arm's curve is at the reference's end; infinite
    where it never is."""
    shares = {}
    for seed in sorted(mine.keys() & theirs.keys()):
        last, target = theirs[seed].curve[-1]
        cost = cost_to_reach(mine[seed].curve, target)
        shares[seed] = float("inf") if cost is None else cost / last
    return shares


def seed_runs(runs: Sequence[Run], arm: str) -> dict[int, Run]:
    """The finished runs of an arm by seed."""
    return _by_seed([run for run in runs if run.arm == arm])


def _by_seed(runs: Sequence[Run]) -> dict[int, Run]:
    return {run.seed: run for run in runs if run.state == FINISHED}


def _ends(runs: Mapping[int, Run], corpus: str) -> dict[int, float]:
    return {seed: run.scores[corpus] for seed, run in runs.items()}


def _same_tokens(mine: Mapping[int, Run], theirs: Mapping[int, Run]) -> bool:
    """Whether both arms end after as much text: the same tokens of one tokenizer, or bytes to 2%."""
    common = mine.keys() & theirs.keys()
    return bool(common) and all(
        mine[seed].tokens == theirs[seed].tokens
        if mine[seed].vocab_size == theirs[seed].vocab_size
        else abs(_text(mine[seed]) / _text(theirs[seed]) - 1) < 0.02
        for seed in common
    )


def _text(run: Run) -> float:
    return run.tokens * run.bytes_per_token


def _at_equal_tokens(mine: Mapping[int, Run], theirs: Mapping[int, Run]) -> Interval | None:
    if _same_tokens(mine, theirs):
        return paired(_ends(mine, POOLED), _ends(theirs, POOLED))
    sizes = {run.vocab_size for run in (*mine.values(), *theirs.values())}
    return _at_equal(mine, theirs, lambda run: run.bytes_per_token if len(sizes) > 1 else 1.0)


def _at_equal(mine: Mapping[int, Run], theirs: Mapping[int, Run], price: Callable[[Run], float]) -> Interval | None:
    """The interval with both curves read at a common cost; `price` is what a token costs a run."""

    def costs(runs: Mapping[int, Run]) -> dict[int, Curve]:
        return {seed: [(tokens * price(run), value) for tokens, value in run.curve] for seed, run in runs.items()}

    return paired(*at_common_cost(costs(mine), costs(theirs)))


def _at_equal_time(
    mine: Mapping[int, Run], theirs: Mapping[int, Run], my_rate: float | None, their_rate: float | None
) -> Interval | None:
    if not my_rate or not their_rate:
        return None
    own = set(map(id, mine.values()))
    return _at_equal(mine, theirs, lambda run: 1 / (my_rate if id(run) in own else their_rate))
