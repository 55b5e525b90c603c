"""What the whole trainer does with the hardware, on invented tokens; `model_speed.py` has the model beside its peers.

    python -m benchmarks.training loop          # CPU: the trainer with 1 and 2 ranks beside a bare loop of its model
    python -m benchmarks.training checkpoint    # seconds and bytes to save, check and load a checkpoint of each preset
    python -m benchmarks.training gpu           # MFU of GPT-2 124M, and a mixture of experts beside its dense twin
    python -m benchmarks.training gpu --toy     # the same script on a CPU, to see that it runs; figures mean nothing

Each prints one table and runs unattended; `gpu` within 8 minutes on one H100. Runs take turns, so that whatever else
the machine does falls on all of them, and the median counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from trainer.config import RunConfig
from trainer.data.shards import Counts, ShardEntry, ShardsManifest, StageEntry, TokenizerRef, content_hash, shard_schema
from trainer.model import GPT
from trainer.optim import build_optimizer
from trainer.run.checkpoints.checkpoint import RunState, load_checkpoint, read_state, save_checkpoint
from trainer.run.figures.summary import RunSummary, read_summary
from trainer.run.folder import METRICS_FILE

DOCUMENT = 1000  # tokens
DENSE_TWIN = {"vocab_size": 50304, "context": 1024, "width": 768, "layers": 12, "heads": 6, "ff_width": 2048}
GPU_CASES: dict[str, dict[str, Any]] = {
    "GPT-2 124M": {"preset": "gpt2", "model": {"vocab_size": 50304}},
    "dense twin": {"preset": "gpt2", "model": {**DENSE_TWIN, "mlp": "swiglu"}},
    "8 experts, top 2": {"preset": "gpt2", "model": {**DENSE_TWIN, "mlp": "moe", "moe": {"experts": 8, "top_k": 2}}},
}
TOY = {"vocab_size": 512, "context": 64, "width": 64, "layers": 2, "heads": 2, "ff_width": 192}
TOY_BATCH = 4096


def invented_shards(folder: Path, tokens: int, vocabulary: int) -> Path:
    """One epoch of one stage in one shard of random tokens; returns its shards.json."""
    documents = -(-tokens // DOCUMENT)
    values = np.random.default_rng(0).integers(0, vocabulary - 1, documents * DOCUMENT, dtype=np.uint16)
    values[DOCUMENT - 1 :: DOCUMENT] = vocabulary - 1
    tokenizer = TokenizerRef("invented", vocabulary, vocabulary - 1, "uint16")
    schema = shard_schema(tokenizer.dtype)
    offsets = pa.array(np.arange(documents + 1, dtype=np.int32) * DOCUMENT)
    columns = [
        pa.array([number.to_bytes(16, "big") for number in range(documents)], schema.field("doc_id").type),
        pa.array(np.zeros(documents, np.uint16)),
        pa.array(np.full(documents, 4 * DOCUMENT, np.uint32)),
        pa.ListArray.from_arrays(offsets, pa.array(values)).cast(schema.field("tokens").type),
    ]
    path = folder / "stage_0" / "shard_00000.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    file_hash, logical = hashlib.sha256(path.read_bytes()).hexdigest(), hashlib.sha256(values.tobytes()).hexdigest()
    entry = ShardEntry("stage_0/shard_00000.arrow", documents, len(values), 0, file_hash, logical)
    counts = {"invented": Counts(documents, len(values), 4 * len(values))}
    stage = StageEntry(0, "invented", {"invented": 1.0}, documents, len(values), counts, (entry,))
    manifest = ShardsManifest(1, 1, "none", tokenizer, ("invented",), (stage,), documents, len(values), "")
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    (folder / "shards.json").write_text(json.dumps(manifest.to_json()), encoding="utf-8")
    return folder / "shards.json"


def train(folder: Path, settings: dict[str, Any], ranks: int) -> tuple[RunSummary, dict[str, Any]]:
    """Run the trainer in processes of its own; returns its summary, and its last line of metrics."""
    config = folder / "run.json"
    with tempfile.TemporaryDirectory(dir=folder) as out:
        config.write_text(json.dumps({**settings, "out": out}), encoding="utf-8")
        words = ["-m", "trainer.launch", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
        done = subprocess.run(
            [sys.executable, *words, "-m", "trainer", "train", "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        summary = read_summary(Path(out))
        if summary is None:
            sys.exit(f"{out}: the run left no summary")
        last = json.loads((Path(out) / METRICS_FILE).read_text(encoding="utf-8").splitlines()[-1])
        return summary, last


def bare_loop(settings: dict[str, Any], steps: int) -> float:
    """Tokens/s of the same model, optimizer and micro-batches on tokens in memory: no reader, ranks, guards, files."""
    run = RunConfig.from_dict({**settings, "out": "none"})
    model = GPT(run.model)
    optimizer = build_optimizer(model, run.training.optimizer)
    sequences, micro = run.training.sequences_per_batch(run.model.context), 16
    windows = torch.randint(run.model.vocab_size, (sequences, run.model.context + 1))

    def step() -> None:
        for part in windows.split(micro):
            with torch.autocast("cpu", torch.bfloat16, enabled=run.training.precision == "bf16"):
                total = model.loss(part[:, :-1].contiguous(), part[:, 1:].contiguous(), reduction="sum").total
            (total / run.training.batch_tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * run.training.batch_tokens / (time.perf_counter() - started)


def loop(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = invented_shards(Path(folder), (arguments.steps + 2) * 8192, 2048)
        rates: dict[tuple[str, str], list[float]] = {}
        for _ in range(arguments.rounds):
            for precision in ("float32", "bf16"):
                settings: dict[str, Any] = {"preset": "s", "data": {"epochs": [str(shards)]}}
                settings["training"] = {"max_steps": arguments.steps, "precision": precision, "jump_factor": None}
                rates.setdefault((precision, "bare loop"), []).append(bare_loop(settings, arguments.steps))
                for ranks in (1, 2):
                    rate = train(Path(folder), settings, ranks)[0].tokens_per_second
                    rates.setdefault((precision, f"trainer, {ranks} rank(s)"), []).append(rate)
    print(f"preset S, {torch.get_num_threads()} threads in all, torch {torch.__version__}")
    for (precision, who), found in rates.items():
        bare = statistics.median(rates[precision, "bare loop"])
        print(
            f"{precision:8} {who:18} {statistics.median(found):10,.0f} tokens/s {statistics.median(found) / bare:6.2f}"
        )


def checkpoint(_: argparse.Namespace) -> None:
    print(f"{'preset':8}{'GiB':>8}{'save s':>10}{'check s':>10}{'load s':>10}")
    for preset in ("s", "m", "l"):
        run = RunConfig.from_dict({"preset": preset, "data": {"epochs": ["none"]}, "out": "none"})
        model = GPT(run.model)
        optimizer = build_optimizer(model, run.training.optimizer)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        state = RunState(reader={}, training={}, steps=1)
        with tempfile.TemporaryDirectory() as folder:
            times = [time.perf_counter()]
            place = save_checkpoint(Path(folder), state, model, run.model, optimizer, None)
            times.append(time.perf_counter())
            read_state(place)
            times.append(time.perf_counter())
            load_checkpoint(place, model, optimizer, None)
            times.append(time.perf_counter())
            size = sum(file.stat().st_size for file in place.iterdir())
        took = [after - before for before, after in itertools.pairwise(times)]
        print(f"{preset:8}{size / 2**30:8.2f}" + "".join(f"{seconds:10.2f}" for seconds in took), flush=True)


def gpu(arguments: argparse.Namespace) -> None:
    toy = arguments.toy
    if not (toy or torch.cuda.is_available()):
        sys.exit("gpu: torch sees no GPU here, so these figures stay unverified; --toy tries the script on a CPU")
    batch = TOY_BATCH if toy else 524_288
    device = "CPU, toy sizes" if toy else f"{torch.cuda.get_device_name()}, compiled"
    print(f"{device}, torch {torch.__version__}, bf16, batches of {batch:,} tokens")
    print(f"{'model':18}{'micro-batch':>12}{'tokens/s':>12}{'MFU':>8}{'GiB':>8}")
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        shards = invented_shards(Path(folder), (arguments.steps + 2) * batch, TOY["vocab_size"] if toy else 50304)
        for name, case in GPU_CASES.items():
            for micro_batch in (32, 64) if name == "GPT-2 124M" else (32,):
                training: dict[str, Any] = {
                    "batch_tokens": batch,
                    "max_steps": arguments.steps,
                    "micro_batch": micro_batch,
                    "jump_factor": None,
                    "peak_tflops": arguments.peak_tflops,
                    "checkpoint_every": 10**6,
                    "device": "cpu" if toy else "cuda",
                }
                settings = {**case, "training": training, "data": {"epochs": [str(shards)]}}
                settings["model"] = {**settings["model"], **(TOY if toy else {})}
                summary, last = train(Path(folder), settings, ranks=1)
                rate, mfu = last["tokens_per_second"], last["mfu"]
                best[name] = max(best.get(name, 0.0), rate)
                memory = summary.peak_memory_bytes / 2**30
                shown = "?" if mfu is None else f"{mfu:.1%}"
                print(f"{name:18}{micro_batch:>12}{rate:>12,.0f}{shown:>8}{memory:>8.1f}", flush=True)
    print(f"the mixture of experts takes {best['dense twin'] / best['8 experts, top 2']:.2f} times its twin's time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("loop")
    part.add_argument("--rounds", type=int, default=3)
    part.add_argument("--steps", type=int, default=40)
    part.set_defaults(run=loop)
    commands.add_parser("checkpoint").set_defaults(run=checkpoint)
    part = commands.add_parser("gpu")
    part.add_argument("--steps", type=int, default=20)
    part.add_argument("--toy", action="store_true", help="small models on a CPU, to see that the script runs")
    part.add_argument(
        "--peak-tflops", type=float, help="of a GPU that is not in trainer/run/figures/hardware.py, in bf16"
    )
    part.set_defaults(run=gpu)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
