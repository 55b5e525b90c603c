"""May this run go on from that checkpoint? Only where everything that decides the result is the same."""

from __future__ import annotations

from pathlib import Path

from trainer.config import RunConfig
from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError
from trainer.model.config import ModelConfig
from trainer.run.checkpoint import RunState

_MAY_CHANGE = ("max_minutes", "max_steps", "on_bad_loss", "jump_factor")
"""Settings one changes to let a stopped run go on; `max_steps` is compared as the run's steps."""


def check_same_run(
    place: Path, state: RunState, model: ModelConfig, config: RunConfig, reader: SequenceReader, steps: int
) -> None:
    """Raise `CheckpointError` naming the first thing that differs between a checkpoint and the run at hand."""
    advice = "start with the checkpoint's settings, or train into another `out`"
    found, wanted = model.to_dict(), config.model.to_dict()
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise CheckpointError(
                f"{place}: of another architecture: model.{name} is {found.get(name)!r} there, {wanted[name]!r} here; "
                f"{advice}"
            )
    if state.reader["manifest_hash"] != reader.manifest_hash:
        raise CheckpointError(
            f"{place}: trained on other shards (manifest {state.reader['manifest_hash'][:12]} there, "
            f"{reader.manifest_hash[:12]} here); {advice}"
        )
    for name, value in config.training.identity().items():
        if name not in _MAY_CHANGE and state.training.get(name) != value:
            raise CheckpointError(
                f"{place}: training.{name} is {state.training.get(name)!r} there, {value!r} here; {advice}"
            )
    if state.steps != steps:
        raise CheckpointError(f"{place}: of a run of {state.steps} steps, this one has {steps}; {advice}")
