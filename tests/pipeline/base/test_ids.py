"""Hashes of numbers and ids, and the views of Arrow arrays they are taken over."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import fixed_bytes, offsets_of, text_bytes
from pipeline.base.ids import splitmix64


def test_splitmix64_is_the_published_generator() -> None:
    """The first three outputs of its reference implementation (Vigna, splitmix64.c) from the seed 1234567."""
    gamma = 0x9E3779B97F4A7C15
    states = np.array([1234567 + gamma * step for step in range(3)]).astype(object) % 2**64
    outputs = splitmix64(states.astype(np.uint64)).tolist()
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_views_of_arrays_honour_slices() -> None:
    ids = pa.array([bytes([n]) * 4 for n in range(5)], pa.binary(4))
    assert fixed_bytes(ids.slice(2, 2)).tolist() == [[2] * 4, [3] * 4]
    assert fixed_bytes(ids.slice(0, 0)).shape == (0, 4)
    texts = pa.array(["a", "bcd", "", "ef"], pa.large_string())
    assert offsets_of(texts.slice(1)).tolist() == [1, 4, 4, 6]
    assert text_bytes(texts.slice(1)).tolist() == [3, 0, 2]
