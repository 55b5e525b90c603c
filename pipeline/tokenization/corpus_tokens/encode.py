"""A curated corpus as tokens: encoded once, unshuffled, reused by every epoch and every run.

In: a corpus's documents with their selection, its held-out documents, a tokenizer's folder. Out: `train-00000.arrow`
and `heldout-00000.arrow` onwards (see `pipeline.tokenization.corpus_tokens.writer`) and `tokens.json`. Every document
ends in the end-of-text token. Memory does not grow with the corpus: text passes through in chunks, and reading,
encoding, the gate and writing overlap, each a chunk ahead of the next. Where the executor has other machines, files of
training documents are encoded there, and the bytes are the same.

The fast path is compared with the reference on documents of this very corpus, from its beginning to its end: some of
the first chunk and every document whose id falls below a share. One differing id, and the whole corpus is encoded
again by the reference, and the summary says so. A killed run goes on after its finished files.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from pipeline.base.executor import Executor
from pipeline.base.files import write_text
from pipeline.base.parquet import read_metadata
from pipeline.base.progress import Progress
from pipeline.curation.corpus import CuratedCorpus
from pipeline.curation.tables import WORTH_BYTES
from pipeline.tokenization.corpus_tokens.chunks import skip_rows
from pipeline.tokenization.corpus_tokens.encoded_parts import WORK_NAME, encode_elsewhere
from pipeline.tokenization.corpus_tokens.encoding import GateError, encoded_chunks
from pipeline.tokenization.corpus_tokens.index import Split, SplitCounts, TokenStoreIndex
from pipeline.tokenization.corpus_tokens.writer import TokenWriter
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import load_tokenizer
from trainer.data.shards import TokenizerRef

log = logging.getLogger(__name__)

TOKENS_VERSION: Final = "2"
REFUSED: Final = "bulk-refused.tmp"
COLUMNS: Final = ("doc_id", "text", "bytes", "lang")
BYTES: Final = 1
"""Place of `bytes` among the columns without the text."""
GRADE: Final = "grade"  # the documents' reading grade, by which a stage of the schedule may order them


Batches = Iterator[tuple[Sequence[Any], pa.Array]]
"""The columns of documents but their text, in order, and their ids."""
Encode = Callable[[tuple[str, ...], int], Batches]


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


def encode_corpus(
    name: str, corpus: CuratedCorpus, tokenizer_folder: Path, out: Path, *, executor: Executor
) -> TokensSummary:
    """Encode the training and the held-out documents of a corpus into `out`.

    executor: encodes files of documents where it has other machines, as encoders use all cores of this one. Never
    changes a file. Raises TokenizerError where there is no training document, or a document's `bytes` is not its text's
    length.
    """
    tokenizer = load_tokenizer(tokenizer_folder)
    refused = out / REFUSED
    if refused.is_file():
        tokenizer.refuse_bulk(refused.read_text(encoding="utf-8"))
    attempt = _Attempt(name, corpus, tokenizer, tokenizer_folder, out, executor)
    failure = attempt.encode()
    if failure is not None:
        tokenizer.refuse_bulk(failure)
        shutil.rmtree(out / WORK_NAME, ignore_errors=True)
        # before the note: killed in between, the next attempt must not take what was refused for finished
        for path in (*out.glob("train-*.arrow"), *out.glob("heldout-*.arrow")):
            path.unlink()
        write_text(refused, failure)
        attempt = _Attempt(name, corpus, tokenizer, tokenizer_folder, out, executor)
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

    def __init__(
        self,
        name: str,
        corpus: CuratedCorpus,
        tokenizer: Tokenizer,
        folder: Path,
        out: Path,
        executor: Executor,
    ) -> None:
        """tokenizer: of the folder, and without the fast path where that was refused."""
        self.name, self.corpus, self.tokenizer, self.folder, self.out = name, corpus, tokenizer, folder, out
        self.executor = executor
        self.gated = 0
        self.counts: dict[str, SplitCounts] = {}
        self.hashes: dict[str, str] = {}

    def encode(self) -> str | None:
        """Write both splits; what the gate found wrong, which ends the attempt, or None."""
        corpus = self.corpus
        graded = (*COLUMNS, GRADE) if has_column(corpus.documents, GRADE) else COLUMNS
        try:
            self._write("train", graded, self._elsewhere if self._worth_parts() else self._here(corpus.iter_selected))
            if not self.counts["train"].documents:
                raise TokenizerError(f"corpus {self.name} has no training documents to encode; see its selection")
            self._write("heldout", COLUMNS, self._here(corpus.iter_heldout))
        except GateError as error:
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

    def _write(self, split: Split, columns: tuple[str, ...], encoded: Encode) -> None:
        """encoded: from columns and documents that are finished, the others with their ids."""
        progress = Progress(log, f"{self.name}: encoded", f"{split} documents")
        with TokenWriter(self.out, split, self.tokenizer.dtype, graded=GRADE in columns) as writer:
            if writer.documents:
                log.info("%s: going on after %s finished documents", self.name, f"{writer.documents:,}")
            for documents, tokens in encoded(columns, writer.documents):
                writer.write(documents, tokens)
                progress.add(len(tokens), pc.sum(documents[BYTES]).as_py() or 0)
            self.counts[split] = writer.close()
            self.hashes[split] = writer.content_hash
        progress.finish()

    def _here(self, read: Callable[..., Iterator[pa.RecordBatch]]) -> Encode:
        """One stream over all documents."""

        def encoded(columns: tuple[str, ...], finished: int) -> Batches:
            with ThreadPoolExecutor(1) as gate:
                batches = skip_rows(read(columns=columns), finished)
                for chunk in encoded_chunks(self.name, batches, self.tokenizer, gate):
                    # nothing is written that the gate has not seen: a finished file is never looked at again
                    self._count(chunk.gated.result() if chunk.gated is not None else 0)
                    yield [chunk.documents.column(column) for column in without_text(columns)], chunk.tokens

        return encoded

    def _elsewhere(self, columns: tuple[str, ...], finished: int) -> Batches:
        """A file of documents at a time, on other machines."""
        refused = None if self.tokenizer.bulk_encoder() else self.tokenizer.bulk_path
        parts, work = self.corpus.selected_parts(), self.out / WORK_NAME
        encoded = encode_elsewhere(self.name, parts, columns, self.folder, refused, work, self.executor, self._count)
        for batch in skip_rows(encoded, finished):
            yield batch.columns[:-1], batch.column(batch.num_columns - 1)

    def _worth_parts(self) -> bool:
        """Whether there are parts for other machines, with text that outlasts their start."""
        text = sum(path.stat().st_size for path in self.corpus.documents.glob("part-*.parquet"))
        return text > WORTH_BYTES and self.executor.machines > 1

    def _count(self, compared: int) -> None:
        self.gated += compared


def has_column(documents: Path, name: str) -> bool:
    """Whether the documents' parts have the column."""
    return any(name in read_metadata(path).schema.names for path in sorted(documents.glob("part-*.parquet"))[:1])


def without_text(columns: Sequence[str]) -> list[str]:
    """The columns that go into a token store beside the ids."""
    return [column for column in columns if column != "text"]
