"""Curated Parquet to shards on disk: this project beside a tiktoken loop and datatrove, in MB of text a second.

    python benchmarks/sharding_peers.py --work SCRATCH [--bytes 270000000] [--peers squeeze tiktoken datatrove]

    squeeze     encode the corpus, work out a schedule, shuffle every document of it into Arrow shards
    tiktoken    build-nanogpt's fineweb.py: a pool of two processes encodes document by document, the parent writes
                uint16 .npy files of 10 million tokens; nothing is shuffled
    datatrove   DocumentTokenizer in two local processes (shuffling each file's documents), then DocumentTokenizerMerger
                (shuffling across files)

All three read the same four Parquet files (zstd), use GPT-2's vocabulary from a local folder, run in
a process of their own with two worker processes or threads, and are timed from its start to its end. Text is that of
benchmarks/tokenization.py: every document of ../shared/data once (56 MB); more is the same text with new long words.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CORES = 2
SHARD_TOKENS = 10_000_000
PARTS = 4
HERE = Path(__file__).resolve().parent


def prepare(work: Path, data: Path, size: int) -> tuple[Path, float]:
    """The tokenizer's folder and a curated corpus of `size` bytes in four Parquet files; its MB of text."""
    from tokenization import SPECS, _cache, write_corpus

    from pipeline.tokenization.specs import load_spec
    from pipeline.tokenization.training.build import build_tokenizer

    if not (work / "gpt2" / "squeeze_tokenizer.json").exists():
        (work / "gpt2").mkdir(parents=True, exist_ok=True)
        build_tokenizer("gpt2", load_spec(SPECS, "gpt2"), work / "gpt2", cache=_cache(), folder=SPECS, mixture=work)
    folder = work / f"corpus-{size}"
    corpus = write_corpus(folder, data, size)
    whole = corpus.documents / "part-00000.parquet"
    if not (corpus.documents / "part-00001.parquet").exists():
        table = pq.read_table(whole)
        step = -(-len(table) // PARTS)
        for number in range(PARTS):
            part = table.slice(number * step, step)
            pq.write_table(
                part, corpus.documents / f"part-{number:05d}.parquet", compression="zstd", row_group_size=2000
            )
    megabytes = float(np.sum(pq.read_table(corpus.documents, columns=["bytes"])["bytes"].to_numpy())) / 1e6
    return folder, megabytes


def squeeze(tokenizer: Path, corpus: Path, out: Path) -> int:
    from pipeline.base.executor import InProcess, Processes
    from pipeline.curation.corpus import CuratedCorpus
    from pipeline.sharding.epoch import build_epoch
    from pipeline.sharding.schedule.build import build_schedule
    from pipeline.sharding.schedule.schedule import Schedule
    from pipeline.sharding.settings import ScheduleSettings, ShardSettings
    from pipeline.tokenization.corpus_tokens.encode import encode_corpus
    from trainer.process.allocator import keep_freed_memory

    keep_freed_memory()  # as an asset has it
    for name in ("tokens", "schedule", "epoch"):
        (out / name).mkdir()
    curated = CuratedCorpus(corpus / "documents", corpus / "selection", corpus / "heldout")
    encode_corpus("all", curated, tokenizer, out / "tokens", executor=InProcess())
    stages = [{"name": "all", "mixture": {"all": {"repeats": 1}}}]
    build_schedule(ScheduleSettings.model_validate({"stages": stages}), {"all": out / "tokens"}, out / "schedule")
    plan = Schedule.read(out / "schedule").epoch(1)
    shards = ShardSettings(tokens_per_shard=SHARD_TOKENS)
    with Processes() as executor:
        return build_epoch(plan, {"all": out / "tokens"}, shards, out / "epoch", executor).tokens


_encoding: Any = None
_eot = 50_256


def _open_tiktoken(folder: str) -> None:
    import tiktoken

    global _encoding
    pattern = json.loads((Path(folder) / "squeeze_tokenizer.json").read_text())["pattern"]
    lines = (line.split() for line in (Path(folder) / "ranks.tiktoken").read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    _encoding = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _tokenize(text: str) -> np.ndarray:
    return np.array([_eot, *_encoding.encode_ordinary(text)]).astype(np.uint16)


def tiktoken(tokenizer: Path, corpus: Path, out: Path) -> int:
    """The loop of build-nanogpt's fineweb.py, reading Parquet by pyarrow instead of `datasets`."""

    def texts() -> Any:
        for path in sorted((corpus / "documents").glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(1000, columns=["text"]):
                yield from batch.column("text").to_pylist()

    shard, count, written = np.empty((SHARD_TOKENS,), dtype=np.uint16), 0, 0
    with multiprocessing.Pool(CORES, _open_tiktoken, (str(tokenizer),)) as pool:
        for tokens in pool.imap(_tokenize, texts(), chunksize=16):
            while count + len(tokens) >= SHARD_TOKENS:
                room = SHARD_TOKENS - count
                shard[count:] = tokens[:room]
                np.save(out / f"shard_{written:06d}", shard)
                tokens, count, written = tokens[room:], 0, written + 1
            shard[count : count + len(tokens)] = tokens
            count += len(tokens)
    np.save(out / f"shard_{written:06d}", shard[:count])
    return written * SHARD_TOKENS + count


def datatrove(tokenizer: Path, corpus: Path, out: Path) -> int:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger

    encoder = DocumentTokenizer(
        str(out / "tokens"),
        str(tokenizer / "tokenizer.json"),
        local_working_dir=str(out / "local"),
        eos_token="<|endoftext|>",
        seed=1,
        shuffle_documents=True,
    )
    reader = ParquetReader(str(corpus / "documents"), read_metadata=False)
    LocalPipelineExecutor([reader, encoder], tasks=CORES, workers=CORES, logging_dir=str(out / "logs")).run()
    merger = DocumentTokenizerMerger(
        str(out / "tokens"), str(out / "merged"), "all", max_tokens_per_file=SHARD_TOKENS, seed=1, progress=False
    )
    LocalPipelineExecutor([merger], tasks=1, logging_dir=str(out / "logs_merge")).run()
    return sum(path.stat().st_size for path in (out / "merged").glob("*.ds")) // 2


PEERS = {"squeeze": squeeze, "tiktoken": tiktoken, "datatrove": datatrove}


def cpu_seconds() -> float:
    """CPU time of all processes that were started and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def measure(peer: str, work: Path, corpus: Path) -> tuple[float, float, int]:
    """Wall and CPU seconds of a process, from start to end with its workers, and the tokens it wrote."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [sys.executable, __file__, "--child", peer, str(work / "gpt2"), str(corpus), str(out)]
    begin, cpu = time.perf_counter(), cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return seconds, cpu, int(done.stdout.split()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        peer, *folders = sys.argv[2:]
        print(PEERS[peer](*map(Path, folders)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, kept")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--bytes", type=int, default=0, help="of text; 0 is every document once")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--repeat", type=int, default=3, help="0 only prepares the text")
    options = parser.parse_args()
    pa.set_cpu_count(CORES)
    corpus, megabytes = prepare(options.work, options.data, options.bytes)
    rates: dict[str, float] = {}
    per_cpu: dict[str, float] = {}
    for peer in options.peers:
        for _ in range(options.repeat):
            seconds, cpu, tokens = measure(peer, options.work, corpus)
            rates[peer] = max(rates.get(peer, 0), megabytes / seconds)
            per_cpu[peer] = max(per_cpu.get(peer, 0), megabytes / cpu)
            # datatrove's workers belong to a fork server, whose CPU time nobody is told
            used = "" if peer == "datatrove" else f"{megabytes / cpu:7.1f} MB a CPU-second"
            rate = f"{megabytes / seconds:7.1f} MB/s {used}"
            print(f"{peer:10} {megabytes:7.1f} MB {tokens:12,} tokens {seconds:8.2f} s {rate}", flush=True)
    for peer, best in rates.items():
        print(f"{peer:10} best {best:7.1f} MB/s; squeeze is {rates.get('squeeze', 0) / best:5.1f} times as fast")
        if peer != "datatrove":
            print(f"{'':10} by CPU time {per_cpu.get('squeeze', 0) / per_cpu[peer]:5.1f} times")


if __name__ == "__main__":
    main()
