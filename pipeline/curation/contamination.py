"""The stage `contamination`: documents that share a long n-gram with an evaluation item.

In: documents of all corpora and the items of the evaluation sets. Out: `contaminated.parquet` (corpus, row, doc_id,
task, item_id, ngram), one row for each document and item that share at least one n-gram of 13 words (Brown et al. 2020,
appendix C; lm-eval's `decontaminate` counts the same). Items shorter than that are looked for as a whole. Words are
lower-cased runs of letters and digits; n-grams without a letter are skipped. Hashes find suspects, words decide.
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

from pipeline.curation.settings import ContaminationSettings
from pipeline.curation.tables import DOC_ID, hash_batches, iter_file, iter_parts, write_table
from pipeline.curation.words import ngrams, word_hashes, words_of

CONTAMINATION_VERSION: Final = "1"
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
EvaluationItem = tuple[str, str, str]
"""Task, the item's id within it, and its text."""
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
    settings: ContaminationSettings, documents: Mapping[str, Path], items: Iterable[EvaluationItem], out: Path
) -> ContaminationSummary:
    """Write which documents share an n-gram with which items.

    Args:
        settings: length of the n-grams.
        documents: folder of `documents/<corpus>` for each corpus.
        items: (task, item_id, text) of every evaluation item.
        out: output folder.
    """
    index = _Index(settings, items)
    found: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    by_task: Counter[str] = Counter()
    by_corpus: Counter[str] = Counter()
    for corpus in sorted(documents):
        first = 0
        for batch in iter_parts(documents[corpus], ("doc_id", "text")):
            texts = batch.column("text")
            for place, hits in index.matches(texts):
                ident = batch.column("doc_id")[place].as_py()
                for (task, item), ngram in sorted(hits.items()):
                    for name, value in zip(
                        SCHEMA.names, (corpus, first + place, ident, task, item, ngram), strict=True
                    ):
                        found[name].append(value)
                by_task.update({task for task, _ in hits})
                by_corpus[corpus] += 1
            first += batch.num_rows
    out.mkdir(parents=True, exist_ok=True)
    path = out / "contaminated.parquet"
    write_table(path, found, SCHEMA)
    digest = hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names)
    items_total = sum(index.items.values())
    log.info("contamination: %d documents share text with %d items", by_corpus.total(), items_total)
    return ContaminationSummary(digest, dict(index.items), by_corpus.total(), dict(by_task), dict(by_corpus))


class _Index:
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
        self._hashes = {size: self._hash(list(grams), size) for size, grams in self._holders.items()}

    @staticmethod
    def _hash(grams: list[str], size: int) -> np.ndarray:
        hashes, offsets = word_hashes(grams)
        whole = offsets[:-1][np.diff(offsets) == size]
        return np.unique(ngrams(hashes, size)[whole])

    def matches(self, texts: pa.Array) -> Iterator[tuple[int, dict[tuple[str, str], str]]]:
        """Documents of the batch that share n-grams with items: those items, each with the first such n-gram."""
        if not self._hashes:
            return
        hashes, offsets = word_hashes(texts.to_pylist())
        suspects: set[int] = set()
        for size, wanted in self._hashes.items():
            grams = ngrams(hashes, size)
            near = np.minimum(np.searchsorted(wanted, grams), len(wanted) - 1)
            places = np.flatnonzero(wanted[near] == grams)
            documents = np.searchsorted(offsets, places, side="right") - 1
            suspects.update(documents[places + size <= offsets[documents + 1]].tolist())
        for place in sorted(suspects):
            hits = self._verify(texts[place].as_py())
            if hits:
                yield place, hits

    def _verify(self, text: str) -> dict[tuple[str, str], str]:
        """The same by comparing words, so that equal hashes never decide."""
        words = words_of(text)
        hits: dict[tuple[str, str], str] = {}
        for size in sorted(self._holders):
            grams = self._holders[size]
            for start in range(len(words) - size + 1):
                gram = " ".join(words[start : start + size])
                for holder in grams.get(gram, ()):
                    hits.setdefault(holder, gram)
        return hits
