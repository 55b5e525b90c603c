"""Which checkpoint evaluated best while the run went on, and its weights in the end.

In: the mean held-out loss of each evaluation. Out: the step of the lowest one, which is part of the run's state and so
of every checkpoint; its own checkpoint is kept until the run ends and then leaves its weights in `best.safetensors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class BestCheckpoint:
    """The checkpoint with the lowest held-out loss, in nats a token."""

    step: int
    loss: float


def better(best: BestCheckpoint | None, step: int, loss: float | None) -> BestCheckpoint | None:
    """The best one after an evaluation of `step`: a loss that is not finite, or none at all, never is."""
    if loss is None or not math.isfinite(loss) or (best is not None and best.loss <= loss):
        return best
    return BestCheckpoint(step, loss)
