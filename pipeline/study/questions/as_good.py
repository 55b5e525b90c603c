"""Is an arm as good as another, with fewer tokens or fewer parameters?"""

from __future__ import annotations

from typing import Final, Literal

from pipeline.study.questions.base import TwoArms
from pipeline.study.results.intervals import shown
from pipeline.study.results.results import Results

WORDS: Final = {
    "tokens": "`{arm}`, a run whose schedule ends there, is as good as `{reference}` at its end "
    "with {share:.2f} of its tokens",
    "parameters": "`{arm}` is no worse than `{reference}` at equal tokens, with {share:.2f} of its parameters",
}


class AsGood(TwoArms):
    """Whether an arm's end is no worse than another's, but for the study's margin, by the interval of their
    difference."""

    kind: Literal["as_good"] = "as_good"
    fewer: Literal["tokens", "parameters"]
    """What it has fewer of."""

    def answer(self, results: Results) -> str | None:
        """Yes, no, or not settled; no where a run diverged."""
        reference = self.reference(results)
        if reference is None:
            return None
        if lost := results.lost(self.arm):
            return f"`{self.arm}` is as good as `{reference}`: **no**, {lost}."
        sides = [results.finished(name) for name in (self.arm, reference)]
        if not all(sides):
            return f"`{self.arm}` is as good as `{reference}`: **not yet answered**."
        size, whole = (getattr(next(iter(side.values())), self.fewer) for side in sides)
        asked = WORDS[self.fewer].format(arm=self.arm, reference=reference, share=size / whole)
        difference = results.end_difference(self.arm, reference)
        if difference is None:
            return f"{asked}: **not yet answered**."
        margin = results.design.margin
        answer = "not settled by these seeds"
        if difference.high <= margin:
            answer = "yes" if difference.high <= 0 else f"yes, within {margin:g}"
        elif difference.low > margin:
            answer = "no"
        return f"{asked}: **{answer}**, {shown(difference)} bits per byte."
