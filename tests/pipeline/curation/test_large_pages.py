"""Columns with pages too large to hold give, value by value, what Arrow gives."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.curation.sources.hub import large_pages
from pipeline.curation.sources.hub.large_pages import NotStreamableError, has_large_page, values_of
from pipeline.curation.sources.hub.thrift import read_struct

MADE = random.Random(1)
BOOK = "".join(MADE.choices(string.ascii_lowercase + "   ", k=150_000))
BOOKS = [f"Book {number}. {BOOK[MADE.randrange(9000) :]}{BOOK[: MADE.randrange(70_000)]}" for number in range(12)]


def streamed(path: Path, column: int = 0) -> list[bytes | None]:
    metadata = pq.read_metadata(path)
    with path.open("rb") as file:
        return [
            value
            for group in range(metadata.num_row_groups)
            for value in values_of(
                file,
                metadata.row_group(group).column(column),
                optional=metadata.schema.column(column).max_definition_level > 0,
            )
        ]


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "brotli", "none"])
@pytest.mark.parametrize("how", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}])
def test_books_with_gaps_come_as_arrow_reads_them(tmp_path: Path, codec: Any, how: dict[str, Any]) -> None:
    texts = [*BOOKS[:5], None, "", *BOOKS[5:], BOOKS[0], None]
    pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), tmp_path / "a.parquet", compression=codec, **how)
    assert streamed(tmp_path / "a.parquet", 1) == [None if text is None else text.encode() for text in texts]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.none() | st.text(max_size=20), max_size=300), st.booleans(), st.sampled_from([0, 100, 1 << 20]))
def test_any_texts_come_as_arrow_reads_them(
    tmp_path: Path, texts: list[str | None], dictionary: bool, page: int
) -> None:
    table = pa.table({"text": pa.array(texts, pa.string())})
    how: Any = {"use_dictionary": dictionary, "data_page_size": page or None, "write_batch_size": 7}
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100, **how)
    assert streamed(tmp_path / "a.parquet") == [None if text is None else text.encode() for text in texts]


def test_only_columns_with_a_large_page_are_read_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_pages, "LARGE", 1_000_000)
    pq.write_table(pa.table({"text": BOOKS, "n": ["x"] * len(BOOKS)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": BOOKS}), tmp_path / "b.parquet", write_batch_size=1, use_dictionary=False,
                   data_page_size=100_000)  # fmt: skip
    for name, column, is_so in (("a", 0, True), ("a", 1, False), ("b", 0, False)):
        path = tmp_path / f"{name}.parquet"
        with path.open("rb") as file:
            assert has_large_page(file, pq.read_metadata(path).row_group(0).column(column)) is is_so


@pytest.mark.parametrize(
    ("column", "how"),
    [
        (pa.array([["a"], ["b"]]), {}),
        (pa.array([1, 2]), {}),
        (pa.array(["a", "b"]), {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}),
        (pa.array(["a", "b"]), {"compression": "lz4"}),
    ],
)
def test_what_is_rarer_is_left_to_arrow(tmp_path: Path, column: pa.Array, how: dict[str, Any]) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", **how)
    with pytest.raises(NotStreamableError):
        streamed(tmp_path / "a.parquet")


def test_damage_is_said(tmp_path: Path) -> None:
    repeated = [f"{number} and again " * 9000 for number in range(9)]
    pq.write_table(pa.table({"text": repeated}), tmp_path / "a.parquet", use_dictionary=False)
    whole = (tmp_path / "a.parquet").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "b.parquet").write_bytes(whole[:middle] + b"\xff" * 99 + whole[middle + 99 :])
    with pytest.raises((ValueError, OSError)):
        streamed(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="cut off or damaged"):
        read_struct(whole[4:9])
