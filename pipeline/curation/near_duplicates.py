"""The stage `near_duplicates`: clusters of equal and nearly equal documents over all corpora, held-out included.

In: documents and held-out documents of all corpora. Out: `clusters.parquet`, one row for each document in a cluster of
two or more: corpus, row, doc_id, cluster (its lowest doc_id), size, heldout, exact (a copy with the same text is the
reason) and keep. Every edge of a cluster has an exact Jaccard similarity of word 5-grams of at least the threshold.

Which copy stays, whatever the order of the input: the held-out ones, which are never in training text, so that no
training copy stays beside them; else the one of the corpus that the profile names first; among those the longest;
among those the one with the lowest doc_id; of equal texts the one in the lowest row.

Memory: some 60 bytes a document; signatures and sets of n-grams go through files in the output folder.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.curation.settings import NearDuplicateSettings
from pipeline.curation.signals import MINHASH_PERMUTATIONS, SHINGLE_WORDS
from pipeline.curation.similarity import (
    HeldoutIndex,
    SetStore,
    band_keys,
    bucket_pairs,
    components,
    similar_pairs,
)
from pipeline.curation.tables import (
    DOC_ID,
    contains_ids,
    hash_batches,
    ids_of,
    iter_file,
    iter_parts,
    write_table,
)
from pipeline.curation.words import shingles, word_hashes

NEAR_DUPLICATES_VERSION: Final = "1"
SCHEMA: Final = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("cluster", DOC_ID, nullable=False),
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
    candidates: int
    edges: int


@dataclass(frozen=True)
class _Rows:
    """Every document of every corpus; `number` [N] counts distinct texts in the order of their doc_ids."""

    ids: np.ndarray
    corpus: np.ndarray
    row: np.ndarray
    size: np.ndarray
    held: np.ndarray
    number: np.ndarray
    distinct: int


def find_near_duplicates(
    settings: NearDuplicateSettings,
    documents: Mapping[str, Path],
    heldout: Mapping[str, Path],
    out: Path,
) -> NearDuplicatesSummary:
    """Write the clusters of equal and nearly equal documents.

    Args:
        settings: bands and similarity.
        documents: folder of `documents/<corpus>` for each corpus, in the profile's order: earlier ones keep their copy.
        heldout: folder of `heldout/<corpus>` for each corpus.
        out: output folder; also holds the stage's temporary files.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = _load(documents, heldout)
    cluster = np.arange(rows.distinct)
    pairs = np.empty((0, 2), dtype=np.int64)
    edges: list[tuple[int, int]] = []
    if settings.enabled:
        pairs = _candidates(settings, documents, rows, out)
        edges = _verified(settings, documents, rows, pairs, out)
        cluster = components(rows.distinct, edges)
    path = out / "clusters.parquet"
    by_corpus, sizes = _write(list(documents), rows, cluster, path)
    duplicates = sum(by_corpus.values())
    log.info("near duplicates: %d clusters, %d documents to drop", sum(sizes.values()), duplicates)
    return NearDuplicatesSummary(
        content_hash=hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names),
        documents=len(rows.row),
        clusters=sum(sizes.values()),
        duplicates=duplicates,
        by_corpus=dict(by_corpus),
        sizes=dict(sorted(sizes.items())),
        candidates=len(pairs),
        edges=len(edges),
    )


def _load(documents: Mapping[str, Path], heldout: Mapping[str, Path]) -> _Rows:
    ids, corpus_of, row_of, held, sizes = [], [], [], [], []
    for place, corpus in enumerate(documents):
        batches = list(iter_parts(documents[corpus], ("doc_id", "bytes")))
        mine = np.concatenate([ids_of(batch) for batch in batches])
        frozen = [ids_of(batch) for batch in iter_file(heldout[corpus] / "heldout.parquet", ("doc_id",))]
        ids.append(mine)
        sizes.append(np.concatenate([batch.column("bytes").to_numpy() for batch in batches]))
        corpus_of.append(np.full(len(mine), place, dtype=np.int32))
        row_of.append(np.arange(len(mine), dtype=np.int64))
        held.append(contains_ids(mine, np.concatenate(frozen)))
    every = np.concatenate(ids)
    order = np.lexsort((every[:, 1], every[:, 0]))
    ordered = every[order]
    number = np.empty(len(every), dtype=np.int64)
    number[order] = np.cumsum(np.concatenate([[False], (ordered[1:] != ordered[:-1]).any(axis=1)]))
    return _Rows(
        every,
        np.concatenate(corpus_of),
        np.concatenate(row_of),
        np.concatenate(sizes),
        np.concatenate(held),
        number,
        int(number.max()) + 1,
    )


def _batches(documents: Mapping[str, Path], column: str, rows: _Rows) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """One column of every document with the documents' numbers, batch by batch."""
    start = 0
    for folder in documents.values():
        for batch in iter_parts(folder, (column,)):
            yield batch.column(column), rows.number[start : start + batch.num_rows]
            start += batch.num_rows


