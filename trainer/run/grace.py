"""Is there time to stop? A signal leaves a run `GRACE_SECONDS` for the step at hand and a checkpoint after it.

In: how long a step is expected to take, and how long steps and checkpoints do take. Out: one warning, as soon as they
are seen to take longer than that, with what would be lost: before somebody stops the run rather than afterwards.
"""

from __future__ import annotations

import logging

from trainer.config import TrainingConfig
from trainer.numbers import duration
from trainer.process.ranks import Ranks
from trainer.process.signals import GRACE_SECONDS

log = logging.getLogger(__name__)


class Grace:
    """Watches one process; only the first rank says anything."""

    def __init__(self, training: TrainingConfig, ranks: Ranks) -> None:
        self._training, self._silent = training, not ranks.is_first
        self._steps = 0
        self._step_seconds = self._checkpoint_seconds = 0.0

    def expect(self, seconds: float) -> None:
        """Take in how long a step is expected to take, before the first one."""
        self._step_seconds = seconds
        self._look()

    def step(self, seconds: float) -> None:
        """Take in how long a step took; the first one, which may have compiled, says nothing of the others."""
        self._steps += 1
        if self._steps > 1:
            self._step_seconds = seconds
            self._look()

    def checkpoint(self, seconds: float) -> None:
        """Take in how long a checkpoint took to write."""
        self._checkpoint_seconds = seconds
        self._look()

    def _look(self) -> None:
        if self._silent or self._step_seconds + self._checkpoint_seconds <= GRACE_SECONDS:
            return
        self._silent = True
        saving = f" and a checkpoint {duration(self._checkpoint_seconds)}" if self._checkpoint_seconds >= 1 else ""
        log.warning(
            "a step takes about %s%s, longer than the %d seconds that a run has after a signal: stopping it loses what "
            "came after its last checkpoint, up to %d steps. Fewer training.batch_tokens or more ranks make a step "
            "shorter; a smaller training.checkpoint_every loses less",
            duration(self._step_seconds),
            saving,
            GRACE_SECONDS,
            self._training.checkpoint_every,
        )
