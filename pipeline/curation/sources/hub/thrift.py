"""Structures in Thrift's compact protocol, as headers of Parquet's pages are written: a dictionary by fields' numbers.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import struct

Value = object
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def read_struct(data: bytes) -> tuple[dict[int, Value], int]:
    """The structure that data begin with, and its length. Raises ValueError where they are none, or cut off."""
    reader = _Reader(data)
    try:
        return reader.structure(), reader.at
    except (IndexError, struct.error) as error:
        raise ValueError("a header is cut off or damaged") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def structure(self) -> dict[int, Value]:
        fields: dict[int, Value] = {}
        number = 0
        while (byte := self._byte()) != 0:
            kind, step = byte & 15, byte >> 4
            number = number + step if step else self._signed()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Value:
        if kind in (_TRUE, _FALSE, _BYTE):  # of a boolean in a list
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind in (_LIST, _SET):
            byte = self._byte()
            count = byte >> 4 if byte >> 4 < 15 else self._unsigned()
            return [self._value(byte & 15) for _ in range(count)]
        if kind == _STRUCT:
            return self.structure()
        raise ValueError(f"a header has a field of the unknown kind {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, length: int) -> bytes:
        if self.at + length > len(self._data):
            raise IndexError
        self.at += length
        return self._data[self.at - length : self.at]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
