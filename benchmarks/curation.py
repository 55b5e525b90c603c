"""Curation side by side with datatrove, on the same text and cores, and its speed and memory by size of the input.

    python benchmarks/curation.py compare ../shared/data/fineweb_edu.jsonl.gz [--megabytes 4]
    python benchmarks/curation.py stages ../shared/data/fineweb_edu.jsonl.gz [--megabytes 100 300]
    python benchmarks/curation.py documents 2100000

`compare`: megabytes of text a second of processor time, both in one process; a ratio is ours over datatrove's.
`stages`: every stage in a fresh process a size, over the input itself (size 0) or text made by repeating it with some
words swapped and 3% of them new. `documents`: the stages that hold something for every document, over that many short
ones. Memory is the greatest proportional set size of the process and its workers together, taken four times a second.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Run the part that was asked for and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    compare = parts.add_parser("compare")
    compare.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    compare.add_argument("--megabytes", type=float, default=4.0, help="text to compare on")
    compare.add_argument("--repeat", type=int, default=2)
    stages = parts.add_parser("stages")
    stages.add_argument("data", type=Path)
    stages.add_argument("--megabytes", type=int, nargs="*", default=[0, 100, 300])
    stages.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    documents = parts.add_parser("documents")
    documents.add_argument("count", type=int, nargs="+")
    documents.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "compare":
        texts = read(options.data, options.megabytes)
        for _ in range(options.repeat):  # in fresh processes: chunks are learnt once a process
            words = [str(ROOT), str(options.data), str(options.megabytes)]
            subprocess.run([sys.executable, "-c", COMPARE, *words], check=True)
        print(f"on {len(texts):,} documents", flush=True)
    elif options.part == "stages":
        for size in options.megabytes:
            if options.alone:
                from trainer.process.allocator import keep_freed_memory

                keep_freed_memory()  # as an asset has it
                run_stages(options.data, size)
            else:
                again = [sys.executable, __file__, "stages", str(options.data), "--megabytes", str(size), "--alone"]
                subprocess.run(again, check=True)
    else:
        for count in options.count:
            if options.alone:
                run_documents(count)
            else:
                subprocess.run([sys.executable, __file__, "documents", str(count), "--alone"], check=True)


COMPARE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmarks.curation import compare_filters, compare_minhash, read
texts = read(Path(sys.argv[2]), float(sys.argv[3]))
compare_minhash(texts)
compare_filters(texts)
"""


class Memory:
    """The greatest memory of this process and its children, in megabytes, while it is open."""

    def __enter__(self) -> Self:
        self.greatest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while not self._done.wait(0.25):
            self.greatest = max(self.greatest, sum(map(_proportional, [this, *this.children(recursive=True)])))


def _proportional(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return process.memory_full_info().pss / 2**20
    return 0.0


def read(path: Path, megabytes: float) -> list[str]:
    """The first documents of the file, up to a size."""
    texts, size = [], 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            size += len(texts[-1].encode())
            if size >= megabytes * 1e6:
                break
    return texts


def speed(name: str, texts: list[str], work: Callable[[], object]) -> float:
    """Megabytes of text a second of processor time, which other programs on the machine do not change much."""
    start = time.process_time()
    work()
    rate = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - start)
    print(f"{name}: {rate:.2f} MB/s", flush=True)
    return rate


def compare_filters(texts: list[str]) -> None:
    """All signals (the MinHash signature among them) and four filters' verdicts, against datatrove's four filters."""
    import pyarrow as pa
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    from pipeline.curation.filters.filters import Filters
    from pipeline.curation.filters.verdicts import signals_of
    from pipeline.curation.signals.signals import compute_quality, compute_signals

    groups = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
    every = Filters.model_validate({name: {} for name in groups})

    def ours() -> None:
        for start in range(0, len(texts), 2000):
            some = texts[start : start + 2000]
            signals = compute_quality(some, ["en"] * len(some))
            del signals["minhash"]
            list(every.rules(signals_of(pa.RecordBatch.from_pydict(signals))))

    oracles = [
        *(GopherRepetitionFilter(), GopherQualityFilter()),
        *(C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter()),
    ]

    def theirs() -> None:
        for text in texts:  # as its pipeline does: one document through all filters, which share its words
            for oracle in oracles:
                oracle.filter(Document(text=text, id="0"))

    compute_signals(texts[:2], ["en", "en"])
    oracles[0].filter(Document(text=texts[0], id="0"))
    mine = speed("four filters, ours", texts, ours)
    other = speed("four filters, datatrove", texts, theirs)
    print(f"four filters, ratio: {mine / other:.1f}", flush=True)
    speed("all signals with language and MinHash", texts, lambda: compute_signals(texts, ["en"] * len(texts)))


