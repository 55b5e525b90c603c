"""Which copy of a cluster of duplicates stays: the first that its own corpus would keep.

In: `clusters.parquet`, whose members stand in the order of preference, and the documents of the corpora that share
clusters. Out: the rows of one corpus that go because another copy stays. A member that its corpus's filters or
contamination remove is passed over, or the text would be gone from all; where all of a cluster are, none is a duplicate
of anything. Beside a held-out member no other stays. The answer for a cluster is the same whichever corpus asks.

Memory: about 50 bytes for each member of a cluster, of all corpora.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import fixed_bytes
from pipeline.base.parquet import read_table
from pipeline.curation.contamination import contaminated_rows
from pipeline.curation.doc_ids import contains_ids, ids_of
from pipeline.curation.filters.verdicts import SIGNALS, verdicts
from pipeline.curation.quality.scoring import QualityScores
from pipeline.curation.settings import CorpusSettings
from pipeline.curation.tables import CLUSTERS_FILE, iter_rows

_COLUMNS: Final = ("corpus", "row", "doc_id", "cluster", "size", "heldout")


@dataclass(frozen=True)
class Duplicates:
    """Rows of a corpus that another copy stays in place of, ascending, D in all."""

    rows: np.ndarray
    """int64 [D]"""
    exact: np.ndarray
    """bool [D], the copy that stays has the same text"""
    sizes: np.ndarray
    """uint32 [D], documents in the cluster"""
    clusters: pa.Array
    """Name of the cluster, 16 bytes each, [D]"""


def find_duplicates(
    corpus: str,
    corpora: Mapping[str, CorpusSettings],
    documents: Mapping[str, Path],
    near_duplicates: Path,
    contamination: Path,
    scores: Mapping[str, QualityScores] | None = None,
) -> Duplicates:
    """The rows of a corpus that go as duplicates; held-out documents are none.

    Args:
        corpus: whose rows.
        corpora: settings of all corpora; only `filters` and `languages` are looked at.
        documents: folder of `documents/<corpus>` for each corpus.
        near_duplicates, contamination: folders of these assets.
        scores: of the corpora whose filters look at quality models.
    """
    table = read_table(near_duplicates / CLUSTERS_FILE, columns=list(_COLUMNS), read_dictionary=["corpus"])
    table = table.unify_dictionaries().combine_chunks()
    members = table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)
    names = members.column("corpus").dictionary.to_pylist()
    corpus_of = members.column("corpus").indices.to_numpy()
    rows, held_out = members.column("row").to_numpy(), members.column("heldout").to_numpy(zero_copy_only=False)
    cluster = _numbered(members.column("cluster"))
    clusters = int(cluster[-1]) + 1 if len(cluster) else 0
    ours = corpus_of == names.index(corpus) if corpus in names else np.zeros(len(rows), dtype=bool)
    asked, held = np.zeros(clusters, dtype=bool), np.zeros(clusters, dtype=bool)
    asked[cluster[ours]] = True
    held[cluster[held_out]] = True
    stays = held_out.copy()
    judged = asked[cluster] & ~held[cluster]
    passing = judged.copy()
    for number, name in enumerate(names):
        some = np.flatnonzero(judged & (corpus_of == number))
        if len(some):
            scored = (scores or {}).get(name)
            passing[some] = _pass(rows[some], name, corpora[name], documents[name], contamination, scored)
    places = np.flatnonzero(passing)
    _, first = np.unique(cluster[places], return_index=True)
    stays[places[first]] = True
    resolved = np.zeros(clusters, dtype=bool)
    resolved[cluster[stays]] = True
    gone = np.flatnonzero(ours & resolved[cluster] & ~stays)
    gone = gone[np.argsort(rows[gone], kind="stable")]
    ids = ids_of(members)
    return Duplicates(
        rows=rows[gone],
        exact=contains_ids(ids[gone], ids[stays]),
        sizes=members.column("size").to_numpy()[gone],
        clusters=members.column("cluster").take(pa.array(gone)),
    )


def _numbered(names: pa.Array) -> np.ndarray:
    """The clusters, whose members stand together, numbered from 0, int64 [N]."""
    values = fixed_bytes(names)
    new = np.zeros(len(values), dtype=np.int64)
    new[1:] = (values[1:] != values[:-1]).any(axis=1)
    return np.cumsum(new)


def _pass(
    rows: np.ndarray,
    corpus: str,
    settings: CorpusSettings,
    documents: Path,
    contamination: Path,
    scores: QualityScores | None,
) -> np.ndarray:
    """Which rows of a corpus, in any order, neither its filters nor contamination remove, bool."""
    order = np.argsort(rows, kind="stable")
    kept = np.ones(len(rows), dtype=bool)
    start = 0
    for batch in iter_rows(documents, ("lang", *SIGNALS), rows[order]):
        here = order[start : start + batch.num_rows]
        judged = batch if scores is None else scores.beside(batch, rows[here])
        kept[here] = [reason is None for reason in verdicts(judged, settings.filters_for)]
        start += batch.num_rows
    return kept & ~np.isin(rows, contaminated_rows(contamination, corpus))
