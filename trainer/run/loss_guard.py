"""Is this step's loss one to learn from? Not finite, or a jump over the recent mean, is bad.

Pure and deterministic: every rank sees the same reduced loss and comes to the same verdict, and the history is part of
the checkpoint, so that a resumed run judges as the uninterrupted one would.
"""

from __future__ import annotations

import math

WINDOW = 50
LEAST_HISTORY = 20  # before that the loss falls too fast to know what is normal
MOST_ROLL_BACKS = 10  # in one process; more means that the settings are bad, not a batch


class LossGuard:
    """`recent` is the run's own list of accepted losses, oldest first; it is kept to the last 50."""

    def __init__(self, jump_factor: float | None, recent: list[float]) -> None:
        self.jump_factor = jump_factor
        self.recent = recent

    def complaint(self, loss: float, gradient_norm: float) -> str | None:
        """What is wrong with a step, or none. A loss that is fine is remembered."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient's norm is {gradient_norm}"
        if self.jump_factor is not None and len(self.recent) >= LEAST_HISTORY:
            mean = sum(self.recent) / len(self.recent)
            if loss > self.jump_factor * mean:
                return (
                    f"the loss jumped to {loss:.4f}, over training.jump_factor {self.jump_factor:g} times the "
                    f"mean {mean:.4f} of the last {len(self.recent)} steps"
                )
        self.recent.append(loss)
        del self.recent[:-WINDOW]
        return None
