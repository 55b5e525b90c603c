"""Shards to int64 (x, y) tensors: this project's reader beside slicing one array in memory and litData's loader.

    python benchmarks/reader.py --epoch shards/epoch_001/<fingerprint> [--peers-python venv/bin/python]

All three read the same tokens in order, in batches of `--batch` sequences of `--context`; tokens/s counts inputs. The
slice is the least that a loader can do: one conversion of G*T + 1 tokens of an array in memory, x and y views of it.
litData (TokensLoader, its own optimised chunks, no workers) runs in `--peers-python`, which needs litdata and torch.
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

from trainer.data import SequenceReader

LITDATA = """
import json, sys, time
import numpy as np, torch
from litdata import StreamingDataset, TokensLoader, optimize

def chunks(bounds):
    tokens = np.load(sys.argv[1], mmap_mode="r")
    for start in range(bounds[0], bounds[1], 1_000_000):
        yield torch.from_numpy(tokens[start : min(start + 1_000_000, bounds[1])].astype(np.int32))

if __name__ == "__main__":
    context, batch, steps, out = (int(v) if v.isdigit() else v for v in sys.argv[2:6])
    total = len(np.load(sys.argv[1], mmap_mode="r"))
    loader = TokensLoader(block_size=context + 1)
    optimize(chunks, [(0, total)], out, chunk_size=8_000_000, item_loader=loader, num_workers=1, start_method="spawn")
    best = 0.0
    for _ in range(3):
        data = iter(StreamingDataset(out, item_loader=TokensLoader(block_size=context + 1), shuffle=False))
        next(data)
        begin, done = time.perf_counter(), 0
        for _ in range(steps):
            window = torch.stack([next(data) for _ in range(batch)]).long()
            x, y = window[:, :-1], window[:, 1:]
            done += x.numel()
        best = max(best, done / (time.perf_counter() - begin))
    print(json.dumps(best))
"""


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
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/tokens.npy", tokens)
            (Path(folder) / "litdata_loader.py").write_text(LITDATA)
            command = [str(arguments.peers_python), "litdata_loader.py", "tokens.npy", str(context), str(batch)]
            command += [str(min(steps, 600)), f"{folder}/chunks"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            rates["litdata"] = json.loads(done.stdout.splitlines()[-1])
    print(f"opened {reader.tokens / 1e6:.0f} million tokens in {opened * 1000:.0f} ms; {steps} batches of {batch}")
    for name, rate in rates.items():
        print(f"{name:8} {rate / 1e6:8.1f} million tokens/s   squeeze is {rates['squeeze'] / rate:5.2f} times as fast")


if __name__ == "__main__":
    main()