def _candidates(settings: NearDuplicateSettings, documents: Mapping[str, Path], rows: _Rows, out: Path) -> np.ndarray:
    """Pairs of distinct texts to compare, int64 [M, 2], sorted."""
    spill = out / "bands.tmp"
    keys = np.memmap(spill, dtype=np.uint64, mode="w+", shape=(settings.bands, rows.distinct))
    usable = np.zeros(rows.distinct, dtype=bool)
    for column, numbers in _batches(documents, "minhash", rows):
        data = np.frombuffer(column.buffers()[1], dtype="<u4").reshape(-1, MINHASH_PERMUTATIONS)
        signatures = data[column.offset : column.offset + len(column)]
        keys[:, numbers] = band_keys(signatures, settings.bands)
        usable[numbers] = (signatures != signatures.max()).any(axis=1)
    some = np.flatnonzero(usable)
    found = np.unique(np.concatenate([bucket_pairs(np.asarray(band), some) for band in keys]), axis=0)
    del keys
    spill.unlink()
    return np.unique(np.concatenate([found, _heldout_candidates(settings, documents, rows)]), axis=0)


def _heldout_candidates(settings: NearDuplicateSettings, documents: Mapping[str, Path], rows: _Rows) -> np.ndarray:
    """Pairs of a held-out document and any other that may be similar: none is missed."""
    held = np.zeros(rows.distinct, dtype=bool)
    held[rows.number[rows.held]] = True
    numbers: list[int] = []
    sets: list[np.ndarray] = []
    for texts, mine in _batches(documents, "text", rows):
        wanted = np.flatnonzero(held[mine])
        values, offsets = shingles(*word_hashes(texts.take(pa.array(wanted)).to_pylist()), SHINGLE_WORDS)
        numbers += mine[wanted].tolist()
        sets += [values[a:b].copy() for a, b in pairwise(offsets.tolist())]
        held[mine] = False
    index = HeldoutIndex(numbers, sets, settings.similarity)
    del sets
    found = [np.empty((0, 2), dtype=np.int64)]
    for texts, mine in _batches(documents, "text", rows):
        found.append(index.pairs(mine, *shingles(*word_hashes(texts.to_pylist()), SHINGLE_WORDS)))
    return np.concatenate(found)


def _verified(
    settings: NearDuplicateSettings, documents: Mapping[str, Path], rows: _Rows, pairs: np.ndarray, out: Path
) -> list[tuple[int, int]]:
    """The pairs that are similar enough."""
    sets = SetStore(out / "sets.tmp", np.unique(pairs))
    try:
        for texts, mine in _batches(documents, "text", rows):
            wanted = [place for place, number in enumerate(mine.tolist()) if sets.wants(number)]
            values, offsets = shingles(
                *word_hashes(texts.take(pa.array(wanted, pa.int64())).to_pylist()), SHINGLE_WORDS
            )
            for place, start, stop in zip(wanted, offsets[:-1], offsets[1:], strict=True):
                if sets.wants(int(mine[place])):
                    sets.add(int(mine[place]), values[start:stop])
        return [(first, second) for first, second, _ in similar_pairs(pairs, sets, settings.similarity)]
    finally:
        sets.close()


def _write(corpora: list[str], rows: _Rows, cluster: np.ndarray, path: Path) -> tuple[Counter[str], Counter[int]]:
    """Write the documents of clusters of two or more; returns those to drop by corpus, and clusters by size."""
    of = cluster[rows.number]
    sizes = np.bincount(of, minlength=rows.distinct)
    copies = np.bincount(rows.number, minlength=rows.distinct)
    any_held = np.zeros(rows.distinct, dtype=bool)
    any_held[of[rows.held]] = True
    member = np.flatnonzero(sizes[of] > 1)
    order = member[
        np.lexsort(
            (
                rows.row[member],
                rows.number[member],
                -rows.size[member].astype(np.int64),
                rows.corpus[member],
                of[member],
            )
        )
    ]
    first = np.concatenate([[True], of[order][1:] != of[order][:-1]])[: len(order)]
    keep = rows.held[order] | (first & ~any_held[of[order]])
    kept_text = np.zeros(rows.distinct, dtype=bool)
    kept_text[rows.number[order][keep]] = True
    lowest = np.zeros((rows.distinct, 2), dtype=np.uint64)
    lowest[rows.number] = rows.ids
    numbers = rows.number[order]
    columns = {
        "corpus": [corpora[place] for place in rows.corpus[order]],
        "row": rows.row[order],
        "doc_id": _binary(rows.ids[order]),
        "cluster": _binary(lowest[of[order]]),
        "size": sizes[of[order]].astype(np.uint32),
        "heldout": rows.held[order],
        "exact": (copies[numbers] > 1) & kept_text[numbers],
        "keep": keep,
    }
    write_table(path, columns, SCHEMA)
    dropped = rows.corpus[order][~keep]
    by_corpus = Counter({corpora[place]: int((dropped == place).sum()) for place in np.unique(dropped)})
    return by_corpus, Counter(int(size) for size in sizes[np.unique(of[order])])


def _binary(ids: np.ndarray) -> pa.Array:
    """uint64 [N, 2] as doc_ids."""
    data = pa.py_buffer(ids.astype(">u8").tobytes())
    return pa.Array.from_buffers(DOC_ID, len(ids), [None, data])
