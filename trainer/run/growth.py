"""What of a model changes over a run: layers that run again from a share of it on, and attention windows that grow.

In: the share of the run that is behind. What is set is a function of it, so a resumed run needs no state for it; the
finished model has all that its configuration says.
"""

from __future__ import annotations

import math
from typing import Final

from trainer.config import TrainingConfig
from trainer.model import GPT

WINDOW_SIZES: Final = 4
"""That a window grows through: a compiler compiles for each."""


def grow(model: GPT, training: TrainingConfig, done: float) -> None:
    """Set the model up for a step that begins when `done` of the run, from 0 to 1, is behind."""
    model.recurs = done >= training.recurrence_from
    window, warmup = model.config.window, training.window_warmup
    if window is not None:
        grown = 1.0 if done >= warmup else (math.floor(WINDOW_SIZES * done / warmup) + 1) / WINDOW_SIZES
        model.window = max(1, round(window * grown))
