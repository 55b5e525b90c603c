"""The study's questions about its recipe, each answered from runs: yes, no, or not yet.

In: the runs and the arms' speeds. Out: a list in markdown. Of an arm of which a run diverged the answer is no.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.study.results.effects import end_difference, reach, seed_runs, tuned_baseline
from pipeline.study.results.intervals import shown
from pipeline.study.results.runs_table import FINISHED, Run
from pipeline.study.settings import StudySettings

SQUEEZED: Final = "squeezed"
"""The arm that the study's questions are about."""
BY_SIZE: Final = {
    "squeezed": (("squeezed", "baseline"), ("larger_squeezed", "larger")),
    "lean": (("lean", "baseline"), ("larger_lean", "larger")),
}
"""Recipes with their baselines, size by size."""
ANNEALED: Final = (
    "`{arm}`, a run whose schedule ends there, is as good as `{reference}` at its end with {tokens:.2f} of its tokens"
)
SMALLER: Final = "`{arm}` is no worse than `{reference}` at equal tokens, with {parameters:.2f} of its parameters"


def answers(runs: Sequence[Run], speed: Mapping[str, float], study: StudySettings) -> str:
    """The study's questions about the arm `squeezed`, each answered from runs or not yet answered."""
    baseline, tuned = study.baseline, tuned_baseline(runs, study)
    lines = [
        _reached(runs, speed, SQUEEZED, baseline, 1 / 3, 0.5),
        _as_good(runs, study, ANNEALED, "squeezed_third", baseline),
    ]
    if tuned is not None:
        swept = [
            f"`{name}` ({len(found)} seed{'s' * (len(found) != 1)})"
            for name in study.tuned
            if (found := seed_runs(runs, name))
        ]
        lines += [
            f"The tuned baseline is `{tuned}`, the best of {', '.join(swept)}.",
            _reached(runs, speed, SQUEEZED, tuned, 1 / 2, None),
            _as_good(runs, study, ANNEALED, "squeezed_half", tuned),
            _as_good(runs, study, SMALLER, "squeezed_half_size", tuned),
        ]
    lines += _gains_by_size(runs, study)
    return "\n".join(f"- {line}" for line in lines)


def _reached(
    runs: Sequence[Run], speed: Mapping[str, float], arm: str, reference: str, share: float, time: float | None
) -> str:
    asked = f"`{arm}` reaches the end of `{reference}` in at most {share:.2f} of its tokens"
    asked += f" and {time:.2f} of its time" if time else ""
    mine, theirs = seed_runs(runs, arm), seed_runs(runs, reference)
    if diverged := _diverged(runs, arm):
        return f"{asked}: **no**, {diverged}."
    shares = reach(mine, theirs)
    if not shares:
        return f"{asked}: **not yet answered**."
    worst = max(shares.values())
    first = min(run.curve[0][0] for run in mine.values())
    bound = "at most " if worst * max(run.tokens for run in theirs.values()) <= first else ""
    seen = f"{bound}{_share(worst)} of the tokens in the slowest of {len(shares)} seeds"
    seen += f" against the best of {len(theirs)}"
    seen += " (at the first point of its curve)" if bound else " (on the curve of the full-length run)"
    if worst > share:
        return f"{asked}: **no**, {seen}."
    if time is None:
        return f"{asked}: **yes**, {seen}."
    rates = (speed.get(arm), speed.get(reference))
    if not rates[0] or not rates[1]:
        return f"{asked}: in tokens **yes**, {seen}; time **not yet answered**, the speeds are not measured."
    spent = worst * rates[1] / rates[0]
    return f"{asked}: **{'yes' if spent <= time else 'no'}**, {seen}; {bound}{_share(spent)} of the time."


def _as_good(runs: Sequence[Run], study: StudySettings, question: str, arm: str, reference: str) -> str:
    """Whether an arm's end is no worse than another's, by the interval of their difference."""
    mine, theirs = seed_runs(runs, arm), seed_runs(runs, reference)
    if diverged := _diverged(runs, arm):
        return f"`{arm}` is as good as `{reference}`: **no**, {diverged}."
    if not mine or not theirs:
        return f"`{arm}` is as good as `{reference}`: **not yet answered**."
    (one, *_), (other, *_) = mine.values(), theirs.values()
    shares = {"tokens": one.tokens / other.tokens, "parameters": one.parameters / other.parameters}
    asked = question.format(arm=arm, reference=reference, **shares)
    found = end_difference(runs, study, arm, reference)
    if found is None:
        return f"{asked}: **not yet answered**."
    answer = "yes" if found.high <= 0 else "no" if found.low > 0 else "not settled by these seeds"
    return f"{asked}: **{answer}**, {shown(found)} bits per byte."


def _diverged(runs: Sequence[Run], arm: str) -> str:
    states = [run.state for run in runs if run.arm == arm]
    lost = sum(state != FINISHED for state in states)
    return f"it diverged in {lost} of {len(states)} runs" if lost else ""


def _gains_by_size(runs: Sequence[Run], study: StudySettings) -> list[str]:
    """What a recipe is worth at each of two sizes, where both arms of both have run."""
    lines = []
    for recipe, pairs in BY_SIZE.items():
        said = []
        for arm, reference in pairs:
            mine, theirs = seed_runs(runs, arm), seed_runs(runs, reference)
            if arm in study.arms and mine and theirs:
                found = end_difference(runs, study, arm, reference)
                size = f"{next(iter(mine.values())).parameters / 1e6:.2f}M parameters"
                said.append(f"{shown(found)} at {size} ({len(mine)} runs against {len(theirs)})")
        if len(said) > 1:
            lines.append(f"What `{recipe}` is worth by size: {'; '.join(said)}.")
    return lines


def _share(value: float) -> str:
    return "more than all" if math.isinf(value) else f"{value:.2f}"
