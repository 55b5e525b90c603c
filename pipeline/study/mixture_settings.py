"""Settings of a search for a mixture: which corpora, how many small runs, and what the mixture is to be good at."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from pipeline.base.settings import Settings, runtime

LEAST_SHARE = 0.02
"""Smallest share of a corpus in any mixture that is tried: nothing is known of what was never seen."""


class MixtureSearch(Settings):
    """Small runs over a designed set of mixtures, and the mixture that a regression over them finds best."""

    corpora: dict[str, float] = Field(min_length=2)
    """What is mixed, each with its share in a mixture made by hand, around which others are tried."""
    weights: dict[str, float] = Field(min_length=1)
    """What the mixture is to be good at: held-out corpora of `heldout`, and what the bits per byte of each count."""
    arm: str
    """The arm whose recipe the small runs take."""
    change: dict[str, Any] = Field(default_factory=dict)
    """What they change of it, as an arm does: a smaller model."""
    mixtures: int = Field(16, ge=4, le=512)
    """Runs: a few more than corpora at least; Olmix takes three to five times as many."""
    tokens: int = Field(gt=0)
    """Training tokens of each."""
    for_tokens: int = Field(gt=0)
    """Training tokens of the run that the mixture is for, by which repeats are counted."""
    most_repeats: float = Field(4.0, gt=0)
    """Passes over a corpus that this run may take at most. Four lose next to nothing (Muennighoff et al. 2023)."""
    tests: tuple[str, ...] = runtime(())
    """Arms that try what was found: the first is trained on the mixture found, the others are what it is compared with.
    """
    seed: int = Field(1, ge=0)
    """Of the set of mixtures, and of every run."""

    @model_validator(mode="after")
    def _can_be_fitted(self) -> MixtureSearch:
        if self.mixtures < len(self.corpora) + 3:
            raise ValueError(
                f"mixtures: {self.mixtures} runs cannot say what {len(self.corpora)} corpora are worth; "
                f"take {len(self.corpora) + 3} at least"
            )
        if min(self.corpora.values()) <= 0 or min(self.weights.values()) < 0 or not sum(self.weights.values()):
            raise ValueError("shares are above 0, weights at least 0, and one of them above")
        return self
