"""Pictures of an epoch's shards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.reporting.plots.shards import curve_png, lengths_png, shards_png
from pipeline.sharding.output.statistics import Curve, ShardSize

CURVE = Curve(
    tokens=[50, 100, 1000, 2000], sources={"kids": [50, 50, 0, 0], "web": [0, 0, 900, 1000]}, stages=[100, 2000]
)
SHARDS = [ShardSize(f"stage_{i // 2}/shard_{i:05d}.arrow", documents=3, tokens=100 + i) for i in range(4)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curve_png(CURVE, ["children_first", "mixture"]),
        lambda: lengths_png([1, 0, 5, 9, 2]),
        lambda: shards_png(SHARDS),
        lambda: shards_png(SHARDS[:1]),
    ],
)
def test_a_picture_is_small_and_the_same_for_the_same_numbers(draw: Callable[[], bytes]) -> None:
    png = draw()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000
    assert png == draw()
