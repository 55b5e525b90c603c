"""Tokenizers beside their peers: encoding file to file, training, memory, and ids against every reference.

    python benchmarks/tokenization.py encode     Parquet to Arrow: Squeeze, `tokenizers`, tiktoken, same threads
    python benchmarks/tokenization.py train      a 32k byte-level BPE: Squeeze and `tokenizers`, merges compared
    python benchmarks/tokenization.py memory     peak memory while encoding 0.5 GB and 5 GB (writes about 6 GB)
    python benchmarks/tokenization.py parity     every specification against its reference on all of the text

Text: every document of ../shared/data (or --data DIR with *.jsonl.gz of `text` and `lang`), 54 MB. Each contestant
runs in a process of its own, best of --repeat, and reads the same Parquet and writes Arrow IPC with the same ids.
Squeeze's time includes loading its tokenizer and the parity gate; the peers' loading is left out of theirs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.arrow import differing_rows, from_rows, text_bytes
from pipeline.tokenization.build import build_tokenizer
from pipeline.tokenization.encode import encode_corpus
from pipeline.tokenization.mixture import CuratedCorpus, build_mixture
from pipeline.tokenization.patterns import PATTERNS
from pipeline.tokenization.sample import sample_texts
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.specs import load_spec, parse_spec
from pipeline.tokenization.train import train_bpe, train_reference

HERE = Path(__file__).resolve().parent
THREADS = os.cpu_count() or 1
SPECS = HERE.parent / "tokenizers"
SCHEMA = pa.schema([("doc_id", pa.binary(16)), ("text", pa.string()), ("bytes", pa.uint32()), ("lang", pa.string())])
BATCH = 2_000


def documents(data: Path) -> Iterator[tuple[str, str]]:
    """Text and language of every document."""
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["text"], row.get("lang") or ""


def write_corpus(folder: Path, data: Path, size: int | None = None) -> CuratedCorpus:
    """A curated corpus of all the text, or of `size` bytes of it with every repeat of a document made different."""
    corpus = CuratedCorpus(folder / "documents", folder / "selection", folder / "heldout")
    if folder.exists():
        return corpus
    for path in (corpus.documents, corpus.selection, corpus.heldout):
        path.mkdir(parents=True)
    texts = list(documents(data))
    count = total = copy = 0
    rows: list[dict[str, Any]] = []
    part = corpus.documents / "part-00000.parquet"
    with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        while True:
            for text, lang in texts:
                text = f"{copy} {text}" if copy else text
                encoded = text.encode()
                key = hashlib.blake2b(encoded, digest_size=16).digest()
                rows.append({"doc_id": key, "text": text, "bytes": len(encoded), "lang": lang})
                count, total = count + 1, total + len(encoded)
                if len(rows) == BATCH:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows = []
            copy += 1
            if size is None or total >= size:
                break
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    ids = pq.read_table(part, columns=["doc_id"])["doc_id"]
    pq.write_table(pa.table({"row": range(count), "doc_id": ids}), corpus.selection / "selection.parquet")
    pq.write_table(pa.Table.from_pylist([], SCHEMA), corpus.heldout / "heldout.parquet")
    return corpus


def run_encode(contestant: str, work: Path, tokenizer: Path) -> tuple[float, float]:
    """Wall and processor seconds from Parquet to Arrow by one contestant."""
    corpus = CuratedCorpus(work / "corpus/documents", work / "corpus/selection", work / "corpus/heldout")
    out = work / "out" / contestant
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if contestant == "squeeze":
        import awkward  # noqa: F401 - imports are nobody's time
        import gigatoken  # noqa: F401
        import tiktoken  # noqa: F401

        clock = Clock()
        summary = encode_corpus("all", corpus, tokenizer, out)
        seconds = clock.read()
        print(f"    {summary.encoder}, {summary.gate_documents} documents in the gate", file=sys.stderr)
        return seconds
    encode = _tokenizers_encoder(tokenizer) if contestant == "tokenizers" else _tiktoken_encoder(tokenizer)
    eot = load_tokenizer(tokenizer).eot_id
    schema = pa.schema([("doc_id", pa.binary(16)), ("tokens", pa.list_(pa.uint16()))])
    clock = Clock()
    with pa.ipc.new_file(str(out / "train-00000.arrow"), schema) as sink:
        for batch in pq.ParquetFile(corpus.documents / "part-00000.parquet").iter_batches(BATCH):
            lists = encode(batch.column("text").to_pylist())
            for ids in lists:
                ids.append(eot)
            sink.write_batch(pa.record_batch([batch.column("doc_id"), pa.array(lists, schema[1].type)], schema))
    return clock.read()


def _tokenizers_encoder(folder: Path) -> Callable[[list[str]], list[list[int]]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return lambda texts: [row.ids for row in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _tiktoken_encoder(folder: Path) -> Callable[[list[str]], list[list[int]]]:
    import tiktoken

    pairs: Any = load_tokenizer(folder)
    encoding = tiktoken.Encoding(
        "peer", pat_str=pairs.pairs.pattern, mergeable_ranks=pairs.pairs.ranks(), special_tokens={}
    )
    return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=THREADS)


class Clock:
    """Wall and processor seconds (all threads) since it was made; the second does not mind a busy machine."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def child(*arguments: str) -> tuple[float, float]:
    """The last two numbers that this script prints when run with these arguments in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall, processor = done.stdout.split()[-2:]
    return float(wall), float(processor)


def encode(work: Path, data: Path, repeat: int) -> None:
    corpus = write_corpus(work / "corpus", data)
    size = sum(pq.read_table(corpus.documents, columns=["bytes"])["bytes"].to_pylist())
    build_mixture(SampleSettings(bytes=15_000_000), {"all": corpus}, _folder(work / "mixture"))
    specs = {
        "bpe_16k": parse_spec({"kind": "bpe", "vocab_size": 16_384, "pattern": "cl100k", "digits": 1}, where="bench"),
        "gpt2": load_spec(SPECS, "gpt2"),
    }
    for name, spec in specs.items():
        folder = _folder(work / name)
        build_tokenizer(name, spec, folder, cache=_cache(), folder=SPECS, mixture=work / "mixture")
        seconds = {}
        for contestant in ("squeeze", "tokenizers", "tiktoken"):
            seconds[contestant] = min(child("one", str(work), str(folder), contestant) for _ in range(repeat))
        ids = [_ids(work / "out" / contestant) for contestant in seconds]
        same = all(ids[0].equals(other) for other in ids[1:])
        print(f"{name}: {size / 1e6:.1f} MB, {THREADS} threads, ids identical: {same}")
        _table(seconds, "squeeze", size / 1e6)


def _table(seconds: dict[str, tuple[float, float]], ours: str, megabytes: float) -> None:
    """Rows of wall and processor seconds, each with how many times as fast Squeeze is."""
    for name, (wall, processor) in seconds.items():
        times = (
            f"{wall / seconds[ours][0]:5.1f} times by the clock, {processor / seconds[ours][1]:5.1f} by processor time"
        )
        rate = f"{megabytes / wall:7.1f} MB/s"
        print(f"  {name:10} {wall:7.2f} s {rate} {processor:7.2f} s of processor; Squeeze is {times}", flush=True)


def _ids(folder: Path) -> pa.ChunkedArray:
    with pa.memory_map(str(folder / "train-00000.arrow")) as source:
        return pa.ipc.open_file(source).read_all()["tokens"].cast(pa.list_(pa.uint16()))


def train(work: Path, data: Path, repeat: int) -> None:
    corpus = write_corpus(work / "corpus", data)
    summary = build_mixture(SampleSettings(bytes=10**9), {"all": corpus}, _folder(work / "whole"))
    seconds = {name: min(child("one", str(work), "-", name) for _ in range(repeat)) for name in ("reference", "train")}
    same = (work / "merges-reference").read_bytes() == (work / "merges-train").read_bytes()
    print(f"training 32,768 rows on {summary.sample_bytes / 1e6:.1f} MB, pattern gpt2, merges identical: {same}")
    named = {"squeeze": seconds["train"], "tokenizers": seconds["reference"]}
    _table(named, "squeeze", summary.sample_bytes / 1e6)


def run_train(work: Path, contestant: str) -> tuple[float, float]:
    """Wall and processor seconds to train by one contestant; its merges go to a file."""
    import gigatoken  # noqa: F401
    import tokenizers  # noqa: F401

    spec: Any = parse_spec({"kind": "bpe", "vocab_size": 32_768, "pattern": "gpt2"}, where="bench")
    clock = Clock()
    if contestant == "train":
        merges = train_bpe("bench", spec, work / "whole")[0].merges
    else:
        merges = train_reference(PATTERNS["gpt2"], 32_767 - 256, 2, sample_texts(work / "whole"))
    seconds = clock.read()
    (work / f"merges-{contestant}").write_text(repr(merges))
    return seconds


def memory(work: Path, data: Path, sizes: list[int]) -> None:
    corpus = write_corpus(work / "corpus", data)
    build_mixture(SampleSettings(bytes=15_000_000), {"all": corpus}, _folder(work / "mixture"))
    build_tokenizer("bpe_2k", load_spec(SPECS, "bpe_2k"), _folder(work / "bpe_2k"), cache=_cache(), folder=SPECS,
                    mixture=work / "mixture")  # fmt: skip
    peaks = []
    for size in sizes:
        write_corpus(work / f"large-{size}", data, size)
        peaks.append(child("peak", str(work), str(work / "bpe_2k"), f"large-{size}")[1])
        shutil.rmtree(work / f"large-{size}")
        print(
            f"  {size / 1e9:.1f} GB: peak {peaks[-1]:,.0f} MB, {peaks[-1] / peaks[0]:.3f} times the first", flush=True
        )


def run_peak(work: Path, tokenizer: Path, name: str) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of encoding one corpus."""
    folder, out = work / name, _folder(work / "out" / "peak")
    start = time.perf_counter()
    summary = encode_corpus(
        name, CuratedCorpus(folder / "documents", folder / "selection", folder / "heldout"), tokenizer, out
    )
    seconds = time.perf_counter() - start
    print(f"    {summary.train.bytes / 1e6 / seconds:.1f} MB/s, {summary.encoder}", file=sys.stderr)
    shutil.rmtree(out)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parity(work: Path, data: Path, names: list[str]) -> None:
    corpus = write_corpus(work / "corpus", data)
    build_mixture(SampleSettings(bytes=4_000_000), {"all": corpus}, _folder(work / "small"))
    special = ["<|endoftext|>", "a<|endoftext|>b</s>[INST]<s>", "<｜end▁of▁sentence｜><|fim_prefix|>", "", "  x "]
    texts = pa.array([text for text, _ in documents(data)] + special, pa.large_string())
    for name in names or sorted(path.stem for path in SPECS.glob("*.yaml")):
        folder = _folder(work / name)
        spec = load_spec(SPECS, name)
        build_tokenizer(name, spec, folder, cache=_cache(), folder=SPECS, mixture=work / "small")
        tokenizer = load_tokenizer(folder)
        bulk = tokenizer.bulk_encoder()
        reference = tokenizer.reference_arrow(texts)
        differing = len(differing_rows(bulk(texts), reference)) if bulk else 0
        one_by_one = from_rows([_row(tokenizer, text.as_py()) for text in texts[::100]], tokenizer.dtype)
        differing += len(differing_rows(one_by_one, reference.take(pa.array(range(0, len(texts), 100)))))
        back = tokenizer.decode_arrow(reference).to_pylist()
        lost = sum(one != two.as_py().encode() for one, two in zip(back, texts, strict=True))
        print(
            f"{name}: {int(text_bytes(texts).sum()) / 1e6:.1f} MB, {len(texts):,} documents, "
            f"{tokenizer.reference_name}: differing {differing}, not coming back {lost}; {tokenizer.bulk_path[:60]}",
            flush=True,
        )


