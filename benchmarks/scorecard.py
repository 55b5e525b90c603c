"""What the suites of a profile take on its current model, one after the other in one process: a whole scorecard.

    SQUEEZE_HOME=STORE python benchmarks/scorecard.py sample

Prints processor seconds (user and system, child processes included), seconds by the clock and items of each suite,
and whether its scores are those that the store holds. Nothing in the store is changed. What the machine keeps of
compressors is in its cache folder, so its first scorecard is measured with an empty one: XDG_CACHE_HOME=NEW_FOLDER.
Another commit is measured by the same file with PYTHONPATH=ITS_CHECKOUT.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.cli.terminal import open_store
from pipeline.curation.corpus import CuratedCorpus
from pipeline.evaluation.suites.suite import SuiteInputs, evaluate_suite
from pipeline.profile.profile import load_profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("suites", nargs="*", help="some of the profile's; none: all")
    options = parser.parse_args()
    profile, store = load_profile(options.profile), open_store(options.profile)

    def current(key: str) -> Path:
        return store.current(key).path

    inputs = SuiteInputs(
        heldout={corpus: current(f"heldout/{corpus}") for corpus in profile.corpora},
        training={
            corpus: partial(
                training_text,
                CuratedCorpus(*(current(f"{kind}/{corpus}") for kind in ("documents", "corpus", "heldout"))),
            )
            for corpus in profile.corpora
        },
        cache=store.cache,
    )
    print(f"{'imports':22} {processor_seconds():8.2f} s of processors", flush=True)
    total, items = processor_seconds(), 0
    for name in options.suites or profile.evaluation.suites:
        suite = profile.evaluation.suites[name]
        before, start = processor_seconds(), time.monotonic()
        with tempfile.TemporaryDirectory() as out:
            evaluate_suite(suite, current("model"), current("tokenizer"), inputs, Path(out))
            took, clock = processor_seconds() - before, time.monotonic() - start
            scores = scores_in(Path(out))
        items += (count := items_in(scores))
        same = scores == scores_in(current(f"eval/{name}"))
        print(f"{name:22} {took:8.2f} s {clock:8.2f} s by the clock {count:6} items, as kept: {same}", flush=True)
    total = processor_seconds() - total
    print(f"{'all':22} {total:8.2f} s, {1000 * total / items:.1f} ms an item")


def training_text(corpus: CuratedCorpus) -> Iterator[tuple[bytes, str, str]]:
    """Id, text and language of each training document, as the asset of a suite reads them."""
    columns = ("doc_id", "text", "lang")
    for batch in corpus.iter_selected(columns):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def scores_in(folder: Path) -> Any:
    """What a suite wrote, but for the time it took."""
    written = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return {key: value for key, value in written.items() if key != "seconds"}


def items_in(written: Any) -> int:
    """Documents, items, windows or samples that the scores are of, each once."""
    counts = {score["task"]: score["count"] for score in written["scores"] if "/" not in score["task"]}
    counts.pop("english", None)
    return sum(counts.values()) or len(written["details"]["samples"])


if __name__ == "__main__":
    main()
