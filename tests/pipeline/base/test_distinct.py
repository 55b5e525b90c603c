"""Distinct numbers as numpy finds them, by sorting alone."""

import numpy as np
import pytest

from pipeline.base.distinct import among, distinct


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.int32])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_same_as_numpy_finds(dtype, count):
    draw = np.random.default_rng(count)
    values = draw.integers(0, np.iinfo(dtype).max if count > 1 else 5, count, dtype=dtype)
    values = np.concatenate([values, values[: count // 2]])
    found = distinct(values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.unique(values))
    for wanted in (values[:10], values[:0], np.array([3], dtype=dtype)):
        np.testing.assert_array_equal(among(values, np.sort(wanted)), np.isin(values, wanted))
