"""The asset `near_duplicates`: clusters of equal and nearly equal documents over all corpora, held-out included.

In: documents and held-out documents of all corpora. Out: `clusters.parquet`, one row for each document in a cluster of
two or more: corpus, row, doc_id, cluster (its lowest doc_id), size and heldout. Every edge of a cluster has an exact
Jaccard similarity of word 5-grams of at least the threshold.

A cluster's rows stand together, in the order in which they would rather be kept, whatever the order of the input: those
of the corpus that the profile names first; among those the longest; among those the one with the lowest doc_id; of
equal texts the one in the lowest row. Which one is kept `kept_copies` decides, for it takes the corpora's filters, and
a changed threshold finds no duplicates anew.

Memory: 43 bytes a document, up to 90 while sorting and writing, and a constant. Bands, n-grams and sets go through
files in the output folder that are read in partitions. Processes share the passes over text; the clusters are the same
with any number of them, since a component does not depend on the order in which its edges are found, and a pair is left
out only within one.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import fixed_bytes
from pipeline.base.distinct import distinct
from pipeline.base.executor import Executor
from pipeline.base.files import remove_unfinished
from pipeline.curation.doc_ids import DOC_ID, binary_ids
from pipeline.curation.duplicates.bands import BandFiles
from pipeline.curation.duplicates.clusters import Clusters
from pipeline.curation.duplicates.document_rows import DocumentRows, load_rows
from pipeline.curation.duplicates.heldout_join import candidate_pairs, scan_part, write_bitmap, write_prefixes
from pipeline.curation.duplicates.shingle_sets import SetStore, write_sets
from pipeline.curation.settings import NearDuplicateSettings
from pipeline.curation.tables import CLUSTERS_FILE, WORTH_BYTES, TableWriter, hash_batches, iter_file

NEAR_DUPLICATES_VERSION: Final = "3"
SCHEMA: Final = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("cluster", DOC_ID, nullable=False),
        pa.field("size", pa.uint32(), nullable=False),
        pa.field("heldout", pa.bool_(), nullable=False),
    ]
)
log = logging.getLogger(__name__)


_WRITTEN_ROWS: Final = 1 << 18


@dataclass(frozen=True)
class NearDuplicatesSummary:
    """Clusters of two or more documents; `sizes` counts clusters by their number of documents.

    `duplicates`, also by corpus, counts those beside the first member of each cluster, or beside held-out ones.
    `candidates` counts the pairs compared, `edges` those similar enough; pairs that other edges have put into one
    cluster already are not compared.
    """

    content_hash: str
    documents: int
    clusters: int
    duplicates: int
    by_corpus: dict[str, int]
    sizes: dict[int, int]
    candidates: int
    edges: int


def find_near_duplicates(
    settings: NearDuplicateSettings,
    documents: Mapping[str, Path],
    heldout: Mapping[str, Path],
    out: Path,
    *,
    executor: Executor,
) -> NearDuplicatesSummary:
    """Write the clusters of equal and nearly equal documents.

    Args:
        settings: bands and similarity.
        documents: folder of `documents/<corpus>` for each corpus, in the profile's order: copies in earlier ones are
            preferred.
        heldout: folder of `heldout/<corpus>` for each corpus.
        out: output folder; also holds the scratch files while it is built.
        executor: shares out the passes over text. Never changes the result.
    """
    remove_unfinished(out)
    scratch = out / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a build that was killed
    rows = load_rows(documents, heldout)
    clusters = Clusters(rows.distinct)
    candidates = edges = 0
    if settings.enabled:
        scratch.mkdir(parents=True)
        try:
            for compared, joined in _join(settings, rows, clusters, scratch, executor):
                candidates, edges = candidates + compared, edges + joined
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    path = out / CLUSTERS_FILE
    by_corpus, sizes = _write(rows, clusters.finish(), path)
    duplicates = sum(by_corpus.values())
    log.info("near duplicates: %d clusters, %d documents beside their first", sum(sizes.values()), duplicates)
    return NearDuplicatesSummary(
        content_hash=hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names),
        documents=len(rows.number),
        clusters=sum(sizes.values()),
        duplicates=duplicates,
        by_corpus=dict(by_corpus),
        sizes=dict(sorted(sizes.items())),
        candidates=candidates,
        edges=edges,
    )


def _join(
    settings: NearDuplicateSettings, rows: DocumentRows, clusters: Clusters, scratch: Path, executor: Executor
) -> Iterator[tuple[int, int]]:
    """Find and verify candidate pairs and join clusters; gives the pairs compared and found similar as it goes."""
    bands = BandFiles(scratch, settings.bands)
    sets = SetStore(rows.distinct)
    wanted = _suspects(rows, bands)
    prefixes, hits, sizes = _scan(settings, rows, wanted, sets, scratch, executor)
    across_split = scratch / "heldout-pairs"
    with across_split.open("wb") as file:
        for pairs in candidate_pairs(prefixes, hits, sizes, settings.similarity):
            wanted[pairs] = True
            file.write(pairs.astype("<i4").tobytes())
    _store_missing(rows, wanted, sets, scratch, executor)
    rounds = (pairs for buckets in bands.buckets() for pairs in buckets.rounds())
    for pairs in chain(rounds, _read_pairs(across_split)):
        apart = clusters.apart(pairs)
        similar = sets.similar(apart, settings.similarity, executor)
        clusters.join(similar)
        yield len(apart), len(similar)


def _suspects(rows: DocumentRows, bands: BandFiles) -> np.ndarray:
    """Write the bands; which documents share one with another, bool [D]."""
    for part in rows.parts:
        row = part.start
        for batch in iter_file(part.path, ("minhash",)):
            here = slice(row, row + batch.num_rows)
            row += batch.num_rows
            signatures = fixed_bytes(batch.column("minhash")).view("<u4")
            bands.add(signatures[rows.first_copy[here]], rows.number[here][rows.first_copy[here]])
    bands.finish()
    suspects = np.zeros(rows.distinct, dtype=bool)
    for buckets in bands.buckets():
        suspects[buckets.members[np.repeat(buckets.starts, buckets.sizes) + buckets.within()]] = True
    return suspects


def _scan(
    settings: NearDuplicateSettings,
    rows: DocumentRows,
    wanted: np.ndarray,
    sets: SetStore,
    scratch: Path,
    executor: Executor,
) -> tuple[list[Path], list[Path], np.ndarray]:
    """One pass over all text; stores the wanted sets.

    Returns the files of held-out prefixes, those of all documents' hits on them, and the sizes of all sets.
    """
    worth = rows.bytes > WORTH_BYTES
    prefixes = [scratch / f"heldout-{place:03d}.prefixes" for place in range(len(rows.heldout))]
    tasks = [(*each, settings.similarity, path) for each, path in zip(rows.heldout, prefixes, strict=True)]
    bitmap = scratch / "heldout-bitmap"
    write_bitmap(prefixes, sum(executor.map(write_prefixes, tasks, worth=worth)), bitmap)
    scans = []
    for place, part in enumerate(rows.parts):
        first = rows.first_copy[part.start : part.stop]
        numbers = rows.number[part.start : part.stop][first]
        name = scratch / f"part-{place:05d}"
        scans.append((part.path, first, numbers, wanted[numbers], bitmap, settings.similarity, name))
    sizes = np.zeros(rows.distinct, dtype=np.int32)
    hits = []
    for scan, part_sizes in zip(scans, executor.map(scan_part, scans, worth=worth), strict=True):
        _, _, numbers, stored, _, _, name = scan
        sizes[numbers] = part_sizes
        sets.add(name.with_suffix(".sets"), numbers[stored], part_sizes[stored])
        hits.append(name.with_suffix(".hits"))
    return prefixes, hits, sizes


def _store_missing(rows: DocumentRows, wanted: np.ndarray, sets: SetStore, scratch: Path, executor: Executor) -> None:
    """Store the sets that only the held-out join asks for."""
    tasks, numbers = [], []
    for place, part in enumerate(rows.parts):
        number = rows.number[part.start : part.stop]
        asked = rows.first_copy[part.start : part.stop] & wanted[number] & ~sets.holds(number)
        if asked.any():
            tasks.append((part.path, asked, scratch / f"late-{place:05d}.sets"))
            numbers.append(number[asked])
    writing = executor.map(write_sets, tasks, worth=len(tasks) > 8)
    for (_, _, path), part_numbers, sizes in zip(tasks, numbers, writing, strict=True):
        sets.add(path, part_numbers, sizes)


def _read_pairs(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        while len(pairs := np.fromfile(file, dtype="<i4", count=1 << 20)):
            yield pairs.reshape(-1, 2).astype(np.int64)


def _write(rows: DocumentRows, cluster: np.ndarray, path: Path) -> tuple[Counter[str], Counter[int]]:
    """Write the documents of clusters of two or more; returns the duplicates by corpus, and clusters by size."""
    of = cluster[rows.number]
    sizes = np.bincount(of, minlength=rows.distinct).astype(np.uint32)
    any_held = np.zeros(rows.distinct, dtype=bool)
    any_held[of[rows.held_out]] = True
    member = np.flatnonzero(sizes[of] > 1)
    number, corpus = rows.number[member], rows.corpus(member)
    order = np.lexsort((member, number, -rows.size[member].astype(np.int64), corpus, of[member]))
    member, number, corpus = member[order], number[order], corpus[order]
    of = of[member]
    first = (np.diff(of, prepend=-1) != 0) & ~any_held[of]
    lowest = np.empty(rows.distinct, dtype=np.int64)
    lowest[rows.number[rows.first_copy]] = np.flatnonzero(rows.first_copy)
    with TableWriter(path, SCHEMA) as writer:
        for start in range(0, max(len(member), 1), _WRITTEN_ROWS):
            here = slice(start, start + _WRITTEN_ROWS)
            columns = {
                "corpus": [rows.corpora[place] for place in corpus[here].tolist()],
                "row": member[here] - rows.starts[corpus[here]],
                "doc_id": binary_ids(rows.ids[member[here]]),
                "cluster": binary_ids(rows.ids[lowest[of[here]]]),
                "size": sizes[of[here]],
                "heldout": rows.held_out[member[here]],
            }
            writer.write(pa.Table.from_pydict(columns, schema=SCHEMA))
    dropped = np.bincount(corpus[~(rows.held_out[member] | first)], minlength=len(rows.corpora)).tolist()
    by_corpus = Counter({name: count for name, count in zip(rows.corpora, dropped, strict=True) if count})
    return by_corpus, Counter(sizes[distinct(of)].tolist())
