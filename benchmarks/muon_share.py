"""What an optimizer's step costs beside the model's own work: Muon's FLOPs over ranks, and every kind's time on one.

    python benchmarks/muon_share.py              # FLOPs
    python benchmarks/muon_share.py --time       # processor time of preset s on this machine

FLOPs are counted on tensors without data, so that no number depends on the machine: of the Newton-Schulz iteration for
all of a preset's matrices, and of a step's forward and backward passes (`GPT.flops_per_token`). Shared, a rank has the
largest share that `trainer.optim.sharing` gives one; traffic is what a rank then receives, in bfloat16.

Times are processor time of one thread, of preset `s` with its batch in float32: of the optimizer alone, kinds in turns,
and of a step's forward and backward passes on invented tokens.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.config import OptimizerConfig, RunConfig
from trainer.model import GPT
from trainer.optim import build_optimizer
from trainer.optim.muon import block_matrices, orthogonalize

PRESETS = ("s", "m", "l")
RANKS = (1, 2, 8)
VARIANTS = {
    "adamw": OptimizerConfig(kind="adamw"),
    "muon": OptimizerConfig(kind="muon"),
    "muon, cautious decay": OptimizerConfig(kind="muon", cautious_weight_decay=True),
    "muon, polar_express": OptimizerConfig(kind="muon", orthogonalizer="polar_express"),
    "normuon": OptimizerConfig(kind="normuon"),
    "soap_muon, every 10": OptimizerConfig(kind="soap_muon"),
    "soap_muon, every step": OptimizerConfig(kind="soap_muon", soap_every=1),
}
SHIFTS, STEPS_A_SHIFT = 5, 10


def batches_of(model: GPT) -> list[tuple[int, int, int]]:
    """(matrices, rows, columns) of every batch that goes through the iteration at once."""
    sizes: Counter[tuple[Any, ...]] = Counter()
    for parameter, parts in block_matrices(model):
        for rows in parts:
            sizes[parameter.shape, parts, rows, parameter.shape[-1]] += parameter.shape[:-2].numel()
    return [(count, rows, columns) for (*_, rows, columns), count in sizes.items()]


def flops(count: int, rows: int, columns: int) -> int:
    with FlopCounterMode(display=False) as counter:
        orthogonalize(torch.empty(count, rows, columns, device="meta"))
    return int(counter.get_total_flops())


def time_steps() -> None:
    """Print each variant's milliseconds a step and its share of a whole one."""
    torch.set_num_threads(1)
    run = RunConfig.from_dict({"preset": "s", "data": {"epochs": ["none"]}, "out": "none"})
    torch.manual_seed(1)
    model = GPT(run.model)
    optimizers = {name: build_optimizer(model, settings) for name, settings in VARIANTS.items()}
    ids = torch.randint(run.model.vocab_size, (run.training.batch_tokens // run.model.context, run.model.context + 1))
    passes: list[float] = []
    steps: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(SHIFTS):
        begun = time.process_time()
        for rows in ids.split(16):
            model.loss(rows[:, :-1], rows[:, 1:]).total.backward()
        passes.append(time.process_time() - begun)
        for name, optimizer in optimizers.items():
            begun = time.process_time()
            for _ in range(STEPS_A_SHIFT):
                optimizer.step()
            steps[name].append((time.process_time() - begun) / STEPS_A_SHIFT)
        model.zero_grad()
    whole = statistics.median(passes)
    print(f"forward and backward of {run.training.batch_tokens:,} tokens: {whole * 1e3:.0f} ms")
    for name, seconds in steps.items():
        middle = statistics.median(seconds)
        print(f"{name:<24}{middle * 1e3:>8.1f} ms{middle / (middle + whole):>9.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", action="store_true", help="processor time of preset s on this machine")
    if parser.parse_args().time:
        time_steps()
        return
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
