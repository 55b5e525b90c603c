"""What is known of a corpus's documents beside their tokens: a number a document, found by its id.

In: ids as `id64` folds them, and numbers. Out: `<name>.ids.npy` and `<name>.npy` in a folder, sorted by id, which any
number of processes map into memory and search. A schedule keeps them beside itself, so whoever shuffles an epoch needs
its folder and the token stores, and nothing of where the numbers are from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.base.files import whole_path


def write_beside(folder: Path, name: str, ids: np.ndarray, values: np.ndarray) -> str:
    """Write the numbers of some documents; returns a hash of them, SHA-256 in hexadecimal.

    ids: uint64 [N], each once or with equal numbers; values: [N].
    """
    found, first = np.unique(ids, return_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for path, column in ((_ids(folder, name), found), (_values(folder, name), values[first])):
        with whole_path(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, column)
        digest.update(column.tobytes())
    return digest.hexdigest()


def read_beside(folder: Path, name: str, ids: np.ndarray, default: float) -> np.ndarray:
    """The number of each document (ids: uint64 [n]), `default` for those that have none, [n].

    Raises `ShardError` where the files are missing or damaged.
    """
    try:
        known = np.load(_ids(folder, name), mmap_mode="r", allow_pickle=False)
        values = np.load(_values(folder, name), mmap_mode="r", allow_pickle=False)
        if len(known) != len(values):
            raise ValueError(f"{len(known)} ids and {len(values)} numbers")
    except (OSError, ValueError) as error:
        raise ShardError(f"{folder}: {name} of documents: {error}; materialize the schedule again") from None
    result = np.full(len(ids), default, dtype=values.dtype)
    if len(known):
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        there = known[places] == ids
        result[there] = values[places[there]]
    return result


def copy_beside(start: Path, to: Path, name: str) -> str:
    """Copy the numbers to another folder; returns their hash. Raises `ShardError` where they are missing or damaged."""
    try:
        columns = [np.load(path, allow_pickle=False) for path in (_ids(start, name), _values(start, name))]
    except (OSError, ValueError) as error:
        raise ShardError(f"{start}: {name} of documents: {error}; materialize it again") from None
    return write_beside(to, name, *columns)


def _ids(folder: Path, name: str) -> Path:
    return folder / f"{name}.ids.npy"


def _values(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
