"""The stage `near_duplicates`: clusters of equal and nearly equal documents over all corpora, held-out included.

In: documents and held-out documents of all corpora. Out: `clusters.parquet`, one row for each document in a cluster of
two or more: corpus, row, doc_id, cluster (number), size, heldout, kind and keep.

Which copy stays, whatever the order of the input: the held-out ones, which are never in training text, so that no
training copy stays beside them; else the one of the corpus that the profile names first; among those the longest;
among those the one with the lowest doc_id; of equal texts the one in the lowest row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.curation.settings import NearDuplicateSettings
from pipeline.curation.tables import (
    DOC_ID,
    contains_ids,
    hash_batches,
    id_bytes,
    ids_of,
    iter_file,
    iter_parts,
    write_table,
)

NEAR_DUPLICATES_VERSION: Final = "1"
SCHEMA: Final = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("size", pa.uint32(), nullable=False),
        pa.field("heldout", pa.bool_(), nullable=False),
        pa.field("exact", pa.bool_(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
    ]
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NearDuplicatesSummary:
    """Clusters of two or more documents; `sizes` counts clusters by their number of documents."""

    content_hash: str
    documents: int
    clusters: int
    duplicates: int
    by_corpus: dict[str, int]
    sizes: dict[int, int]


def find_near_duplicates(
    settings: NearDuplicateSettings,
    documents: Mapping[str, Path],
    heldout: Mapping[str, Path],
    out: Path,
) -> NearDuplicatesSummary:
    """Write the clusters of equal documents.

    Args:
        settings: similarity.
        documents: folder of `documents/<corpus>` for each corpus, in the profile's order: earlier ones keep their copy.
        heldout: folder of `heldout/<corpus>` for each corpus.
        out: output folder.
    """
    corpora = list(documents)
    ids, corpus_of, row_of, held = _load(corpora, documents, heldout)
    order = np.lexsort((row_of, corpus_of, ids[:, 1], ids[:, 0]))
    ordered = ids[order]
    starts = np.flatnonzero(np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)]))
    counts = np.diff(np.append(starts, len(order)))
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    by_corpus: Counter[str] = Counter()
    sizes: Counter[int] = Counter()
    for cluster, (start, count) in enumerate(
        (start, count) for start, count in zip(starts, counts, strict=True) if count > 1
    ):
        sizes[int(count)] += 1
        members = order[start : start + count]
        any_held = bool(held[members].any())
        for place, member in enumerate(members):
            keep = bool(held[member]) or (place == 0 and not any_held)
            corpus = corpora[corpus_of[member]]
            by_corpus[corpus] += not keep
            row = (
                corpus,
                int(row_of[member]),
                id_bytes(ids[member]),
                cluster,
                int(count),
                bool(held[member]),
                True,
                keep,
            )
            for name, value in zip(SCHEMA.names, row, strict=True):
                columns[name].append(value)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "clusters.parquet"
    write_table(path, columns, SCHEMA)
    digest = hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names)
    duplicates = sum(by_corpus.values())
    log.info("near duplicates: %d clusters, %d documents to drop", sum(sizes.values()), duplicates)
    return NearDuplicatesSummary(digest, len(ids), sum(sizes.values()), duplicates, dict(by_corpus), dict(sizes))


def _load(
    corpora: list[str], documents: Mapping[str, Path], heldout: Mapping[str, Path]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids [N, 2] (two uint64), corpus numbers [N], rows [N] and held-out flags [N] of every document."""
    ids, corpus_of, row_of, held = [], [], [], []
    for number, corpus in enumerate(corpora):
        mine = np.concatenate([ids_of(batch) for batch in iter_parts(documents[corpus], ("doc_id",))])
        frozen = [ids_of(batch) for batch in iter_file(heldout[corpus] / "heldout.parquet", ("doc_id",))]
        ids.append(mine)
        corpus_of.append(np.full(len(mine), number, dtype=np.int32))
        row_of.append(np.arange(len(mine), dtype=np.int64))
        held.append(contains_ids(mine, np.concatenate(frozen)))
    return np.concatenate(ids), np.concatenate(corpus_of), np.concatenate(row_of), np.concatenate(held)
