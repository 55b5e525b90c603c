"""A run's checkpoints as its ranks share them: the first one writes and chooses, all of them load the same one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError
from trainer.process.ranks import Ranks
from trainer.run.checkpoints.checkpoint import RunState, newest_checkpoint, read_state
from trainer.run.checkpoints.retention import Retention
from trainer.run.folder import checkpoint_at, step_of
from trainer.run.learner import Learner


class Checkpoints:
    """What a run writes while it goes on, and goes on from. `check` is as for `Retention`."""

    def __init__(self, folder: Path, keep: int, ranks: Ranks, check: Callable[[Path], object]) -> None:
        self.folder, self._ranks = folder, ranks
        self._retention = Retention(folder, keep, check)

    def newest(self) -> Path | None:
        """The newest checkpoint that can be used, chosen by the first rank for all; none where there is none at all.

        Raises `CheckpointError` where there are some and none can be used. The others then wait for the first rank's
        choice until its end ends them: the message that is left is the one with the reasons.
        """
        place = newest_checkpoint(self.folder) if self._ranks.is_first else None
        step = int(self._ranks.broadcast(step_of(place) if place else -1))
        if step < 0:
            return None
        place = checkpoint_at(self.folder, step)
        if not place.exists():
            raise CheckpointError(
                f"{place}: not visible from rank {self._ranks.rank}; `out` must be a folder all share"
            )
        return place

    def load(self, place: Path, learner: Learner, reader: SequenceReader) -> RunState:
        """Take everything from a checkpoint; returns where the run stands."""
        state, _ = read_state(place)
        learner.load(place, state)
        if state.sequences is None or state.flops is None:  # batches were of one size
            state.sequences = state.updates * learner.sequences_per_batch
            state.flops = state.sequences * learner.config.model.context * learner.flops_per_token()
        reader.load_state_dict(state.reader)
        return state

    def write(self, learner: Learner, state: RunState) -> None:
        """Write one of this moment and let go of those it replaces."""
        if not self._ranks.is_first:
            return
        place = learner.save(self.folder, state)
        self._retention.remove_old(place, state.best.step if state.best else None)
