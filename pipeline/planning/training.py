"""What training takes, before its shards are there: steps, FLOPs, memory, hours and cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.planning.vocabulary import vocabulary_rows
from pipeline.profile.profile import Profile
from pipeline.sharding.schedule.forecast import ForecastRow
from trainer.config import DataConfig, RunConfig

if TYPE_CHECKING:
    from trainer.plan import TrainingPlan


def steps_of(profile: Profile, rows: Sequence[ForecastRow]) -> int:
    """Whole batches of a planned schedule, at most `training.max_steps`."""
    tokens = sum(row.tokens for row in rows if row.is_total)
    whole = max(1, tokens // profile.training.batch_tokens)
    return min(whole, profile.training.max_steps or whole)


def run_of(profile: Profile, steps: int) -> RunConfig:
    """The run of a profile whose shards are not built."""
    training = dataclasses.replace(profile.training, max_steps=steps)
    model = dataclasses.replace(profile.model, vocab_size=vocabulary_rows(profile))
    return RunConfig(model=model, training=training, data=DataConfig(epochs=("not built yet",)), out=".")


def training_figures(profile: Profile, rows: Sequence[ForecastRow], *, devices: int, mfu: float) -> TrainingPlan:
    """What training on a planned schedule takes, as `trainer.plan.plan` says it."""
    from trainer.plan import plan

    return plan(run_of(profile, steps_of(profile, rows)), devices=devices, mfu=mfu)


def devices_here() -> int:
    """This machine's GPUs, or one where it has none: what training is worked out for."""
    from trainer.process.ranks import choose_device, devices_of

    return max(1, devices_of(choose_device("auto")))
