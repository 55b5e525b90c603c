"""Bits per byte of held-out documents, per corpus and language, beside general compressors on the very same text.

Bits per byte = nats of the text / ln 2 / its UTF-8 bytes. It does not depend on the tokenizer's vocabulary, so models
with different ones compare (Gao et al. 2020, The Pile, section 3.1). The closing end-of-text is scored apart, since
it is no part of the text.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.base.numbers import size, with_error
from pipeline.base.settings import runtime
from pipeline.evaluation.heldout import Heldout, Prefix, TrainingText, read_heldout, training_prefix
from pipeline.evaluation.item_values import BITS, ItemValues, item_rows, item_values, ratio_stderr
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.compressors import COMPRESSOR_NAMES, measure
from pipeline.evaluation.suites.scored_documents import DOCUMENTS_FILE, ScoredDocuments, score_corpus, write_documents
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

log = logging.getLogger(__name__)

BITS_PER_BYTE_VERSION: Final = "2"
SCORE_VERSION: Final = "1"
"""Of the score itself: models that were scored under another version of the rest compare with each other."""
ENGLISH: Final = "english"
"""What the score of all English documents together is called; no corpus may be."""


@dataclass(frozen=True)
class TextRow:
    """One text that was scored: a corpus, a language of it, or all English."""

    name: str
    corpus: str
    lang: str | None
    """None: all languages."""
    documents: int
    bytes: int
    tokens: int
    bits_per_byte: float
    stderr: float | None
    end_of_text_bits: float
    """Mean bits of the end-of-text after a document."""
    text_hash: str
    primed_with_bytes: int
    """Training text that primed compressors were given first."""
    compressors: Mapping[str, float]
    """Bits per byte of each compressor."""


@dataclass(frozen=True)
class BitsPerByteDetails(Details):
    """All texts."""

    items_file: ClassVar[str] = DOCUMENTS_FILE
    rows: tuple[TextRow, ...]
    context: int
    vocab_size: int
    notes: Sequence[str] = ()
    """What was left out, and why."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return fields_from(cls, {**body, "rows": tuple(fields_from(TextRow, row) for row in body["rows"])})

    def row_of(self, task: str) -> TextRow | None:
        """The text a score is of."""
        return next((row for row in self.rows if row.name == task), None)

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "text": row.name,
                "documents": row.documents,
                "bytes": row.bytes,
                "model": with_error(row.bits_per_byte, row.stderr),
                **{COMPRESSOR_NAMES.get(name, name): f"{value:.4f}" for name, value in row.compressors.items()},
            }
            for row in self.rows
        ]

    def remarks(self) -> Iterator[tuple[str, str]]:
        for note in self.notes:
            yield "bits per byte", note

    def text_hash_of(self, task: str) -> str | None:
        row = self.row_of(task)
        return None if row is None else row.text_hash

    def yardsticks(self, task: str) -> Mapping[str, float]:
        row = self.row_of(task)
        measured = {} if row is None else row.compressors
        return {COMPRESSOR_NAMES.get(name, name): value for name, value in measured.items()}

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        row = self.row_of(score.task)
        if row is None:
            return None
        everywhere = row.lang is not None and row.name == row.corpus  # all English, whatever the corpus
        keys, pairs = [], []
        rows = item_rows(items, "corpus", "document", "lang", "bytes", "nats_text")
        for corpus, number, lang, length, nats in rows:
            if (everywhere or corpus == row.corpus) and row.lang in (None, lang):
                keys.append((corpus, number, length))
                pairs.append((-nats, float(length)))
        return item_values(keys, pairs, BITS)


class BitsPerByteSuite(SuiteSettings):
    """Bits per byte of the held-out documents, per corpus and language, beside general compressors on the same text."""

    version: ClassVar[str] = BITS_PER_BYTE_VERSION
    description: ClassVar[str] = (
        "Bits per byte of the held-out documents, per corpus and language, beside gzip, xz and zstd."
    )
    details: ClassVar[type[Details]] = BitsPerByteDetails
    needs_heldout: ClassVar[bool] = True
    needs_training_text: ClassVar[bool] = True

    kind: Literal["bits_per_byte"] = "bits_per_byte"
    maximum_bytes: int | None = Field(None, gt=0)
    """Bytes of each corpus that are scored, in whole documents chosen by the hashes of their texts; none: all."""
    compressors: tuple[Literal["gzip", "xz", "zstd"], ...] = ("gzip", "xz", "zstd")
    """`gzip -9`, `xz -9e` and `zstd -19`, alone and after training text (xz and zstd)."""
    prime_bytes: int = Field(64_000_000, ge=0)
    """Most training text that a primed compressor is given first, of each corpus, chosen by the documents' hashes; 0
    leaves priming out. What lies further back than 64 MiB is past the window of `xz -9e`."""
    batch_tokens: int = runtime(8192, gt=0)

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_bits_per_byte(scorer, inputs.heldout, inputs.training, self, out)


