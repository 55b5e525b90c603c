"""Token files behind memory maps: the streams that sequences are cut from, and held-out documents one by one.

In: a stage's Arrow files. Out: windows of its concatenated tokens, without the concatenation: only
the pages a window touches are read. Arrow keeps a record batch's tokens in one buffer, so a window is one copy, or two
where it crosses from one batch into the next.

A file is checked when it is opened: its length, schema and counts must be the manifest's; a flipped byte is found by
`verify_files`, which reads everything.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from trainer.data.shards import (
    REBUILD,
    ShardsManifest,
    StageEntry,
    TokenizerRef,
    rows_schema,
    shard_schema,
)
from trainer.errors import DataError
from trainer.files import sha256_of

PADDING: Final = -100
"""What a packed row reads at its padded end: the target that PyTorch's cross entropy ignores."""


class TokenStream:
    """A stage's tokens as one addressable sequence over the buffers of its record batches."""

    def __init__(self, segments: list[np.ndarray]) -> None:
        """`segments`: 1-D arrays of one token type, in stream order."""
        self._segments = [segment for segment in segments if len(segment)]
        self._starts = [0, *itertools.accumulate(len(segment) for segment in self._segments)]

    def __len__(self) -> int:
        return self._starts[-1]

    def windows(self, offset: int, step: int, out: np.ndarray) -> None:
        """Copy windows that begin at `offset`, `offset + step`, … into the rows of `out`, [rows, width].

        Windows of one record batch are converted in one go: the share of any rank in a batch is evenly spaced.
        """
        count, width = out.shape
        row = 0
        while row < count:
            start = offset + row * step
            number = bisect.bisect_right(self._starts, start) - 1
            segment, inside = self._segments[number], start - self._starts[number]
            fitting = min(count - row, (len(segment) - width - inside) // step + 1)
            if fitting > 0:
                size = segment.itemsize
                out[row : row + fitting] = np.ndarray(
                    (fitting, width), segment.dtype, segment, inside * size, (step * size, size)
                )
                row += fitting
            else:
                self._spanning(number, inside, out[row])
                row += 1

    def copy(self, offset: int, out: np.ndarray) -> None:
        """Copy tokens [offset, offset + len(out)) into `out`."""
        number = bisect.bisect_right(self._starts, offset) - 1
        self._spanning(number, offset - self._starts[number], out)

    def _spanning(self, number: int, start: int, row: np.ndarray) -> None:
        done = 0
        while done < len(row):
            piece = self._segments[number][start : start + len(row) - done]
            row[done : done + len(piece)] = piece
            done, number, start = done + len(piece), number + 1, 0


def even_step(numbers: np.ndarray) -> int:
    """The distance between neighbours where it is the same and positive everywhere, as in a rank's share; else 0."""
    if len(numbers) == 1:
        return 1
    step = int(numbers[1] - numbers[0])
    return step if step > 0 and bool((numbers[1:] - numbers[:-1] == step).all()) else 0


class FixedWindows:
    """Sequence i is tokens [i*T, i*T + T + 1) of a stream."""

    def __init__(self, stream: TokenStream, context: int) -> None:
        self._stream = stream
        self._context = context
        self.count = max(0, len(stream) - 1) // context

    def read_even(self, first: int, step: int, out: np.ndarray) -> None:
        """Sequences `first`, `first + step`, … into the rows of `out`, int64 [n, T + 1]."""
        self._stream.windows(first * self._context, step * self._context, out)

    def read(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Sequences `numbers` into the rows of `out`, int64 [n, T + 1]."""
        for number, row in zip(numbers.tolist(), out, strict=True):
            self._stream.copy(number * self._context, row)


class PackedRows:
    """Sequence i is row i of best-fit packing: pieces of a stream, then padding."""

    def __init__(self, stream: TokenStream, batches: list[Any]) -> None:
        self._stream = stream
        self._batches = [(*_pieces(batch.column("starts")), _pieces(batch.column("lengths"))[1]) for batch in batches]
        self._firsts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self.count = int(self._firsts[-1])

    def read_even(self, first: int, step: int, out: np.ndarray) -> None:
        """Rows `first`, `first + step`, … into the rows of `out`."""
        self.read(np.arange(first, first + step * len(out), step), out)

    def read(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Rows `numbers` into the rows of `out`, int64 [n, T + 1]; positions without a token are `PADDING`."""
        for number, row in zip(numbers.tolist(), out, strict=True):
            batch = int(np.searchsorted(self._firsts, number, side="right")) - 1
            offsets, starts, lengths = self._batches[batch]
            place = number - int(self._firsts[batch])
            done = 0
            for piece in range(offsets[place], offsets[place + 1]):
                length = int(lengths[piece])
                self._stream.copy(int(starts[piece]), row[done : done + length])
                done += length
            row[done:] = PADDING


def _pieces(column: Any) -> tuple[np.ndarray, np.ndarray]:
    return _offsets(column, np.int32), _values(column)


def _rows_fit(batch: Any, tokens: int, capacity: int) -> bool:
    """Whether every piece lies in a stream of so many tokens, and every row's pieces in `capacity` tokens."""
    (offsets, starts), (same, lengths) = _pieces(batch.column("starts")), _pieces(batch.column("lengths"))
    if not np.array_equal(offsets, same):
        return False
    sums = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    inside = (starts >= 0) & (lengths >= 1) & (starts <= tokens - lengths.astype(np.int64))
    return bool(inside.all()) and bool((sums[offsets[1:]] - sums[offsets[:-1]] <= capacity).all())


def open_rows(folder: Path, stage: StageEntry, stream: TokenStream, context: int) -> PackedRows:
    """Map a stage's packed rows. Raises `DataError` where there are none for this context, or the file is damaged."""
    if stage.packing is None or stage.packing.context != context:
        found = "no packed rows" if stage.packing is None else f"rows packed for context {stage.packing.context}"
        raise DataError(
            f"{folder}: stage {stage.name!r} has {found}, the model's context is {context}; set shards.packing.context "
            "to it and materialize the shards again"
        )
    path = folder / stage.packing.path
    batches = _map(path, rows_schema())
    if not all(_rows_fit(batch, len(stream), context + 1) for batch in batches):
        raise DataError(f"{path}: rows that lead outside the stage's tokens or are too long, damaged; {REBUILD}")
    rows = PackedRows(stream, batches)
    if rows.count != stage.packing.rows:
        raise DataError(f"{path}: {rows.count} rows, the manifest says {stage.packing.rows}; {REBUILD}")
    return rows


def open_stage(folder: Path, stage: StageEntry, tokenizer: TokenizerRef) -> TokenStream:
    """Map a stage's shards; raises `DataError` naming the file where one is missing or not what the manifest says."""
    segments: list[np.ndarray] = []
    for shard in stage.shards:
        path = folder / shard.path
        batches = open_batches(path, tokenizer.dtype)
        pieces = [tokens_of(batch.column("tokens")) for batch in batches]
        documents, tokens = sum(batch.num_rows for batch in batches), sum(map(len, pieces))
        if (documents, tokens) != (shard.documents, shard.tokens):
            raise DataError(
                f"{path}: {documents} documents with {tokens} tokens, the manifest says {shard.documents} with "
                f"{shard.tokens}; {REBUILD}"
            )
        segments += pieces
    return TokenStream(segments)


def open_batches(path: Path, dtype: str) -> list[Any]:
    """A shard's record batches, mapped into memory. Raises `DataError` where the file is damaged or not a shard."""
    return _map(path, shard_schema(dtype))


def _map(path: Path, schema: Any) -> list[Any]:
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if not reader.schema.equals(schema):
                types = [str(field.type) for field in reader.schema]
                raise DataError(f"{path}: columns {reader.schema.names} of types {types} are not a shard's; {REBUILD}")
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            for batch in batches:
                batch.validate(full=True)  # offsets that lead outside their buffers would end the process by a signal
            return batches
    except FileNotFoundError:
        raise DataError(f"{path}: the shard is missing; {REBUILD}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an Arrow file, cut short or damaged ({error}); {REBUILD}") from None


def tokens_of(column: Any) -> np.ndarray:
    """The tokens of a list column's rows, joined: a view of Arrow's own buffer."""
    offsets = _list_offsets(column)
    return _values(column)[offsets[0] : offsets[-1]]


def _values(column: Any) -> np.ndarray:
    """A list column's numbers: a view of Arrow's own buffer. Raises ValueError for nulls.

    Not by `to_numpy`, at whose first use Arrow imports pandas, where that is installed, in every rank.
    """
    values = column.values
    if values.null_count:
        raise ValueError(f"{values.null_count} of {len(values)} numbers are missing")
    dtype = np.dtype(values.type.to_pandas_dtype())
    if not len(values):  # whose buffer may be missing
        return np.empty(0, dtype)
    return np.frombuffer(values.buffers()[1], dtype, values.offset + len(values))[values.offset :]


def _list_offsets(column: Any) -> np.ndarray:
    return _offsets(column, np.int64 if column.type.id == _LARGE_LIST else np.int32)


def _offsets(column: Any, dtype: Any) -> np.ndarray:
    """A list column's offsets, the closing one included: a view of Arrow's own buffer."""
    if not len(column):  # whose buffer may be empty
        return np.zeros(1, dtype)
    end = column.offset + len(column) + 1
    return np.frombuffer(column.buffers()[1], dtype=dtype, count=end)[column.offset :]


_LARGE_LIST = 36  # pyarrow.lib.Type_LARGE_LIST, spelt out so that this module loads without pyarrow


def verify_files(manifest: ShardsManifest, folder: Path) -> None:
    """Compare every shard's SHA-256 with the manifest's. Raises `DataError` naming the first file that differs."""
    for stage in manifest.stages:
        hashes = [(shard.path, shard.sha256) for shard in stage.shards]
        if stage.packing:
            hashes.append((stage.packing.path, stage.packing.sha256))
        for name, expected in hashes:
            try:
                actual = sha256_of(folder / name)
            except OSError as error:
                raise DataError(f"{folder / name}: cannot be read ({error}); {REBUILD}") from None
            if actual != expected:
                raise DataError(f"{folder / name}: SHA-256 is {actual[:12]}, expected {expected[:12]}; {REBUILD}")


class TokenDocument(NamedTuple):
    """One document of a shard; `tokens` ends in the end-of-text token and is a view of the file."""

    doc_id: bytes
    bytes: int
    tokens: np.ndarray


def stage_documents(folder: Path, stage: StageEntry, tokenizer: TokenizerRef) -> Iterator[TokenDocument]:
    """The documents of a stage one by one. Raises `DataError` where a shard is missing, cut short or damaged."""
    for shard in stage.shards:
        for batch in open_batches(folder / shard.path, tokenizer.dtype):
            column = batch.column("tokens")
            tokens = tokens_of(column)
            offsets = _list_offsets(column)
            ends = (offsets[1:] - offsets[0]).tolist()
            start = 0
            for doc_id, size, end in zip(batch["doc_id"].to_pylist(), batch["bytes"].to_pylist(), ends, strict=True):
                yield TokenDocument(doc_id, size, tokens[start:end])
                start = end
