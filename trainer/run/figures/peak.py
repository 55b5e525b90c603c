"""What this machine's processor multiplies at its best, which a run's speed is held against as a GPU's is against its
data sheet.

In: the ranks and a precision. Out: TFLOP/s of one rank in products of large matrices, by the faster of the libraries
that the model's own products may go through, while all ranks multiply. Measured once a machine, for its processor,
torch, threads and ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from trainer.model.linear import product
from trainer.process.machine_notes import note, note_file, noted
from trainer.process.processor import processor_name
from trainer.process.ranks import Ranks
from trainer.run.precision import Name

SIDE: Final = 1024
SECONDS: Final = 0.15
FEWEST_ROUNDS: Final = 3
_TFLOPS: Final = "tflops"


def measured_peak(ranks: Ranks, precision: Name) -> float:
    """TFLOP/s of one rank of a CPU, the mean over ranks. A collective operation."""
    depends_on = [processor_name(), torch.__version__, torch.get_num_threads(), ranks.world_size, precision]
    file = note_file("peak", depends_on)
    known = noted(file, [_TFLOPS]) if ranks.is_first else {}
    if not ranks.broadcast(float(bool(known))):
        known = {_TFLOPS: ranks.sum([_try(precision)])[0] / ranks.world_size}
        if ranks.is_first:
            note(file, known)
    return ranks.broadcast(known.get(_TFLOPS, 0.0))


def _try(precision: Name) -> float:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(SIDE, SIDE, generator=generator).to(dtype) for _ in range(2))
    ways: list[Callable[[], Tensor]] = [lambda: a @ b.T, lambda: product(a, b)]
    fastest = float("inf")
    with torch.no_grad():
        for way in ways:
            began = time.perf_counter()
            for number in range(1000):
                started = time.perf_counter()
                way()
                fastest = min(fastest, time.perf_counter() - started)
                if number + 1 >= FEWEST_ROUNDS and time.perf_counter() - began > SECONDS:
                    break
    return 2 * SIDE**3 / fastest / 1e12
