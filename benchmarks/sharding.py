"""Tokens to an epoch: how fast the external shuffle is, and in how much memory. `python benchmarks/sharding.py --help`.

    shuffle   token stores of growing size -> shuffled, hashed and synced shards: tokens/s, CPU seconds, memory

The stores hold random tokens in documents of 1 to 2,000, about FineWeb's mean. CPU seconds (user and system, of all
processes) are what to compare on a machine that does other work as well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule import build_schedule, epoch_slice, read_schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings

EOT = 0
MEAN = 1000


def synthetic_store(folder: Path, tokens: int) -> Path:
    """A token store of about `tokens` random tokens in documents of 1 to 2,000, as FineWeb's mean length is 1,034."""
    if (folder / "tokens.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    schema = pa.schema(
        {"doc_id": pa.binary(16), "bytes": pa.uint32(), "lang": pa.string(), "tokens": pa.list_(pa.uint16())}
    )
    listed = []
    written = 0
    while written < tokens:
        path = folder / f"train-{len(listed):05d}.arrow"
        entry = {"path": path.name, "documents": 0, "tokens": 0, "bytes": 0}
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            while entry["tokens"] < 64_000_000 and written < tokens:
                lengths = rng.integers(1, 2 * MEAN, min(2_000_000, tokens - written) // MEAN + 1)
                offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
                values = rng.integers(1, 50_000, offsets[-1], dtype=np.uint16)
                values[offsets[1:] - 1] = EOT
                ids = rng.integers(0, 256, (len(lengths), 16), dtype=np.uint8)
                columns = [
                    pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)]),
                    pa.array((4 * lengths).astype(np.uint32)),
                    pa.array(["en"] * len(lengths)),
                    pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)),
                ]
                writer.write(pa.record_batch(columns, schema=schema))
                entry["documents"] += len(lengths)
                entry["tokens"] += int(offsets[-1])
                entry["bytes"] += int(4 * lengths.sum())
                written += int(offsets[-1])
        listed.append(entry)
    split = {key: sum(entry[key] for entry in listed) for key in ("documents", "tokens", "bytes")} | {"files": listed}
    tokenizer = {"content_hash": "f" * 64, "vocab_size": 50_257, "eot_id": EOT, "dtype": "uint16"}
    index = {"format": "squeeze-tokens", "version": 1, "corpus": "web", "tokenizer": tokenizer, "train": split}
    index |= {"heldout": split | {"files": []}, "content_hash": f"{tokens:064d}"}
    (folder / "tokens.json").write_text(json.dumps(index))
    return folder


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class AnonymousMemory:
    """Peak anonymous memory (no mapped files) of this process and its children together, sampled."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> AnonymousMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.05):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))
            self.peak = max(self.peak, total * 1024)


def shuffle(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Time `build_epoch` on stores of each size; the token stores are in the page cache, the shards synced to disk."""
    rows = []
    for size in arguments.tokens:
        root = arguments.folder / f"{size}"
        tokens = {"web": synthetic_store(root / "tokens", size)}
        stages = [{"name": "all", "mixture": {"web": {"repeats": 1}}}]
        settings = ScheduleSettings.model_validate({"stages": stages})
        (root / "schedule").mkdir(exist_ok=True)
        begin = time.perf_counter()
        build_schedule(settings, tokens, root / "schedule")
        planned = time.perf_counter() - begin
        part = epoch_slice(read_schedule(root / "schedule"), 1)
        best: dict[str, Any] = {}
        for _ in range(arguments.repeat):
            shutil.rmtree(root / "epoch", ignore_errors=True)
            with AnonymousMemory() as memory:
                begin, cpu = time.perf_counter(), cpu_seconds()
                shards = ShardSettings(workers=arguments.workers, mode=arguments.mode)
                summary = build_epoch(part, tokens, shards, root / "epoch")
                seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
            row = {
                "tokens": summary.tokens,
                "schedule_seconds": round(planned, 2),
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu, 2),
                "million_tokens_per_cpu_second": round(summary.tokens / cpu / 1e6, 1),
                "million_tokens_per_second": round(summary.tokens / seconds / 1e6, 1),
                "anonymous_mb": round(memory.peak / 1e6),
            }
            print(json.dumps(row), flush=True)
            if not best or row["seconds"] < best["seconds"]:
                best = row
        rows.append(best)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder; needs 6 bytes a token")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("shuffle")
    command.add_argument("--tokens", type=int, nargs="+", default=[10_000_000, 100_000_000, 1_000_000_000])
    command.add_argument("--workers", type=int, default=2)
    command.add_argument("--mode", default="global")
    command.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    rows = {"shuffle": shuffle}[arguments.command](arguments)
    json.dump(rows, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
