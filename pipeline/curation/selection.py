"""The asset `corpus/<corpus>`: which documents are kept. Row ids only; no text is fetched or rewritten.

In: documents with their signals, the held-out split, the clusters of duplicates and the contaminated documents. Out:
`selection.parquet` (row, doc_id), `removed.parquet` (row, doc_id, step, detail) and `croissant.json`. Each document
is removed by the first step that applies, in this order: held out, exact duplicate, near duplicate, contaminated, then
the filters in theirs; the waterfall counts what is left after each. A duplicate is one beside a copy that stays, in
this corpus or another: so the filters of all corpora that share a cluster are looked at. A cap on domains comes last.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.base.errors import CurationError
from pipeline.base.parquet import read_table
from pipeline.curation.contamination import CONTAMINATED_FILE
from pipeline.curation.croissant import write_croissant
from pipeline.curation.doc_ids import contains_ids, ids_of
from pipeline.curation.documents import HOST
from pipeline.curation.domain_caps import DOMAIN_CAP, DomainCounts, over_cap
from pipeline.curation.filters.verdicts import SIGNALS, Reason, verdicts
from pipeline.curation.heldout import heldout_ids
from pipeline.curation.kept_copies import Duplicates, find_duplicates
from pipeline.curation.quality.scoring import QualityScores
from pipeline.curation.selected import SCHEMA, SELECTION_FILE
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.tables import TableWriter, hash_batches, iter_file, iter_parts
from pipeline.curation.waterfall import Waterfall, WaterfallStep, check_adds_up

SELECTION_VERSION: Final = "3"
REMOVED: Final = pa.schema(
    [*SCHEMA, pa.field("step", pa.string(), nullable=False), pa.field("detail", pa.string(), nullable=False)]
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelectionSummary:
    """What is kept of a corpus. `languages` counts kept bytes.

    Raises CurationError where the waterfall does not lead from all documents to those that are kept, in documents or in
    bytes.
    """

    content_hash: str
    documents: int
    bytes: int
    languages: dict[str, int]
    waterfall: list[WaterfallStep]
    domains: DomainCounts | None = None
    """Where there is a cap on domains."""

    def __post_init__(self) -> None:
        check_adds_up(self.waterfall, self.documents, self.bytes)
        if sum(self.languages.values()) != self.bytes:
            raise CurationError(f"{self.bytes:,} bytes are kept, but their languages have another sum: build it again")


def select_corpus(
    corpus: str,
    corpora: Mapping[str, CorpusSettings],
    documents: Mapping[str, Path],
    heldout: Path,
    near_duplicates: Path,
    contamination: Path,
    out: Path,
    *,
    quality: Mapping[str, Mapping[str, Path]] | None = None,
) -> SelectionSummary:
    """Write which rows of a corpus are kept.

    Args:
        corpus: name.
        corpora: settings of all corpora; of the others only thresholds, `filters` and `languages`, are looked at.
        documents: folder of `documents/<corpus>` for each corpus.
        heldout, near_duplicates, contamination: folders of the assets before.
        out: output folder.
        quality: for each corpus whose filters look at quality models, the folders of `quality/<model>/<corpus>` by
            model.

    Raises:
        CurationError: nothing is left; the message says which step took how much.
    """
    settings, own = corpora[corpus], documents[corpus]
    scores = {name: QualityScores(folders) for name, folders in (quality or {}).items()}
    duplicates = find_duplicates(corpus, corpora, documents, near_duplicates, contamination, scores)
    marks = _Marks(corpus, duplicates, contamination)
    judge = _Judge(own, settings, heldout_ids(heldout), marks, scores.get(corpus))
    over = over_cap(settings.domain_cap, judge.left(HOST)) if settings.domain_cap is not None else None
    waterfall, languages = Waterfall(), Counter[str]()
    with (
        TableWriter(out / SELECTION_FILE, SCHEMA) as selection,
        TableWriter(out / "removed.parquet", REMOVED) as removed,
    ):
        for start, batch, reasons in judge.batches():
            for place, detail in over.between(start, start + batch.num_rows) if over is not None else ():
                reasons[place] = Reason(DOMAIN_CAP, detail)
            sizes, langs = batch.column("bytes").to_pylist(), batch.column("lang").to_pylist()
            for row, (reason, size, lang) in enumerate(zip(reasons, sizes, langs, strict=True), start):
                waterfall.add(row, size, reason)
                if reason is None:
                    languages[lang] += size
            _write_rows(batch, start, reasons, selection, removed)
    steps = waterfall.steps(own)
    kept = steps[-1].documents
    if not kept:
        took = ", ".join(f"{step.step} took {step.removed_documents:,}" for step in steps if step.removed_documents)
        raise CurationError(
            f"corpus {corpus!r} has no documents left of {waterfall.documents:,}: {took}. "
            f"Loosen `corpora.{corpus}.filters`, or hold out less"
        )
    digest = hash_batches(iter_file(out / SELECTION_FILE, SCHEMA.names), SCHEMA.names)
    write_croissant(corpus, settings, dict(languages.most_common()), kept, digest, out)
    log.info("%s: %s of %s documents kept", corpus, f"{kept:,}", f"{waterfall.documents:,}")
    return SelectionSummary(
        content_hash=digest,
        documents=kept,
        bytes=steps[-1].bytes,
        languages=dict(languages.most_common()),
        waterfall=steps,
        domains=over.counts if over is not None else None,
    )


@dataclass(frozen=True)
class _Judge:
    """Reads a corpus and says of every document why it goes, if it does, but for the cap on domains."""

    documents: Path
    settings: CorpusSettings
    held_out: np.ndarray
    marks: _Marks
    scores: QualityScores | None

    def batches(self, *more: str) -> Iterator[tuple[int, pa.RecordBatch, list[Reason | None]]]:
        """The first row of each batch, the batch, with `more` columns, and the reasons."""
        start = 0
        for batch in iter_parts(self.documents, ("doc_id", "bytes", "lang", *SIGNALS, *more)):
            stop = start + batch.num_rows
            judged = batch if self.scores is None else self.scores.beside(batch, np.arange(start, stop))
            yield start, batch, _reasons(judged, self.held_out, self.marks.between(start, stop), self.settings)
            start = stop

    def left(self, *more: str) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """What has no reason to go, with its rows, int64 [N]."""
        for start, batch, reasons in self.batches(*more):
            kept = np.flatnonzero([reason is None for reason in reasons])
            yield batch.take(pa.array(kept)), start + kept


def _reasons(
    batch: pa.RecordBatch, held_out: np.ndarray, marked: Mapping[int, Reason], settings: CorpusSettings
) -> list[Reason | None]:
    """Why each document of a batch is removed, if it is: the first step that applies.

    held_out: ids of the held-out documents; marked: places in the batch that duplicates or contamination remove.
    """
    inside = contains_ids(ids_of(batch), held_out).tolist()
    judged = enumerate(zip(inside, verdicts(batch, settings.filters_for), strict=True))
    return [Reason("held out", "") if held else marked.get(place) or verdict for place, (held, verdict) in judged]


def _write_rows(
    batch: pa.RecordBatch, start: int, reasons: list[Reason | None], selection: TableWriter, removed: TableWriter
) -> None:
    """Write a batch's rows, from row `start` on, to the kept or the removed ones."""
    rows = np.arange(start, start + batch.num_rows)
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    ids = batch.column("doc_id")
    if kept.any():
        selection.write(pa.Table.from_arrays([pa.array(rows[kept]), ids.filter(pa.array(kept))], schema=SCHEMA))
    if not kept.all():
        steps, details = zip(*(reason for reason in reasons if reason is not None), strict=True)
        columns = [pa.array(rows[~kept]), ids.filter(pa.array(~kept)), pa.array(steps), pa.array(details)]
        removed.write(pa.Table.from_arrays(columns, schema=REMOVED))


