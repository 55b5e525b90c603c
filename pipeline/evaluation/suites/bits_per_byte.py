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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.base.files import whole_path
from pipeline.base.progress import Progress
from pipeline.evaluation.heldout import Heldout, TrainingText, encode_exactly, read_heldout, training_prefix
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Score, SuiteResult, finish
from pipeline.evaluation.scores.paired import DOCUMENTS_FILE
from pipeline.evaluation.settings import ENGLISH, BitsPerByteSuite
from pipeline.evaluation.suites.compressors import measure

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

BITS_PER_BYTE_VERSION: Final = "1"
CHUNK_BYTES: Final = 200_000


@dataclass(frozen=True)
class Documents:
    """Scored documents of one corpus; arrays run over documents."""

    heldout: Heldout
    tokens: np.ndarray
    nats_text: np.ndarray
    nats_eot: np.ndarray


def evaluate_bits_per_byte(
    scorer: Scorer, heldout: Mapping[str, Path], training: TrainingText, suite: BitsPerByteSuite, out: Path
) -> SuiteResult:
    """Score every corpus's held-out documents; write `documents.parquet` (one row a document) and `scores.json`.

    Args:
        heldout: folder of the held-out documents of each corpus.
        training: how to read each corpus's training text, for the primed compressors.

    Raises:
        EvaluationError: no corpora, no documents, or a tokenizer whose round trip is not exact.
    """
    if not heldout:
        raise EvaluationError("bits_per_byte has nothing to score: the profile has no corpora")
    start = time.monotonic()
    scored = {
        corpus: score_corpus(scorer, read_heldout(corpus, folder, suite.maximum_bytes), suite.batch_tokens)
        for corpus, folder in sorted(heldout.items())
    }
    _write_documents(scored, out / DOCUMENTS_FILE)
    prefixes = {corpus: training_prefix(training, corpus, suite.prime_bytes) for corpus in scored}
    log.info("compressing the same text with %s", ", ".join(suite.compressors) or "nothing")
    rows = table_rows(scored, prefixes, suite)
    scores = [
        Score(
            task=row["name"],
            metric="bits_per_byte",
            value=row["bits_per_byte"],
            stderr=row["stderr"],
            count=row["documents"],
            higher_is_better=False,
            version=BITS_PER_BYTE_VERSION,
        )
        for row in rows
    ]
    return finish(
        out,
        suite.kind,
        scores,
        {"rows": rows, "context": scorer.context, "vocab_size": scorer.tokenizer.vocab_size},
        seconds=time.monotonic() - start,
        files=[DOCUMENTS_FILE],
    )


def score_corpus(scorer: Scorer, heldout: Heldout, batch_tokens: int) -> Documents:
    """Nats of every document, in pieces of about `CHUNK_BYTES` so that progress shows."""
    import numpy as np

    from trainer.scoring.documents import score_documents

    encoded = encode_exactly(scorer.tokenizer, heldout)
    text: list[Any] = []
    eot: list[Any] = []
    progress = Progress(log, f"{heldout.corpus}: scored", "documents", total=len(encoded), unit="kB")
    first = 0
    while first < len(encoded):
        last, size = first, 0
        while last < len(encoded) and (last == first or size < CHUNK_BYTES):
            size += heldout.bytes[last]
            last += 1
        nats_text, nats_eot = score_documents(
            scorer.model, encoded[first:last], eot_id=scorer.eot_id, context=scorer.context, batch_tokens=batch_tokens
        )
        text.append(nats_text)
        eot.append(nats_eot)
        progress.add(last - first, size)
        first = last
    tokens = np.array([len(ids) for ids in encoded], dtype=np.int64)
    return Documents(heldout, tokens, np.concatenate(text), np.concatenate(eot))


def table_rows(
    scored: Mapping[str, Documents], prefixes: Mapping[str, Mapping[str, bytes]], suite: BitsPerByteSuite
) -> list[dict[str, Any]]:
    """One row a corpus, one a language where a corpus has several, and one for all English documents together."""
    import numpy as np

    groups: dict[str, tuple[str, str | None, list[tuple[Documents, Any]]]] = {}
    everywhere: list[tuple[Documents, Any]] = []
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
    primed = {name: _prefix(name, corpus, lang, prefixes) for name, (corpus, lang, _) in groups.items()}
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
            {
                "name": name,
                "corpus": corpus,
                "lang": lang,
                "documents": len(sizes),
                "bytes": int(sizes.sum()),
                "tokens": int(sum(documents.tokens[mask].sum() for documents, mask in parts)),
                "bits_per_byte": float(bits.sum() / sizes.sum()),
                "stderr": ratio_stderr(bits, sizes),
                "end_of_text_bits": float(ends.mean() / math.log(2)),
                "text_hash": hashlib.sha256(texts[name]).hexdigest(),
                "primed_with_bytes": len(primed[name]),
                "compressors": compressed[name],
            }
        )
    return rows


def ratio_stderr(bits: np.ndarray, sizes: np.ndarray) -> float | None:
    """Standard error of sum(bits) / sum(sizes) over documents drawn at random (the ratio estimator's linearisation,
    Cochran 1977, section 2.11); none for fewer than two documents.
    """
    import numpy as np

    count = len(sizes)
    if count < 2:
        return None
    residuals = bits - bits.sum() / sizes.sum() * sizes
    return float(np.sqrt((residuals**2).sum() / (count - 1) * count) / sizes.sum())


def _joined(parts: Iterable[tuple[Documents, Any]]) -> bytes:
    return b"".join(
        text.encode("utf-8")
        for documents, mask in parts
        for text, wanted in zip(documents.heldout.texts, mask, strict=True)
        if wanted
    )


def _prefix(name: str, corpus: str, lang: str | None, prefixes: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """Training text for a row's compressors: the corpus's own, or all English."""
    if name == ENGLISH:
        return b"".join(languages.get("en", b"") for _, languages in sorted(prefixes.items()))
    languages = prefixes.get(corpus, {})
    if lang is not None:
        return languages.get(lang, b"")
    return b"".join(text for _, text in sorted(languages.items()))


def _write_documents(scored: Mapping[str, Documents], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(
            {
                "corpus": pa.array([corpus] * len(documents.tokens)),
                "document": pa.array(range(len(documents.tokens)), pa.int32()),
                "lang": pa.array(documents.heldout.languages),
                "bytes": pa.array(documents.heldout.bytes, pa.uint32()),
                "tokens": pa.array(documents.tokens, pa.uint32()),
                "nats_text": pa.array(documents.nats_text, pa.float64()),
                "nats_end_of_text": pa.array(documents.nats_eot, pa.float64()),
            }
        )
        for corpus, documents in scored.items()
    ]
    with whole_path(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
