"""What training takes on this machine's processor: a row beside those of GPUs, from a measurement that is kept.

In: a profile, what its training takes, and the store's cache. Out: a row of the plan. The measurement is kept by what
it depends on: model, settings of training, version of torch, processor, ranks and threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.base.canonical import canonical_json, text_hash
from pipeline.base.files import write_text
from pipeline.base.memory import available_memory
from pipeline.planning.training import run_of
from pipeline.profile.profile import Profile
from trainer.process.cores import core_count
from trainer.process.processor import processor_name
from trainer.records import check, parse_json
from trainer.settings import Positive

if TYPE_CHECKING:
    from trainer.plan import HardwarePlan, TrainingPlan

ROW: Final = "this CPU"


@dataclasses.dataclass(frozen=True)
class _Tried:
    """What is kept of a measurement."""

    tokens_per_second: Positive


def processor_plan(profile: Profile, figures: TrainingPlan, ranks: int, cache: Path) -> HardwarePlan | None:
    """The row; none where the model is too large to be tried in seconds or in half of the memory that is free."""
    from trainer.plan import HardwarePlan

    threads = profile.launch.threads_per_rank or max(1, core_count() // ranks)
    speed = _speed(profile, figures, ranks, threads, cache)
    if not speed:
        return None
    hours = figures.tokens / speed / 3600
    price = profile.training.price_per_device_hour or 0.0
    return HardwarePlan(ROW, hours, hours * ranks * price, 1, speed)


def _speed(profile: Profile, figures: TrainingPlan, ranks: int, threads: int, cache: Path) -> float | None:
    import torch

    from trainer.probe import tokens_per_second

    run = run_of(profile, 1)
    depends_on = {
        "model": dataclasses.asdict(run.model),
        "training": dataclasses.asdict(run.training),
        "machine": [torch.__version__, processor_name(), ranks, threads],
    }
    file = cache / "speed" / f"{text_hash(canonical_json(depends_on, where='speed'))}.json"
    with contextlib.suppress(OSError, ValueError):  # not there, or damaged: it is tried anew
        return check(_Tried, parse_json(file.read_bytes())).tokens_per_second
    if figures.state_bytes + figures.activation_bytes_per_sequence > available_memory() // 2:
        return None
    speed = tokens_per_second(run, figures.flops_per_token, ranks=ranks, threads=threads)
    if speed is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({"tokens_per_second": speed}) + "\n")
    return speed
