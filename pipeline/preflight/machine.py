"""Whether this machine can train what the profile says: its device, ranks, memory, and a port for them to meet on.

In: a flight that trains. Out: findings. Torch is imported here, and only by a run that trains.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pipeline.assets.training import Training, batch_of
from pipeline.base.errors import LaunchError
from pipeline.base.memory import available_memory
from pipeline.base.numbers import duration, size
from pipeline.launch.ranks import Started, ranks_for
from pipeline.launch.settings import LaunchSettings
from pipeline.planning.training import run_of
from pipeline.preflight.finding import Finding
from pipeline.preflight.flight import Flight
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.plan import TrainingPlan

PROCESS_BYTES: Final = 500 << 20
"""Of a rank on a CPU before its model: Python and torch."""


def machine(flight: Flight, steps: int | None) -> Iterator[Finding]:
    """What the trainer would refuse on this machine. `steps`: how long the run is, where that is known."""
    from trainer.plan import plan
    from trainer.run.figures.trackers import check_trackers

    profile = flight.profile
    training = profile.training
    try:
        check_trackers(training)
        batch = batch_of(Training(profile.model, training))
        if profile.launch.kind != "local":
            yield Finding("device", "ok", f"{_nodes(profile.launch)}, {batch.sequences} sequences a batch")
            return
        started = ranks_for(profile.launch.ranks, training.device, batch)
        figures = plan(run_of(profile, steps or 1), devices=started.ranks)
    except (LaunchError, TrainerError) as error:
        yield Finding("device", "refused", str(error))
        return
    shared = f"{batch.sequences} sequences a batch"
    ranks = f"{started.ranks} rank{'s' if started.ranks > 1 else ''} on {started.device}, {shared}"
    yield Finding("device", "note" if started.note else "ok", started.note or ranks)
    yield from _precision(started, training.precision)
    yield from _memory(started, figures, profile.model.context)
    if started.ranks > 1:
        yield _port()
    if steps is not None:
        yield from _length(flight, figures, steps, started)


def _nodes(launch: LaunchSettings) -> str:
    """Where training is, if not here: its devices and memory are not looked at."""
    what = {"slurm": "a job of Slurm's", "ray": "a Ray cluster", "command": "launch.command"}[launch.kind]
    return f"{launch.nodes} node{'s' if launch.nodes > 1 else ''} by {what}"


def _precision(started: Started, precision: str) -> Iterator[Finding]:
    import torch

    if started.device == "cuda" and precision == "bf16" and torch.cuda.get_device_capability(0) < (8, 0):
        yield Finding(
            "precision",
            "note",
            "this GPU has no bf16 of its own and computes it slowly: training.precision: float32 is faster here",
        )


def _memory(started: Started, figures: TrainingPlan, context: int) -> Iterator[Finding]:
    """Weights, gradients, optimizer and one sequence's activations, against what is free where they go."""
    import torch

    from trainer.plan import LOSS_BYTES

    least = figures.state_bytes + figures.activation_bytes_per_sequence
    if started.device == "cuda":
        needed, there, where = least + LOSS_BYTES, torch.cuda.mem_get_info(0)[0], "GPU 0"
    else:
        needed, there, where = started.ranks * (least + PROCESS_BYTES), available_memory(), "this machine"
    text = f"{size(needed)} at least, {size(there)} free on {where}"
    if needed > there:
        fewer = ", or fewer launch.ranks" if started.device == "cpu" and started.ranks > 1 else ""
        yield Finding(
            "memory",
            "refused",
            f"training needs {text}: lower model.layers, model.width or model.context ({context:,} now){fewer}, or "
            "free memory there",
        )
    else:
        yield Finding("memory", "ok", text)


def _port() -> Finding:
    """Ranks meet on a port of this machine that torchrun chooses."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    except OSError as error:
        return Finding(
            "port",
            "refused",
            f"no port can be opened on 127.0.0.1 ({error.strerror}), on which ranks find one another: set launch.ranks "
            "to 1, or allow it",
        )
    return Finding("port", "ok", f"ports of 127.0.0.1 can be opened, such as {port}")


def _length(flight: Flight, figures: TrainingPlan, steps: int, started: Started) -> Iterator[Finding]:
    """How long training is, against its warm-up and its time box."""
    import torch

    from trainer.run.figures.hardware import hardware_named

    training = flight.profile.training
    warmup = training.schedule.warmup_steps
    if warmup >= steps:
        yield Finding(
            "warm-up",
            "note",
            f"the run is {steps:,} steps of {training.batch_tokens:,} tokens, no longer than its warm-up of "
            f"{warmup:,}, so the learning rate never comes to its peak: lower training.schedule.warmup_steps or "
            "training.batch_tokens, or give it more text or epochs",
        )
    minutes = training.max_minutes
    kind = hardware_named(torch.cuda.get_device_name(0)) if started.device == "cuda" else None
    planned = next((item for item in figures.hardware if kind is not None and item.name == kind.name), None)
    if planned is None:
        limit = f", ended after {minutes:g} minutes at the latest (training.max_minutes)" if minutes else ""
        yield Finding("run", "ok", f"about {steps:,} steps of {training.batch_tokens:,} tokens{limit}")
        return
    hours, devices = planned.hours, f"{started.ranks} x {planned.name}"
    text = f"about {steps:,} steps, {duration(hours * 3600)} on {devices} at {figures.mfu:.0%} of its peak"
    if minutes and hours * 60 > minutes:
        share = minutes / (hours * 60)
        yield Finding(
            "run",
            "note",
            f"{text}: training.max_minutes ({minutes:g}) ends it after about {share:.0%} of its tokens; raise it to "
            f"{math.ceil(hours * 60)} for all of them",
        )
    else:
        yield Finding("run", "ok", text)
