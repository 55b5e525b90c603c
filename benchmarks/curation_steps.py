"""Where the time of cleaning text and computing its signals goes, and how fast it is beside another commit.

    python benchmarks/curation_steps.py ../shared/data/fineweb_edu.jsonl.gz [--megabytes 19]
    git worktree add ../before COMMIT
    python benchmarks/curation_steps.py ../shared/data/fineweb_edu.jsonl.gz --against ../before [--repeat 3]

Processor time in fresh processes of one thread, taking turns where there are two commits; a ratio is the other's time
over this one's, and the clean text and all signals of both are held against each other. A step's time is without that
of the steps inside it. As in the asset `documents`, text is taken in batches of 8 MB, and chunks of text are learnt
once a process, so the first megabytes cost most.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CURATION = "pipeline.curation"
STEPS = {
    "language": ("signals.signals:detect_language",),
    "cutting lines and looking chunks up": ("signals.sentences:chunk_texts", "signals.sentences:Lines.__init__"),
    "learning new chunks": ("text.chunks:View._learn",),
    "widening what is known of chunks to the text": ("text.chunks:View.expand",),
    "repeated n-grams": ("signals.token_signals:repetition",),
    "C4's sentences": ("signals.token_signals:c4_sentences",),
    "grade and counts of tokens": ("signals.token_signals:reading_grade", "signals.signals:token_signals"),
    "lines that repeat, begin and end": ("signals.signals:line_signals",),
    "MinHash": ("signals.signals:signatures",),
    "normalising": ("text.normalizing:normalize",),
}
"""By what the page calls it, the functions of a step as their callers look them up; one that a commit lacks is none."""
_BATCH = 8 << 20


def main() -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    parser.add_argument("--megabytes", type=float, default=19.0)
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tree", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tree is not None:
        sys.path.insert(0, str(options.tree))
        print(json.dumps(measure(options.data, options.megabytes)))
        return
    trees = [ROOT, *([options.against.resolve()] if options.against else [])]
    runs: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(options.repeat):
        for tree in trees:
            runs[tree].append(alone(tree, options.data, options.megabytes))
    size = runs[ROOT][0]["megabytes"]
    for tree in trees:
        seconds = [run["seconds"] for run in runs[tree]]
        print(f"{tree.name}: {size / statistics.median(seconds):.2f} MB a processor second (median of {seconds})")
    if options.against:
        ratios = [two["seconds"] / one["seconds"] for one, two in zip(*(runs[tree] for tree in trees), strict=True)]
        same = len({run["content"] for tree in trees for run in runs[tree]}) == 1
        print(f"ratios {[round(ratio, 2) for ratio in ratios]}; text and signals {'equal' if same else 'DIFFER'}")
    whole = statistics.median(run["seconds"] for run in runs[ROOT])
    for step in (*STEPS, "all else"):
        shown = [statistics.median(run["steps"][step] for run in runs[tree]) for tree in trees]
        each = " against ".join(f"{1000 * seconds / size:.0f}" for seconds in shown)
        print(f"  {step}: {shown[0] / whole:.0%}, {each} ms/MB")
    shown = [statistics.median(run["words"] for run in runs[tree]) for tree in trees]
    each = " against ".join(f"{1000 * seconds / size:.0f}" for seconds in shown)
    print(f"beside these, words hashed anew as near duplicates and contamination do: {each} ms/MB")


def alone(tree: Path, data: Path, megabytes: float) -> dict[str, Any]:
    """What `measure` finds of a checkout, in a process of its own."""
    words = [sys.executable, __file__, str(data), "--megabytes", str(megabytes), "--tree", str(tree)]
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(data: Path, megabytes: float) -> dict[str, Any]:
    """Clean the text and compute its signals: processor seconds in all and by step, and a hash of what came out."""
    from benchmarks.curation import read
    from pipeline.curation.signals import signals
    from pipeline.curation.text import normalizing
    from pipeline.curation.text.settings import Normalizing
    from pipeline.curation.text.words import forget_chunks, word_hashes

    texts = read(data, megabytes)
    spent = Spent()
    for step, names in STEPS.items():
        for name in names:
            spent.watch(step, name)
    content = hashlib.sha256()
    signals.compute_signals(["Whatever a process starts with is no part of this."], ["en"])
    spent.seconds.clear()
    settings = Normalizing()
    seconds = 0.0
    for batch in batches(texts):
        start = time.process_time()
        clean = [normalizing.normalize(text, settings) for text in batch]
        found = signals.compute_signals(clean, ["en"] * len(clean))
        seconds += time.process_time() - start
        for text in clean:
            content.update(text.encode())
        for name in sorted(found):
            content.update(repr([name, *map(str, found[name])]).encode())
    steps = {step: spent.seconds[step] for step in STEPS}
    steps["all else"] = seconds - sum(steps.values())
    forget_chunks()
    start = time.process_time()
    for batch in batches(texts):
        for values in word_hashes(batch):
            content.update(values.tobytes())
    words = time.process_time() - start
    size = sum(len(text.encode()) for text in texts) / 1e6
    return {"megabytes": size, "seconds": seconds, "steps": steps, "words": words, "content": content.hexdigest()}


def batches(texts: list[str]) -> list[list[str]]:
    """Texts in batches of about the size of a row group."""
    some: list[list[str]] = [[]]
    size = 0
    for text in texts:
        some[-1].append(text)
        size += len(text)
        if size >= _BATCH:
            some.append([])
            size = 0
    return some if some[-1] else some[:-1]


class Spent:
    """Processor seconds by step, each without the steps inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def watch(self, step: str, name: str) -> None:
        """Take the time of a function or method of the curation, given as `module:name`."""
        module, _, path = name.partition(":")
        *owners, last = path.split(".")
        owner: Any = importlib.import_module(f"{CURATION}.{module}")
        for each in owners:
            owner = getattr(owner, each)
        if hasattr(owner, last):
            setattr(owner, last, self._timed(step, getattr(owner, last)))

    def _timed(self, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0.0)
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                whole = time.process_time() - start
                self.seconds[step] += whole - self._inside.pop()
                if self._inside:
                    self._inside[-1] += whole

        return timed


if __name__ == "__main__":
    main()
