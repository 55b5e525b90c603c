"""Where a run begins: at its first step, or at its newest checkpoint, to the bit as if it had never stopped.

A checkpoint is gone on from only where everything that decides the result is the same; the first thing that differs is
named.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from trainer.config import PLACES, RunConfig
from trainer.data.reader import SequenceReader
from trainer.errors import CheckpointError
from trainer.model.config import ModelConfig
from trainer.model.kernels import compute_by
from trainer.process.products import set_products
from trainer.process.ranks import Ranks
from trainer.run.checkpointing import Checkpoints
from trainer.run.checkpoints.checkpoint import RunState, read_state
from trainer.run.learner import Learner
from trainer.run.pace import Pace
from trainer.run.precision import AUTO, Precision
from trainer.run.rank_advice import advice, step_seconds
from trainer.run.teachers import load_teachers
from trainer.run.ways import Ways, choose_ways

log = logging.getLogger(__name__)

_MAY_CHANGE = ("max_minutes", "max_steps", "on_bad_loss", "jump_factor")
"""Settings one changes to let a stopped run go on; `max_steps` is compared as the run's steps."""


def begin(
    config: RunConfig,
    ranks: Ranks,
    reader: SequenceReader,
    checkpoints: Checkpoints,
    pace: Pace,
    teachers: Sequence[str] = (),
) -> tuple[Learner, RunState]:
    """What learns, warmed up, and where the run stands; both from the newest checkpoint, where there is one.

    `pace`: the whole run's; `teachers`: hashes of the models it learns from.

    Raises `CheckpointError` where there are checkpoints and none can be used, or the newest is of another run.
    """
    place = checkpoints.newest()
    micro_batch = config.training.micro_batch
    if place is not None:
        state, model = read_state(place)
        check_same_run(place, state, model, config, reader, pace.batches, teachers)
        if micro_batch is None and state.world_size == ranks.world_size:
            micro_batch = state.micro_batch
        ways = Ways(Precision(state.precision or state.training["precision"]), state.kernels)
    else:
        ways = choose_ways(config, ranks)
        micro_batch = micro_batch or ways.micro_batch
        state = RunState(reader.state_dict(), config.training.identity(), pace.batches, sequences=0, flops=0.0)
        state.teachers = list(teachers)
        state.precision, state.precision_seconds = ways.precision.name, dict(ways.precision.seconds)
        state.kernels, state.way_seconds = ways.kernels, dict(ways.seconds)
    taught_by = load_teachers(config, reader.tokenizer, ranks.device)
    set_products(ranks.device, ways.precision.name)
    compute_by(ways.kernels)
    learner = Learner(config, ranks, reader.tokenizer.eot_id, ways.precision.name, taught_by)
    learner.warm_up(micro_batch, pace)
    if place is None:
        seconds = step_seconds(config, ranks, ways, learner.model)
        state.way_seconds |= seconds
        if ranks.is_first and (said := advice(seconds, ranks.world_size)):
            log.info("%s", said)
        return learner, state
    state = checkpoints.load(place, learner, reader)
    state.resumed_from.append(state.step)
    log.info("going on from %s", place)
    return learner, state


def check_checkpoint(
    place: Path, config: RunConfig, reader: SequenceReader, steps: int, teachers: Sequence[str] = ()
) -> None:
    """Raise `CheckpointError` for a checkpoint that cannot be used, or is of another run than the one at hand."""
    state, model = read_state(place)
    check_same_run(place, state, model, config, reader, steps, teachers)


def check_same_run(
    place: Path,
    state: RunState,
    model: ModelConfig,
    config: RunConfig,
    reader: SequenceReader,
    steps: int,
    teachers: Sequence[str] = (),
) -> None:
    """Raise `CheckpointError` naming the first thing that differs between a checkpoint and the run at hand."""
    advice = "start with the checkpoint's settings, or train into another `out`"
    found, wanted = dataclasses.asdict(model), dataclasses.asdict(config.model)
    for name in wanted:
        if found[name] != wanted[name]:
            raise CheckpointError(
                f"{place}: of another architecture: model.{name} is {found[name]!r} there, {wanted[name]!r} here; "
                f"{advice}"
            )
    shards = str(state.reader.get("manifest_hash"))
    if shards != reader.manifest_hash:
        raise CheckpointError(
            f"{place}: trained on other shards (manifest {shards[:12]} there, {reader.manifest_hash[:12]} here); "
            f"{advice}"
        )
    here = config.training.identity()
    for name in {**here, **state.training}:  # what is its default is left out of an identity, of either side
        there, value = state.training.get(name), here.get(name)
        if name == "precision" and _as_chosen(state, value):
            continue
        if name not in _MAY_CHANGE and there != value:
            key = PLACES.get(name, f"training.{name}")
            raise CheckpointError(f"{place}: {key} is {there!r} there, {value!r} here; {advice}")
    if state.teachers != list(teachers):
        before, now = (", ".join(one[:12] for one in hashes) or "none" for hashes in (state.teachers, teachers))
        raise CheckpointError(f"{place}: learned from other teachers ({before} there, {now} here); {advice}")
    if state.steps != steps:
        raise CheckpointError(f"{place}: of a run of {state.steps} steps, this one has {steps}; {advice}")


def _as_chosen(state: RunState, asked: object) -> bool:
    """Whether what is asked for leaves the choice to the run, or is what the run has chosen."""
    return asked in (AUTO, state.precision or state.training.get("precision"))
