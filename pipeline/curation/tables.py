"""The tables curation writes and reads: schemas, Parquet files written whole or not at all, and content hashes.

A content hash covers values in row order, never bytes of a file, so it is independent of row groups, of how rows are
cut into parts, of compression and of library versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base.arrow import fixed_bytes, offsets_of
from pipeline.base.errors import CurationError
from pipeline.base.files import whole_path
from pipeline.base.parquet import reading
from pipeline.curation.doc_ids import DOC_ID

ROW_GROUP_BYTES: Final = 8 << 20
"""Text in one row group: what a reader holds at a time."""
ROW_GROUP_ROWS: Final = 1 << 14
"""Most documents in one: what is worked out of a short one (its signature, its signals) is larger than its text."""
WORTH_BYTES: Final = 24_000_000
"""Starting processes takes about a second, in which one core reads this much text word by word."""

CLUSTERS_FILE: Final = "clusters.parquet"
"""Of near duplicates: its name is here for those who read it without finding any."""
CORE_FIELDS: Final = (
    pa.field("doc_id", DOC_ID, nullable=False),
    pa.field("text", pa.string(), nullable=False),
    pa.field("bytes", pa.uint32(), nullable=False),
    pa.field("group", pa.string(), nullable=False),
    pa.field("position", pa.int32(), nullable=False),
    pa.field("lang", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
)


class ColumnsHash:
    """sha256 over the logical content of batches, column by column."""

    def __init__(self, names: Sequence[str]) -> None:
        self._hashes = {name: hashlib.sha256() for name in names}
        self.rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, which has at least the columns of this hash."""
        self.rows += batch.num_rows
        for name, running in self._hashes.items():
            for piece in _canonical(batch.column(name)):
                running.update(piece)

    def hexdigest(self) -> str:
        """Hash over the columns' names and hashes and the number of rows."""
        total = hashlib.sha256(str(self.rows).encode())
        for name, running in self._hashes.items():
            total.update(f"{name}:{running.hexdigest()};".encode())
        return total.hexdigest()


def _canonical(column: pa.Array) -> Iterator[bytes | memoryview]:
    """A column's values as bytes that depend on nothing but the values."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        data = pc.fill_null(column, "" if not pa.types.is_binary(kind) else b"").cast(pa.large_binary())
        offsets = offsets_of(data)
        yield np.diff(offsets).astype("<u4").tobytes()
        if len(data) and data.buffers()[2] is not None:
            yield memoryview(data.buffers()[2])[offsets[0] : offsets[-1]]
    elif pa.types.is_fixed_size_binary(kind):
        yield fixed_bytes(column).reshape(-1).data
    elif pa.types.is_boolean(kind):
        yield column.cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes()
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _canonical(pc.list_value_length(column).cast(pa.int32()))
        yield from _canonical(column.flatten())
    else:
        values = column.to_numpy(zero_copy_only=False)
        yield values.astype(values.dtype.newbyteorder("<")).tobytes()


class TableWriter:
    """A Parquet file that appears under its name only once it is complete."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._open = ExitStack()

    def write(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows as one row group."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        self._writer.write_table(table.cast(self._schema), row_group_size=max(table.num_rows, 1))

    def describe(self, metadata: dict[str, str]) -> None:
        """Put facts beside the rows, in the file's metadata."""
        self._writer.add_key_value_metadata(metadata)

    def __enter__(self) -> Self:
        unfinished = self._open.enter_context(whole_path(self._path))
        writer = pq.ParquetWriter(unfinished, self._schema, compression="zstd", compression_level=3)
        self._writer = self._open.enter_context(writer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)


def write_table(path: Path, columns: dict[str, Any], schema: pa.Schema, rows: int = 1 << 20) -> None:
    """Write columns as one file of row groups of at most `rows` rows."""
    table = pa.Table.from_pydict(columns, schema=schema)
    with TableWriter(path, schema) as writer:
        for start in range(0, max(table.num_rows, 1), rows):
            writer.write(table.slice(start, rows))


def parts(folder: Path) -> list[Path]:
    """The part files of `documents/<corpus>`, in row order."""
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise CurationError(f"{folder} holds no part-*.parquet: the documents of this corpus were not built")
    return paths


def iter_parts(folder: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of a documents folder in row order, one row group (about 8 MB of text) at a time."""
    for path in parts(folder):
        yield from iter_file(path, columns)


def iter_file(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of one Parquet file, one row group at a time."""
    with reading(path), pq.ParquetFile(path) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise CurationError(f"{path} has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}")
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group, columns=list(columns)).to_batches():
                batch.validate(full=True)
                yield batch


def iter_rows(folder: Path, columns: Sequence[str], rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Some rows (int64, ascending) of a documents folder, in their order; row groups without any are not read."""
    start = 0
    for path in parts(folder):
        with reading(path), pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(rows, [start, start + count])
                if low < high:
                    table = file.read_row_group(group, columns=list(columns)).take(pa.array(rows[low:high] - start))
                    yield from table.combine_chunks().to_batches()
                start += count


def hash_batches(batches: Iterable[pa.RecordBatch], names: Sequence[str]) -> str:
    """The content hash of batches' columns `names`."""
    running = ColumnsHash(names)
    for batch in batches:
        running.update(batch)
    return running.hexdigest()
