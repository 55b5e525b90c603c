"""Whole numbers of a few bits in bytes: with no bit left over between them, or so that none lies across two bytes.

In: numbers below 2 ** bits. Out: bytes. Number i takes the bits from i * bits on, counted from the lowest bit of the
first byte; within a number the lowest bit comes first. `whole` puts as many numbers into a byte as fit whole, from its
lowest bit on, and leaves the rest of it zero: longer, where `bits` does not divide 8, but a byte's value is then as
frequent as its numbers are, which is what a coder of bytes makes use of. What is left of the last byte is zero.
"""

from __future__ import annotations

import numpy as np

from trainer.errors import ExportError

WIDEST = 8


def pack(numbers: np.ndarray, bits: int, *, whole: bool = False) -> np.ndarray:
    """uint8 of any shape, each below 2 ** bits -> uint8 (bytes,). Raises ExportError for larger ones."""
    size = packed_size(numbers.size, bits, whole=whole)
    flat = numbers.reshape(-1)
    if flat.size and int(flat.max()) >> bits:
        raise ExportError(f"{int(flat.max())} does not fit into {bits} bits")
    if not whole:
        return np.packbits((flat[:, None] >> np.arange(bits, dtype=np.uint8)) & 1, bitorder="little")
    a_byte = WIDEST // bits
    padded = np.zeros(size * a_byte, dtype=np.uint8)
    padded[: flat.size] = flat
    data: np.ndarray = (padded.reshape(size, a_byte) << _shifts(bits)).sum(1, dtype=np.uint8)
    return data


def unpack(data: np.ndarray, bits: int, count: int, *, whole: bool = False) -> np.ndarray:
    """What `pack` made of `count` numbers, uint8 (count,). Raises ExportError for data of another length."""
    size = packed_size(count, bits, whole=whole)
    if data.size != size:
        raise ExportError(f"{count:,} numbers of {bits} bits take {size:,} bytes, found {data.size:,}")
    if whole:
        return ((data[:, None] >> _shifts(bits)) & (2**bits - 1)).reshape(-1)[:count].astype(np.uint8)
    singles = np.unpackbits(data, count=count * bits, bitorder="little").reshape(count, bits)
    numbers: np.ndarray = (singles << np.arange(bits, dtype=np.uint8)).sum(1, dtype=np.uint8)
    return numbers


def packed_size(count: int, bits: int, *, whole: bool = False) -> int:
    """Bytes that `count` numbers take. Raises ExportError for a width that no number has."""
    if not 1 <= bits <= WIDEST:
        raise ExportError(f"bits: found {bits}; a packed number has 1 to {WIDEST}")
    return -(-count // (WIDEST // bits)) if whole else -(-count * bits // WIDEST)


def _shifts(bits: int) -> np.ndarray:
    return np.arange(WIDEST // bits, dtype=np.uint8) * np.uint8(bits)
