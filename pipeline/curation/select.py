"""The stage `corpus/<corpus>`: which documents are kept. Row ids only; no text is fetched or rewritten.

In: documents with their signals, the held-out split, the clusters of duplicates and the contaminated documents. Out:
`selection.parquet` (row, doc_id), `removed.parquet` (row, doc_id, step, detail) and `croissant.json`. Each document
is removed by the first step that applies, in this order: held out, exact duplicate, near duplicate, contaminated, then
the filters in theirs; the waterfall counts what is left after each.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.croissant import write_croissant
from pipeline.curation.filters import SIGNALS, failures
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.tables import (
    DOC_ID,
    contains_ids,
    hash_batches,
    ids_of,
    iter_file,
    iter_parts,
    write_table,
)
from pipeline.errors import CurationError

SELECTION_VERSION: Final = "1"
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
    """What is kept of a corpus. `languages` counts kept bytes; the duplicate and contaminated counts must be 0."""

    content_hash: str
    documents: int
    bytes: int
    languages: dict[str, int]
    waterfall: list[WaterfallStep]
    duplicates_left: int
    contaminated_left: int


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
    marks = _marks(corpus, near_duplicates, contamination)
    frozen = np.concatenate([ids_of(batch) for batch in iter_file(heldout / "heldout.parquet", ("doc_id",))])
    kept: dict[str, list[object]] = {"row": [], "doc_id": []}
    removed: dict[str, list[object]] = {name: [] for name in REMOVED.names}
    documents_by: Counter[str] = Counter()
    bytes_by: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    examples: dict[str, list[int]] = {}
    row = total = 0
    for batch in iter_parts(documents, ("doc_id", "bytes", "lang", *SIGNALS)):
        held = contains_ids(ids_of(batch), frozen)
        failed = failures(batch, settings)
        sizes, langs = batch.column("bytes").to_pylist(), batch.column("lang").to_pylist()
        for place, ident in enumerate(batch.column("doc_id").to_pylist()):
            reason = ("held out", "") if held[place] else marks.get(row) or failed[place]
            if reason is None:
                kept["row"].append(row)
                kept["doc_id"].append(ident)
                languages[langs[place]] += sizes[place]
            else:
                step, detail = reason
                for name, value in zip(REMOVED.names, (row, ident, step, detail), strict=True):
                    removed[name].append(value)
                documents_by[step] += 1
                bytes_by[step] += sizes[place]
                examples.setdefault(step, [])
                if len(examples[step]) < _EXAMPLES:
                    examples[step].append(len(removed["row"]) - 1)
            total += sizes[place]
            row += 1
    waterfall = _waterfall(row, total, documents_by, bytes_by, _excerpts(documents, removed, examples))
    if not kept["row"]:
        steps = ", ".join(
            f"{step.step} took {step.removed_documents:,}" for step in waterfall if step.removed_documents
        )
        raise CurationError(
            f"corpus {corpus!r} has no documents left of {row:,}: {steps}. "
            f"Loosen `corpora.{corpus}.filters`, or hold out less"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "selection.parquet", kept, SCHEMA)
    write_table(out / "removed.parquet", removed, REMOVED)
    digest = hash_batches(iter_file(out / "selection.parquet", SCHEMA.names), SCHEMA.names)
    write_croissant(corpus, settings, dict(languages.most_common()), len(kept["row"]), digest, out)
    log.info("%s: %s of %s documents kept", corpus, f"{len(kept['row']):,}", f"{row:,}")
    return SelectionSummary(
        content_hash=digest,
        documents=len(kept["row"]),
        bytes=sum(languages.values()),
        languages=dict(languages.most_common()),
        waterfall=waterfall,
        duplicates_left=len(kept["doc_id"]) - len(set(kept["doc_id"])),
        contaminated_left=sum(marks.get(row, ("", ""))[0] == "contaminated" for row in kept["row"]),  # type: ignore[call-overload]
    )


def _marks(corpus: str, near_duplicates: Path, contamination: Path) -> dict[int, tuple[str, str]]:
    """Rows of the corpus that duplicates or contamination remove, with the step and its detail."""
    marks: dict[int, tuple[str, str]] = {}
    table = pq.read_table(contamination / "contaminated.parquet", filters=[("corpus", "=", corpus)])
    for row, task, item, ngram in zip(
        *(table.column(n).to_pylist() for n in ("row", "task", "item_id", "ngram")), strict=True
    ):
        marks.setdefault(row, ("contaminated", f"{task} {item}: {ngram}"))
    table = pq.read_table(near_duplicates / "clusters.parquet", filters=[("corpus", "=", corpus), ("keep", "=", False)])
    for row, cluster, size, exact in zip(
        *(table.column(n).to_pylist() for n in ("row", "cluster", "size", "exact")), strict=True
    ):
        kind = "exact duplicate" if exact else "near duplicate"
        marks[row] = (kind, f"cluster {cluster.hex()[:8]} of {size} documents")
    return marks


def _excerpts(
    documents: Path, removed: Mapping[str, list[object]], examples: Mapping[str, list[int]]
) -> dict[str, list[Example]]:
    """The first removed documents of each step with the beginning of their text."""
    wanted = {int(str(removed["row"][place])): (step, place) for step, places in examples.items() for place in places}
    found: dict[str, list[Example]] = {step: [] for step in examples}
    row = 0
    for batch in iter_parts(documents, ("text",)) if wanted else ():
        for place in range(batch.num_rows):
            if row + place in wanted:
                step, index = wanted[row + place]
                text = batch.column("text")[place].as_py()
                found[step].append(Example(row + place, str(removed["detail"][index]), text[:200]))
        row += batch.num_rows
        if row > max(wanted):
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