def evaluate_bits_per_byte(
    scorer: Scorer, heldout: Mapping[str, Path], training: TrainingText, suite: BitsPerByteSuite, out: Path
) -> SuiteResult:
    """Score every corpus's held-out documents; write `documents.parquet` (one row a document) and `scores.json`.

    Args:
        heldout: folder of the held-out documents of each corpus.
        training: how to read each corpus's training text, for the primed compressors.

    Raises:
        NotPossibleError: no corpus has held-out documents, or the tokenizer's round trip is not exact.
    """
    start = time.monotonic()
    documents, notes = _documents(heldout, suite.maximum_bytes)
    scored = {corpus: score_corpus(scorer, there, suite.batch_tokens) for corpus, there in documents.items()}
    write_documents(scored, out / DOCUMENTS_FILE)
    prefixes = {corpus: training_prefix(training, corpus, suite.prime_bytes) for corpus in scored}
    log.info("compressing the same text with %s", ", ".join(suite.compressors) or "nothing")
    rows = text_rows(scored, prefixes, suite)
    notes += [
        f"compressors were given {size(suite.prime_bytes)} of {corpus}'s {size(prefix.corpus_bytes)} of training text"
        for corpus, prefix in prefixes.items()
        if 0 < suite.prime_bytes < prefix.corpus_bytes
    ]
    scores = [
        Score(
            task=row.name,
            metric="bits_per_byte",
            value=row.bits_per_byte,
            stderr=row.stderr,
            count=row.documents,
            higher_is_better=False,
            version=SCORE_VERSION,
        )
        for row in rows
    ]
    details = BitsPerByteDetails(tuple(rows), scorer.context, scorer.tokenizer.vocab_size, notes)
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start, files=[DOCUMENTS_FILE])


def _documents(heldout: Mapping[str, Path], maximum_bytes: int | None) -> tuple[dict[str, Heldout], list[str]]:
    """The documents to score by corpus, and a note about each corpus that has none."""
    documents, notes = {}, []
    for corpus, folder in sorted(heldout.items()):
        try:
            documents[corpus] = read_heldout(corpus, folder, maximum_bytes)
        except NotPossibleError as error:
            notes.append(str(error))
    if not documents:
        raise NotPossibleError("; ".join(notes) or "bits_per_byte has nothing to score: the profile has no corpora")
    for note in notes:
        log.warning("%s", note)
    return documents, notes


def text_rows(
    scored: Mapping[str, ScoredDocuments], prefixes: Mapping[str, Prefix], suite: BitsPerByteSuite
) -> list[TextRow]:
    """One row a corpus, one a language where a corpus has several, and one for all English documents together."""
    import numpy as np

    groups: dict[str, tuple[str, str | None, list[tuple[ScoredDocuments, Any]]]] = {}
    everywhere: list[tuple[ScoredDocuments, Any]] = []
    for corpus, documents in scored.items():
        languages = np.array(documents.heldout.languages)
        groups[corpus] = (corpus, None, [(documents, np.ones(len(languages), dtype=bool))])
        present = sorted(set(documents.heldout.languages))
        if len(present) > 1:
            groups |= {f"{corpus}/{lang}": (corpus, lang, [(documents, languages == lang)]) for lang in present}
        if "en" in present:
            everywhere.append((documents, languages == "en"))
    if everywhere:
        groups[ENGLISH] = (ENGLISH, "en", everywhere)

    texts = {name: _joined(parts) for name, (_, _, parts) in groups.items()}
    primed = {
        name: _prefix(name, corpus, lang, prefixes, suite.prime_bytes) for name, (corpus, lang, _) in groups.items()
    }
    compressed = measure(texts, primed, suite.compressors)
    rows = []
    for name, (corpus, lang, parts) in groups.items():
        nats = np.concatenate([documents.nats_text[mask] for documents, mask in parts])
        ends = np.concatenate([documents.nats_eot[mask] for documents, mask in parts])
        sizes = np.concatenate([np.array(documents.heldout.bytes, dtype=np.int64)[mask] for documents, mask in parts])
        if sizes.sum() != len(texts[name]):
            raise EvaluationError(f"{name}: the documents' bytes add up to {sizes.sum():,}, not {len(texts[name]):,}")
        bits = nats / math.log(2)
        rows.append(
            TextRow(
                name=name,
                corpus=corpus,
                lang=lang,
                documents=len(sizes),
                bytes=int(sizes.sum()),
                tokens=int(sum(documents.tokens[mask].sum() for documents, mask in parts)),
                bits_per_byte=float(bits.sum() / sizes.sum()),
                stderr=ratio_stderr(bits, sizes),
                end_of_text_bits=float(ends.mean() / math.log(2)),
                text_hash=hashlib.sha256(texts[name]).hexdigest(),
                primed_with_bytes=len(primed[name]),
                compressors=compressed[name],
            )
        )
    return rows


def _joined(parts: Iterable[tuple[ScoredDocuments, Any]]) -> bytes:
    return b"".join(
        text.encode("utf-8")
        for documents, mask in parts
        for text, wanted in zip(documents.heldout.texts, mask, strict=True)
        if wanted
    )


def _prefix(name: str, corpus: str, lang: str | None, prefixes: Mapping[str, Prefix], most: int) -> bytes:
    """Training text for a row's compressors: the corpus's own, or as much of all English, an equal share of each."""
    if name == ENGLISH:
        of_corpora = [prefix.languages.get("en", b"") for _, prefix in sorted(prefixes.items())]
        total = sum(map(len, of_corpora))
        return b"".join(text[: len(text) * most // total] if total > most else text for text in of_corpora)
    languages = prefixes[corpus].languages
    if lang is not None:
        return languages.get(lang, b"")
    return b"".join(text for _, text in sorted(languages.items()))
