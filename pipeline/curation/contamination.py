"""The asset `contamination`: documents that share a long n-gram with an evaluation item.

In: documents of all corpora and the items of the evaluation sets. Out: `items.parquet`, the items that were looked for,
and `contaminated.parquet` (corpus, row, doc_id, task, item_id, ngram), one row for each document and item that share at
least one n-gram of 13 words (Brown et al. 2020, appendix C; lm-eval's `decontaminate` counts the same). Items shorter
than that are looked for as a whole. Words are lower-cased runs of letters and digits; n-grams without a letter are
skipped. Hashes find suspects, in any number of processes, and words decide.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.distinct import among, distinct
from pipeline.base.errors import CurationError
from pipeline.base.executor import Executor, Shared
from pipeline.base.parquet import read_metadata, read_table
from pipeline.curation.doc_ids import DOC_ID
from pipeline.curation.settings import ContaminationSettings
from pipeline.curation.tables import WORTH_BYTES, hash_batches, iter_file, parts, write_table
from pipeline.curation.text.segments import words_of
from pipeline.curation.text.words import ngrams, word_hashes

CONTAMINATION_VERSION: Final = "3"
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
CONTAMINATED_FILE: Final = "contaminated.parquet"
_ITEMS: Final = "items.parquet"
_BITMAP_BITS: Final = 23
_BITMAP_SHIFT: Final = np.uint64(64 - _BITMAP_BITS)
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
    executor: Executor,
) -> ContaminationSummary:
    """Write which documents share an n-gram with which items.

    Args:
        settings: length of the n-grams.
        documents: folder of `documents/<corpus>` for each corpus.
        items: (task, item_id, text) of every evaluation item.
        out: output folder.
        executor: shares out the documents' parts. Never changes the result.
    """
    items = list(items)
    index = ItemIndex(settings, items)
    contaminated: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    by_task: Counter[str] = Counter()
    by_corpus: Counter[str] = Counter()
    every = [path for folder in documents.values() for path in parts(folder)]
    worth = sum(path.stat().st_size for path in every) > WORTH_BYTES
    hashes = executor.share(index.hashes)
    scanned = list(executor.map(find_suspects, [(path, hashes) for path in every], worth=worth))
    suspects_of = {path: rows for path, (rows, _) in zip(every, scanned, strict=True)}
    index.narrow([matched for _, matched in scanned])
    for corpus in sorted(documents):
        start = 0
        for path in parts(documents[corpus]):
            for row, ident, text in _rows(path, suspects_of[path]):
                hits = index.verify(text)
                for (task, item), ngram in sorted(hits.items()):
                    values = (corpus, start + row, ident, task, item, ngram)
                    for name, value in zip(SCHEMA.names, values, strict=True):
                        contaminated[name].append(value)
                by_task.update({task for task, _ in hits})
                by_corpus[corpus] += bool(hits)
            start += read_metadata(path).num_rows
    by_corpus = +by_corpus
    path = out / CONTAMINATED_FILE
    write_table(path, contaminated, SCHEMA)
    write_table(
        out / _ITEMS, dict(zip(ITEMS.names, zip(*items, strict=True) if items else ([], [], []), strict=True)), ITEMS
    )
    digest = hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names)
    items_total = sum(index.items.values())
    log.info("contamination: %d documents share text with %d items", by_corpus.total(), items_total)
    return ContaminationSummary(digest, dict(index.items), by_corpus.total(), dict(by_task), dict(by_corpus))


def read_items(folder: Path) -> Iterator[EvaluationItem]:
    """The items that were looked for, from the asset's folder.

    Raises:
        CurationError: they are not there.
    """
    if not (folder / _ITEMS).is_file():
        raise CurationError(f"{folder} has no {_ITEMS}, an earlier version built it: build `contamination` again")
    for batch in iter_file(folder / _ITEMS, ITEMS.names):
        yield from zip(*(batch.column(name).to_pylist() for name in ITEMS.names), strict=True)


def contaminated_rows(folder: Path, corpus: str) -> np.ndarray:
    """Rows of a corpus (int64) that hold text of an evaluation item, from the asset's folder."""
    table = read_table(folder / CONTAMINATED_FILE, columns=["row"], filters=[("corpus", "=", corpus)])
    return table.column("row").to_numpy()


