"""Which arms a study has and which is compared with which: all that its results need to know of its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ArmDesign:
    """What a comparison needs to know of an arm."""

    title: str
    idea: int
    """Number of the idea it tests; 0 for none."""
    against: str
    """The arm it is compared with."""
    start: Any
    """What the initial weights follow from, beside the seed: equal where runs of one seed begin alike."""
    lone: bool = False
    """Whether it tests no single idea, and is compared with the baseline."""


@dataclass(frozen=True)
class Design:
    """Which arms there are, in the study's order, and which is compared with which."""

    arms: Mapping[str, ArmDesign]
    baseline: str
    tuned: Sequence[str] = ()
    """Arms that differ in the learning rate alone."""
    recipe: str | None = None
    """The arm that benchmarks are asked to tell from the baseline."""

    def alike(self, arm: str, reference: str) -> bool:
        """Whether runs of one seed begin with the same weights in both arms: the same model and vocabulary."""
        return bool(self.arms[arm].start == self.arms[reference].start)
