"""Hashes of numbers and document ids: splitmix64, for everything that must not depend on a library's generator."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
"""splitmix64's increment: odd, the golden ratio of 2**64."""
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)


def splitmix64(x: np.ndarray) -> np.ndarray:
    """One step of splitmix64 (Steele, Lea & Flood 2014) on uint64 values: state + gamma, then the finaliser."""
    z = x + GAMMA
    z ^= z >> np.uint64(30)
    z *= _M1
    z ^= z >> np.uint64(27)
    z *= _M2
    z ^= z >> np.uint64(31)
    return z


def chain(values: np.ndarray, *rest: int | np.ndarray) -> np.ndarray:
    """splitmix64 of `values` (uint64), then of that XOR each of `rest` in turn."""
    h = splitmix64(values)
    for value in rest:
        h = splitmix64(h ^ (value if isinstance(value, np.ndarray) else np.uint64(value)))
    return h


def id64(doc_ids: np.ndarray) -> np.ndarray:
    """Fold 16-byte document ids, given as uint8 [n, 16], into uint64 [n]: both halves count, little-endian."""
    halves = np.ascontiguousarray(doc_ids).view("<u8").astype(np.uint64, copy=False).reshape(-1, 2)
    return splitmix64(halves[:, 0]) ^ halves[:, 1]


def name64(name: str) -> int:
    """A name's number in a chain: the first 8 bytes of blake2b of it, so no list order enters."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
