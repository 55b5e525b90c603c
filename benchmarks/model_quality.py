"""What the model's switches buy on real text, small enough for a laptop: the MoE against its dense twin, and the
learning rate of preset S at 1/2, 1 and 2 times the preset's.

    python -m benchmarks.model_quality moe    --text ../shared/data/fineweb_edu.jsonl.gz
    python -m benchmarks.model_quality sweep  --text ../shared/data/fineweb_edu.jsonl.gz

Text is encoded by a byte-level BPE of 2,048 tokens trained on its first part; the last twentieth of the documents is
held out. Batches are drawn from a fixed seed, the same for every arm. Losses are nats per token on held-out windows.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from trainer.config import TrainingConfig
from trainer.model import GPT, ModelConfig, MoEConfig
from trainer.optim import build_optimizer

PRESET_S = ModelConfig(vocab_size=2048, context=256, width=96, layers=4, heads=3, ff_width=256)
PEAK = 3e-3
WARMUP = 20


def encoded(path: Path, documents: int) -> tuple[Tensor, Tensor]:
    """Training and held-out token streams, int64."""
    from tokenizers import ByteLevelBPETokenizer

    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(documents), strict=False)]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts[: documents // 4], vocab_size=2048, special_tokens=["<|endoftext|>"])
    streams = [torch.tensor([0, *encoding.ids]) for encoding in tokenizer.encode_batch(texts)]
    cut = len(streams) * 19 // 20
    return torch.cat(streams[:cut]), torch.cat(streams[cut:])


def batches(stream: Tensor, steps: int, batch_tokens: int, context: int) -> Iterator[Tensor]:
    """Windows (B, context + 1) of the stream in a fixed random order, each used at most once an epoch."""
    windows = (len(stream) - 1) // context
    generator = torch.Generator().manual_seed(0)
    order = torch.cat(
        [torch.randperm(windows, generator=generator) for _ in range(steps * batch_tokens // len(stream) + 2)]
    )
    for rows in order[: steps * (batch_tokens // context)].view(steps, -1):
        yield torch.stack([stream[row * context : row * context + context + 1] for row in rows])


def train(config: ModelConfig, rate: float, train_on: Tensor, held_out: Tensor, args: argparse.Namespace) -> None:
    """One run, printed as a line."""
    torch.manual_seed(args.seed)
    model = GPT(config)
    optimizer = build_optimizer(model, TrainingConfig(learning_rate=rate))
    worst_load, started = 0.0, time.process_time()
    for step, ids in enumerate(batches(train_on, args.steps, args.batch_tokens, config.context)):
        share = min(1.0, (step + 1) / WARMUP) * (0.55 + 0.45 * math.cos(math.pi * step / args.steps))
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(ids[:, :-1], ids[:, 1:]).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if config.mlp == "moe":
            load = model.balance_experts()
            if step >= args.steps // 4:
                worst_load = max(worst_load, load.max_over_mean)
    seconds = time.process_time() - started
    counts = model.parameter_counts()
    extra = f"  busiest expert {worst_load:.2f}x the mean" if config.mlp == "moe" else ""
    print(
        f"held-out loss {held_out_loss(model.eval(), held_out):.4f}  lr {rate:g}  {counts['active']:,} of "
        f"{counts['total']:,} parameters active  {args.steps * args.batch_tokens:,} tokens  "
        f"{args.steps * args.batch_tokens / seconds:,.0f} tokens per CPU second{extra}",
        flush=True,
    )


@torch.inference_mode()
def held_out_loss(model: GPT, stream: Tensor) -> float:
    """Mean nats per token over the first 200 windows."""
    rows = list(batches(stream, 25, 8 * model.config.context, model.config.context))
    return sum(model.loss(ids[:, :-1], ids[:, 1:]).cross_entropy.item() for ids in rows) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["moe", "sweep"])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    train_on, held_out = encoded(args.text, args.documents)
    print(f"{len(train_on):,} training tokens, {len(held_out):,} held out, {args.steps} steps of {args.batch_tokens}")
    if args.what == "sweep":
        for factor in (0.5, 1.0, 2.0):
            train(PRESET_S, PEAK * factor, train_on, held_out, args)
        return
    for label, changes in {
        "dense": {},
        "moe, auxiliary loss": {"mlp": "moe", "moe": MoEConfig(experts=8, top_k=2)},
        "moe, bias": {"mlp": "moe", "moe": MoEConfig(experts=8, top_k=2, balance="bias")},
    }.items():
        print(f"{label:20}", end=" ")
        train(dataclasses.replace(PRESET_S, **changes), PEAK, train_on, held_out, args)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
