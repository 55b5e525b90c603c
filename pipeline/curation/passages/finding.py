"""The asset `passages`: stretches of text that stand in a document and in one before it, over all corpora.

In: the documents that are kept of every corpus, and the held-out ones. Out: `passages.parquet`: corpus, row, first and
last byte, kind, and the document that has it first. Of a passage one copy stays: the first in the order held-out text,
corpora as the profile names them, rows. So what is held out is in no training text, not even in part. A line (`lines`)
is found where so many documents have it; a passage wherever two places do, also of one document.

Exact (Lee et al. 2022, section 4.1), by hashes in place of a suffix array: windows go through files that are sorted by
hash and read in ranges, so memory is bounded and processes share the passes over text.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.executor import Executor
from pipeline.base.files import remove_unfinished
from pipeline.base.parquet import read_metadata
from pipeline.curation.heldout import heldout_file
from pipeline.curation.passages.windows import ENTRY, write_windows
from pipeline.curation.settings import PassageSettings
from pipeline.curation.tables import WORTH_BYTES, TableWriter, hash_batches, iter_file

PASSAGES_VERSION: Final = "1"
PASSAGES_FILE: Final = "passages.parquet"
HELD_OUT: Final = "held out"
"""Stands for the corpus of a first copy that is held out."""
SCHEMA: Final = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("start", pa.uint32(), nullable=False),
        pa.field("stop", pa.uint32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("first_corpus", pa.string(), nullable=False),
        pa.field("first_row", pa.int64(), nullable=False),
    ]
)
_MARK: Final = np.dtype([("document", "<u4"), ("start", "<u4"), ("stop", "<u4"), ("first", "<u4")])
_RANGE: Final = 4_000_000
"""Windows compared at a time: about 200 MB."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassagesSummary:
    """What was found. Bytes are of the passages, which may overlap lines."""

    content_hash: str
    documents: int
    bytes: int
    passages: dict[str, int]
    """By kind."""
    passage_bytes: dict[str, int]
    """By corpus."""
    of_held_out: int
    """Passages whose first copy is held out."""


@dataclass(frozen=True)
class KeptRows:
    """Documents of a file that are looked at."""

    path: Path
    rows: np.ndarray
    """int64, ascending, within the file."""
    first_row: int
    """The corpus's row of the file's first one."""


def find_passages(
    settings: PassageSettings,
    kept: Mapping[str, Sequence[KeptRows]],
    heldout: Mapping[str, Path],
    out: Path,
    *,
    executor: Executor,
) -> PassagesSummary:
    """Write the passages to `out/passages.parquet`.

    Args:
        settings: how long they are at least.
        kept: for each corpus, in the order in which a copy stays, the documents that are kept.
        heldout: folder of `heldout/<corpus>` for each corpus.
        out: output folder; a folder `windows` in it is used and removed.
        executor: shares out the passes over text. Never changes the result.
    """
    remove_unfinished(out)
    scratch = out / "windows"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files = [(HELD_OUT, _all_rows(heldout_file(folder))) for folder in heldout.values()]
    held = sum(len(file.rows) for _, file in files)
    files += [(corpus, file) for corpus, some in kept.items() for file in some]
    firsts = np.cumsum([0, *(len(file.rows) for _, file in files)])
    size = sum(file.path.stat().st_size for _, file in files)
    try:
        tasks = [
            (file.path, file.rows, int(first), settings, scratch / f"{number:05d}")
            for number, ((_, file), first) in enumerate(zip(files, firsts[:-1], strict=True))
        ]
        for _ in executor.map(write_windows, tasks, worth=size > WORTH_BYTES):
            pass
        marks = {"passage": _repeated([task[-1].with_suffix(".passages") for task in tasks], held, 2)}
        if settings.lines is not None:
            lines = [task[-1].with_suffix(".lines") for task in tasks]
            marks["line"] = _repeated(lines, held, settings.lines.least_documents)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    places = _Places(files, firsts)
    path = out / PASSAGES_FILE
    counts, of_corpus, of_held_out = _write(marks, places, held, path)
    log.info("passages: %s in %s documents", counts, f"{int(firsts[-1]):,}")
    return PassagesSummary(
        content_hash=hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names),
        documents=int(firsts[-1]),
        bytes=size,
        passages=counts,
        passage_bytes=of_corpus,
        of_held_out=of_held_out,
    )


def _all_rows(path: Path) -> KeptRows:
    return KeptRows(path, np.arange(read_metadata(path).num_rows), 0)


