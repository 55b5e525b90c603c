"""Curation side by side with datatrove, on the same text and cores, and its speed and memory by size of the input.

    python benchmarks/curation.py ../shared/data/fineweb_edu.jsonl.gz [--megabytes 10 40 160]

Prints a line for each figure; a ratio is our megabytes a second over datatrove's, both in one process, one core. The
last part runs every stage in a fresh process a size, over text made by repeating the input with some words changed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Run the parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    parser.add_argument("--megabytes", type=int, nargs="*", default=[10, 40, 160], help="sizes of the synthetic input")
    parser.add_argument("--compare-megabytes", type=float, default=4.0, help="text for the comparison with datatrove")
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_size is not None:
        run_stages(options.data, options.one_size)
        return
    texts = read(options.data, options.compare_megabytes)
    compare_filters(texts)
    compare_minhash(texts)
    for size in options.megabytes:
        subprocess.run([sys.executable, __file__, str(options.data), "--one-size", str(size)], check=True)


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
    """All signals and all four filters' verdicts, against datatrove's four filters."""
    import pyarrow as pa
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    from pipeline.curation.filter_settings import C4, Filters, FineWeb, GopherQuality, GopherRepetition
    from pipeline.curation.filters import broken_rules
    from pipeline.curation.signals import compute_quality, compute_signals

    every = Filters(gopher_quality=GopherQuality(), gopher_repetition=GopherRepetition(), c4=C4(), fineweb=FineWeb())

    def ours() -> None:
        for start in range(0, len(texts), 2000):
            some = texts[start : start + 2000]
            signals = compute_quality(some, ["en"] * len(some))
            list(broken_rules(pa.RecordBatch.from_pydict(signals), every))

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

    from pipeline.curation.signals import minhash

    step = MinhashDedupSignature("unused", MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5))
    step.get_signature(step.get_shingles(texts[0]))
    minhash(texts[:2])
    mine = speed("MinHash, ours", texts, lambda: minhash(texts))
    other = speed("MinHash, datatrove", texts, lambda: [step.get_signature(step.get_shingles(text)) for text in texts])
    print(f"MinHash, ratio: {mine / other:.1f}", flush=True)


def synthetic(texts: list[str], path: Path, megabytes: int) -> None:
    """Repeat texts with a tenth of their words swapped, in files of about 20 MB."""
    draw, size, part = random.Random(1), 0, 0
    while size < megabytes * 1e6:
        with (path / f"in-{part:04d}.jsonl").open("w", encoding="utf-8") as file:
            until = min(size + 20e6, megabytes * 1e6)
            while size < until:
                words = draw.choice(texts).split(" ")
                for _ in range(len(words) // 10):
                    one, two = draw.randrange(len(words)), draw.randrange(len(words))
                    words[one], words[two] = words[two], words[one]
                text = " ".join(words)
                size += len(text.encode())
                file.write(json.dumps({"text": text}) + "\n")
        part += 1


def run_stages(data: Path, megabytes: int) -> None:
    """Time each stage and print the greatest memory of this process and its workers."""
    from pipeline.curation.contamination import find_contamination
    from pipeline.curation.documents import build_documents
    from pipeline.curation.heldout import split_heldout
    from pipeline.curation.near_duplicates import find_near_duplicates
    from pipeline.curation.select import select_corpus
    from pipeline.curation.settings import (
        ContaminationSettings,
        CorpusSettings,
        HeldoutSettings,
        NearDuplicateSettings,
    )

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        texts = read(data, 20)
        synthetic(texts, root / "in", megabytes)
        items = [("benchmark", str(number), text[:300]) for number, text in enumerate(texts[:2000])]
        del texts
        settings = CorpusSettings.model_validate(
            {
                "sources": [{"files": [str(root / "in" / "*.jsonl")], "lang": "en"}],
                "filters": {"gopher_quality": {}, "gopher_repetition": {}, "c4": {}, "fineweb": {}},
            }
        )
        documents, heldout = {"web": root / "documents"}, {"web": root / "heldout"}
        stages: dict[str, Callable[[], object]] = {
            "documents": lambda: build_documents("web", settings.documents, documents["web"], cache=root, workers=2),
            "heldout": lambda: split_heldout("web", HeldoutSettings(), documents["web"], heldout["web"]),
            "near_duplicates": lambda: find_near_duplicates(NearDuplicateSettings(), documents, heldout, root / "near"),
            "contamination": lambda: find_contamination(ContaminationSettings(), documents, items, root / "cont"),
            "corpus": lambda: select_corpus(
                "web", settings, documents["web"], heldout["web"], root / "near", root / "cont", root / "corpus"
            ),
        }
        total, shown = 0.0, []
        for name, work in stages.items():
            start = time.monotonic()
            work()
            seconds = time.monotonic() - start
            total += seconds
            shown.append(f"{name} {seconds:.1f} s")
        own, workers = (
            resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        print(
            f"all stages over {megabytes} MB: {megabytes / total:.2f} MB/s ({', '.join(shown)}); peak memory "
            f"{own:.0f} MB, of the largest worker {workers:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
