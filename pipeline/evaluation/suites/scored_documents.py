"""Held-out documents with what the model makes of each: nats of the text and of the end-of-text after it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.files import whole_path
from pipeline.base.progress import Progress
from pipeline.evaluation.heldout import Heldout, encode_exactly
from pipeline.evaluation.loading import Scorer

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

DOCUMENTS_FILE: Final = "documents.parquet"
CHUNK_BYTES: Final = 200_000


@dataclass(frozen=True)
class ScoredDocuments:
    """Documents of one corpus; arrays run over documents."""

    heldout: Heldout
    tokens: np.ndarray
    nats_text: np.ndarray
    nats_eot: np.ndarray


def score_corpus(scorer: Scorer, heldout: Heldout, batch_tokens: int) -> ScoredDocuments:
    """Nats of every document, in pieces of about `CHUNK_BYTES` so that progress shows."""
    import numpy as np

    from trainer.scoring.documents import score_documents

    encoded = encode_exactly(scorer.tokenizer, heldout)
    text: list[Any] = []
    eot: list[Any] = []
    progress = Progress(log, f"{heldout.corpus}: scored", "documents", total=len(encoded), unit="kB")
    begin = 0
    while begin < len(encoded):
        end, size = begin, 0
        while end < len(encoded) and (end == begin or size < CHUNK_BYTES):
            size += heldout.bytes[end]
            end += 1
        nats_text, nats_eot = score_documents(
            scorer.model, encoded[begin:end], eot_id=scorer.eot_id, context=scorer.context, batch_tokens=batch_tokens
        )
        text.append(nats_text)
        eot.append(nats_eot)
        progress.add(end - begin, size)
        begin = end
    tokens = np.array([len(ids) for ids in encoded], dtype=np.int64)
    return ScoredDocuments(heldout, tokens, np.concatenate(text), np.concatenate(eot))


def write_documents(scored: Mapping[str, ScoredDocuments], path: Path) -> None:
    """One row a document, corpus after corpus."""
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
