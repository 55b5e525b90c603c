"""How training is launched."""

from __future__ import annotations

import string
from typing import Final, Literal

from pydantic import field_validator, model_validator

from pipeline.base.settings import Settings, runtime

AUTO: Final = "auto"
FIELDS: Final = ("node", "host", "program")
"""What a command's template may name."""


class CommandSettings(Settings):
    """How a node is reached by a command of your own."""

    template: str
    """What runs a node's part, such as `ssh {host} {program}` or `kubectl exec -i trainer-{node} -- sh -c {program}`.
    `{program}` is one word: the line that a shell on the node is to run, for as long as it runs; `{node}` counts from
    0, `{host}` is the node's of `hosts`. It is no shell that reads the template."""
    hosts: tuple[str, ...] = runtime(())
    """Names of the nodes, first the one that the others meet at."""
    python: str | None = runtime(None)
    """The interpreter there; none for the path of this one."""

    @field_validator("template")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        try:
            named = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        except ValueError as error:
            raise ValueError(f"braces that do not match ({error})") from None
        if unknown := [name for name in named if name not in FIELDS]:
            raise ValueError(f"{{{unknown[0]}}} is none of {', '.join(f'{{{name}}}' for name in FIELDS)}")
        if "program" not in named:
            raise ValueError("it must name {program}, which is what the node is to run")
        return template


class SlurmSettings(Settings):
    """What Slurm is asked for."""

    partition: str | None = runtime(None)
    """The partition; none for Slurm's default."""
    time: str | None = runtime(None)
    """The limit of a job, as `sbatch --time` has it; a minute before it the run saves, and goes on in a new job as far
    as `attempts` allows."""
    options: tuple[str, ...] = runtime(())
    """Further options of sbatch, such as `--gpus-per-node=8`."""
    python: str | None = runtime(None)
    """The interpreter on the nodes; none for the path of this one."""


class RaySettings(Settings):
    """What a Ray cluster (extra `[ray]`) is asked for."""

    address: str | None = runtime(None)
    """`HOST:PORT` of a cluster that this machine belongs to; none: that of the variable RAY_ADDRESS, else the one that
    runs here."""
    cpus: float = runtime(1, gt=0)
    """CPUs that are reserved on a node."""
    gpus: int = runtime(0, ge=0)
    """GPUs that are reserved on a node, of which the trainer sees no others."""


class LaunchSettings(Settings):
    """How the trainer is launched. None of it changes the result beyond float tolerance."""

    kind: Literal["local", "command", "slurm", "ray"] = runtime("local")
    """What places the trainer: this machine; a command that reaches each node; a job of Slurm's; actors of a Ray
    cluster. With all but the first the store (SQUEEZE_HOME) and the code must be where every node sees them under one
    path."""
    nodes: int = runtime(1, ge=1)
    """Machines, with as many ranks each."""
    ranks: Literal["auto"] | int = runtime(AUTO)
    """Processes torchrun starts on each machine, between which each batch is shared, whatever their number. `auto`:
    one a GPU, or on a CPU one a core as far as that pays. A number: as many, or as many as there are GPUs where those
    are fewer; on a CPU no more than there are cores."""
    threads_per_rank: int | None = runtime(None, ge=1)
    """CPU threads of a rank; none: a machine's cores shared out evenly."""
    interface: str | None = runtime(None)
    """Network interface through which nodes talk, such as `eth0`; none for the one of the default route."""
    detached: bool = runtime(False)
    """Whether the trainer goes on where Dagster is killed; the model asset then attaches to it, materialized again.
    Stopping the run in the UI, or with Ctrl-C, stops the trainer either way."""
    unattended_hours: float | None = runtime(None, gt=0)
    """Ends a detached trainer, after a checkpoint, to which no model asset has been attached for so long."""
    attempts: int = runtime(1, ge=1)
    """How often in a row the trainer is started, each time from its newest checkpoint, without getting to another one,
    where a rank, an agent or a node is lost."""
    lost_seconds: float = runtime(60, gt=0)
    """Silence after which a node counts as lost; more where a shared file system shows changes late."""
    command: CommandSettings | None = runtime(None)
    """For `kind: command`."""
    slurm: SlurmSettings = runtime(SlurmSettings())
    """For `kind: slurm`."""
    ray: RaySettings = runtime(RaySettings())
    """For `kind: ray`."""

    @field_validator("ranks", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: object) -> object:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if number == AUTO or (isinstance(number, int) and number is not True and number >= 1):
            return number
        raise ValueError("must be auto or a whole number of at least 1")

    @model_validator(mode="after")
    def _fit_together(self) -> LaunchSettings:
        if self.kind == "local" and self.nodes > 1:
            raise ValueError(
                f"nodes is {self.nodes}, but kind is local, which is one machine: set kind to command, slurm or ray"
            )
        if self.kind == "command":
            if self.command is None:
                raise ValueError("kind is command, which needs command.template, such as 'ssh {host} {program}'")
            if "{host" in self.command.template and len(self.command.hosts) < self.nodes:
                raise ValueError(
                    f"command.template names {{host}}, and command.hosts has {len(self.command.hosts)} of {self.nodes}"
                )
        if self.unattended_hours is not None and not self.detached:
            raise ValueError("unattended_hours is of a detached trainer: set detached to true, or leave it out")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the trainer is one process of this machine that nobody looks after and that ends with its run."""
        return self.kind == "local" and not self.detached and self.attempts == 1
