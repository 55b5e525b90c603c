"""A unit: what one part of a corpus is made from, small enough to be done again after a kill.

That is a file (an archive with all its members too), a member of a wheel, some row groups of a Parquet file, or a shard
of a hub data set that has no Parquet files. `unit_listing` fixes the units of a source and their order, `unit_reading`
gives the records of one, in any process.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow.parquet as pq

from pipeline.base.archives import member_sizes, open_member
from pipeline.base.errors import SourceError
from pipeline.curation.sources.hub.part import HubPart
from pipeline.curation.sources.kinds import COMPRESSED, ending
from pipeline.curation.sources.names import printable
from pipeline.curation.sources.settings import Source


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a source: `path` is a file or URL, or the wheel that holds `member`."""

    source: Source
    entry: str
    """Its name, unique within the corpus: what `Record.entry` and the column `source` say, or begin with."""
    path: str
    member: str | None = None
    first: int = 0
    """First row group of a Parquet file, or the shard of a hub data set that has none."""
    last: int | None = None
    """The row group after the last one; None reads the whole file."""
    size: int | None = None
    """Bytes of these row groups as they lie; of a hub data set, those of the columns that are needed."""
    text: int | None = None
    """Bytes of text in these row groups, as the file's footer has them."""
    hub: HubPart | None = None
    """Of a hub data set: which part of it."""
    address: str | None = field(default=None, repr=False, compare=False)
    """What to open in the place of `path`, where that lacks credentials. Nothing shows or keeps it."""
    local: Path | None = field(default=None, repr=False, compare=False)
    """Where the machine that reads it finds a file that is `path` to whoever listed it; none: there too."""

    @property
    def is_remote(self) -> bool:
        """Whether it comes over a network, which may break off: what damages it may be gone at the next attempt."""
        return "://" in self.path

    @property
    def file_name(self) -> str:
        """What says by its ending what the file is."""
        return self.path if self.member is None else self.member

    @property
    def is_parquet(self) -> bool:
        """Whether it is (of) a Parquet file, which is read by columns whatever the source's format."""
        return ending(self.file_name) == ".parquet" and not self.file_name.lower().endswith(COMPRESSED)

    def begins_as_parquet(self) -> bool:
        """Whether its first bytes are a Parquet file's."""
        with closing(self.open()) as file:
            return file.read(4) == b"PAR1"

    @property
    def bytes(self) -> int | None:
        """Bytes as they lie; None of a file on another machine. Raises SourceError where it is not there any more."""
        if self.is_remote or self.size is not None:
            return self.size
        if self.member is not None:
            return member_sizes(self._file)[self.member]
        try:
            return self._file.stat().st_size
        except OSError as error:
            raise SourceError(f"{self.place} cannot be opened: {error}") from error

    @property
    def place(self) -> str:
        """The file and its source, for messages."""
        return f"{printable(self.path)} of {self.source.label}"

    def open(self) -> BinaryIO:
        """Its bytes, as they are packed. Raises SourceError where this machine does not give them."""
        if self.member is not None:
            return open_member(self._file, self.member)
        try:
            if not self.is_remote:
                return self._file.open("rb")
            import fsspec

            return cast(BinaryIO, fsspec.open(self.address or self.path, "rb").open())
        except OSError as error:
            raise SourceError(f"{self.place} cannot be opened: {error}") from error

    @property
    def _file(self) -> Path:
        return self.local or Path(self.path)

    def open_parquet(self) -> pq.ParquetFile:
        """Its Parquet file. Raises pa.ArrowException where it is none."""
        return pq.ParquetFile(self.open())


def group_bytes(file: pq.ParquetFile, group: int) -> int:
    """Bytes of a row group as they lie in the file."""
    columns = file.metadata.row_group(group)
    return sum(max(0, columns.column(number).total_compressed_size) for number in range(columns.num_columns))
