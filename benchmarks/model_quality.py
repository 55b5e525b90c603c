"""What settings buy on real text, small enough for a laptop: the mixture of experts against its dense twin, and the
learning rates of preset S.

    python -m benchmarks.model_quality moe   --text ../shared/data/fineweb_edu.jsonl.gz --seeds 1 2
    python -m benchmarks.model_quality sweep --text ../shared/data/fineweb_edu.jsonl.gz --seeds 1 2

Text is encoded by a byte-level BPE of 2,048 tokens trained on its first part; the last twentieth of the documents is
held out. A seed decides initial weights and the order of the batches, the same order for every arm. What is scored is
the final weights' loss on held-out windows, in nats per token and bits per byte. Each run is one process's one thread
of arithmetic where OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import OptimizerConfig, TrainingConfig
from trainer.model import GPT, ModelConfig, MoEConfig
from trainer.optim import build_optimizer
from trainer.optim.schedule import learning_rate_factor
from trainer.presets import PRESETS

PRESET_S = ModelConfig(**PRESETS["s"]["model"])
MUON = TrainingConfig.from_dict(PRESETS["s"]["training"])
ADAMW = TrainingConfig(batch_tokens=MUON.batch_tokens, optimizer=OptimizerConfig(learning_rate=3e-3))
MOE = MoEConfig(experts=8, top_k=2)
MICRO_BATCH = 16
WARM = 0.25  # share of the steps after which the load must be even


@dataclasses.dataclass(frozen=True)
class Text:
    """Token streams, int64, and the UTF-8 bytes a held-out token stands for."""

    train: Tensor
    held_out: Tensor
    bytes_per_token: float


def encoded(path: Path, documents: int) -> Text:
    from tokenizers import ByteLevelBPETokenizer

    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(documents), strict=False)]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts[: documents // 4], vocab_size=PRESET_S.vocab_size, special_tokens=["<eot>"])
    streams = [torch.tensor([0, *encoding.ids]) for encoding in tokenizer.encode_batch(texts)]
    cut = len(streams) * 19 // 20
    held_out = torch.cat(streams[cut:])
    return Text(torch.cat(streams[:cut]), held_out, sum(len(t.encode()) for t in texts[cut:]) / len(held_out))


def windows(stream: Tensor, context: int) -> Tensor:
    """Consecutive windows (N, context + 1), each beginning with the last token of the one before."""
    count = (len(stream) - 1) // context
    return stream[torch.arange(count)[:, None] * context + torch.arange(context + 1)]


def batches(rows: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Batches of rows without end, each row once an epoch."""
    generator = torch.Generator().manual_seed(seed)
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < size:
            waiting = torch.cat((waiting, torch.randperm(len(rows), generator=generator)))
        yield rows[waiting[:size]]
        waiting = waiting[size:]


def train(
    label: str, config: ModelConfig, training: TrainingConfig, text: Text, steps: int, seed: int
) -> tuple[float, float]:
    """One run, printed as a line; returns its held-out loss in nats per token, and the busiest expert's share over the
    mean in any step of the last three quarters (0 for a dense model)."""
    torch.manual_seed(seed)
    model = GPT(config)
    optimizer = build_optimizer(model, training.optimizer)
    busiest, started = 0.0, time.process_time()
    source = batches(windows(text.train, config.context), training.sequences_per_batch(config.context), seed)
    for step, rows in zip(range(steps), source, strict=False):
        optimizer.schedule(step, learning_rate_factor(step, steps, training.schedule), training.optimizer)
        for part in rows.split(MICRO_BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                total = model.loss(part[:, :-1], part[:, 1:], reduction="sum").total
            (total / training.batch_tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if config.mlp == "moe":
            load = model.balance_experts().max_over_mean
            busiest = max(busiest, load) if step >= WARM * steps else 0.0
    tokens = steps * training.batch_tokens
    speed = tokens / (time.process_time() - started)
    loss = held_out_loss(model.eval(), windows(text.held_out, config.context)[:200])
    bits = loss / math.log(2) / text.bytes_per_token
    counts = model.parameter_counts()
    extra = f"  busiest expert {busiest:.2f}x the mean" if config.mlp == "moe" else ""
    print(
        f"seed {seed}  {label:34} {loss:.4f} nats  {bits:.4f} bits/byte  {counts['active']:,} of {counts['total']:,} "
        f"parameters active  {tokens:,} tokens  {speed:,.0f} tokens/s of CPU{extra}",
        flush=True,
    )
    return loss, busiest


@torch.inference_mode()
def held_out_loss(model: GPT, rows: Tensor) -> float:
    """Mean nats per token."""
    parts = rows.split(MICRO_BATCH)
    return sum(model.loss(p[:, :-1], p[:, 1:]).cross_entropy.item() * len(p) for p in parts) / len(rows)


def compare_moe(text: Text, arguments: argparse.Namespace) -> None:
    arms = {"dense twin": PRESET_S}
    for balance in arguments.balance:
        moe = dataclasses.replace(MOE, balance=balance)
        arms[f"8 experts, top 2, {balance}"] = dataclasses.replace(PRESET_S, mlp="moe", moe=moe)
    losses: dict[str, list[float]] = {label: [] for label in arms}
    training = MUON if arguments.optimizer == "muon" else ADAMW
    for seed in arguments.seeds:
        for label, config in arms.items():
            losses[label].append(train(label, config, training, text, arguments.steps, seed)[0])
    dense = losses["dense twin"]
    for label, found in losses.items():
        gaps = [twin - loss for twin, loss in zip(dense, found, strict=True)]
        print(f"{label:34} {statistics.mean(found):.4f}  under its twin by {', '.join(f'{gap:+.4f}' for gap in gaps)}")


def sweep(text: Text, arguments: argparse.Namespace) -> None:
    for name, recipe in (("AdamW", ADAMW), ("Muon", MUON)):
        for factor in arguments.factors:
            rate, adam = recipe.optimizer.learning_rate, recipe.optimizer.adam_learning_rate
            optimizer = dataclasses.replace(
                recipe.optimizer,
                learning_rate=rate * factor,
                adam_learning_rate=None if adam is None else adam * factor,
            )
            training = dataclasses.replace(recipe, optimizer=optimizer)
            label = f"{name} {optimizer.learning_rate:g}" + (f", AdamW {adam * factor:g}" if adam else "")
            found = [train(label, PRESET_S, training, text, arguments.steps, seed)[0] for seed in arguments.seeds]
            print(f"{label:34} {statistics.mean(found):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["moe", "sweep"])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="of the rates, for `sweep`")
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon", help="of `moe`")
    parser.add_argument("--balance", choices=["aux", "bias"], nargs="+", default=["aux", "bias"], help="of `moe`")
    arguments = parser.parse_args()
    text = encoded(arguments.text, arguments.documents)
    print(f"{len(text.train):,} training tokens, {len(text.held_out):,} held out, {arguments.steps} steps")
    (compare_moe if arguments.what == "moe" else sweep)(text, arguments)


if __name__ == "__main__":
    main()
