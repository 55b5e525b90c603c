"""Tokenizers beside their peers: encoding file to file, training, memory, and ids against every reference.

    python benchmarks/tokenization.py encode     Parquet to Arrow: Squeeze, `tokenizers`, tiktoken, same threads
    python benchmarks/tokenization.py train      a 32k byte-level BPE: Squeeze and `tokenizers`, merges compared
    python benchmarks/tokenization.py memory     peak memory while encoding 0.5 GB and 5 GB (writes about 6 GB)
    python benchmarks/tokenization.py parity     every specification against its reference on all of the text

Text: every document of ../shared/data (or --data DIR with *.jsonl.gz of `text` and `lang`), 54 MB, each once. Larger
sizes repeat it with as many new words as text of that size has, so that no cache of words gains by the repeating
(`tokenization_text.py`). Each contestant runs in a process of its own, reads the same Parquet and writes Arrow IPC
with the same ids; every figure is the best of --repeat. `whole` is the process from start to end, `load + encode`
leaves Python's imports out, `encode` the opening of the tokenizer as well; Squeeze's include its parity gate, content
hash and the other columns of the token store throughout.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenization_text import corpus_in, documents, write_corpus

from pipeline.base.arrow import differing_rows, from_rows, text_bytes
from pipeline.base.executor import InProcess
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.corpus_tokens.encode import encode_corpus
from pipeline.tokenization.formats.card import TokenizerCard
from pipeline.tokenization.formats.patterns import PATTERNS
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.specs import load_spec, parse_spec
from pipeline.tokenization.training.bpe import train_bpe, train_reference
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.mixture import build_mixture
from pipeline.tokenization.training.sample import sample_texts

HERE = Path(__file__).resolve().parent
THREADS = os.cpu_count() or 1
SPECS = HERE.parent / "tokenizers"
BATCH = 2_000


def run_encode(work: str, opened: str, name: str, contestant: str) -> tuple[float, float, float]:
    """Seconds to open the tokenizer; wall and processor seconds of that and of Parquet to Arrow."""
    corpus, tokenizer = corpus_in(Path(work) / name), Path(opened)
    out = _folder(Path(work) / "out" / contestant)
    import awkward  # noqa: F401 - imports are nobody's time
    import gigatoken  # noqa: F401
    import tiktoken  # noqa: F401
    import tokenizers  # noqa: F401

    clock = Clock()
    if contestant == "opening":
        loaded = load_tokenizer(tokenizer)
        loaded.bulk_encoder()
        loaded.encode("the reference, which the gate asks")
        return clock.read()[0], *clock.read()
    if contestant == "squeeze":
        summary = encode_corpus("all", corpus, tokenizer, out, executor=InProcess())
        seconds = clock.read()
        print(f"    {summary.encoder}, {summary.gate_documents} documents in the gate", file=sys.stderr)
        return 0.0, *seconds
    encode = _tokenizers_encoder(tokenizer) if contestant == "tokenizers" else _tiktoken_encoder(tokenizer)
    eot = TokenizerCard.read(tokenizer).eot_id
    schema = pa.schema([("doc_id", pa.binary(16)), ("tokens", pa.list_(pa.uint16()))])
    opening = clock.read()[0]
    with pa.ipc.new_file(str(out / "train-00000.arrow"), schema) as sink:
        for batch in pq.ParquetFile(corpus.documents / "part-00000.parquet").iter_batches(BATCH):
            lists = encode(batch.column("text").to_pylist())
            for ids in lists:
                ids.append(eot)
            sink.write_batch(pa.record_batch([batch.column("doc_id"), pa.array(lists, schema[1].type)], schema))
    return opening, *clock.read()


def _tokenizers_encoder(folder: Path) -> Callable[[list[str]], list[list[int]]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return lambda texts: [row.ids for row in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _tiktoken_encoder(folder: Path) -> Callable[[list[str]], list[list[int]]]:
    import tiktoken

    pattern = TokenizerCard.read(folder).details["pattern"]
    lines = (line.split() for line in (folder / "ranks.tiktoken").read_bytes().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("peer", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=THREADS)


class Clock:
    """Wall and processor seconds (all threads) since it was made; the second does not mind a busy machine."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def child(*arguments: str) -> tuple[float, ...]:
    """Wall seconds of a process that runs this script with these arguments, and the numbers it prints."""
    command = [sys.executable, __file__, "child", *arguments]
    clock = Clock()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return clock.read()[0], *map(float, done.stdout.splitlines()[-1].split())  # gigatoken prints, too


def best(repeat: int, contestants: tuple[str, ...], *arguments: str) -> dict[str, list[float]]:
    """The best of every number a contestant over `repeat` rounds, in which they take turns: a busy minute hits all."""
    rounds = [{name: child(*arguments, name) for name in contestants} for _ in range(repeat)]
    return {name: [min(numbers) for numbers in zip(*(r[name] for r in rounds), strict=True)] for name in contestants}


def encode(work: Path, data: Path, repeat: int, sizes: list[int]) -> None:
    if not (work / "mixture").exists():
        corpus = write_corpus(work / "corpus-0", data)
        build_mixture(SampleSettings(bytes=15_000_000), {"all": corpus}, _folder(work / "mixture"))
    specs = {
        "bpe_16k": parse_spec({"kind": "bpe", "vocab_size": 16_384, "pattern": "cl100k", "digits": 1}, where="bench"),
        "gpt2": load_spec(SPECS, "gpt2"),
    }
    for name, spec in specs.items():
        if not (work / name).exists():
            folder = _folder(work / name)
            build_tokenizer(name, spec, folder, cache=_cache(), folder=SPECS, mixture=work / "mixture")
    for size in sizes:
        corpus = write_corpus(work / f"corpus-{size}", data, size)
        megabytes = sum(pq.read_table(corpus.documents, columns=["bytes"])["bytes"].to_pylist()) / 1e6
        for name in specs if repeat else ():
            _encode_one(work, work / name, f"corpus-{size}", megabytes, repeat)


