"""Ids of documents: what one is, and many of them as arrays.

A document's id is a hash of its text, so equal texts have equal ids in every corpus. In numpy an id is two uint64 whose
order is that of the bytes; nothing makes a Python object of each.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import fixed_bytes

DOC_ID: Final = pa.binary(16)
"""blake2b-128 of the normalised text in UTF-8."""


def doc_id(text: bytes) -> bytes:
    """The 16-byte id of a document with this text."""
    return hashlib.blake2b(text, digest_size=16).digest()


def ids_of(batch: pa.RecordBatch) -> np.ndarray:
    """The batch's doc_ids as two uint64 [N, 2], whose order is that of the bytes."""
    return fixed_bytes(batch.column("doc_id")).view(">u8").astype(np.uint64)


def binary_ids(ids: np.ndarray) -> pa.Array:
    """`ids_of` the other way: uint64 [N, 2] as doc_ids."""
    return pa.Array.from_buffers(DOC_ID, len(ids), [None, pa.py_buffer(ids.astype(">u8").tobytes())])


def contains_ids(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which ids (uint64 [N, 2]) occur in `wanted` (uint64 [M, 2]), as bool [N]."""
    if not len(wanted):
        return np.zeros(len(ids), dtype=bool)
    ordered, looked_up = np.sort(_sortable(wanted)), _sortable(ids)
    return ordered[np.minimum(np.searchsorted(ordered, looked_up), len(ordered) - 1)] == looked_up


def find_ids(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A place in `ids` (uint64 [N, 2]) of each of `wanted` (uint64 [M, 2]), which all occur there, int64 [M]."""
    searched = _sortable(ids)
    order = np.argsort(searched, kind="stable")
    return order[np.searchsorted(searched, _sortable(wanted), sorter=order)]


def _sortable(ids: np.ndarray) -> np.ndarray:
    """uint64 [N, 2] as 16-byte values that compare as the doc_ids do."""
    return np.ascontiguousarray(ids.astype(">u8")).view("S16").reshape(-1)