def find_suspects(path: Path, hashes: Shared[Mapping[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a part (int64) with an n-gram whose hash is among the items' (by n-gram length), and those hashes."""
    bitmaps = {size: _bitmap(wanted) for size, wanted in hashes.value.items()}
    rows: list[int] = []
    matched = [np.empty(0, dtype=np.uint64)]
    start = 0
    for batch in iter_file(path, ("text",)) if bitmaps else ():
        words, offsets = word_hashes(batch.column("text").to_pylist())
        suspects: set[int] = set()
        for size, wanted in hashes.value.items():
            grams = ngrams(words, size)
            likely = np.flatnonzero(bitmaps[size][grams >> _BITMAP_SHIFT])
            places = likely[among(grams[likely], wanted)]
            documents = np.searchsorted(offsets, places, side="right") - 1
            inside = places + size <= offsets[documents + 1]
            suspects.update(documents[inside].tolist())
            matched.append(distinct(grams[places[inside]]))
        rows += sorted(start + place for place in suspects)
        start += batch.num_rows
    return np.array(rows, dtype=np.int64), distinct(np.concatenate(matched))


def _bitmap(hashes: np.ndarray) -> np.ndarray:
    """Which leading bits occur; looking there first spares nearly every n-gram the search."""
    bitmap = np.zeros(1 << _BITMAP_BITS, dtype=bool)
    bitmap[hashes >> _BITMAP_SHIFT] = True
    return bitmap


def _rows(path: Path, rows: np.ndarray) -> Iterator[tuple[int, bytes, str]]:
    """Row, id and text of some rows of a part."""
    start = 0
    for batch in iter_file(path, ("doc_id", "text")) if len(rows) else ():
        low, high = np.searchsorted(rows, [start, start + batch.num_rows])
        for row in rows[low:high].tolist():
            yield row, batch.column("doc_id")[row - start].as_py(), batch.column("text")[row - start].as_py()
        start += batch.num_rows


class ItemIndex:
    """The n-grams of the evaluation items: their hashes, sorted, by length; and the words of those that were met."""

    def __init__(self, settings: ContaminationSettings, items: Sequence[EvaluationItem]) -> None:
        self.items = Counter(task for task, _, _ in items)
        self._settings, self._all = settings, items
        words, offsets = word_hashes([text for _, _, text in items])
        lengths = np.diff(offsets)
        sizes = np.minimum(lengths, settings.ngram)
        self.hashes: dict[int, np.ndarray] = {}
        self._owners: list[tuple[np.ndarray, np.ndarray]] = []
        for size in np.unique(sizes[sizes >= settings.short_item_words]).tolist():
            of_size = sizes == size
            grams = ngrams(words[np.repeat(of_size, lengths)], size)
            owner = np.repeat(np.flatnonzero(of_size), lengths[of_size])[: len(grams)]
            end = np.repeat(np.cumsum(lengths[of_size]), lengths[of_size])[: len(grams)]
            whole = np.arange(len(grams)) + size <= end  # within one item
            self.hashes[size] = distinct(grams[whole])
            self._owners.append((grams[whole], owner[whole]))
        self._holders: dict[int, dict[str, list[tuple[str, str]]]] = defaultdict(dict)

    def narrow(self, matched: Sequence[np.ndarray]) -> None:
        """Make ready to verify documents in which no other hashes than these were met."""
        every = distinct(np.concatenate([np.empty(0, dtype=np.uint64), *matched]))
        met = [owners[among(hashes, every)] for hashes, owners in self._owners]
        for number in distinct(np.concatenate([np.empty(0, dtype=np.int64), *met])).tolist():
            task, item, text = self._all[number]
            words = words_of(text)
            size = min(self._settings.ngram, len(words))
            for start in range(len(words) - size + 1):
                gram = " ".join(words[start : start + size])
                if any(char.isalpha() for char in gram):
                    holders = self._holders[size].setdefault(gram, [])
                    if (task, item) not in holders:
                        holders.append((task, item))

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
