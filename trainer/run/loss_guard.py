"""Is this step's loss one to learn from? Not finite, or a jump over the recent mean, is bad.

A loss is measured against losses of its own stage of the schedule alone: where an easy stage is followed by a hard one,
the loss rises as it should. In the first steps of a stage nothing is a jump.

Pure and deterministic: every rank sees the same reduced loss and comes to the same verdict, and the history is part of
the checkpoint, so that a resumed run judges as the uninterrupted one would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW = 50
LEAST_HISTORY = 20  # before that the loss falls too fast to know what is normal
FIRST_STAGE = (1, 0)
LEAST_IN_A_LATER_STAGE = 5  # the model knows the language by then, if not the stage


@dataclass(frozen=True)
class BadLoss:
    """What is wrong with a step."""

    complaint: str
    diverged: bool
    """The loss or the gradient is not finite, rather than too large."""


class LossGuard:
    """`recent` is the run's own list of accepted losses, oldest first; it is kept to the last 50 of one stage.

    `stage` is the one they are of, as (epoch, stage); none where it is not known, which is any.
    """

    def __init__(self, jump_factor: float | None, recent: list[float], stage: tuple[int, int] | None = None) -> None:
        self.jump_factor = jump_factor
        self.recent, self.stage = recent, stage

    def judge(self, loss: float, gradient_norm: float, stage: tuple[int, int]) -> BadLoss | None:
        """What is wrong with a step whose batch ends in `stage`, or none. A loss that is fine is remembered."""
        if not math.isfinite(loss):
            return BadLoss(f"the loss is {loss}", diverged=True)
        if not math.isfinite(gradient_norm):
            return BadLoss(f"the gradient's norm is {gradient_norm}", diverged=True)
        if stage != self.stage:
            if self.stage is not None:
                self.recent.clear()
            self.stage = stage
        least = LEAST_HISTORY if stage == FIRST_STAGE else LEAST_IN_A_LATER_STAGE
        if self.jump_factor is not None and len(self.recent) >= least:
            mean = sum(self.recent) / len(self.recent)
            if loss > self.jump_factor * mean:
                return BadLoss(
                    f"the loss jumped to {loss:.4f}, over training.jump_factor {self.jump_factor:g} times the "
                    f"mean {mean:.4f} of the last {len(self.recent)} steps",
                    diverged=False,
                )
        self.recent.append(loss)
        del self.recent[:-WINDOW]
        return None
