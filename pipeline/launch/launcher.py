"""What starts a program that trains: its ranks on this machine, or wherever else a launcher can put them.

In: a `Program`. Out: a `Handle` to wait for its end and to stop it. Whoever starts a program says nothing of how: where
a process runs, how ranks find one another and how they are told to stop is the launcher's own.

What always holds: a program writes only below folders named in its arguments, and one that was stopped or killed goes
on from what it left there when it is started again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.launch.ranks import Batch
from pipeline.launch.settings import AUTO


@dataclass(frozen=True)
class Shared:
    """Work that ranks share: a launcher starts no more of them than there are devices and sequences for."""

    batch: Batch
    ranks: int | str = AUTO
    """As `launch.ranks`."""
    device: str = "auto"
    """As `training.device`."""


@dataclass(frozen=True)
class Program:
    """A Python module that is to run."""

    module: str
    arguments: tuple[str, ...]
    shared: Shared | None = None
    """Between processes that find one another through torchrun; none for one process that knows of no other."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of this process."""
    output: Path | None = None
    """File that takes what it prints, after what is there; none for this process's own output."""
    folder: Path | None = None
    """Folder of the run, below which it writes; none for a program that nobody ever attaches to."""
    stands_on: Mapping[str, str] = field(default_factory=dict)
    """Artifacts that it reads, fingerprints by key: kept from collection as long as it runs."""


class Handle(Protocol):
    """A program that was started."""

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit status once it has ended; none where it still runs after so long."""
        ...

    def stop(self) -> None:
        """Ask it to end, which a trainer does after a checkpoint, and kill it where it does not; returns at its end."""
        ...


class Launcher(Protocol):
    """Starts programs on one kind of machine."""

    inherits: bool
    """Whether a program is a child of this process and has its variables: it can speak through Dagster's Pipes. What
    another says is logged while it is waited for."""

    def start(self, program: Program, log: logging.Logger) -> Handle:
        """Start the program, whose processes end with the thread that called this, however that ends, unless the
        launcher is one that lets them go on."""
        ...