def _encode_one(work: Path, folder: Path, corpus: str, megabytes: float, repeat: int) -> None:
    contestants = ("opening", "squeeze", "tiktoken", "tokenizers")
    taken = best(repeat, contestants, "encode", str(work), str(folder), corpus)
    opening = taken.pop("opening")[1]
    seconds = {}
    for contestant, (whole, opened, wall, processor) in taken.items():
        encoding = wall - (opening if contestant == "squeeze" else opened)
        seconds[contestant] = {"whole": whole, "load + encode": wall, "encode": encoding, "processor": processor}
    ids = [_ids(work / "out" / contestant) for contestant in seconds]
    same = all(ids[0].equals(other) for other in ids[1:])
    print(f"{folder.name}: {megabytes:.1f} MB, {THREADS} threads, ids identical: {same}")
    _table(seconds, "squeeze", megabytes)


def _table(seconds: dict[str, dict[str, float]], ours: str, megabytes: float) -> None:
    """Rows of seconds, MB/s and how many times as fast Squeeze is, for each way to take the time."""
    for measure in seconds[ours]:
        for name, row in seconds.items():
            times = row[measure] / seconds[ours][measure]
            rate = f"{megabytes / row[measure]:7.1f} MB/s"
            print(f"  {measure:13} {name:10} {row[measure]:7.2f} s {rate}  {times:5.1f}", flush=True)


def _ids(folder: Path) -> pa.ChunkedArray:
    files = (pa.ipc.open_file(pa.memory_map(str(path))) for path in sorted(folder.glob("train-*.arrow")))
    chunks = [chunk for file in files for chunk in file.read_all()["tokens"].chunks]
    return pa.chunked_array(chunks).cast(pa.list_(pa.uint16()))


def train(work: Path, data: Path, repeat: int) -> None:
    corpus = write_corpus(work / "corpus", data)
    summary = build_mixture(SampleSettings(bytes=10**9), {"all": corpus}, _folder(work / "whole"))
    seconds = {}
    for name, (whole, wall, processor) in best(repeat, ("train", "reference"), "train", str(work)).items():
        ours = "squeeze" if name == "train" else "tokenizers"
        seconds[ours] = {"whole": whole, "train": wall, "processor": processor}
    same = (work / "merges-reference").read_bytes() == (work / "merges-train").read_bytes()
    print(f"training 32,768 rows on {summary.sample_bytes / 1e6:.1f} MB, pattern gpt2, merges identical: {same}")
    _table(seconds, "squeeze", summary.sample_bytes / 1e6)


def run_train(folder: str, contestant: str) -> tuple[float, float]:
    """Wall and processor seconds to train by one contestant; its merges go to a file."""
    import gigatoken  # noqa: F401
    import tokenizers  # noqa: F401

    spec: Any = parse_spec({"kind": "bpe", "vocab_size": 32_768, "pattern": "gpt2"}, where="bench")
    work = Path(folder)
    clock = Clock()
    if contestant == "train":
        merges = train_bpe("bench", spec, sample_texts(work / "whole"))[0].merges
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
        peaks.append(child("memory", str(work), str(work / "bpe_2k"), f"large-{size}")[2])
        shutil.rmtree(work / f"large-{size}")
        print(
            f"  {size / 1e9:.1f} GB: peak {peaks[-1]:,.0f} MB, {peaks[-1] / peaks[0]:.3f} times the first", flush=True
        )


def run_memory(work: str, tokenizer: str, name: str) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of encoding one corpus."""
    out = _folder(Path(work) / "out" / "memory")
    start = time.perf_counter()
    summary = encode_corpus(name, corpus_in(Path(work) / name), Path(tokenizer), out, executor=InProcess())
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


CHILDREN: dict[str, Callable[..., tuple[float, ...]]] = {
    "encode": run_encode, "train": run_train, "memory": run_memory,
}  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        what, *arguments = sys.argv[2:]
        print(*CHILDREN[what](*arguments))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["encode", "train", "memory", "parity"])
    parser.add_argument("names", nargs="*", help="parity: specifications to check, all if none")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", help="bytes of text; encode: all of it once; memory: 5e8, 5e9")
    parser.add_argument("--work", type=Path, help="keep what is made here and go on from it; --repeat 0 only prepares")
    options = parser.parse_args()
    if not list(options.data.glob("*.jsonl.gz")):
        sys.exit(f"no *.jsonl.gz in {options.data}: give a folder of documents with --data")
    print(f"# {options.what} on {platform.machine()}, {THREADS} cores, Python {platform.python_version()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="squeeze-tokenizers-") as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        if options.what == "encode":
            encode(work, options.data, options.repeat, options.sizes or [0])
        elif options.what == "train":
            train(work, options.data, options.repeat)
        elif options.what == "memory":
            memory(work, options.data, options.sizes or [500_000_000, 5_000_000_000])
        else:
            parity(work, options.data, options.names)


if __name__ == "__main__":
    main()