class _Marks:
    """Rows of the corpus that duplicates or contamination remove, with the step and its detail: 40 bytes a row."""

    def __init__(self, corpus: str, duplicates: Duplicates, contamination: Path) -> None:
        contaminated = read_table(contamination / CONTAMINATED_FILE, filters=[("corpus", "=", corpus)])
        self._contaminated = contaminated.select(["row", "task", "item_id", "ngram"]).sort_by("row")
        columns = (duplicates.rows, duplicates.clusters, duplicates.sizes, duplicates.exact)
        self._duplicates = pa.table(dict(zip(("row", "cluster", "size", "exact"), columns, strict=True)))

    def between(self, start: int, stop: int) -> dict[int, Reason]:
        """Those of rows [start, stop), from 0; a duplicate counts as one before it counts as contaminated."""
        marks: dict[int, Reason] = {}
        for row, task, item, ngram in _records(self._contaminated, start, stop):
            marks.setdefault(row - start, Reason("contaminated", f"{task} {item}: {ngram}"))
        for row, cluster, size, exact in _records(self._duplicates, start, stop):
            kind = "exact duplicate" if exact else "near duplicate"
            marks[row - start] = Reason(kind, f"cluster {cluster.hex()[:8]} of {size} documents")
        return marks


def _records(table: pa.Table, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    """Records of a table, sorted by its first column, where that is in [start, stop)."""
    low, high = np.searchsorted(table.column(0).to_numpy(), [start, stop])
    return zip(*(column.to_pylist() for column in table.slice(low, high - low).columns), strict=True)
