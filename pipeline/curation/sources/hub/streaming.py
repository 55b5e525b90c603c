"""Rows of hub data sets that are no Parquet (JSON, CSV, text), streamed through `datasets`.

In: a pinned data set and the columns that are needed. Out: how many shards it has, and a shard's rows as Arrow tables
in order. Where reading breaks off it goes on from the row that was reached; rows are never given twice. A data set is
opened once a process, not once a shard, since opening asks the hub a dozen questions. Nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipeline.base.errors import SourceError
from pipeline.curation.sources.hub.catalog import builder_of, where_of
from pipeline.curation.sources.hub.patience import Patience
from pipeline.curation.sources.settings import HubDataset

_BATCH_ROWS: Final = 1000


def count_shards(dataset: HubDataset, columns: Sequence[str], cache: Path) -> int:
    """Number of shards of the data set, after checking that it has the columns: files, or the parts of them that
    `datasets` can read by themselves (`IterableDataset.reshard`).

    Raises:
        SourceError: the data set cannot be read, or has not the columns.
    """

    def checked() -> int:
        stream = _stream(dataset, cache)
        names = stream.column_names or list(next(iter(stream.take(1)), {}))
        missing = [name for name in columns if name not in names]
        if missing:
            raise SourceError(
                f"data set {dataset.id} has no column {missing[0]!r}; it has {', '.join(names)}. Set the source's "
                "`text_field`, `group_field` or `lang_field`."
            )
        return int(stream.num_shards)

    return Patience(where_of(dataset)).call(checked)


def read_shard(dataset: HubDataset, columns: Sequence[str], shard: int, cache: Path) -> Iterator[pa.Table]:
    """The rows of one shard, in order, as tables with `columns`. Raises as `count_shards`."""
    rows = 0
    tables: Iterator[pa.Table] | None = None
    patience = Patience(where_of(dataset))

    def next_table() -> pa.Table | None:
        nonlocal tables
        if tables is None:
            tables = _tables(dataset, shard, rows, cache)
        try:
            return next(tables, None)
        except Exception:
            tables = None  # the next attempt opens the shard anew, at the row that was reached
            raise

    while (table := patience.call(next_table)) is not None:
        rows += table.num_rows
        yield table.select(list(columns))


def _tables(dataset: HubDataset, shard: int, first: int, cache: Path) -> Iterator[pa.Table]:
    """The rows of a shard from row `first` on."""
    stream = _stream(dataset, cache)
    stream = stream.shard(num_shards=stream.num_shards, index=shard)
    stream = stream.skip(first) if first else stream
    return iter(stream.with_format("arrow").iter(batch_size=_BATCH_ROWS))


@lru_cache(maxsize=16)
def _stream(dataset: HubDataset, cache: Path) -> Any:
    return builder_of(dataset, cache).as_streaming_dataset(split=dataset.split).reshard()
