"""The stage `corpus/<corpus>`: which documents are kept. Row ids only; no text is fetched or rewritten.

In: documents with their signals, the held-out split, the clusters of duplicates and the contaminated documents. Out:
`selection.parquet` (row, doc_id), `removed.parquet` (row, doc_id, step, detail) and `croissant.json`. Each document
is removed by the first step that applies, in this order: held out, exact duplicate, near duplicate, contaminated, then
the filters in theirs; the waterfall counts what is left after each.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import CurationError
from pipeline.curation.croissant import write_croissant
from pipeline.curation.doc_ids import DOC_ID, contains_ids, ids_of
from pipeline.curation.filters.verdicts import SIGNALS, Reason, verdicts
from pipeline.curation.heldout import heldout_ids
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.tables import TableWriter, hash_batches, iter_file, iter_parts

SELECTION_VERSION: Final = "2"
SELECTION_FILE: Final = "selection.parquet"
SCHEMA: Final = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("doc_id", DOC_ID, nullable=False)])
REMOVED: Final = pa.schema(
    [*SCHEMA, pa.field("step", pa.string(), nullable=False), pa.field("detail", pa.string(), nullable=False)]
)
_EXAMPLES: Final = 3
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A removed document: why, and how it begins."""

    row: int
    detail: str
    excerpt: str


@dataclass(frozen=True)
class WaterfallStep:
    """One step: what it removed and what is left after it."""

    step: str
    removed_documents: int
    removed_bytes: int
    documents: int
    bytes: int
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True)
class SelectionSummary:
    """What is kept of a corpus. `languages` counts kept bytes."""

    content_hash: str
    documents: int
    bytes: int
    languages: dict[str, int]
    waterfall: list[WaterfallStep]


def select_corpus(
    corpus: str,
    settings: CorpusSettings,
    documents: Path,
    heldout: Path,
    near_duplicates: Path,
    contamination: Path,
    out: Path,
) -> SelectionSummary:
    """Write which rows of a corpus are kept.

    Args:
        corpus: name.
        settings: thresholds; only `filters` and `languages` are looked at.
        documents, heldout, near_duplicates, contamination: folders of the stages before.
        out: output folder.

    Raises:
        CurationError: nothing is left; the message says which step took how much.
    """
    marks = _Marks(corpus, near_duplicates, contamination)
    frozen = heldout_ids(heldout)
    documents_by: Counter[str] = Counter()
    bytes_by: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    examples: dict[str, list[tuple[int, str]]] = {}
    first = total = kept = 0
    out.mkdir(parents=True, exist_ok=True)
    with (
        TableWriter(out / SELECTION_FILE, SCHEMA) as selection,
        TableWriter(out / "removed.parquet", REMOVED) as rest,
    ):
        for batch in iter_parts(documents, ("doc_id", "bytes", "lang", *SIGNALS)):
            held = contains_ids(ids_of(batch), frozen)
            marked = marks.between(first, first + batch.num_rows)
            reasons = [
                Reason("held out", "") if inside else marked.get(row) or verdict
                for row, (inside, verdict) in enumerate(
                    zip(held.tolist(), verdicts(batch, settings.filters_for), strict=True), first
                )
            ]
            sizes, langs = batch.column("bytes").to_pylist(), batch.column("lang").to_pylist()
            for row, (reason, size, lang) in enumerate(zip(reasons, sizes, langs, strict=True), first):
                total += size
                if reason is None:
                    languages[lang] += size
                    continue
                step, detail = reason
                documents_by[step] += 1
                bytes_by[step] += size
                if len(some := examples.setdefault(step, [])) < _EXAMPLES:
                    some.append((row, detail))
            kept += _write_rows(batch, first, reasons, selection, rest)
            first += batch.num_rows
    waterfall = _waterfall(first, total, documents_by, bytes_by, _excerpts(documents, examples))
    if not kept:
        steps = ", ".join(
            f"{step.step} took {step.removed_documents:,}" for step in waterfall if step.removed_documents
        )
        raise CurationError(
            f"corpus {corpus!r} has no documents left of {first:,}: {steps}. "
            f"Loosen `corpora.{corpus}.filters`, or hold out less"
        )
    digest = hash_batches(iter_file(out / SELECTION_FILE, SCHEMA.names), SCHEMA.names)
    write_croissant(corpus, settings, dict(languages.most_common()), kept, digest, out)
    log.info("%s: %s of %s documents kept", corpus, f"{kept:,}", f"{first:,}")
    return SelectionSummary(
        content_hash=digest,
        documents=kept,
        bytes=sum(languages.values()),
        languages=dict(languages.most_common()),
        waterfall=waterfall,
    )