def _row(tokenizer: Any, text: str) -> Any:
    import numpy as np

    return np.array(tokenizer.encode(text), dtype=tokenizer.dtype)


def _folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _cache() -> Path:
    return Path(os.environ.get("SQUEEZE_CACHE", tempfile.gettempdir() + "/squeeze-archives"))


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        work, tokenizer, contestant = sys.argv[2:]
        training = contestant in ("train", "reference")
        print(*(run_train(Path(work), contestant) if training else run_encode(contestant, Path(work), Path(tokenizer))))
        return
    if sys.argv[1:2] == ["peak"]:
        print(*run_peak(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["encode", "train", "memory", "parity"])
    parser.add_argument("names", nargs="*", help="parity: specifications to check, all if none")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500_000_000, 5_000_000_000])
    options = parser.parse_args()
    if not list(options.data.glob("*.jsonl.gz")):
        sys.exit(f"no *.jsonl.gz in {options.data}: give a folder of documents with --data")
    print(f"# {options.what} on {platform.machine()}, {THREADS} cores, Python {platform.python_version()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="squeeze-tokenizers-") as folder:
        work = Path(folder)
        if options.what == "encode":
            encode(work, options.data, options.repeat)
        elif options.what == "train":
            train(work, options.data, options.repeat)
        elif options.what == "memory":
            memory(work, options.data, options.sizes)
        else:
            parity(work, options.data, options.names)


if __name__ == "__main__":
    main()
