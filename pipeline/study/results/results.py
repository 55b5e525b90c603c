"""All that has run, with what is compared with what: the one thing that tables, questions and pictures are drawn from.

In: rows of runs, the arms' speeds on a quiet machine, and the study's design. Out: runs by arm, differences of two
arms, and how soon one reaches the other's end. Differences are arm minus reference in bits per byte: below zero is
better.

All seeds read the same text in the same order; a seed decides the initial weights (and dropout's masks). Runs of one
seed are therefore a pair where both arms begin with the same weights, and are not where the models differ
(`Design.alike`). Which test is used follows from that rule alone, never from the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.study.results.design import Design
from pipeline.study.results.intervals import Interval, cost_to_reach, paired, welch
from pipeline.study.results.run_result import FINISHED, POOLED
from pipeline.study.results.runs_table import Run


@dataclass(frozen=True)
class Results:
    """The runs that are there, beside the design."""

    design: Design
    runs: Sequence[Run]
    speed: Mapping[str, float] = field(default_factory=dict)
    """Tokens a second by arm."""

    @cached_property
    def by_arm(self) -> Mapping[str, Sequence[Run]]:
        """Runs of every arm that has any."""
        return by_arm(self.runs)

    def finished(self, arm: str) -> dict[int, Run]:
        """The finished runs of an arm by seed."""
        return by_seed(self.by_arm.get(arm, ()))

    def lost(self, arm: str) -> str:
        """In words, how many of an arm's runs diverged; empty where none did."""
        runs = self.by_arm.get(arm, ())
        count = sum(run.state != FINISHED for run in runs)
        return f"it diverged in {count} of {len(runs)} runs" if count else ""

    def end_difference(self, arm: str, reference: str) -> Interval | None:
        """The pooled difference of two arms at their ends, whatever the study compares them with."""
        sides = (ends(self.finished(name), POOLED) for name in (arm, reference))
        return difference(*sides, together=self.design.alike(arm, reference))

    @cached_property
    def tuned_baseline(self) -> str | None:
        """The arm of `design.tuned` that ends best beside the baseline, over the seeds both have; none before any has
        run. An arm of which a run diverged is not taken."""
        baseline = ends(self.finished(self.design.baseline), POOLED)
        gains = {
            name: gain.mean
            for name in self.design.tuned
            if not self.lost(name) and (gain := paired(ends(self.finished(name), POOLED), baseline)) is not None
        }
        return min(gains, key=lambda name: gains[name]) if gains else None


def by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs grouped by arm."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.arm, []).append(run)
    return groups


def by_seed(runs: Sequence[Run]) -> dict[int, Run]:
    """The finished runs among those of one arm, by seed."""
    return {run.seed: run for run in runs if run.state == FINISHED}


def ends(runs: Mapping[int, Run], corpus: str) -> dict[int, float]:
    """Scores at the end by seed."""
    return {seed: run.scores[corpus] for seed, run in runs.items()}


def difference(arm: Mapping[int, float], reference: Mapping[int, float], *, together: bool) -> Interval | None:
    """`arm - reference` by seed: over the pairs where they begin alike, else of two independent samples."""
    if together:
        return paired(arm, reference)
    return welch(list(arm.values()), list(reference.values())) if arm and reference else None


def reach(arm: Mapping[int, Run], reference: Mapping[int, Run]) -> dict[int, float]:
    """By seed, the share of the reference's tokens (of its text, where the tokenizers differ) after which the arm's
    curve is at the best of the reference's ends; infinite where it never is."""
    if not arm or not reference:
        return {}
    price = text_price(arm, reference)
    target = min(run.curve[-1][1] for run in reference.values())
    last = max(run.tokens * price(run) for run in reference.values())
    shares = {}
    for seed, run in sorted(arm.items()):
        tokens = cost_to_reach(run.curve, target)
        shares[seed] = float("inf") if tokens is None else tokens * price(run) / last
    return shares


def text_price(arm: Mapping[int, Run], reference: Mapping[int, Run]) -> Callable[[Run], float]:
    """What a token counts at equal tokens: 1, or its bytes of text where the tokenizers differ."""
    sizes = {run.vocab_size for run in (*arm.values(), *reference.values())}
    return (lambda run: run.bytes_per_token) if len(sizes) > 1 else (lambda run: 1.0)
