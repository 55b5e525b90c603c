"""The ranks of a run: one process without torchrun, or torchrun's processes joined by gloo (CPU) or nccl (GPU).

Everything the loop exchanges goes through here: sums of statistics, agreement, the first rank's word, waiting for one
another. A single process needs no process group, so the trainer also runs with plain `python -m trainer train`.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from trainer.errors import ConfigError
from trainer.process.allocator import keep_freed_memory

if TYPE_CHECKING:
    import torch
    import torch.distributed as dist
    from torch import Tensor

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
MEETING_FOLDER: Final = "SQUEEZE_MEETING_FOLDER"
"""Folder in which ranks of one machine find one another, from `trainer.launch --standalone`."""
_LOOPBACK: Final = ("lo", "lo0")
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Ranks:
    """This process's place among them; `device` is the one it computes on."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Sequence[float | Tensor]) -> list[float]:
        """Each value summed over all ranks in float64; every rank gets the same bits. Scalars on the device are waited
        for once, all together."""
        import torch
        import torch.distributed as dist

        if self.world_size > 1:
            return self._reduced(values, dist.ReduceOp.SUM)
        scalars = [value for value in values if isinstance(value, torch.Tensor)]
        numbers = iter(torch.stack(scalars).tolist() if scalars else [])
        return [next(numbers) if isinstance(value, torch.Tensor) else float(value) for value in values]

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

    def _reduced(self, values: Sequence[float | Tensor], operation: Any) -> list[float]:
        import torch
        import torch.distributed as dist

        scalars = [  # MPS, without float64, is of one rank; filled there: a number's way to a GPU would be waited for
            value.double()
            if isinstance(value, torch.Tensor)
            else torch.full((), value, dtype=torch.float64, device=self.device)
            for value in values
        ]
        tensor = torch.stack(scalars)
        dist.all_reduce(tensor, op=operation)
        return tensor.tolist()


def join_ranks(device: Literal["auto", "cpu", "cuda", "mps"]) -> Ranks:
    """Join the process group that torchrun's environment describes, if any, and choose the device; a process that
    computes on its CPU keeps the memory that it frees from now on.

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
        keep_freed_memory()
    if world_size > 1:
        if chosen == "mps":
            raise ConfigError(
                f"training.device {device!r} is MPS here, which runs on one rank; start one, or set it to 'cpu'"
            )
        if os.environ.get("LOCAL_WORLD_SIZE") == str(world_size):
            _stay_on_this_machine()
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
    if kind != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def leave_ranks(ranks: Ranks) -> None:
    """Leave the process group after an orderly end. After an error the process just ends: peers may be gone."""
    import torch.distributed as dist

    if ranks.world_size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def _stay_on_this_machine() -> None:
    """Have gloo and nccl listen on the loopback interface alone; an interface that the user names is left."""
    here = {name for _, name in socket.if_nameindex()}
    for name in _LOOPBACK:
        if name in here:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def _own_store() -> dist.Store:
    """Where the ranks find one another in this start of them: nothing that earlier ranks left is read for a word of
    these, whose addresses it would be waited for until a timeout.

    On one machine that is a file in the launcher's folder; over several the store of torchrun, which keeps one over its
    restarts, or of the first rank, which is new with it.
    """
    import torch.distributed as dist

    world_size, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if folder := os.environ.get(MEETING_FOLDER):
        file = dist.FileStore(str(Path(folder, f"ranks_{start}")), world_size)
        file.set_timeout(COLLECTIVE_TIMEOUT)
        return file
    agent_hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        world_size,
        is_master=not agent_hosts and rank == 0,
        timeout=COLLECTIVE_TIMEOUT,
    )
    if not agent_hosts:
        return store
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        return dist.PrefixStore(f"restart_{start}", store)
    return dist.PrefixStore(common_word(store, rank, world_size), store)


def common_word(store: dist.Store, rank: int, world_size: int) -> str:
    """A word that the ranks of this start share, and no earlier ones have.

    Agents count their restarts each for itself, so ranks cannot take the number for one. Each rank asks under a word
    of its own, which no earlier rank can have been answered, and the first rank answers all with its word. Raises
    TimeoutError where not all come.
    """
    mine = secrets.token_hex(8)
    if rank:
        store.set(f"asks/{rank}", mine)
        word = store.get(f"answer/{mine}").decode()
        store.set(f"heard/{word}/{rank}", "")
        return word
    missing = set(range(1, world_size))
    deadline = time.monotonic() + COLLECTIVE_TIMEOUT.total_seconds()
    while missing:
        if time.monotonic() > deadline:
            raise TimeoutError(f"ranks {sorted(missing)} did not come within {COLLECTIVE_TIMEOUT}")
        for other in sorted(missing):
            if store.check([f"heard/{mine}/{other}"]):
                missing.remove(other)
            elif store.check([f"asks/{other}"]):  # it may be an earlier rank's question: answered, and heard by nobody
                store.set(f"answer/{store.get(f'asks/{other}').decode()}", mine)
        time.sleep(_POLL_SECONDS)
    return mine


def choose_device(device: str) -> str:
    """`device`, or for `auto` the best there is here: cuda, mps, cpu.

    Raises `ConfigError` for one that torch does not see.
    """
    if device == "cpu":
        return device
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
