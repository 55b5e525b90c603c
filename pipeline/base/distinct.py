"""Distinct numbers of an array.

numpy 2.3 and later look for distinct integers by a hash table that is slow where nearly all of them differ, as hashes
do: three million random ones take its `unique` eight seconds, and sorting them a tenth of one.
"""

import numpy as np


def distinct(values: np.ndarray) -> np.ndarray:
    """The distinct numbers of an array (n,), in ascending order, of its dtype."""
    return distinct_of_sorted(np.sort(values))


def distinct_of_sorted(values: np.ndarray) -> np.ndarray:
    """The distinct numbers of an array (n,) in ascending order."""
    first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def among(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which numbers of an array (n,) are among the wanted ones (m,): booleans (n,)."""
    ordered = np.sort(wanted)
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    near = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: np.ndarray = ordered[near] == values
    return found
