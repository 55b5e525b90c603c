"""What every kind of question has: settings that name arms, and an answer from whatever has run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from pipeline.base.settings import Settings
from pipeline.study.results.results import Results

BEST_OF_TUNED: Final = "best of tuned"
"""In place of an arm's name: the arm of the study's `tuned` that ends best. No arm can be called so."""


class QuestionSettings(Settings, ABC):
    """A question about arms; what it names must be arms of the study."""

    @abstractmethod
    def arms(self) -> Iterator[tuple[str, str]]:
        """The keys that name an arm, each with the arm that it names."""

    @abstractmethod
    def answer(self, results: Results) -> str | None:
        """A line of markdown, that it is not yet answered among others; none where there is nothing to ask yet."""


class TwoArms(QuestionSettings):
    """A question about an arm beside another."""

    arm: str
    """The arm asked about."""
    against: str | None = None
    """The arm it is set beside, or `best of tuned`; none: the study's baseline."""

    def arms(self) -> Iterator[tuple[str, str]]:
        yield "arm", self.arm
        if self.against is not None and self.against != BEST_OF_TUNED:
            yield "against", self.against

    def reference(self, results: Results) -> str | None:
        """The arm it is set beside; none before one of `tuned` has run."""
        return results.tuned_baseline if self.against == BEST_OF_TUNED else self.against or results.design.baseline
