"""Tokens to an epoch: how fast the external shuffle is, and in how much memory.

    python benchmarks/sharding.py shuffle --folder SCRATCH [--copying]    measure, and add rows to the CSV
    python benchmarks/sharding.py plot                                    draw the CSV: cost per token by size

Token stores of growing size become shuffled, hashed and synced shards, with the workers the pipeline itself would use.
The stores hold random tokens in documents of 1 to 2,000, about FineWeb's mean. `--copying` takes the path for stores
larger than the page cache, which writes all tokens twice. Every repetition is a row; the plot shows them all.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from pipeline.base.executor import Processes
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.sharding.shuffle import two_passes
from pipeline.tokenization.corpus_tokens.index import FileCounts, SplitCounts, TokenStoreIndex
from trainer.data.shards import TokenizerRef

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
    listed: list[dict[str, Any]] = []
    written = 0
    while written < tokens:
        path = folder / f"train-{len(listed):05d}.arrow"
        entry: dict[str, Any] = {"path": path.name, "documents": 0, "tokens": 0, "bytes": 0}
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
    index = TokenStoreIndex(
        corpus="web",
        tokenizer=TokenizerRef("f" * 64, 50_257, EOT, "uint16"),
        encoder="none",
        train=SplitCounts.of(tuple(FileCounts(**entry) for entry in listed)),
        heldout=SplitCounts.of(()),
        content_hash=f"{tokens:064d}",
    )
    index.write(folder)
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


def shuffle(arguments: argparse.Namespace) -> None:
    """Time `build_epoch` on stores of each size; the token stores are in the page cache, the shards synced to disk."""
    if arguments.copying:
        two_passes._stay_in_page_cache = lambda *_: False
    for size in arguments.tokens:
        root = arguments.folder / f"{size}"
        tokens = {"web": synthetic_store(root / "tokens", size)}
        stages = [{"name": "all", "mixture": {"web": {"repeats": 1}}}]
        settings = ScheduleSettings.model_validate({"stages": stages})
        (root / "schedule").mkdir(exist_ok=True)
        build_schedule(settings, tokens, root / "schedule")
        plan = Schedule.read(root / "schedule").epoch(1)
        for _ in range(arguments.repeat):
            shutil.rmtree(root / "epoch", ignore_errors=True)
            with AnonymousMemory() as memory:
                begin, cpu = time.perf_counter(), cpu_seconds()
                shards = ShardSettings(workers=arguments.workers, mode=arguments.mode)
                with Processes(arguments.workers or 0) as executor:
                    summary = build_epoch(plan, tokens, shards, root / "epoch", executor)
                seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
            row = {
                "tokens": summary.tokens,
                "path": arguments.mode if arguments.mode != "global" else "copied" if arguments.copying else "in place",
                "seconds": round(seconds, 3),
                "cpu_seconds": round(cpu, 3),
                "million_tokens_per_second": round(summary.tokens / seconds / 1e6, 1),
                "anonymous_mb": round(memory.peak / 1e6),
            }
            print(row, flush=True)
            new = not arguments.csv.exists()
            with arguments.csv.open("a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerow(row)
        shutil.rmtree(root / "epoch", ignore_errors=True)


def plot(arguments: argparse.Namespace) -> None:
    """Nanoseconds a token by size, every repetition a dot and the median of each size a line."""
    from pipeline.reporting.plots.style import COLORS, figure_png, new_figure

    with arguments.csv.open() as file:
        rows = list(csv.DictReader(file))
    figure, axes = new_figure(7.2, 3.2)
    for path, color in zip(sorted({row["path"] for row in rows}, reverse=True), COLORS, strict=False):
        costs: dict[int, list[float]] = {}
        for row in rows:
            if row["path"] == path:
                costs.setdefault(int(row["tokens"]), []).append(float(row["seconds"]) * 1e9 / int(row["tokens"]))
        sizes = sorted(costs)
        for size in sizes:
            axes.plot([size] * len(costs[size]), costs[size], "o", color=color, alpha=0.4, markersize=4)
        axes.plot(sizes, [float(np.median(costs[size])) for size in sizes], color=color, label=f"tokens {path}")
    axes.axhline(10, color="#9ca3af", linestyle=":", label="100 million tokens/s")
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlabel("tokens in the epoch")
    axes.set_ylabel("ns a token, wall clock")
    axes.legend(fontsize=8, frameon=False)
    arguments.csv.with_suffix(".png").write_bytes(figure_png(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["shuffle", "plot"])
    parser.add_argument("--folder", type=Path, help="scratch folder; needs 6 bytes a token, kept")
    parser.add_argument("--tokens", type=int, nargs="+", default=[10_000_000, 100_000_000, 1_000_000_000])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--mode", default="global", choices=["global", "within_shard"])
    parser.add_argument("--copying", action="store_true")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--csv", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks" / "shuffle.csv")
    arguments = parser.parse_args()
    if arguments.command == "shuffle" and not arguments.folder:
        parser.error("shuffle needs --folder")
    {"shuffle": shuffle, "plot": plot}[arguments.command](arguments)


if __name__ == "__main__":
    main()
