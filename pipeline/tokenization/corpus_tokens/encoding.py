"""Text to ids, a chunk at a time, with the gate beside it: the same for a stream over a corpus and a part of one.

In: record batches of documents. Out: `Encoded` chunks, whose documents end in the end-of-text token. The fast path is
compared with the reference on documents of the text itself: some of the first chunk and every document whose id falls
below a share.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import as_strings, end_documents, fixed_bytes, from_numbers, numbers, text_bytes
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.corpus_tokens.chunks import chunks
from pipeline.tokenization.corpus_tokens.prefetch import prefetched
from pipeline.tokenization.encoders.tokenizer import BulkEncoder, Tokenizer, sample_rows

CHUNK_BYTES: Final = 8_000_000
"""Large enough to keep every core busy (half as much took 54 MB a sixth longer), small enough that its text and ids are
used again where they lie: twice as much gained nothing more and costs 50 MB."""
GATE_SHARE: Final = 1 / 512


class GateError(Exception):
    """The fast path gave other ids than the reference; says for which document."""


class Encoded(NamedTuple):
    """Documents with their ids."""

    documents: pa.Table
    tokens: pa.Array
    """Their ids, end-of-text last."""
    gated: Future[int] | None
    """How many were compared with the reference, worked out in a thread; a GateError where one differs."""


def encoded_chunks(
    corpus: str, batches: Iterator[pa.RecordBatch], tokenizer: Tokenizer, gate: ThreadPoolExecutor
) -> Iterator[Encoded]:
    """The documents in chunks of about CHUNK_BYTES of text; reading and encoding overlap, each a chunk ahead.

    Raises TokenizerError where a document's `bytes` is not its text's length.
    """
    opening = gate.submit(tokenizer.bulk_encoder)  # the gate has nothing to compare yet, and text is read meanwhile
    return prefetched(_encoded(prefetched(_texts(corpus, batches)), tokenizer, opening, gate))


def _texts(corpus: str, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.Table, pa.Array]]:
    for chunk in chunks(batches, CHUNK_BYTES):
        texts = as_strings(chunk.column("text"))
        _check_bytes(corpus, chunk, texts)
        yield chunk, texts


def _encoded(
    read: Iterator[tuple[pa.Table, pa.Array]],
    tokenizer: Tokenizer,
    opening: Future[BulkEncoder | None],
    gate: ThreadPoolExecutor,
) -> Iterator[Encoded]:
    at_start = True
    for chunk, texts in read:
        opening.result()
        bulk = tokenizer.bulk_encoder()
        tokens = bulk(texts) if bulk else tokenizer.reference_arrow(texts)
        verdict = None
        if bulk is not None:
            rows = np.flatnonzero(_id_share(chunk.column("doc_id")) < GATE_SHARE)
            compared = from_numbers(np.union1d(rows, numbers(sample_rows(texts))) if at_start else rows)
            verdict = gate.submit(_compare, tokenizer, texts.take(compared), tokens.take(compared))
        at_start = False
        yield Encoded(chunk, end_documents(tokens, tokenizer.eot_id), verdict)


def _compare(tokenizer: Tokenizer, texts: pa.Array, tokens: pa.Array) -> int:
    wrong = tokenizer.gate(texts, tokens) if len(texts) else None
    if wrong is not None:
        raise GateError(wrong)
    return len(texts)


def _check_bytes(corpus: str, chunk: pa.Table, texts: pa.Array) -> None:
    wrong = np.flatnonzero(numbers(chunk.column("bytes")) != text_bytes(texts))
    if len(wrong):
        row = int(wrong[0])
        raise TokenizerError(
            f"corpus {corpus}: document {chunk.column('doc_id')[row].as_py().hex()} is said to have "
            f"{chunk.column('bytes')[row].as_py():,} bytes, its text has {text_bytes(texts)[row]:,}; bits per byte "
            "would be wrong. Build its documents again."
        )


def _id_share(doc_ids: pa.ChunkedArray) -> np.ndarray:
    """Each document's place in [0, 1) by the first four bytes of its id, which is a hash: uniform and fixed."""
    ids = pa.concat_arrays(doc_ids.chunks) if doc_ids.num_chunks else pa.nulls(0, pa.binary(16))
    return fixed_bytes(ids)[:, :4].copy().view("<u4").ravel() / 2.0**32
