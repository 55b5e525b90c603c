"""A part of a hub data set, read from what was fetched of it: a Parquet file, or a shard of what has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.hub.row_groups import HubParquet, open_parquet
from pipeline.curation.sources.hub.streaming import read_shard
from pipeline.curation.sources.hub.transfer import HubFile
from pipeline.curation.sources.settings import HubDataset


@dataclass(frozen=True)
class HubPart:
    """Where a unit of a hub data set comes from."""

    dataset: HubDataset
    """At a commit."""
    cache: Path = field(repr=False, compare=False)
    """Where what is fetched is kept."""
    file: str | None = None
    """Path of a Parquet file in the repository; None of a data set that has none, whose shards are numbered."""

    def parquet(self, layout: Layout) -> HubParquet:
        """The file with its row groups. Raises SourceError where it has not the layout's columns."""
        file = HubFile(self.dataset.id, self.dataset.revision, self.file or "")
        return open_parquet(file, tuple(layout.columns), layout.text_field, self.cache)

    def tables(self, layout: Layout, first: int, last: int | None) -> Iterator[tuple[int, pa.Table]]:
        """The rows of row groups (or of the shard `first`), in order, each table with the number of its first row.

        Raises:
            SourceError: they cannot be fetched, or are damaged on the hub.
        """
        if self.file is not None:
            file = self.parquet(layout)
            yield from file.tables(first, len(file.groups) if last is None else last, layout.columns)
            return
        row = 0
        for table in read_shard(self.dataset, layout.columns, first, self.cache):
            yield row, table
            row += table.num_rows