def _repeated(files: Sequence[Path], held: int, least: int) -> np.ndarray:
    """What is repeated in documents from number `held` on, `_MARK` [M], each stretch once, in their order.

    least: 2 finds windows of two places; more, of so many documents.
    """
    found = [np.empty(0, dtype=_MARK)]
    for entries in _ranges(files):
        order = np.argsort(entries["hash"], kind="stable")
        entries = entries[order]
        new = np.ones(len(entries), dtype=bool)
        new[1:] = entries["hash"][1:] != entries["hash"][:-1]
        group = np.cumsum(new) - 1
        first = np.flatnonzero(new)[group]
        again = ~new & (entries["document"] >= held)
        if least > 2:
            other = new.copy()
            other[1:] |= entries["document"][1:] != entries["document"][:-1]
            again &= np.bincount(group, weights=other)[group] >= least
        marks = np.empty(int(again.sum()), dtype=_MARK)
        for name in ("document", "start", "stop"):
            marks[name] = entries[name][again]
        marks["first"] = entries["document"][first[again]]
        found.append(marks)
    return _merged(np.concatenate(found))


def _ranges(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """The windows of all files by ranges of their hashes, those of one hash in the documents' order."""
    maps = [np.memmap(path, dtype=ENTRY, mode="r") for path in files if path.stat().st_size]
    parts = sum(len(each) for each in maps) // _RANGE + 1
    bounds = np.array([(number << 64) // parts for number in range(1, parts)], dtype=np.uint64)
    cuts = [[0, *np.searchsorted(each["hash"], bounds).tolist(), len(each)] for each in maps]
    for number in range(parts if maps else 0):
        yield np.concatenate([each[cut[number] : cut[number + 1]] for each, cut in zip(maps, cuts, strict=True)])


def _merged(marks: np.ndarray) -> np.ndarray:
    """Marks that overlap or touch put together, in the documents' order; the first copy is that of the first mark."""
    marks = marks[np.lexsort((marks["stop"], marks["start"], marks["document"]))]
    if not len(marks):
        return marks
    documents = marks["document"].astype(np.uint64) << np.uint64(32)
    starts, reached = documents | marks["start"], np.maximum.accumulate(documents | marks["stop"])
    new = np.ones(len(marks), dtype=bool)
    new[1:] = starts[1:] > reached[:-1]
    firsts = np.flatnonzero(new)
    merged = marks[firsts].copy()
    merged["stop"] = (reached[np.append(firsts[1:], len(marks)) - 1] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return merged


class _Places:
    """From documents' numbers to corpora and rows."""

    def __init__(self, files: Sequence[tuple[str, KeptRows]], firsts: np.ndarray) -> None:
        self._files, self._firsts = files, firsts

    def of(self, numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Corpus and row of each document (int64 [N])."""
        which = np.searchsorted(self._firsts, numbers, side="right") - 1
        rows = np.empty(len(numbers), dtype=np.int64)
        for file in np.unique(which).tolist():
            inside = which == file
            _, there = self._files[file]
            rows[inside] = there.rows[numbers[inside] - self._firsts[file]] + there.first_row
        return [self._files[file][0] for file in which.tolist()], rows


def _write(
    marks: Mapping[str, np.ndarray], places: _Places, held: int, path: Path
) -> tuple[dict[str, int], dict[str, int], int]:
    """Write the passages; how many of each kind, the bytes of each corpus, and how many are copies of held-out text."""
    counts: dict[str, int] = {}
    of_corpus: dict[str, int] = {}
    of_held_out = 0
    with TableWriter(path, SCHEMA) as writer:
        for kind, found in marks.items():
            corpora, rows = places.of(found["document"].astype(np.int64))
            first_corpora, first_rows = places.of(found["first"].astype(np.int64))
            sizes = (found["stop"] - found["start"]).tolist()
            for corpus, size in zip(corpora, sizes, strict=True):
                of_corpus[corpus] = of_corpus.get(corpus, 0) + size
            counts[kind] = len(found)
            of_held_out += int((found["first"] < held).sum())
            columns = {
                "corpus": corpora,
                "row": rows,
                "start": found["start"],
                "stop": found["stop"],
                "kind": [kind] * len(found),
                "first_corpus": first_corpora,
                "first_row": first_rows,
            }
            writer.write(pa.Table.from_pydict(columns, schema=SCHEMA))
    return counts, of_corpus, of_held_out