def compare_minhash(texts: list[str]) -> None:
    """Signatures of 112 permutations over word 5-grams, against datatrove's of the same size."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    from pipeline.curation.signals.minhash import minhash

    step = MinhashDedupSignature("unused", MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5))
    step.get_signature(step.get_shingles(texts[0]))
    minhash(texts[:2])
    mine = speed("MinHash, ours", texts, lambda: minhash(texts))
    other = speed("MinHash, datatrove", texts, lambda: [step.get_signature(step.get_shingles(text)) for text in texts])
    print(f"MinHash, ratio: {mine / other:.1f}", flush=True)


def synthetic(texts: list[str], path: Path, megabytes: int, file_bytes: float = 20e6) -> None:
    """Repeat texts with a tenth of their words swapped and 3% new, in files of a size; one in 20 nearly as it was.

    New text brings new words without end (8% of the chunks of the first 19 MB of FineWeb-Edu occur there once), and
    learning them is a good part of the work.
    """
    draw, size, part = random.Random(1), 0, 0
    while size < megabytes * 1e6:
        with (path / f"in-{part:04d}.jsonl").open("w", encoding="utf-8") as file:
            until = min(size + file_bytes, megabytes * 1e6)
            while size < until:
                words = draw.choice(texts).split(" ")
                slight = draw.random() < 0.05
                for _ in range(len(words) // (400 if slight else 20)):
                    one, two = draw.randrange(len(words)), draw.randrange(len(words))
                    words[one], words[two] = words[two], words[one]
                for _ in range(0 if slight else len(words) * 3 // 100):
                    words[draw.randrange(len(words))] = f"{draw.getrandbits(40):x}".translate(_LETTERS)
                text = " ".join(words)
                size += len(text.encode())
                file.write(json.dumps({"text": text}) + "\n")
        part += 1


_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def run_stages(data: Path, megabytes: int) -> None:
    """Time each stage and print the greatest memory of this process and its workers."""
    from pipeline.curation.documents import build_documents
    from pipeline.curation.settings import CorpusSettings

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        texts = read(data, 20)
        # as in real text few items occur: the beginnings of 20 documents, and 2,000 backwards
        items = [
            ("benchmark", str(number), text[:300] if number % 100 == 0 else " ".join(text[:300].split()[::-1]))
            for number, text in enumerate(texts[:2000])
        ]
        if megabytes:
            synthetic(texts, root / "in", megabytes)
        else:
            megabytes = round(sum(len(text.encode()) for text in texts) / 1e6)
            for half in (0, 1):  # a file for each core
                lines = "\n".join(json.dumps({"text": text}) for text in texts[half::2])
                (root / "in" / f"in-{half}.jsonl").write_text(lines, encoding="utf-8")
        del texts
        settings = CorpusSettings.model_validate(
            {
                "sources": [{"files": [str(root / "in" / "*.jsonl")], "lang": "en"}],
                "filters": {"gopher_quality": {}, "gopher_repetition": {}, "c4": {}, "fineweb": {}},
            }
        )
        build = partial(build_documents, "web", settings.documents, root / "documents", cache=root)
        steps = {"documents": lambda: with_processes(build)} | later_stages(root, settings, items)
        timed(f"all stages over {megabytes} MB", megabytes, steps)


def with_processes(stage: Callable[..., object]) -> object:
    """Run a stage on as many processes as there are cores, which end with it: only then their time is counted."""
    from pipeline.base.executor import Processes

    with Processes() as executor:
        return stage(executor=executor)


def later_stages(root: Path, settings: object, items: list[tuple[str, str, str]]) -> dict[str, Callable[[], object]]:
    """The stages after `documents`, which is in `root/documents`."""
    from pipeline.curation.contamination import find_contamination
    from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
    from pipeline.curation.heldout import split_heldout
    from pipeline.curation.selection import select_corpus
    from pipeline.curation.settings import ContaminationSettings, HeldoutSettings, NearDuplicateSettings

    web, held, near, contaminated = (root / name for name in ("documents", "heldout", "near", "contamination"))
    duplicates = partial(find_near_duplicates, NearDuplicateSettings(), {"web": web}, {"web": held}, near)
    contamination = partial(find_contamination, ContaminationSettings(), {"web": web}, items, contaminated)
    selected = ("web", {"web": settings}, {"web": web}, held, near, contaminated, root / "corpus")
    return {
        "heldout": lambda: split_heldout("web", HeldoutSettings(), web, held),
        "near_duplicates": lambda: with_processes(duplicates),
        "contamination": lambda: with_processes(contamination),
        "corpus": lambda: select_corpus(*selected),
    }


def timed(title: str, megabytes: float, stages: dict[str, Callable[[], object]]) -> None:
    """Run stages and print the seconds, processor seconds (with workers') and megabytes of memory of each."""
    total, worked, greatest, shown = 0.0, 0.0, 0.0, []
    for name, work in stages.items():
        start, before = time.monotonic(), sum(os.times()[:4])
        with Memory() as memory:
            work()
        seconds, busy = time.monotonic() - start, sum(os.times()[:4]) - before
        total, worked, greatest = total + seconds, worked + busy, max(greatest, memory.greatest)
        shown.append(f"{name} {seconds:.1f} s, {busy:.1f} processor s, {memory.greatest:.0f} MB")
    print(f"{title}: {megabytes / total:.2f} MB/s, {megabytes / worked:.2f} a processor second, {greatest:.0f} MB")
    print("  " + "; ".join(shown), flush=True)


def run_documents(count: int) -> None:
    """The stages after `documents` over `count` documents of 12 made-up words each, a fiftieth of them nearly equal."""
    from concurrent.futures import ProcessPoolExecutor

    from pipeline.curation.settings import CorpusSettings

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "documents").mkdir()
        each = 100_000
        tasks = [(root / "documents", part, min(each, count - part * each)) for part in range(-(-count // each))]
        with ProcessPoolExecutor(2) as pool:
            size = sum(pool.map(write_documents, *zip(*tasks, strict=True)))
        settings = CorpusSettings.model_validate({"sources": [{"files": ["unused"]}]})
        items = [
            ("benchmark", str(number), " ".join(f"item{number}x{word}" for word in range(20))) for number in range(2000)
        ]
        timed(f"after `documents`, {count:,} documents", size / 1e6, later_stages(root, settings, items))


def write_documents(folder: Path, part: int, count: int) -> int:
    """A part of short documents with their real signatures and zero for other signals; returns its bytes of text."""
    import numpy as np
    import pyarrow as pa

    from pipeline.curation.doc_ids import doc_id
    from pipeline.curation.documents import SCHEMA
    from pipeline.curation.signals.minhash import minhash
    from pipeline.curation.tables import TableWriter

    draw, size = random.Random(part), 0
    with TableWriter(folder / f"part-{part:05d}.parquet", SCHEMA) as writer:
        for start in range(0, count, 10_000):
            some = range(start, min(start + 10_000, count))
            texts = [" ".join(f"w{draw.getrandbits(14)}" for _ in range(12)) for _ in some]
            for place in range(0, len(texts) - 1, 50):
                texts[place + 1] = texts[place] + " more"
            data = [text.encode() for text in texts]
            size += sum(map(len, data))
            zeros = {
                field.name: np.zeros(len(texts), field.type.to_pandas_dtype())
                for field in SCHEMA
                if not (pa.types.is_string(field.type) or pa.types.is_binary(field.type) or field.name == "doc_id")
            }
            columns = {
                **zeros,
                "doc_id": [doc_id(text) for text in data],
                "text": texts,
                "bytes": [len(text) for text in data],
                "group": [f"{part}#{row}" for row in some],
                **{name: ["en"] * len(texts) for name in ("lang", "source", "detected")},
                "minhash": [row.tobytes() for row in minhash(texts)],
            }
            writer.write(pa.Table.from_pydict(columns, schema=SCHEMA))
    return size


if __name__ == "__main__":
    main()
