"""Which of the arms that differ in the learning rate alone ends best?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pipeline.study.questions.base import QuestionSettings
from pipeline.study.results.results import Results


class BestOfTuned(QuestionSettings):
    """Which of the study's `tuned` arms is the tuned baseline."""

    kind: Literal["best_of_tuned"] = "best_of_tuned"

    def arms(self) -> Iterator[tuple[str, str]]:
        yield from ()

    def answer(self, results: Results) -> str | None:
        """The best of those that have run, and how many seeds each has."""
        if results.tuned_baseline is None:
            return None
        swept = [
            f"`{name}` ({len(runs)} seed{'s' * (len(runs) != 1)})"
            for name in results.design.tuned
            if (runs := results.finished(name))
        ]
        return f"The tuned baseline is `{results.tuned_baseline}`, the best of {', '.join(swept)}."
