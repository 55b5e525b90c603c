"""Does an arm reach another's end in a share of its tokens, and of its time?"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from pipeline.study.questions.base import TwoArms
from pipeline.study.results.results import Results, reach


class Reaches(TwoArms):
    """Whether every seed of an arm comes to the best of another's ends early enough, by its curve."""

    kind: Literal["reaches"] = "reaches"
    most_tokens: float = Field(gt=0)
    """Share of the other's tokens; of its text, where the tokenizers differ."""
    most_time: float | None = Field(None, gt=0)
    """Share of the other's time as well, by the speeds measured apart."""

    def answer(self, results: Results) -> str | None:
        """Yes or no with the share, for the slowest seed; no where a run diverged."""
        reference = self.reference(results)
        if reference is None:
            return None
        asked = f"`{self.arm}` reaches the end of `{reference}` in at most {self.most_tokens:.2f} of its tokens"
        asked += f" and {self.most_time:.2f} of its time" if self.most_time else ""
        if lost := results.lost(self.arm):
            return f"{asked}: **no**, {lost}."
        runs, others = results.finished(self.arm), results.finished(reference)
        shares = reach(runs, others)
        if not shares:
            return f"{asked}: **not yet answered**."
        worst = max(shares.values())
        first_point = min(run.curve[0][0] for run in runs.values())
        bound = "at most " if worst * max(run.tokens for run in others.values()) <= first_point else ""
        seen = f"{bound}{_share(worst)} of the tokens in the slowest of {len(shares)} seeds"
        seen += f" against the best of {len(others)}"
        seen += " (at the first point of its curve)" if bound else " (on the curve of the full-length run)"
        if worst > self.most_tokens:
            return f"{asked}: **no**, {seen}."
        if self.most_time is None:
            return f"{asked}: **yes**, {seen}."
        rates = [results.speed.get(name) for name in (self.arm, reference)]
        if not all(rates):
            return f"{asked}: in tokens **yes**, {seen}; time **not yet answered**, the speeds are not measured."
        spent = worst * (rates[1] or 0) / (rates[0] or 1)
        return f"{asked}: **{'yes' if spent <= self.most_time else 'no'}**, {seen}; {bound}{_share(spent)} of the time."


def _share(value: float) -> str:
    return "more than all" if math.isinf(value) else f"{value:.2f}"
