"""The stage `contamination`: documents that share a long n-gram with an evaluation item.

In: documents of all corpora and the items of the evaluation sets. Out: `contaminated.parquet` (corpus, row, doc_id,
task, item_id, ngram), one row for each document and item that share at least one n-gram of 13 words (Brown et al. 2020,
appendix C; lm-eval's `decontaminate` counts the same). Items shorter than that are looked for as a whole. Words are
lower-cased runs of letters and digits; n-grams without a letter are skipped.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipeline.curation.settings import ContaminationSettings
from pipeline.curation.tables import DOC_ID, hash_batches, iter_file, iter_parts, write_table

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
_WORD = re.compile(r"\w+")
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
    index, counts = _index(settings, items)
    found: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    by_task: Counter[str] = Counter()
    by_corpus: Counter[str] = Counter()
    for corpus in sorted(documents):
        row = 0
        for batch in iter_parts(documents[corpus], ("doc_id", "text")):
            for ident, text in zip(batch.column("doc_id").to_pylist(), batch.column("text").to_pylist(), strict=True):
                hits = _matches(text, index) if index else {}
                for (task, item), ngram in sorted(hits.items()):
                    for name, value in zip(SCHEMA.names, (corpus, row, ident, task, item, ngram), strict=True):
                        found[name].append(value)
                by_task.update({task for task, _ in hits})
                by_corpus.update([corpus] if hits else [])
                row += 1
    out.mkdir(parents=True, exist_ok=True)
    path = out / "contaminated.parquet"
    write_table(path, found, SCHEMA)
    digest = hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names)
    log.info("contamination: %d documents share text with %d items", sum(by_corpus.values()), sum(counts.values()))
    return ContaminationSummary(digest, dict(counts), sum(by_corpus.values()), dict(by_task), dict(by_corpus))


_Index = dict[int, dict[tuple[str, ...], list[tuple[str, str]]]]


def _index(settings: ContaminationSettings, items: Iterable[EvaluationItem]) -> tuple[_Index, Counter[str]]:
    """The n-grams to look for by their length in words, with the items that hold them."""
    index: _Index = defaultdict(lambda: defaultdict(list))
    counts: Counter[str] = Counter()
    for task, item, text in items:
        counts[task] += 1
        words = words_of(text)
        size = min(settings.ngram, len(words))
        if size < settings.short_item_words:
            continue
        for start in range(len(words) - size + 1):
            gram = tuple(words[start : start + size])
            if any(not word.isdigit() for word in gram):
                holders = index[size][gram]
                if (task, item) not in holders:
                    holders.append((task, item))
    return index, counts


def words_of(text: str) -> list[str]:
    """Lower-cased words: runs of letters, digits and underscores."""
    return _WORD.findall(text.lower())


def _matches(text: str, index: _Index) -> dict[tuple[str, str], str]:
    """The items that share an n-gram with the text, each with the first such n-gram."""
    words = words_of(text)
    hits: dict[tuple[str, str], str] = {}
    for size, grams in index.items():
        for gram in zip(*(words[start:] for start in range(size)), strict=False):
            if gram in grams:
                for holder in grams[gram]:
                    hits.setdefault(holder, " ".join(gram))
    return hits
