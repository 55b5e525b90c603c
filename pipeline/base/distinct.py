"""Distinct numbers of an array.

numpy 2.3 and later look for distinct integers by a hash table that is slow where nearly all of them differ, as hashes
do: three million random ones take its `unique` eight seconds, and sorting them a tenth of one.
"""

import numpy as np


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct numbers of an array (n,), in ascending order, of its dtype."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which numbers of an array (n,) are among others (m,), which are in ascending order: booleans (n,)."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    near = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: np.ndarray = ordered[near] == values
    return found
