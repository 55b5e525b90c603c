"""What a run does about a batch not to learn from: end, or go back to the last checkpoint and leave the batch out."""

from __future__ import annotations

import dataclasses
import logging

from trainer.config import TrainingConfig
from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError, DivergedError, TrainerError
from trainer.process.ranks import Ranks
from trainer.run.checkpointing import Checkpoints
from trainer.run.checkpoints.checkpoint import RunState
from trainer.run.learner import Learner
from trainer.run.loss_guard import BadLoss

log = logging.getLogger(__name__)

MOST_ROLL_BACKS = 10  # in one process; more means that the settings are bad, not a batch


class RollBack:
    """Roll-backs of one process."""

    def __init__(self, training: TrainingConfig, ranks: Ranks, checkpoints: Checkpoints) -> None:
        self._ends = training.on_bad_loss == "stop"
        self._ranks, self._checkpoints = ranks, checkpoints
        self._count = 0

    def before(self, bad: BadLoss, state: RunState, learner: Learner, reader: SequenceReader, batch: int) -> RunState:
        """Load the newest checkpoint; returns its state, with the bad batch among those to skip and no time given back.

        Raises `DivergedError`, or another `TrainerError` for a mere jump, where the settings say so, after too many
        roll-backs, and without a checkpoint; `CheckpointError` where none can be used.
        """
        error = DivergedError if bad.diverged else TrainerError
        where = f"{_where(state, reader, batch)}: {bad.complaint}"
        if self._ends:
            raise error(
                f"{where}. Lower training.optimizer.learning_rate, or set training.on_bad_loss to roll_back, which "
                "skips the batch; the last checkpoint is kept"
            )
        self._count += 1
        if self._count > MOST_ROLL_BACKS:
            raise error(f"{where}. Rolled back {MOST_ROLL_BACKS} times already; lower training.optimizer.learning_rate")
        self._ranks.barrier()  # the first rank may still be writing the checkpoint
        try:
            place = self._checkpoints.newest()
        except CheckpointError as unusable:
            raise CheckpointError(f"{where}. {unusable}") from None
        if place is None:
            raise error(f"{where}. There is no checkpoint left to go back to")
        log.warning("%s; going back to %s and skipping that batch", where, place.name)
        before = self._checkpoints.load(place, learner, reader)
        return dataclasses.replace(
            before,
            # its own evaluation came after it was written
            best=state.best if state.best and state.best.step <= before.step else before.best,
            skipped_steps=[*state.skipped_steps, state.step],
            seconds=state.seconds,
            step_seconds=state.step_seconds,
            device_seconds=state.device_seconds,
        )


def _where(state: RunState, reader: SequenceReader, batch: int) -> str:
    first = reader.next_sequence
    place = reader.locate(first)
    return (
        f"step {state.step + 1}, sequences {first} to {first + batch - 1} of the run "
        f"(epoch {place.epoch}, stage {place.stage_name})"
    )
