"""What an engine costs beside plain processes on one machine, and what moves between a run and its workers.

    python benchmarks/engines.py overhead ../shared/data/fineweb_edu.jsonl.gz [--engines processes ray]
    python benchmarks/engines.py moved ../shared/data/fineweb_edu.jsonl.gz

Both curate 100 MB (`--megabytes`) of text made as `curation.py` makes it, in eight files, encode it with a tokenizer of
its own and shuffle an epoch of it; all that goes by parts goes to the engine, but for encoding, which processes of one
machine are not given. `overhead`: processor seconds of all processes that the engine started, counted twice a second,
with the engine in a fresh process: until it has done a first trivial part for each slot (its start), and from then on;
the ratio is of the latter. `moved`: bytes of pickled arguments, shared values and results, beside the files that the
stage reads.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.curation import read, synthetic  # noqa: E402
from pipeline.base.executor import Executor, InProcess  # noqa: E402

R = TypeVar("R")
READS = {
    "documents": "../in",
    "near_duplicates": "documents",
    "contamination": "documents",
    "tokens": "documents",
    "shards": "tokens",
}
"""The folder that each stage reads, below that of the output."""
STAGES = tuple(READS)


def main() -> None:
    """Run the part that was asked for and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["overhead", "moved", "alone"])
    parser.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--engines", nargs="+", default=["processes", "ray"])
    options = parser.parse_args()
    if options.part == "alone":
        overhead(options.data, options.engines[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        synthetic(read(options.data, 20), root / "in", options.megabytes, options.megabytes * 1e6 / 8)
        if options.part == "moved":
            moved(root)
            return
        seconds: dict[str, dict[str, float]] = {}
        for engine in options.engines:
            words = [sys.executable, __file__, "alone", str(root), "--engines", engine]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            seconds[engine] = json.loads(done.stdout.splitlines()[-1])
        print(f"processor seconds over {options.megabytes} MB of text, {os.cpu_count()} cores")
        for name in ("start", *STAGES, "all stages"):
            first = seconds[options.engines[0]][name]
            cells = [f"{seconds[engine][name]:9.1f} ({seconds[engine][name] / first:.2f})" for engine in seconds]
            print(f"{name:16}", *cells)


def overhead(root: Path, engine: str) -> None:
    """Build everything by one engine, and print the processor seconds of each stage as JSON."""
    from benchmarks.engines import first_part  # as workers import it, who know nothing of the program
    from pipeline.engine.executors import executor_of
    from pipeline.engine.settings import engine_of_environment

    os.environ["SQUEEZE_ENGINE"] = engine
    settings = engine_of_environment()
    assert settings is not None
    seconds: dict[str, float] = {}
    with (
        Processor() as processor,
        tempfile.TemporaryDirectory(dir=root) as out,
        executor_of(settings, os.cpu_count() or 1, Path(out) / "shared", setting="workers") as executor,
    ):
        list(executor.map(first_part, [(number,) for number in range(2 * executor.slots)]))
        seconds["start"] = processor.seconds()
        for name, stage in stages(root, Path(out), executor).items():
            before = processor.seconds()
            stage()
            seconds[name] = processor.seconds() - before
    seconds["all stages"] = sum(seconds[name] for name in STAGES)
    print(json.dumps(seconds))


def first_part(number: int) -> int:
    """Import what every part imports."""
    for module in ("pipeline.curation.documents", "pipeline.sharding.epoch"):
        importlib.import_module(module)
    time.sleep(0.2)
    return number


class Processor:
    """Processor seconds of this process and all that it started, also of those that have ended meanwhile."""

    def __enter__(self) -> Self:
        self._spent: dict[tuple[int, float], float] = {}
        self._lock, self._done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def seconds(self) -> float:
        """So far."""
        self._look()
        with self._lock:
            return sum(self._spent.values())

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self._look()

    def _look(self) -> None:
        this = psutil.Process()
        for process in [this, *this.children(recursive=True)]:
            with suppress(psutil.Error):
                times = process.cpu_times()
                with self._lock:
                    self._spent[process.pid, process.create_time()] = times.user + times.system


class Counting(InProcess):
    """In this process, as if each part were sent elsewhere: what would travel is counted by the function's name."""

    slots = machines = 2

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.parts: Counter[str] = Counter()
        self.shared = 0

    def share(self, value: Any) -> Any:
        self.shared += len(pickle.dumps(value))
        shared = super().share(value)
        shared.send(lambda value: _Held(value))
        return shared

    def map(
        self,
        function: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        *,
        ordered: bool = True,
        worth: bool = True,
        most_at_once: int | None = None,
    ) -> Iterator[R]:
        name = function.__name__
        for task in tasks:
            self.sent[name] += len(pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL))
            result = function(*task)
            self.returned[name] += len(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
            self.parts[name] += 1
            yield result


class _Held:
    """Stands for a value that was sent once, and is as small as its name."""

    values: dict[int, Any] = {}  # noqa: RUF012

    def __init__(self, value: Any) -> None:
        self.number = len(self.values)
        self.values[self.number] = value

    def __call__(self) -> Any:
        return self.values[self.number]


def moved(root: Path) -> None:
    """Print a table of what each kind of part is sent and returns."""
    print(f"{'stage':16} {'MB read':>8}  parts: number, KB sent and KB returned of each")
    with Counting() as executor:
        for name, stage in stages(root, root / "out", executor).items():
            before, shared = executor.parts.copy(), executor.shared
            stage()
            if name not in READS:
                continue
            folder = root / "out" / READS[name]
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            kinds = []
            for kind, count in (executor.parts - before).items():
                sent, returned = executor.sent[kind] / count / 1e3, executor.returned[kind] / count / 1e3
                kinds.append(f"{kind} {count} x ({sent:.1f} + {returned:.1f})")
            if executor.shared > shared:
                kinds.append(f"shared once a worker {(executor.shared - shared) / 1e3:.1f}")
            print(f"{name:16} {size / 1e6:8.1f}  {'; '.join(kinds)}", flush=True)


def stages(root: Path, out: Path, executor: Executor) -> dict[str, Callable[[], object]]:
    """What is done with the text in `root/in`, each into a folder of `out`; in this order, as each reads the others."""
    from pipeline.curation import contamination as contamination_module
    from pipeline.curation import documents as documents_module
    from pipeline.curation.contamination import find_contamination
    from pipeline.curation.corpus import CuratedCorpus
    from pipeline.curation.documents import build_documents
    from pipeline.curation.duplicates import near_duplicates as near_duplicates_module
    from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
    from pipeline.curation.heldout import split_heldout
    from pipeline.curation.selection import select_corpus
    from pipeline.curation.settings import (
        ContaminationSettings,
        CorpusSettings,
        HeldoutSettings,
        NearDuplicateSettings,
    )
    from pipeline.sharding.epoch import build_epoch
    from pipeline.sharding.schedule.build import build_schedule
    from pipeline.sharding.schedule.schedule import Schedule
    from pipeline.sharding.settings import ScheduleSettings, ShardSettings
    from pipeline.tokenization.corpus_tokens import encode as encode_module
    from pipeline.tokenization.corpus_tokens.encode import encode_corpus
    from pipeline.tokenization.settings import SampleSettings
    from pipeline.tokenization.specs import parse_spec
    from pipeline.tokenization.training.build import build_tokenizer
    from pipeline.tokenization.training.mixture import build_mixture

    # small text is given away too
    documents_module._worth_workers = lambda units: True
    near_duplicates_module.WORTH_BYTES = contamination_module.WORTH_BYTES = encode_module.WORTH_BYTES = 0
    corpus = CorpusSettings.model_validate({"sources": [{"files": [str(root / "in" / "*.jsonl")], "lang": "en"}]})
    documents, heldout = {"web": out / "documents"}, {"web": out / "heldout"}
    curated = CuratedCorpus(documents["web"], out / "corpus", heldout["web"])

    def near_duplicates() -> None:
        split_heldout("web", HeldoutSettings(share=0.01), documents["web"], heldout["web"])
        find_near_duplicates(NearDuplicateSettings(), documents, heldout, out / "near", executor=executor)

    def contamination() -> None:
        from pipeline.curation.tables import iter_parts

        texts = next(iter_parts(documents["web"], ["text"])).column("text").to_pylist()
        items = [("benchmark", str(number), " ".join(text.split()[:60][::-1])) for number, text in enumerate(texts)]
        find_contamination(ContaminationSettings(), documents, items, out / "contamination", executor=executor)

    def selection() -> None:
        given = (documents, heldout["web"], out / "near", out / "contamination", out / "corpus")
        select_corpus("web", {"web": corpus}, *given)
        for name in ("mixture", "tokenizer", "tokens"):
            (out / name).mkdir()
        build_mixture(SampleSettings(bytes=1_000_000), {"web": curated}, out / "mixture")
        spec = parse_spec({"kind": "bpe", "vocab_size": 4096}, where="own")
        build_tokenizer("own", spec, out / "tokenizer", cache=out, folder=root, mixture=out / "mixture")

    def tokens() -> None:
        encode_corpus("web", curated, out / "tokenizer", out / "tokens", executor=executor)

    def shards() -> None:
        (out / "schedule").mkdir()
        stage = {"name": "all", "mixture": {"web": {"repeats": 1}}}
        build_schedule(ScheduleSettings.model_validate({"stages": [stage]}), {"web": out / "tokens"}, out / "schedule")
        settings = ShardSettings(tokens_per_shard=8_000_000, workers=os.cpu_count())
        plan = Schedule.read(out / "schedule").epoch(1)
        build_epoch(plan, {"web": out / "tokens"}, settings, out / "shards", executor)

    def build() -> None:
        build_documents("web", corpus.documents, documents["web"], cache=out, executor=executor)

    steps = (build, near_duplicates, contamination, selection, tokens, shards)
    return dict(zip((*STAGES[:3], "selection", *STAGES[3:]), steps, strict=True))


if __name__ == "__main__":
    main()
