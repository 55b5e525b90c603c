"""Numbers and strings between numpy and Arrow as buffers; Parquet read without what Arrow would load for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.arrow import filled, from_numbers, joined_strings, numbers
from pipeline.base.errors import CurationError
from pipeline.base.parquet import read_table


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_numbers_pass_as_they_are_whatever_is_cut_off_or_joined(dtype: str) -> None:
    values = np.arange(10).astype(dtype)
    column = from_numbers(values)
    assert column.equals(pa.array(values))
    column.validate(full=True)
    for part in (slice(0, 10), slice(3, 7), slice(5, 5)):
        assert numbers(column[part]).tolist() == values[part].tolist()
        assert numbers(column[part]).dtype == dtype
    assert numbers(pa.chunked_array([column[2:4], column[:0], column[9:]])).tolist() == [2, 3, 9]
    assert numbers(pa.chunked_array([], column.type)).dtype == dtype
    assert from_numbers(values[::3]).to_pylist() == values[::3].tolist()


def test_numbers_are_views() -> None:
    column = pa.array([1, 2, 3], pa.uint32())
    assert numbers(column).__array_interface__["data"][0] == column.buffers()[1].address
    assert numbers(pa.chunked_array([column])).__array_interface__["data"][0] == column.buffers()[1].address


def test_a_missing_number_is_refused_or_filled_never_read_from_the_buffer() -> None:
    column = pa.array([1.5, None], pa.float32())
    for missing in (column, pa.chunked_array([column])):
        with pytest.raises(ValueError, match="1 of 2 numbers are missing"):
            numbers(missing)
    assert np.isnan(numbers(filled(column, float("nan")))[1])
    assert filled(column[:1], 0.0) is not None
    whole = column[:1]
    assert filled(whole, 0.0) is whole


def test_joined_strings_are_those_of_the_parts_in_buffers_of_their_own() -> None:
    texts = pa.array(["skip", "en", "", "日本語", "fr", "skip"])
    joined = joined_strings([texts[1:3], texts[3:5], texts[:0], texts[2:3]])
    joined.validate(full=True)
    assert joined.equals(pa.array(["en", "", "日本語", "fr", ""]))
    assert [buffer and buffer.size for buffer in joined.buffers()] == [None, 6 * 4, 2 + 9 + 2]
    assert joined_strings([texts[:0]]).to_pylist() == []


def test_columns_of_a_file_come_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
    pq.write_table(table, tmp_path / "table.parquet")
    assert read_table(tmp_path / "table.parquet").equals(table)
    assert read_table(tmp_path / "table.parquet", columns=["c", "a"]).equals(table.select(["c", "a"]))
    chosen = read_table(tmp_path / "table.parquet", columns=["a"], filters=[("b", "=", "y")])
    assert chosen.to_pydict() == {"a": [2]}
    assert pa.types.is_dictionary(read_table(tmp_path / "table.parquet", read_dictionary=["b"])["b"].type)
    with pytest.raises(CurationError, match=r"table\.parquet: missing, cut short or damaged \(.*nowhere"):
        read_table(tmp_path / "table.parquet", columns=["a", "nowhere"])