def iter_selected(documents: Path, selection: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of the documents that were kept, in their order, a row group (about 8 MB of text) at a time.

    Args:
        documents: folder of `documents/<corpus>`.
        selection: folder of `corpus/<corpus>`, made from these documents.
        columns: columns of the documents, see `pipeline.curation.documents.SCHEMA`.

    Raises:
        CurationError: a folder lacks its files, or the selection has rows past the documents' end.
    """
    path = selection / SELECTION_FILE
    if not path.is_file():
        raise CurationError(f"{path} is missing: the corpus was not built")
    selected = pq.read_table(path, columns=["row", "doc_id"])
    rows, ids = selected.column("row").to_numpy(), selected.column("doc_id").combine_chunks()
    first = 0
    for batch in iter_parts(documents, list(dict.fromkeys([*columns, "doc_id"]))):
        low, high = np.searchsorted(rows, [first, first + batch.num_rows])
        if low < high:
            taken = batch.take(pa.array(rows[low:high] - first))
            if not taken.column("doc_id").equals(ids.slice(low, high - low)):
                raise CurationError(
                    f"{path} selects other documents than {documents} holds: they do not belong together; materialize "
                    "the corpus again"
                )
            yield taken.select(list(columns))
        first += batch.num_rows
    if len(rows) and rows[-1] >= first:
        raise CurationError(
            f"{path} selects row {rows[-1]}, but {documents} has {first} rows: they do not belong together"
        )


def _write_rows(
    batch: pa.RecordBatch, first: int, reasons: list[Reason | None], selection: TableWriter, rest: TableWriter
) -> int:
    """Write a batch's rows, from row `first` on, to the kept or the removed ones; returns how many are kept."""
    rows = np.arange(first, first + batch.num_rows)
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    ids = batch.column("doc_id")
    if kept.any():
        selection.write(pa.Table.from_arrays([pa.array(rows[kept]), ids.filter(pa.array(kept))], schema=SCHEMA))
    if not kept.all():
        steps, details = zip(*(reason for reason in reasons if reason is not None), strict=True)
        columns = [pa.array(rows[~kept]), ids.filter(pa.array(~kept)), pa.array(steps), pa.array(details)]
        rest.write(pa.Table.from_arrays(columns, schema=REMOVED))
    return int(kept.sum())


class _Marks:
    """Rows of the corpus that duplicates or contamination remove, with the step and its detail: 40 bytes a row."""

    def __init__(self, corpus: str, near_duplicates: Path, contamination: Path) -> None:
        found = pq.read_table(contamination / "contaminated.parquet", filters=[("corpus", "=", corpus)])
        self._contaminated = found.select(["row", "task", "item_id", "ngram"]).sort_by("row")
        found = pq.read_table(
            near_duplicates / "clusters.parquet",
            columns=["row", "cluster", "size", "exact"],
            filters=[("corpus", "=", corpus), ("keep", "=", False)],
        )
        self._duplicates = found.sort_by("row")

    def between(self, start: int, stop: int) -> dict[int, Reason]:
        """Those of rows [start, stop); a duplicate counts as one before it counts as contaminated."""
        marks: dict[int, Reason] = {}
        for row, task, item, ngram in _records(self._contaminated, start, stop):
            marks.setdefault(row, Reason("contaminated", f"{task} {item}: {ngram}"))
        for row, cluster, size, exact in _records(self._duplicates, start, stop):
            kind = "exact duplicate" if exact else "near duplicate"
            marks[row] = Reason(kind, f"cluster {cluster.hex()[:8]} of {size} documents")
        return marks


def _records(table: pa.Table, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    """Records of a table, sorted by its first column, where that is in [start, stop)."""
    low, high = np.searchsorted(table.column(0).to_numpy(), [start, stop])
    return zip(*(column.to_pylist() for column in table.slice(low, high - low).columns), strict=True)


def _excerpts(documents: Path, examples: Mapping[str, list[tuple[int, str]]]) -> dict[str, list[Example]]:
    """The first removed documents of each step with the beginning of their text."""
    wanted = {row: (step, detail) for step, some in examples.items() for row, detail in some}
    found: dict[str, list[Example]] = {step: [] for step in examples}
    first = 0
    for batch in iter_parts(documents, ("text",)) if wanted else ():
        for row in sorted(row for row in wanted if first <= row < first + batch.num_rows):
            step, detail = wanted[row]
            found[step].append(Example(row, detail, batch.column("text")[row - first].as_py()[:200]))
        first += batch.num_rows
        if first > max(wanted):
            break
    return found


def _waterfall(
    documents: int,
    size: int,
    documents_by: Counter[str],
    bytes_by: Counter[str],
    examples: Mapping[str, list[Example]],
) -> list[WaterfallStep]:
    steps = [WaterfallStep("documents", 0, 0, documents, size)]
    first = ["held out", "exact duplicate", "near duplicate", "contaminated"]
    for step in [*first, *(name for name in documents_by if name not in first)]:
        documents -= documents_by[step]
        size -= bytes_by[step]
        steps.append(WaterfallStep(step, documents_by[step], bytes_by[step], documents, size, examples.get(step, [])))
    return steps
