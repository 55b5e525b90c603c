"""A curated corpus as tokens: encoded once, unshuffled, reused by every epoch and every run.

In: a corpus's documents with their selection, its held-out documents, a tokenizer's folder. Out: `train-00000.arrow`
and `heldout-00000.arrow` onwards (see `pipeline.tokenization.corpus_tokens.writer`) and `tokens.json`. Every document
ends in the end-of-text token. Memory does not grow with the corpus: text passes through in chunks, and reading,
encoding, the gate and writing overlap, each a chunk ahead of the next.

The fast path is compared with the reference on documents of this very corpus, from its beginning to its end: some of
the first chunk and every document whose id falls below a share. One differing id, and the whole corpus is encoded
again by the reference, and the summary says so. A killed run goes on after its finished files.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.arrow import as_strings, end_documents, fixed_bytes, text_bytes
from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from pipeline.base.files import write_text
from pipeline.base.parquet import read_metadata
from pipeline.base.progress import Progress
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.corpus_tokens.chunks import chunks, skip_rows
from pipeline.tokenization.corpus_tokens.index import Split, SplitCounts, TokenStoreIndex
from pipeline.tokenization.corpus_tokens.prefetch import prefetched
from pipeline.tokenization.corpus_tokens.writer import TokenWriter
from pipeline.tokenization.encoders.tokenizer import Tokenizer, sample_rows
from pipeline.tokenization.folder import load_tokenizer
from trainer.data.shards import TokenizerRef

log = logging.getLogger(__name__)

TOKENS_VERSION: Final = "2"
CHUNK_BYTES: Final = 16_000_000
GATE_SHARE: Final = 1 / 512
REFUSED: Final = "bulk-refused.tmp"
COLUMNS: Final = ("doc_id", "text", "bytes", "lang")
GRADE: Final = "grade"  # the documents' reading grade, by which a stage of the schedule may order them


Read = Callable[..., Iterator[pa.RecordBatch]]


class _GateError(Exception):
    pass


@dataclass(frozen=True)
class TokensSummary:
    """What was encoded. `encoder` names the path: gigatoken, or the reference and why."""

    content_hash: str
    corpus: str
    tokenizer: str
    vocab_size: int
    dtype: str
    encoder: str
    gate_documents: int
    """Documents on which the fast path was compared with the reference."""
    train: SplitCounts
    heldout: SplitCounts
    bytes_per_token: float
    """Bytes of text per token of text: end-of-text tokens do not count."""


def encode_corpus(name: str, corpus: CuratedCorpus, tokenizer_folder: Path, out: Path) -> TokensSummary:
    """Encode the training and the held-out documents of a corpus into `out`.

    Raises TokenizerError where there is no training document, or a document's `bytes` is not its text's length.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    refused = out / REFUSED
    if refused.is_file():
        tokenizer.refuse_bulk(refused.read_text(encoding="utf-8"))
    attempt = _Attempt(name, corpus, tokenizer, out)
    failure = attempt.encode()
    if failure is not None:
        tokenizer.refuse_bulk(failure)
        # before the note: killed in between, the next attempt must not take what was refused for finished
        for path in (*out.glob("train-*.arrow"), *out.glob("heldout-*.arrow")):
            path.unlink()
        write_text(refused, failure)
        attempt = _Attempt(name, corpus, tokenizer, out)
        attempt.encode()
    summary = attempt.summary()
    index = TokenStoreIndex(
        corpus=name,
        tokenizer=TokenizerRef(tokenizer.content_hash, tokenizer.vocab_size, tokenizer.eot_id, tokenizer.dtype),
        encoder=summary.encoder,
        train=summary.train,
        heldout=summary.heldout,
        content_hash=summary.content_hash,
    )
    index.write(out)
    refused.unlink(missing_ok=True)
    return summary


