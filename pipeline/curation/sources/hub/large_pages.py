"""Values of a Parquet column of text whose pages are too large to be held: a thousand books can be one page.

In: a column of a row group, in a file on this machine. Out: its values, one by one. Arrow decodes a page as a whole,
two or three times over (1.2 GB for 380 MB of text), and writers count a page's rows before its bytes, so row groups of
a thousand books are written as one page or one dictionary. Here a page is decompressed as it is read: zstd, gzip and
brotli are streams; raw snappy is made of blocks of 64 kB that refer to nothing before them, as every compressor writes
it, and is cut into these. A dictionary that is large lies in a scratch file. What is rarer (nested columns, other
encodings and codecs) is left to Arrow, by `NotStreamableError` before the first value.

The format: https://parquet.apache.org/docs/file-format/ and parquet.thrift; snappy's: format_description.txt.
"""

from __future__ import annotations

import io
import struct
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.sources.hub.thrift import read_struct

LARGE: Final = 48 << 20
"""Bytes of a page, decompressed, from which on it is read here."""
_HEADER: Final = 1 << 16
_PIECE: Final = 1 << 18
_BLOCK: Final = 1 << 16
_STREAMS: Final = {"ZSTD": "zstd", "GZIP": "gzip", "BROTLI": "brotli"}
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY = 0, 2, 8


class NotStreamableError(Exception):
    """A column that is left to Arrow."""


@dataclass(frozen=True)
class _Page:
    """What a page's header says."""

    kind: int
    start: int
    """Where its bytes begin."""
    compressed: int
    size: int
    values: int
    encoding: int
    levels: int
    """Bytes of levels before the values that are not compressed, in pages of version 2."""
    nulls: int
    packed: bool = True
    """Whether the values are compressed."""


def has_large_page(file: BinaryIO, column: pq.ColumnChunkMetaData) -> bool:
    """Whether one of a column's pages is as large as `LARGE`; headers alone are read."""
    if column.total_uncompressed_size < LARGE:
        return False
    return any(page.size >= LARGE for page in _pages(file, column))


def values_of(file: BinaryIO, column: pq.ColumnChunkMetaData, *, optional: bool) -> Iterator[bytes | None]:
    """The values of a column of text, in order; None where it has none. optional: whether it may have none.

    Raises:
        NotStreamableError: it has to be read by Arrow. Nothing was given then.
        ValueError, OSError: it is damaged.
    """
    pages = list(_pages(file, column))
    _check(pages, column)
    return _values(file, pages, column.compression, optional=optional)


def _values(file: BinaryIO, pages: list[_Page], codec: str, *, optional: bool) -> Iterator[bytes | None]:
    dictionary: _Dictionary | None = None
    try:
        for page in pages:
            stream = _decompressed(file, page, codec)
            if page.kind == _DICTIONARY:
                dictionary = _Dictionary(_plain(stream, page.values))
                continue
            there = _levels(stream, file, page, optional=optional)
            count = page.values if there is None else sum(there)
            if page.encoding == _PLAIN:
                values = _plain(stream, count)
            elif dictionary is not None:
                values = map(dictionary.__getitem__, _indices(stream.read(), count))
            else:
                raise ValueError("a page refers to a dictionary that is not there")
            for is_there in there if there is not None else [1] * page.values:
                yield next(values) if is_there else None
    finally:
        if dictionary is not None:
            dictionary.close()


def _check(pages: list[_Page], column: pq.ColumnChunkMetaData) -> None:
    known = {_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY}
    if column.physical_type != "BYTE_ARRAY" or "." in column.path_in_schema or column.compression == "LZ4":
        raise NotStreamableError(column.path_in_schema)
    if any(page.encoding not in known or page.kind not in (_DATA, _DICTIONARY, _DATA_V2) for page in pages):
        raise NotStreamableError(f"{column.path_in_schema}: {column.encodings}")
    if column.compression not in ("UNCOMPRESSED", "SNAPPY", *_STREAMS):
        raise NotStreamableError(f"{column.path_in_schema}: {column.compression}")


def _pages(file: BinaryIO, column: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    """The pages of a column, by their headers."""
    place = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        place = min(place, column.dictionary_page_offset)
    left, stop = column.num_values, place + column.total_compressed_size
    while left > 0 and place < stop:
        file.seek(place)
        header, length = read_struct(file.read(min(_HEADER, stop - place)))
        page = _page(header, place + length)
        left -= page.values if page.kind != _DICTIONARY else 0
        place = page.start + page.compressed
        yield page


def _page(header: dict[int, object], start: int) -> _Page:
    """A header (`PageHeader` of parquet.thrift) by its fields' numbers."""
    kind, size, compressed = (cast(int, header.get(number, -1)) for number in (1, 2, 3))
    inner = cast("dict[int, int]", header.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0), {}))
    if kind == _DATA_V2:
        levels = inner.get(5, 0) + inner.get(6, 0)
        nulls, packed = inner.get(2, 0), bool(inner.get(7, True))
        return _Page(kind, start, compressed, size, inner.get(1, 0), inner.get(4, -1), levels, nulls, packed)
    return _Page(kind, start, compressed, size, inner.get(1, 0), inner.get(2, -1), 0, 0)


def _levels(stream: BinaryIO, file: BinaryIO, page: _Page, *, optional: bool) -> bytes | None:
    """For each value whether it is there, as 0 or 1; None where all are. The stream is at the values after it."""
    if page.kind == _DATA_V2:
        if not page.nulls:
            return None
        file.seek(page.start)
        return bytes(_hybrid(file.read(page.levels), 1, page.values))
    if not optional:
        return None
    length = int.from_bytes(_exactly(stream, 4), "little")
    return bytes(_hybrid(_exactly(stream, length), 1, page.values))


