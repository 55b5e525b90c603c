"""The stage `contamination`: documents that share a long n-gram with an evaluation item.

In: documents of all corpora and the items of the evaluation sets. Out: `items.parquet`, the items that were looked for,
and `contaminated.parquet` (corpus, row, doc_id, task, item_id, ngram), one row for each document and item that share at
least one n-gram of 13 words (Brown et al. 2020, appendix C; lm-eval's `decontaminate` counts the same). Items shorter
than that are looked for as a whole. Words are lower-cased runs of letters and digits; n-grams without a letter are
skipped. Hashes find suspects, in any number of processes, and words decide.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.pool import WORTH_BYTES, Pool
from pipeline.curation.settings import ContaminationSettings
from pipeline.curation.tables import DOC_ID, hash_batches, iter_file, parts, write_table
from pipeline.curation.words import ngrams, word_hashes, words_of

CONTAMINATION_VERSION: Final = "2"
SCHEMA: Final = pa.schema(
    [
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
    ]
)
ITEMS: Final = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("task", "item_id", "text")])
EvaluationItem = tuple[str, str, str]
"""Task, the item's id within it, and its text."""
_ITEMS: Final = "items.parquet"
_TABLE_BITS: Final = 23
_TABLE_SHIFT: Final = np.uint64(64 - _TABLE_BITS)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContaminationSummary:
    """Items looked for and documents found, by task; `documents` counts each document once."""

    content_hash: str
    items: dict[str, int]
    documents: int
    by_task: dict[str, int]
    by_corpus: dict[str, int]


def find_contamination(
    settings: ContaminationSettings,
    documents: Mapping[str, Path],
    items: Iterable[EvaluationItem],
    out: Path,
    *,
    workers: int = 0,
) -> ContaminationSummary:
    """Write which documents share an n-gram with which items.

    Args:
        settings: length of the n-grams.
        documents: folder of `documents/<corpus>` for each corpus.
        items: (task, item_id, text) of every evaluation item.
        out: output folder.
        workers: processes; 0 takes one a core. Never changes the result.
    """
    items = list(items)
    index = ItemIndex(settings, items)
    found: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    by_task: Counter[str] = Counter()
    by_corpus: Counter[str] = Counter()
    every = [path for folder in documents.values() for path in parts(folder)]
    with Pool(workers) as pool:
        worth = sum(path.stat().st_size for path in every) > WORTH_BYTES // 3
        suspects = pool.map(find_suspects, [(path, index.hashes) for path in every], worth=worth)
        suspects_of = dict(zip(every, suspects, strict=True))
    for corpus in sorted(documents):
        first = 0
        for path in parts(documents[corpus]):
            for row, ident, text in _rows(path, suspects_of[path]):
                hits = index.verify(text)
                for (task, item), ngram in sorted(hits.items()):
                    values = (corpus, first + row, ident, task, item, ngram)
                    for name, value in zip(SCHEMA.names, values, strict=True):
                        found[name].append(value)
                by_task.update({task for task, _ in hits})
                by_corpus[corpus] += bool(hits)
            first += pq.read_metadata(path).num_rows
    by_corpus = +by_corpus
    out.mkdir(parents=True, exist_ok=True)
    path = out / "contaminated.parquet"
    write_table(path, found, SCHEMA)
    write_table(
        out / _ITEMS, dict(zip(ITEMS.names, zip(*items, strict=True) if items else ([], [], []), strict=True)), ITEMS
    )
    digest = hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names)
    items_total = sum(index.items.values())
    log.info("contamination: %d documents share text with %d items", by_corpus.total(), items_total)
    return ContaminationSummary(digest, dict(index.items), by_corpus.total(), dict(by_task), dict(by_corpus))


def read_items(folder: Path) -> Iterator[EvaluationItem]:
    """The items that were looked for, from the stage's folder."""
    for batch in iter_file(folder / _ITEMS, ITEMS.names):
        yield from zip(*(batch.column(name).to_pylist() for name in ITEMS.names), strict=True)


def find_suspects(path: Path, hashes: Mapping[int, np.ndarray]) -> np.ndarray:
    """Rows of a part (int64) with an n-gram whose hash is among those of the items, sorted, by n-gram length."""
    tables = {size: _table(wanted) for size, wanted in hashes.items()}
    rows: list[int] = []
    first = 0
    for batch in iter_file(path, ("text",)) if hashes else ():
        words, offsets = word_hashes(batch.column("text").to_pylist())
        suspects: set[int] = set()
        for size, wanted in hashes.items():
            grams = ngrams(words, size)
            likely = np.flatnonzero(tables[size][grams >> _TABLE_SHIFT])
            near = np.minimum(np.searchsorted(wanted, grams[likely]), len(wanted) - 1)
            places = likely[wanted[near] == grams[likely]]
            documents = np.searchsorted(offsets, places, side="right") - 1
            suspects.update(documents[places + size <= offsets[documents + 1]].tolist())
        rows += sorted(first + place for place in suspects)
        first += batch.num_rows
    return np.array(rows, dtype=np.int64)


def _table(hashes: np.ndarray) -> np.ndarray:
    """Which leading bits occur; looking there first spares nearly every n-gram the search."""
    table = np.zeros(1 << _TABLE_BITS, dtype=bool)
    table[hashes >> _TABLE_SHIFT] = True
    return table


def _rows(path: Path, rows: np.ndarray) -> Iterator[tuple[int, bytes, str]]:
    """Row, id and text of some rows of a part."""
    first = 0
    for batch in iter_file(path, ("doc_id", "text")) if len(rows) else ():
        low, high = np.searchsorted(rows, [first, first + batch.num_rows])
        for row in rows[low:high].tolist():
            yield row, batch.column("doc_id")[row - first].as_py(), batch.column("text")[row - first].as_py()
        first += batch.num_rows


class ItemIndex:
    """The n-grams of the evaluation items: their hashes, sorted, by length, and which items hold them."""

    def __init__(self, settings: ContaminationSettings, items: Iterable[EvaluationItem]) -> None:
        self.items: Counter[str] = Counter()
        self._holders: dict[int, dict[str, list[tuple[str, str]]]] = defaultdict(dict)
        for task, item, text in items:
            self.items[task] += 1
            words = words_of(text)
            size = min(settings.ngram, len(words))
            if size < settings.short_item_words:
                continue
            for start in range(len(words) - size + 1):
                gram = " ".join(words[start : start + size])
                if any(char.isalpha() for char in gram):
                    holders = self._holders[size].setdefault(gram, [])
                    if (task, item) not in holders:
                        holders.append((task, item))
        self.hashes = {size: self._hash(list(grams), size) for size, grams in self._holders.items()}

    @staticmethod
    def _hash(grams: list[str], size: int) -> np.ndarray:
        hashes, offsets = word_hashes(grams)
        whole = offsets[:-1][np.diff(offsets) == size]
        return np.unique(ngrams(hashes, size)[whole])

    def verify(self, text: str) -> dict[tuple[str, str], str]:
        """The items that share an n-gram with a text, each with the first such n-gram, by comparing words."""
        words = words_of(text)
        hits: dict[tuple[str, str], str] = {}
        for size in sorted(self._holders):
            grams = self._holders[size]
            for start in range(len(words) - size + 1):
                gram = " ".join(words[start : start + size])
                for holder in grams.get(gram, ()):
                    hits.setdefault(holder, gram)
        return hits