class _Attempt:
    """One attempt at a corpus with one path of the encoder."""

    def __init__(self, name: str, corpus: CuratedCorpus, tokenizer: Tokenizer, out: Path) -> None:
        self.name, self.corpus, self.tokenizer, self.out = name, corpus, tokenizer, out
        self.gated = 0
        self.counts: dict[str, SplitCounts] = {}
        self.hashes: dict[str, str] = {}

    def encode(self) -> str | None:
        """Write both splits; what the gate found wrong, which ends the attempt, or None."""
        corpus = self.corpus
        graded = (*COLUMNS, GRADE) if has_column(corpus.documents, GRADE) else COLUMNS
        try:
            self._write("train", graded, corpus.iter_selected)
            if not self.counts["train"].documents:
                raise TokenizerError(f"corpus {self.name} has no training documents to encode; see its selection")
            self._write("heldout", COLUMNS, corpus.iter_heldout)
        except _GateError as error:
            return str(error)
        return None

    def summary(self) -> TokensSummary:
        train, heldout = self.counts["train"], self.counts["heldout"]
        basis = json.dumps([self.tokenizer.content_hash, self.hashes], sort_keys=True)
        return TokensSummary(
            content_hash=text_hash(basis),
            corpus=self.name,
            tokenizer=self.tokenizer.content_hash,
            vocab_size=self.tokenizer.vocab_size,
            dtype=self.tokenizer.dtype,
            encoder=self.tokenizer.bulk_path,
            gate_documents=self.gated,
            train=train,
            heldout=heldout,
            bytes_per_token=train.bytes / max(1, train.tokens - train.documents),
        )

    def _write(self, split: Split, columns: tuple[str, ...], read: Read) -> None:
        progress = Progress(log, f"{self.name}: encoded", f"{split} documents")
        with (
            TokenWriter(self.out, split, self.tokenizer.dtype, graded=GRADE in columns) as writer,
            ThreadPoolExecutor(1) as gate,
        ):
            if writer.documents:
                log.info("%s: going on after %s finished documents", self.name, f"{writer.documents:,}")
            texts = prefetched(self._texts(columns, read, writer.documents))
            for chunk, tokens, verdict in prefetched(self._encoded(texts, gate)):
                # nothing is written that the gate has not seen: a finished file is never looked at again
                if verdict is not None:
                    self.gated += verdict.result()
                writer.write([chunk.column(column) for column in columns if column != "text"], tokens)
                progress.add(chunk.num_rows, pc.sum(chunk.column("bytes")).as_py() or 0)
            self.counts[split] = writer.close()
            self.hashes[split] = writer.content_hash
        progress.finish()

    def _texts(self, columns: tuple[str, ...], read: Read, finished: int) -> Iterator[tuple[pa.Table, pa.Array]]:
        for chunk in chunks(skip_rows(read(columns=columns), finished), CHUNK_BYTES):
            texts = as_strings(chunk.column("text"))
            self._check_bytes(chunk, texts)
            yield chunk, texts

    def _encoded(
        self, chunks_read: Iterator[tuple[pa.Table, pa.Array]], gate: ThreadPoolExecutor
    ) -> Iterator[tuple[pa.Table, pa.Array, Future[int] | None]]:
        """Chunks with their ids, ended, and the gate's verdict on them, which a thread of its own works out."""
        at_start = True
        for chunk, texts in chunks_read:
            bulk = self.tokenizer.bulk_encoder()
            tokens = bulk(texts) if bulk else self.tokenizer.reference_arrow(texts)
            verdict = None
            if bulk is not None:
                rows = np.flatnonzero(id_share(chunk.column("doc_id")) < GATE_SHARE)
                compared = pa.array(np.union1d(rows, np.asarray(sample_rows(texts))) if at_start else rows)
                verdict = gate.submit(self._gate, texts.take(compared), tokens.take(compared))
            at_start = False
            yield chunk, end_documents(tokens, self.tokenizer.eot_id), verdict

    def _gate(self, texts: pa.Array, tokens: pa.Array) -> int:
        """How many documents were compared. Raises _GateError where one has other ids."""
        wrong = self.tokenizer.gate(texts, tokens) if len(texts) else None
        if wrong is not None:
            raise _GateError(wrong)
        return len(texts)

    def _check_bytes(self, chunk: pa.Table, texts: pa.Array) -> None:
        wrong = np.flatnonzero(np.asarray(chunk.column("bytes")) != text_bytes(texts))
        if len(wrong):
            row = int(wrong[0])
            raise TokenizerError(
                f"corpus {self.name}: document {chunk.column('doc_id')[row].as_py().hex()} is said to have "
                f"{chunk.column('bytes')[row].as_py():,} bytes, its text has {text_bytes(texts)[row]:,}; bits per byte "
                "would be wrong. Build its documents again."
            )


def has_column(documents: Path, name: str) -> bool:
    """Whether the documents' parts have the column."""
    return any(name in read_metadata(path).schema.names for path in sorted(documents.glob("part-*.parquet"))[:1])


def id_share(doc_ids: pa.ChunkedArray) -> np.ndarray:
    """Each document's place in [0, 1) by the first four bytes of its id, which is a hash: uniform and fixed."""
    ids = pa.concat_arrays(doc_ids.chunks) if doc_ids.num_chunks else pa.array([], pa.binary(16))
    return fixed_bytes(ids)[:, :4].copy().view("<u4").ravel() / 2.0**32
