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
    order: Any = None
    """Which corpora it is trained on and in which order."""
    amount: tuple[str | None, int] = (None, 0)
    """The tokenizer of its data set, and the tokens that were drawn for it."""
    draws: int = 1
    """Data sets that its seeds are spread over."""
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
    margin: float = 0.0
    """Bits per byte within which a difference counts as none."""

    def alike(self, arm: str, reference: str) -> bool:
        """Whether runs of one seed begin with the same weights in both arms: the same model and vocabulary."""
        return bool(self.arms[arm].start == self.arms[reference].start)

    def one_draw(self, arm: str, reference: str) -> bool:
        """Whether what is compared is a choice or an order of text that was drawn only once."""
        one, other = self.arms[arm], self.arms[reference]
        fewer = one.amount[0] == other.amount[0] and one.amount[1] != other.amount[1]
        return one.draws == 1 and (one.order != other.order or fewer)
