"""Is an arm as good as another, with fewer tokens, less text, less time or fewer parameters?"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from pipeline.study.questions.base import TwoArms
from pipeline.study.results.intervals import shown
from pipeline.study.results.results import Results
from pipeline.study.results.runs_table import Run

WORDS: Final = {
    "tokens": "`{arm}`, a run whose schedule ends there, is as good as `{reference}` at its end "
    "with {share} of its tokens",
    "text": "`{arm}`, a run whose schedule ends there, is as good as `{reference}` at its end "
    "with {share} of its bytes of text",
    "time": "`{arm}`, a run whose schedule ends there, is as good as `{reference}` at its end in {share} of its time",
    "parameters": "`{arm}` ends no worse than `{reference}`, with {share} of its parameters",
}


class AsGood(TwoArms):
    """Whether an arm's end is no worse than another's, but for the study's margin, by the interval of their
    difference."""

    kind: Literal["as_good"] = "as_good"
    fewer: Literal["tokens", "text", "time", "parameters"]
    """What it has fewer of. `text`: bytes, for arms of another tokenizer. `time`: by the speeds measured apart."""
    most: float | None = Field(None, gt=0)
    """The largest share of it that it may have, asked as well; none: whatever it has."""

    def answer(self, results: Results) -> str | None:
        """Yes, no, or not settled; no where a run diverged, or where it has more than its share."""
        reference = self.reference(results)
        if reference is None:
            return None
        if lost := results.lost(self.arm):
            return f"`{self.arm}` is as good as `{reference}`: **no**, {lost}."
        sides = [results.finished(name) for name in (self.arm, reference)]
        if not all(sides):
            return f"`{self.arm}` is as good as `{reference}`: **not yet answered**."
        amounts = [self._amount(results, next(iter(side.values()))) for side in sides]
        if amounts[0] is None or amounts[1] is None:
            return f"`{self.arm}` is as good as `{reference}`: **not yet answered**, the speeds are not measured."
        share = amounts[0] / amounts[1]
        told = f"{share:.2f}" if self.most is None else f"{share:.3f} (at most {self.most:.3g} is asked)"
        asked = WORDS[self.fewer].format(arm=self.arm, reference=reference, share=told)
        difference = results.end_difference(self.arm, reference)
        if difference is None:
            return f"{asked}: **not yet answered**."
        margin = results.design.margin
        answer = "not settled by these seeds"
        if self.most is not None and share > self.most:
            answer = f"no, it has more of its {self.fewer}"
        elif difference.high <= margin:
            answer = "yes" if difference.high <= 0 else f"yes, within {margin:g}"
        elif difference.low > margin:
            answer = "no"
        return f"{asked}: **{answer}**, {shown(difference)} bits per byte."

    def _amount(self, results: Results, run: Run) -> float | None:
        """How much of it a run has; none before the arm's speed was measured."""
        if self.fewer == "parameters":
            return run.parameters
        if self.fewer == "text":
            return run.tokens * run.bytes_per_token
        if self.fewer == "time":
            speed = results.speed.get(run.arm)
            return None if speed is None else run.tokens / speed
        return run.tokens
