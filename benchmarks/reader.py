"""Shards to int64 (x, y) tensors: this project's reader beside slicing one array in memory and litData's loader.

    python benchmarks/reader.py --epoch shards/epoch_001/<fingerprint> [--peers-python venv/bin/python]

All three read the same tokens in order, in batches of `--batch` sequences of `--context`; tokens/s counts inputs. The
slice is the least that a loader can do: one conversion of G*T + 1 tokens of an array in memory, x and y views of it.
litData runs in `--peers-python`, which needs litdata and torch, as its documentation sets it up for language models:
chunks of 64 MB by `optimize` with a `TokensLoader`, read by `StreamingDataLoader`; with tokens held as uint16, int32
and int64, and no, one and two workers. Its best is what to compare with; opening and the first batch are not timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from trainer.data.reader import SequenceReader

LITDATA = """
import json, sys, time
import numpy as np, torch
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader, optimize

def chunks(bounds):
    tokens = np.load(sys.argv[1], mmap_mode="r")
    kind = sys.argv[5]
    for start in range(bounds[0], bounds[1], 1_000_000):
        piece = tokens[start : min(start + 1_000_000, bounds[1])]
        yield piece.copy() if kind == "uint16" else torch.from_numpy(piece.astype(kind))

if __name__ == "__main__":
    context, batch, out, kind, workers = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], int(sys.argv[6])
    total = len(np.load(sys.argv[1], mmap_mode="r"))
    loader = TokensLoader(block_size=context + 1)
    if workers == 0:
        optimize(chunks, [(0, total)], out, chunk_bytes="64MB", item_loader=loader, num_workers=1, start_method="spawn")
    torch.set_num_threads(1)
    data = StreamingDataset(out, item_loader=TokensLoader(block_size=context + 1), shuffle=False, drop_last=True)
    best, done = 0.0, 0
    for _ in range(3):
        batches = iter(StreamingDataLoader(data, batch_size=batch, num_workers=workers))
        next(batches)
        begin, done = time.perf_counter(), 0
        for window in batches:
            window = window.long() if window.dtype != torch.uint16 else window.to(torch.int64)
            x, y = window[:, :-1], window[:, 1:]
            done += x.numel()
        best = max(best, done / (time.perf_counter() - begin))
    print(json.dumps([best, done]))
"""


def litdata(python: Path, tokens: np.ndarray, context: int, batch: int) -> dict[str, float]:
    """litData's tokens a second by how its chunks hold tokens and how many workers read them."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/tokens.npy", tokens)
        (Path(folder) / "litdata_loader.py").write_text(LITDATA)
        for kind in ("uint16", "int32", "int64"):
            for workers in (0, 1, 2):
                command = [str(python), "litdata_loader.py", "tokens.npy", str(context), str(batch)]
                command += [f"{folder}/{kind}", kind, str(workers)]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
                if done.returncode:
                    print(f"litdata {kind} {workers} workers failed: {done.stderr.strip().splitlines()[-1:]}")
                    continue
                rate, read = json.loads(done.stdout.splitlines()[-1])
                if read < 0.9 * len(tokens):
                    print(f"litdata {kind} {workers} workers read {read:,} of {len(tokens):,} tokens")
                rates[f"litdata, {kind}, {workers} workers"] = rate
                print(f"litdata {kind} {workers} workers {rate / 1e6:8.1f} million tokens/s", flush=True)
    return rates


def best_rate(step: Callable[[int], torch.Tensor], steps: int, repeat: int = 5) -> float:
    """Most input tokens a second over `repeat` passes of `steps` steps."""
    best = 0.0
    for _ in range(repeat):
        begin, done = time.perf_counter(), 0
        for number in range(steps):
            done += step(number).numel()
        best = max(best, done / (time.perf_counter() - begin))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epoch", type=Path, required=True)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--peers-python", type=Path)
    arguments = parser.parse_args()
    context, batch = arguments.context, arguments.batch
    torch.set_num_threads(1)

    begin = time.perf_counter()
    reader = SequenceReader([arguments.epoch], context)
    opened = time.perf_counter() - begin
    steps = min(reader.steps(batch), 2000)
    windows = reader.read(np.arange(steps * batch))
    tokens = np.concatenate([windows[:, :-1].ravel(), windows[-1:, -1]]).astype(np.uint16)

    def ours(number: int) -> torch.Tensor:
        return reader.tensors(np.arange(number * batch, (number + 1) * batch))[0]

    def sliced(number: int) -> torch.Tensor:
        start = number * batch * context
        buffer = torch.from_numpy(tokens[start : start + batch * context + 1].astype(np.int64))
        x, _y = buffer[:-1].view(batch, context), buffer[1:].view(batch, context)
        return x

    if not torch.equal(ours(3), sliced(3)):
        raise SystemExit("the reader and the slice disagree")
    rates = {"squeeze": best_rate(ours, steps), "slice": best_rate(sliced, steps)}
    if arguments.peers_python:
        rates |= litdata(arguments.peers_python, tokens, context, batch)
    print(f"opened {reader.tokens / 1e6:.0f} million tokens in {opened * 1000:.0f} ms; {steps} batches of {batch}")
    for name, rate in sorted(rates.items(), key=lambda item: -item[1]):
        print(f"{name:26} {rate / 1e6:8.1f} million tokens/s   squeeze is {rates['squeeze'] / rate:5.2f} times as fast")


if __name__ == "__main__":
    main()
