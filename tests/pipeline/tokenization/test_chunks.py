"""Streams of documents: cut into chunks of a size, and made ahead of their use."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.corpus_tokens.chunks import chunks, skip_rows
from pipeline.tokenization.corpus_tokens.prefetch import prefetched


@given(st.lists(st.integers(0, 30), min_size=1), st.integers(1, 100), st.integers(1, 5), st.integers(0, 10))
def test_chunks_keep_every_row_in_order_and_their_size(sizes: list[int], size: int, per: int, skip: int) -> None:
    table = pa.table({"bytes": pa.array(sizes, pa.uint32()), "row": list(range(len(sizes)))})
    tables = list(chunks(skip_rows(iter(table.to_batches(max_chunksize=per)), skip), size))
    assert [row for chunk in tables for row in chunk["row"].to_pylist()] == list(range(skip, len(sizes)))
    for chunk in tables:
        assert sum(chunk["bytes"].to_pylist()[:-1]) < size
    for chunk in tables[:-1]:
        assert sum(chunk["bytes"].to_pylist()) >= size


def test_a_step_ahead_keeps_order_and_raises_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)
        raise TokenizerError("after 2")

    steps = prefetched(numbers())
    assert [next(steps) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TokenizerError, match="after 2"):
        next(steps)
    assert list(prefetched(iter(range(5)))) == [0, 1, 2, 3, 4]
