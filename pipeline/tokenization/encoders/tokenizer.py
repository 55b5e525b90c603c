"""One interface over every tokenizer of the project, and the gate in front of its fast path.

A tokenizer is a folder (see `pipeline.tokenization.folder`); an object of this class reads and never changes it.
Every kind has a *reference*: the field's own library, slow and right. Byte-level BPE and some sentencepiece models
also have a *bulk* path, gigatoken, 20 to 70 times faster on the same text. It is used only while it gives the
reference's ids on a sample of the very text at hand; once it does not, this object uses the reference for good and
`bulk_path` says why. Text that spells a special token is ordinary text on both paths.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import Strings, as_strings, differing_rows, from_numbers, list_parts, offsets_of, text_bytes
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.formats.card import TokenizerCard
from trainer.data.shards import dtype_for

log = logging.getLogger(__name__)

BulkEncoder = Callable[[pa.Array], pa.Array]
REFERENCE_BATCH: Final = 1_000
GATE_BYTES: Final = 256_000
GATE_DOCUMENTS: Final = 64


@dataclass(frozen=True)
class Export:
    """A tokenizer as the files of its folder, apart from the card."""

    files: dict[str, bytes]
    details: dict[str, str] = field(default_factory=dict)
    """What the card must say for `Tokenizer.read`."""
    notes: tuple[str, ...] = ()
    """What people should know, such as why a file is missing."""


class Tokenizer(ABC):
    """Text to ids and back. Ids are below `vocab_size`; `eot_id` never comes out of text."""

    kind: ClassVar[str]
    """What its card says."""

    def __init__(self, *, vocab_size: int, eot_id: int, end_of_text: str, content_hash: str) -> None:
        self.vocab_size = vocab_size
        self.eot_id = eot_id
        self.end_of_text = end_of_text
        self.content_hash = content_hash
        self.dtype = dtype_for(vocab_size)
        self._bulk: BulkEncoder | None = None
        self._bulk_path: str | None = None
        self._gated = False

    # -- what every kind provides

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, card: TokenizerCard) -> Self:
        """The tokenizer in a folder whose card has this kind. Raises TokenizerError for files that are not of it."""

    @abstractmethod
    def export(self) -> Export:
        """The files that hold it whole, and those for other libraries."""

    @property
    @abstractmethod
    def reference_name(self) -> str:
        """The library whose ids are right by definition, with its version."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of one text by the reference, without the end-of-text token.

        Raises TokenizerError for a lone surrogate: it has no UTF-8 form.
        """

    @abstractmethod
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes the ids stand for. Raises TokenizerError for an id outside the vocabulary."""

    @abstractmethod
    def token_bytes(self) -> list[bytes] | None:
        """Bytes of every id in order (empty for unused and control ids), or None where ids have none of their own."""

    @abstractmethod
    def reference_arrow(self, texts: pa.Array) -> pa.Array:
        """Ids of a `large_string` array by the reference: `large_list<uint16 | uint32>`, no end-of-text."""

    @abstractmethod
    def _make_bulk(self) -> BulkEncoder:
        """The fast path's encoder; raises TokenizerError saying why there is none."""

    # -- what follows from it

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids; bytes that are not UTF-8 (a cut character) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_arrow(self, lists: pa.Array) -> pa.Array:
        """Bytes of many documents' ids: a list array in, `large_binary` out."""
        table = self._byte_column
        if table is None:
            return pa.array([self.decode_bytes(ids) for ids in lists.to_pylist()], pa.large_binary())
        offsets, values = list_parts(lists)
        pieces = table.take(from_numbers(values))
        starts = pa.py_buffer(np.ascontiguousarray(offsets_of(pieces)[offsets]))
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lists), [None, starts, pieces.buffers()[2]])

    @cached_property
    def _byte_column(self) -> pa.Array | None:
        """`token_bytes` as `large_binary`, made once: for a large vocabulary it costs as much as thousands of texts."""
        table = self.token_bytes()
        return None if table is None else pa.array(table, pa.large_binary())

    @property
    def bulk_path(self) -> str:
        """`gigatoken <version>`, or `reference (<library>): <why>`: the path that `encode_arrow` takes."""
        self.bulk_encoder()
        return self._bulk_path or ""

    def bulk_encoder(self) -> BulkEncoder | None:
        """The fast path, not yet compared with the reference on any text; None where there is none."""
        if self._bulk_path is None:
            try:
                self._bulk = self._make_bulk()
                self._bulk_path = bulk_name()
            except TokenizerError as error:
                self.refuse_bulk(str(error))
        return self._bulk

    def refuse_bulk(self, reason: str) -> None:
        """Use the reference from now on, and say why."""
        self._bulk = None
        self._bulk_path = f"reference ({self.reference_name}): {reason}"
        log.info("bulk encoding by the %s", self._bulk_path)

    def encode_arrow(self, texts: Strings) -> pa.Array:
        """Ids of many documents: `large_list<uint16 | uint32>`, one list a document, without end-of-text.

        The first call compares a sample of its documents with the reference.
        """
        strings = as_strings(texts)
        bulk = self.bulk_encoder()
        if bulk is None:
            return self.reference_arrow(strings)
        encoded = bulk(strings)
        if not self._gated and len(strings):
            sample = sample_rows(strings)
            wrong = self.gate(strings.take(sample), encoded.take(sample))
            self._gated = True
            if wrong is not None:
                self.refuse_bulk(wrong)
                return self.reference_arrow(strings)
        return encoded

    def gate(self, texts: pa.Array, encoded: pa.Array) -> str | None:
        """What is wrong with the fast path's ids for these documents, by the reference; None if they are equal."""
        rows = differing_rows(encoded, self.reference_arrow(texts))
        if not len(rows):
            return None
        text = texts[int(rows[0])].as_py()
        return (
            f"{bulk_name()} gave other ids for {len(rows)} of {len(texts)} sampled documents, the first {text[:40]!r}"
        )


def bulk_name() -> str:
    """`gigatoken <version>`."""
    from importlib.metadata import version

    return f"gigatoken {version('gigatoken')}"


def sample_rows(texts: pa.Array) -> pa.Array:
    """Rows spread evenly over the array: at most GATE_DOCUMENTS, together at most GATE_BYTES of text, at least one.

    A document too long for what is left is passed over; where all are, the shortest of them is the sample.
    """
    rows = np.unique(np.linspace(0, len(texts) - 1, num=min(len(texts), GATE_DOCUMENTS)).astype(np.int64))
    lengths = text_bytes(texts)[rows]
    kept, size = [], 0
    for row, length in zip(rows.tolist(), lengths.tolist(), strict=True):
        if size + length <= GATE_BYTES:
            kept.append(row)
            size += length
    return from_numbers(np.array(kept or [int(rows[lengths.argmin()])], np.int64))


def reference_batches(texts: pa.Array) -> Iterator[list[str]]:
    """The texts as Python strings, which the references take, a few at a time."""
    for start in range(0, len(texts), REFERENCE_BATCH):
        yield texts.slice(start, REFERENCE_BATCH).to_pylist()


def checked_text(text: str) -> str:
    """The text itself. Raises TokenizerError where it holds a lone surrogate, naming the first."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"text holds the lone surrogate U+{ord(text[error.start]):04X} at character {error.start:,}, which has no "
            "UTF-8 form; clean the text where it is read (for instance with errors='replace')"
        ) from error
    return text
