"""Repeated passages in the corpora of a store: how many, of which length, and megabytes a second a core.

    python benchmarks/passages.py STORE [--least 200]

STORE is an artifact store (SQUEEZE_HOME) with `documents`, `corpus` and `heldout` of each corpus. Seconds are of
processor time, of a pass over all text and of the comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.base.executor import InProcess
from pipeline.base.parquet import read_table
from pipeline.curation.cut_corpus import kept_rows
from pipeline.curation.passages.finding import PASSAGES_FILE, find_passages
from pipeline.curation.selected import iter_selected
from pipeline.curation.settings import PassageSettings


def main() -> None:
    """Look through the newest artifacts of every corpus in the store, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--least", type=int, default=200, help="bytes of the shortest passage")
    options = parser.parse_args()
    names = sorted(path.name for path in (options.store / "corpus").iterdir() if path.is_dir())
    places = {
        name: [newest(options.store / asset / name) for asset in ("documents", "corpus", "heldout")] for name in names
    }
    kept = {name: kept_rows(documents, corpus) for name, (documents, corpus, _) in places.items()}
    heldout = {name: folder for name, (_, _, folder) in places.items()}
    settings = PassageSettings.model_validate({"least_bytes": options.least, "lines": {}})
    size = sum(
        pc.sum(batch.column("bytes")).as_py()
        for documents, corpus, _ in places.values()
        for batch in iter_selected(documents, corpus, ("bytes",))
    )
    with tempfile.TemporaryDirectory() as out:
        start = time.process_time()
        found = find_passages(settings, kept, heldout, Path(out), executor=InProcess())
        seconds = time.process_time() - start
        table = read_table(Path(out) / PASSAGES_FILE)
    print(f"{found.documents:,} documents, {size / 1e6:.1f} MB: {size / 1e6 / seconds:.1f} MB/s a core")
    for kind in ("passage", "line"):
        some = table.filter(pc.equal(table.column("kind"), kind))
        lengths = pc.subtract(some.column("stop"), some.column("start"))
        print(f"{some.num_rows:,} {kind}s of {pc.sum(lengths).as_py() or 0:,} bytes, longest {pc.max(lengths).as_py()}")
    print(f"{found.of_held_out:,} of them are copies of held-out text; bytes by corpus: {found.passage_bytes}")


def newest(folder: Path) -> Path:
    """The artifact of an asset that was built last."""
    return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    main()
