"""Token stores as the shuffle reads them: record batches by memory map, documents described by a few columns.

In: a folder `tokens/<corpus>` with its `tokens.json`. Out: Arrow record batches, and per batch the ids, languages and
lengths as numpy arrays. Tokens are not copied and hardly touched here: scanning a store for its documents reads some
40 bytes a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.arrow import filled, fixed_bytes, numbers, offsets_of
from pipeline.base.errors import ShardError
from pipeline.base.exhaustion import is_out_of_memory
from pipeline.tokenization.corpus_tokens.index import Split, TokenStoreIndex
from pipeline.tokenization.corpus_tokens.writer import schema
from trainer.data.shards import TokenizerRef


class StoreFile(NamedTuple):
    """One Arrow file of a token store."""

    path: Path
    documents: int
    tokens: int
    bytes: int
    beside: Path | None = None
    """Folder of what whoever opened the store knows of its documents beside their tokens."""


@dataclass(frozen=True)
class TokenStore:
    """A corpus encoded with one tokenizer; `files` are those of one split, `train` or `heldout`."""

    corpus: str
    tokenizer: TokenizerRef
    content_hash: str
    files: tuple[StoreFile, ...]

    @property
    def documents(self) -> int:
        return sum(file.documents for file in self.files)

    @property
    def tokens(self) -> int:
        return sum(file.tokens for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def open_store(folder: Path, split: Split = "train") -> TokenStore:
    """One split of the store in a folder. Raises `ShardError` where its `tokens.json` is missing or malformed."""
    index = TokenStoreIndex.read(folder)
    files = index.split(split).files
    return TokenStore(
        index.corpus,
        index.tokenizer,
        index.content_hash,
        tuple(StoreFile(folder / file.path, file.documents, file.tokens, file.bytes) for file in files),
    )


def open_stores(
    folders: dict[str, Path], split: Split = "train", beside: Mapping[str, Path] | None = None
) -> dict[str, TokenStore]:
    """Stores by corpus, sorted by name; all must be of one tokenizer. beside: what their files' `beside` is, for those
    that have one."""
    stores = {name: open_store(folders[name], split) for name in sorted(folders)}
    for name, folder in (beside or {}).items():
        files = tuple(file._replace(beside=folder) for file in stores[name].files)
        stores[name] = replace(stores[name], files=files)
    hashes = {store.tokenizer.content_hash: name for name, store in stores.items()}
    if len(hashes) > 1:
        listed = ", ".join(f"{name} {value[:12]}" for value, name in hashes.items())
        raise ShardError(f"token stores of different tokenizers ({listed}); materialize tokens again with one of them")
    return stores


def read_batches(file: StoreFile, dtype: str) -> list[pa.RecordBatch]:
    """The record batches of a store's file, mapped into memory; raises `ShardError` where the file is damaged."""
    return map_batches(file, dtype)[1]


def map_batches(file: StoreFile, dtype: str) -> tuple[pa.Buffer, list[pa.RecordBatch]]:
    """A store's file as one mapped buffer, and its record batches, which lie in it; raises as `read_batches`."""
    try:
        with pa.memory_map(str(file.path)) as source:
            whole = source.read_buffer()
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)  # offsets that lead outside their buffers would end the process by a signal
        _check(batches, file, dtype)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        if is_out_of_memory(error):
            raise
        raise ShardError(
            f"{file.path}: missing, cut short or damaged ({error}); run `squeeze verify`, then materialize tokens again"
        ) from None
    return whole, batches


def _check(batches: list[pa.RecordBatch], file: StoreFile, dtype: str) -> None:
    if sum(batch.num_rows for batch in batches) != file.documents:
        raise pa.ArrowInvalid(f"{sum(b.num_rows for b in batches)} documents, tokens.json says {file.documents}")
    tokens = 0
    for batch in batches:
        column = batch.column("tokens")
        if _columns(batch.schema) != _columns(schema(dtype, graded="grade" in batch.schema.names)):
            raise pa.ArrowInvalid(f"columns {batch.schema.names} of types {batch.schema.types}")
        tokens += int(offsets_of(column)[-1] - offsets_of(column)[0]) if batch.num_rows else 0
    if tokens != file.tokens:
        raise pa.ArrowInvalid(f"{tokens} tokens, tokens.json says {file.tokens}")


def _columns(of: pa.Schema) -> list[tuple[str, str]]:
    return sorted((field.name, str(getattr(field.type, "value_type", field.type))) for field in of)


def token_bytes(column: Any, whole: pa.Buffer, itemsize: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each document's tokens lie in the mapped file `whole`, and how long they are: bytes, int64 [n] each.

    Raises `ShardError` where the tokens are elsewhere, as those of a compressed file are.
    """
    values = column.values
    offsets = (offsets_of(column).astype(np.int64) + values.offset) * itemsize
    offsets += values.buffers()[1].address - whole.address
    if offsets[0] < 0 or offsets[-1] > whole.size:
        raise ShardError("tokens: the file is compressed, which shuffling does not read; materialize tokens again")
    return offsets[:-1], np.diff(offsets)


class Described(NamedTuple):
    """Documents of one record batch: what the schedule needs to know of them."""

    ids: np.ndarray
    """uint8 [n, 16]."""
    lengths: np.ndarray
    """Tokens, int64 [n]."""
    langs: np.ndarray
    """Index into `lang_names`, int64 [n]."""
    lang_names: list[str]
    grades: np.ndarray
    """Reading grade, float64 [n]; NaN where there is none, or the store has no such column."""
    sizes: np.ndarray
    """UTF-8 bytes, int64 [n]."""
    beside: np.ndarray | None = None
    """A number of each that is not in the store, [n], where whoever reads it knows one."""


def describe(batch: pa.RecordBatch) -> Described:
    """Ids, lengths and languages of a batch's documents."""
    column = batch.column("lang")
    encoded = pc.dictionary_encode(filled(column, ""))
    names = encoded.dictionary.to_pylist()
    langs = numbers(encoded.indices).astype(np.int64)
    lengths = np.diff(offsets_of(batch.column("tokens"))).astype(np.int64)
    if "grade" in batch.schema.names:
        grades = numbers(filled(batch.column("grade"), float("nan"))).astype(np.float64)
    else:
        grades = np.full(batch.num_rows, np.nan)
    sizes = numbers(batch.column("bytes")).astype(np.int64)
    return Described(fixed_bytes(batch.column("doc_id")), lengths, langs, names, grades, sizes)


def scan(store: TokenStore) -> Iterator[Described]:
    """Every batch of a store, described."""
    for file in store.files:
        for batch in read_batches(file, store.tokenizer.dtype):
            if batch.num_rows:
                yield describe(batch)
