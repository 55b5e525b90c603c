"""A unit: what one part of a corpus is made from, small enough to be done again after a kill.

That is a file, a member of an archive, some row groups of a Parquet file, or a shard of a hub data set. `unit_listing`
fixes the units of a source and their order, `unit_reading` gives the records of one, in any process.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.archives import open_member
from pipeline.base.errors import SourceError
from pipeline.curation.sources.settings import Source


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a source: `path` is a file or URL, or the wheel that holds `member`."""

    source: Source
    entry: str
    """Its name, unique within the source: what `Record.entry` and the column `source` say."""
    path: str
    member: str | None = None
    first: int = 0
    """First row group of a Parquet file, or the shard of a hub data set."""
    last: int | None = None
    """The row group after the last one; None reads the whole file."""

    @property
    def is_parquet(self) -> bool:
        """Whether it is (of) a Parquet file, which is read by columns whatever the source's format."""
        return (self.path if self.member is None else self.member).endswith(".parquet")

    def open(self) -> BinaryIO:
        """Its bytes, decompressed."""
        if self.member is not None:
            return open_member(Path(self.path), self.member)
        import fsspec

        if self.path.endswith(".zst"):  # arrow's reader says when a stream ends too early, fsspec's does not
            file = pa.PythonFile(fsspec.open(self.path, "rb").open(), mode="r")
            return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(file, "zstd")))
        return cast(BinaryIO, fsspec.open(self.path, "rb", compression="infer").open())

    def open_parquet(self) -> pq.ParquetFile:
        """Its Parquet file. Raises SourceError where it is none."""
        try:
            return pq.ParquetFile(self.open())
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError(f"{self.path} of {self.source.label} is no Parquet file: {error}") from error
