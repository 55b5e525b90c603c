"""How many ranks a program gets on this machine: what is asked for, as far as the machine and the batch allow.

In: `launch.ranks`, the device and the batch. Out: a number. The batch is counted over all ranks, so their number
changes how long a run takes and nothing else. Preflight asks the same function as the launcher, so that what it
passes is what is started.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.base.errors import LaunchError
from pipeline.launch.settings import AUTO
from trainer.process.cores import core_count
from trainer.process.ranks import choose_device, devices_of

LEAST_TOKENS: Final = 1024
"""Tokens of a batch that are worth a rank on a CPU: below, a step is too short for what its ranks tell one another."""


@dataclass(frozen=True)
class Batch:
    """What the ranks share in a step."""

    sequences: int
    tokens: int


@dataclass(frozen=True)
class Started:
    """The ranks of a program."""

    ranks: int
    device: str
    note: str = ""
    """Where they are fewer than asked for: why."""


def ranks_for(asked: int | str, device: str, batch: Batch) -> Started:
    """The ranks that are started for a number or `auto`.

    Raises LaunchError for more than there are cores or sequences, ConfigError for a device that is not there.
    """
    chosen = choose_device(device)
    most, noun = (core_count(), "core") if chosen == "cpu" else (devices_of(chosen), "GPU")
    if asked == AUTO:
        paying = max(1, batch.tokens // LEAST_TOKENS) if chosen == "cpu" else most
        return Started(max(1, min(most, paying, batch.sequences)), chosen)
    if int(asked) > batch.sequences:
        raise LaunchError(
            f"launch.ranks is {asked}, but a batch holds {_count(batch.sequences, 'sequence')}: set launch.ranks to "
            "auto, or raise training.batch_tokens"
        )
    if int(asked) <= most:
        return Started(int(asked), chosen)
    if chosen == "cpu":
        raise LaunchError(
            f"launch.ranks is {asked}, but this machine has {_count(most, noun)}: set launch.ranks to auto, or to "
            f"{most} at most"
        )
    there = "1 MPS device" if chosen == "mps" else _count(most, noun)
    note = f"launch.ranks: {_count(int(asked), 'rank')} asked for, {there}: running {_count(most, 'rank')}"
    return Started(most, chosen, f"{note}; the batch stays")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