def _indices(data: bytes, count: int) -> Iterator[int]:
    return iter(_hybrid(data[1:], data[0], count)) if count else iter(())


def _hybrid(data: bytes, width: int, count: int) -> list[int]:
    """Values of so many bits each, in runs that are repeated or packed (parquet's RLE and bit-packing hybrid)."""
    values: list[int] = []
    place, size = 0, (width + 7) // 8
    while len(values) < count:
        header, place = _varint(data, place)
        if header & 1:
            length = (header >> 1) * width
            packed = int.from_bytes(data[place : place + length], "little")
            mask = (1 << width) - 1
            values.extend((packed >> (width * number)) & mask for number in range((header >> 1) * 8))
            place += length
        else:
            values.extend([int.from_bytes(data[place : place + size], "little")] * (header >> 1))
            place += size
    return values[:count]


def _plain(stream: BinaryIO, count: int) -> Iterator[bytes]:
    """Values one after the other, each after its length in four bytes."""
    for _ in range(count):
        (length,) = struct.unpack("<I", _exactly(stream, 4))
        yield _exactly(stream, length)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise ValueError("a page ends before its values do")
    return data


class _Dictionary:
    """Values by their number, in a scratch file."""

    def __init__(self, values: Iterator[bytes]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 # it is closed with the column
        self._starts = array("q", [0])
        for value in values:
            self._file.write(value)
            self._starts.append(self._starts[-1] + len(value))

    def __getitem__(self, number: int) -> bytes:
        self._file.seek(self._starts[number])
        return self._file.read(self._starts[number + 1] - self._starts[number])

    def close(self) -> None:
        self._file.close()


def _decompressed(file: BinaryIO, page: _Page, codec: str) -> BinaryIO:
    """What is in a page, as a stream."""
    raw = _Part(file, page.start + page.levels, page.start + page.compressed)
    if codec == "UNCOMPRESSED" or not page.packed:
        return cast(BinaryIO, io.BufferedReader(raw, _PIECE))
    if codec in _STREAMS:
        whole = io.BufferedReader(raw, _PIECE)
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(whole, mode="r"), _STREAMS[codec]))
    return cast(BinaryIO, io.BufferedReader(_Unsnapped(raw), _PIECE))


class _Part(io.RawIOBase):
    """Some of a file, which others may read at other places in between."""

    def __init__(self, file: BinaryIO, first: int, stop: int) -> None:
        super().__init__()
        self._file, self._at, self._stop = file, first, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._at)
        data = self._file.read(min(len(buffer), self._stop - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Unsnapped(io.RawIOBase):
    """Raw snappy decompressed block by block.

    Each block of 64 kB is found by adding up what its elements are long, and given to Arrow with a length of its own in
    front. An element that refers to what is before its block makes Arrow refuse it: ValueError.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw, self._data, self._block = raw, b"", b""
        self._codec = pa.Codec("snappy")
        self._fill()
        self._left, place = _varint(self._data, 0)
        self._data = self._data[place:]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._block and self._left:
            self._block = self._next()
        length = min(len(buffer), len(self._block))
        buffer[:length] = self._block[:length]
        self._block = self._block[length:]
        return length

    def _fill(self) -> bool:
        more = self._raw.read(_PIECE)
        self._data += more or b""
        return bool(more)

    def _next(self) -> bytes:
        goal = min(_BLOCK, self._left)
        while True:
            place, out = _elements(self._data, goal)
            if out >= goal:
                break
            if not self._fill():
                raise ValueError("compressed data end too early")
        if out != goal:
            raise ValueError("compressed data are not in blocks of 64 kB")
        block = cast(bytes, self._codec.decompress(_length(out) + self._data[:place], out, asbytes=True))
        self._data, self._left = self._data[place:], self._left - out
        return block


def _tables() -> tuple[list[int], list[int]]:
    """By an element's first byte: bytes to the next element (0: a long literal), and bytes that it stands for."""
    steps, sizes = [], []
    for tag in range(256):
        kind, number = tag & 3, tag >> 2
        if kind == 0:
            steps.append(number + 2 if number < 60 else 0)
            sizes.append(number + 1)
        else:
            steps.append((2, 3, 5)[kind - 1])
            sizes.append((number & 7) + 4 if kind == 1 else number + 1)
    return steps, sizes


_STEPS, _SIZES = _tables()


def _elements(data: bytes, goal: int) -> tuple[int, int]:
    """Where the elements end that stand for `goal` bytes, and how many bytes they do; fewer where data end before."""
    steps, sizes = _STEPS, _SIZES
    place, out, end = 0, 0, len(data)
    while out < goal and place < end:
        tag = data[place]
        step = steps[tag]
        size = sizes[tag]
        if not step:
            extra = (tag >> 2) - 59
            size = int.from_bytes(data[place + 1 : place + 1 + extra], "little") + 1
            step = 1 + extra + size
        place += step
        out += size
    return (place, out) if place <= end else (0, 0)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """An unsigned number in groups of 7 bits, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def _length(size: int) -> bytes:
    """A number in groups of 7 bits."""
    groups = bytearray()
    while size > 127:
        groups.append(size & 127 | 128)
        size >>= 7
    groups.append(size)
    return bytes(groups)
