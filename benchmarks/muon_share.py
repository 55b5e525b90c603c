"""What Muon's orthogonalisation costs beside the model's own work, on every rank alike and shared out over ranks.

    python benchmarks/muon_share.py

FLOPs are counted on tensors without data, so that no number depends on the machine: of the Newton-Schulz iteration for
all of a preset's matrices, and of a step's forward and backward passes (`GPT.flops_per_token`). Shared, a rank has the
largest share that `trainer.optim.sharing` gives one; traffic is what a rank then receives, in bfloat16.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.config import RunConfig
from trainer.model import GPT
from trainer.optim.muon import block_matrices, orthogonalize

PRESETS = ("s", "m", "l")
RANKS = (1, 2, 8)


def batches_of(model: GPT) -> list[tuple[int, int, int]]:
    """(matrices, rows, columns) of every batch that goes through the iteration at once."""
    sizes: Counter[tuple[object, ...]] = Counter()
    for parameter, parts in block_matrices(model):
        for rows in parts:
            sizes[parameter.shape, parts, rows, parameter.shape[-1]] += parameter.shape[:-2].numel()
    return [(count, rows, columns) for (*_, rows, columns), count in sizes.items()]


def flops(count: int, rows: int, columns: int) -> int:
    with FlopCounterMode(display=False) as counter:
        orthogonalize(torch.empty(count, rows, columns, device="meta"))
    return int(counter.get_total_flops())


def main() -> None:
    print(f"{'preset':<8}{'ranks':>6}{'alike':>10}{'shared':>10}{'received a step':>18}")
    for name in PRESETS:
        run = RunConfig.from_dict({"preset": name, "data": {"epochs": ["none"]}, "out": "none"})
        with torch.device("meta"):
            model = GPT(run.model)
        step = model.flops_per_token() * run.training.batch_tokens
        batches = batches_of(model)
        whole = sum(flops(*batch) for batch in batches)
        sent = 2 * sum(count * rows * columns for count, rows, columns in batches)
        for ranks in RANKS:
            most = sum(flops(-(-count // ranks), rows, columns) for count, rows, columns in batches)
            alike, shared = whole * ranks / step, most * ranks / step
            print(f"{name:<8}{ranks:>6}{alike:>10.2%}{shared:>10.2%}{sent * (ranks - 1) / ranks / 2**20:>14.1f} MiB")


if __name__ == "__main__":
    main()
