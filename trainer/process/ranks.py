"""The ranks of a run: one process without torchrun, or torchrun's processes joined by gloo (CPU) or nccl (GPU).

Everything the loop exchanges goes through here: sums of statistics, agreement, the first rank's word, waiting for one
another. A single process needs no process group, so the trainer also runs with plain `python -m trainer train`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from trainer.errors import ConfigError

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist

COLLECTIVE_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """This process's place among them; `device` is the one it computes on."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all ranks in float64; every rank gets the same bits."""
        import torch.distributed as dist

        return self._reduced(values, dist.ReduceOp.SUM) if self.world_size > 1 else [float(value) for value in values]

    def minimum(self, value: float) -> float:
        """The least value of all ranks."""
        import torch.distributed as dist

        return self._reduced([value], dist.ReduceOp.MIN)[0] if self.world_size > 1 else value

    def broadcast(self, value: float) -> float:
        """The first rank's value, to the bit; what the others give is not looked at."""
        return self.sum([value if self.is_first else 0.0])[0]

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.sum([0.0])

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)  # MPS, without it, is of one rank
        dist.all_reduce(tensor, op=operation)
        return tensor.tolist()


def join_ranks(device: Literal["auto", "cpu", "cuda", "mps"]) -> Ranks:
    """Join the process group that torchrun's environment describes, if any, and choose the device.

    Raises `ConfigError` for a device that is not there, or more ranks on this machine than GPUs.
    """
    import torch
    import torch.distributed as dist

    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device)
    if chosen == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"--nproc-per-node: rank {rank} has no GPU of its own; there are {torch.cuda.device_count()}, "
                "start at most one rank for each, or set training.device to 'cpu'"
            )
        place = torch.device("cuda", local_rank)
        torch.cuda.set_device(place)
    else:
        place = torch.device(chosen)
    if world_size > 1:
        if chosen == "mps":
            raise ConfigError(
                f"training.device {device!r} is MPS here, which runs on one rank; start one, or set it to 'cpu'"
            )
        dist.init_process_group(
            "nccl" if chosen == "cuda" else "gloo",
            timeout=COLLECTIVE_TIMEOUT,
            device_id=place if chosen == "cuda" else None,
            store=_own_store(),
            rank=rank,
            world_size=world_size,
        )
    return Ranks(rank, world_size, place)


def devices_of(kind: str) -> int:
    """How many devices of a kind there are here, one for each rank; the processor counts as one, which many share."""
    import torch

    return torch.cuda.device_count() if kind == "cuda" else 1


def leave_ranks(ranks: Ranks) -> None:
    """Leave the process group after an orderly end. After an error the process just ends: peers may be gone."""
    import torch.distributed as dist

    if ranks.world_size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def _own_store() -> dist.Store:
    """Where the ranks find one another: torchrun's store, under a prefix for each restart.

    torchrun keeps one store over its restarts; without the prefix a restarted rank may read the address that a dead one
    left there, and wait for it until it times out (torch 2.13, c10d rendezvous).
    """
    import torch.distributed as dist

    agent_hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        int(os.environ["WORLD_SIZE"]),
        is_master=not agent_hosts and os.environ["RANK"] == "0",
        timeout=COLLECTIVE_TIMEOUT,
    )
    return dist.PrefixStore(f"restart_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def choose_device(device: str) -> str:
    """`device`, or for `auto` the best there is here: cuda, mps, cpu.

    Raises `ConfigError` for one that torch does not see.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[device]:
        raise ConfigError(
            f"training.device is {device!r}, but torch sees none here; set it to 'auto' or one of "
            f"{', '.join(name for name, has in there.items() if has)}"
        )
    return device
