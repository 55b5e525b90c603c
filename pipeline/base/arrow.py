"""Arrow strings in, Arrow lists of ids out, through numpy views: no Python object a token or a document.

The one shape of encoded text everywhere in the project is `large_list<uint16 | uint32>`: int64 offsets over one
contiguous buffer of ids. These functions only make, extend and cut such arrays; nothing here knows a tokenizer.

Numbers pass between numpy and Arrow as buffers (`numbers`, `from_numbers`). `to_numpy`, `np.asarray` and `pa.array` do
the same, but Arrow imports pandas for the first of them, where that is installed: as long as encoding 30 MB takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import TokenizerError

Strings: TypeAlias = pa.Array | pa.ChunkedArray


def as_strings(texts: Strings) -> pa.Array:
    """One `large_string` array of a string array or chunked array.

    Raises TokenizerError for another type or for nulls: a document without text is a fault of what wrote it.
    """
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        raise TokenizerError(f"text to encode must be an Arrow string array, not {texts.type}")
    if texts.null_count:
        raise TokenizerError(f"text to encode has {texts.null_count} nulls among {len(texts)} documents")
    if isinstance(texts, pa.ChunkedArray):
        # cast before joining: 2 GiB of text and more overflow the int32 offsets of `string`
        large = texts.cast(pa.large_string())
        if large.num_chunks == 1:
            return large.chunk(0)
        return pa.concat_arrays(large.chunks) if large.num_chunks else pa.nulls(0, pa.large_string())
    return texts.cast(pa.large_string())


def offsets_of(array: Any) -> np.ndarray[Any, Any]:
    """Offsets of a list, string or binary array, int32 or int64 by its type, the closing one included, as a view.

    Slices are honoured: the first offset is then not 0.
    """
    kind = array.type
    large = pa.types.is_large_list(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
    dtype = np.dtype(np.int64 if large else np.int32)
    if not len(array):  # whose buffer may be empty
        return np.zeros(1, dtype)
    end = array.offset + len(array) + 1
    return np.frombuffer(array.buffers()[1], dtype=dtype, count=end)[array.offset :]


def numbers(column: Strings) -> np.ndarray[Any, Any]:
    """A column of integers or floats, as a view; one of several chunks is joined. Raises ValueError for nulls."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 1:
            return numbers(column.chunk(0))
        dtype = np.dtype(column.type.to_pandas_dtype())
        return np.concatenate([np.empty(0, dtype), *map(numbers, column.chunks)])
    if column.null_count:
        raise ValueError(f"{column.null_count} of {len(column)} numbers are missing")
    dtype = np.dtype(column.type.to_pandas_dtype())
    if not len(column):  # whose buffer may be missing
        return np.empty(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, column.offset + len(column))[column.offset :]


def from_numbers(values: np.ndarray[Any, Any]) -> pa.Array:
    """The inverse of `numbers`, without a copy where the values are contiguous: they must not change afterwards."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def filled(column: Strings, value: Any) -> Strings:
    """The column with `value` for what is missing; the same object where nothing is."""
    return pc.fill_null(column, value) if column.null_count else column


def joined_strings(chunks: Sequence[pa.Array]) -> pa.Array:
    """String arrays without nulls as one, whose buffers hold nothing else and begin at 0."""
    lengths = [np.diff(offsets_of(chunk)) for chunk in chunks]
    starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths])).astype(np.int32)
    data = []
    for chunk in chunks:
        first, last = offsets_of(chunk)[[0, -1]].tolist()
        if last > first:
            data.append(memoryview(chunk.buffers()[2])[first:last])
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.string(), len(starts) - 1, buffers)


def list_array(offsets: np.ndarray[Any, Any], values: np.ndarray[Any, Any], dtype: str) -> pa.Array:
    """Ids of N documents as `large_list<dtype>`: offsets int64 (N + 1), values any unsigned dtype (tokens)."""
    return pa.LargeListArray.from_arrays(
        from_numbers(offsets.astype(np.int64, copy=False)),
        from_numbers(values.astype(dtype, copy=False)),
    )


def list_parts(lists: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Offsets (int64, starting at 0) and values of a list array, as views; slices are honoured."""
    offsets = numbers(lists.offsets)
    values = numbers(lists.values)
    first = int(offsets[0]) if len(offsets) else 0
    return (offsets - first if first else offsets), values[first : int(offsets[-1])]


def end_documents(lists: pa.Array, eot_id: int) -> pa.Array:
    """The same documents, each followed by the end-of-text token."""
    offsets, values = list_parts(lists)
    ended = offsets + np.arange(len(offsets), dtype=np.int64)
    out = np.full(int(ended[-1]), eot_id, dtype=values.dtype)
    text = np.ones(len(out), dtype=bool)
    text[ended[1:] - 1] = False
    out[text] = values
    return list_array(ended, out, str(values.dtype))


def from_rows(rows: list[np.ndarray[Any, Any]], dtype: str) -> pa.Array:
    """A list array from one numpy array of ids a document."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    values = np.concatenate(rows) if rows else np.empty(0, dtype=dtype)
    return list_array(offsets, values, dtype)


def differing_rows(left: pa.Array, right: pa.Array) -> np.ndarray[Any, Any]:
    """Row numbers at which two list arrays of equal length differ, ascending."""
    offsets_l, values_l = list_parts(left)
    offsets_r, values_r = list_parts(right)
    if np.array_equal(offsets_l, offsets_r) and np.array_equal(values_l, values_r):
        return np.empty(0, dtype=np.int64)
    rows = [
        row
        for row in range(len(left))
        if not np.array_equal(
            values_l[offsets_l[row] : offsets_l[row + 1]], values_r[offsets_r[row] : offsets_r[row + 1]]
        )
    ]
    return np.array(rows, dtype=np.int64)


def text_bytes(strings: pa.Array) -> np.ndarray[Any, Any]:
    """Length in bytes of every text of a `large_string` array (int64)."""
    return np.diff(offsets_of(strings))


def fixed_bytes(values: pa.Array) -> np.ndarray[Any, Any]:
    """The values of a fixed-size binary array of width W as uint8 [N, W], a view; slices are honoured."""
    width = values.type.byte_width
    rows = np.frombuffer(values.buffers()[1] or b"", dtype=np.uint8).reshape(-1, width)
    return rows[values.offset : values.offset + len(values)]


def from_fixed_bytes(rows: np.ndarray[Any, Any]) -> pa.Array:
    """The inverse of `fixed_bytes`: uint8 [N, W] as N binary values of width W."""
    rows = np.ascontiguousarray(rows)
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)])
