"""What is read of a source, measured where it is read, so that what is made of it can be held against that.

In: bytes as they come out of a file, unpacked. Out: how many came. Who cuts them into records counts for himself, and
both must come to the same.
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final, cast

_BUFFER: Final = 1 << 18


class Measure:
    """Bytes that were read, or would have been."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count bytes."""
        self.bytes += size


class TooLongError(Exception):
    """A file has more bytes than were to be read of it."""


class _Measured(io.RawIOBase):
    """Gives bytes as they come, so that what was unpacked before a damage is read, and not lost with it."""

    def __init__(self, file: io.BufferedIOBase, measure: Measure, most: int | None) -> None:
        super().__init__()
        self._file, self._measure, self._left = file, measure, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        self._measure.add(len(data))
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise TooLongError
        return len(data)


def measured(file: BinaryIO, measure: Measure, most: int | None = None) -> io.BufferedReader:
    """A file whose bytes are counted as they are read.

    Reading raises TooLongError past `most` bytes, so that a file that is a document never takes more memory than one
    may have.
    """
    return io.BufferedReader(cast(io.RawIOBase, _Measured(cast(io.BufferedIOBase, file), measure, most)), _BUFFER)


def drain(file: BinaryIO) -> int:
    """Read a file to its end; returns the bytes that were left."""
    size = 0
    while data := file.read(_BUFFER):
        size += len(data)
    return size
