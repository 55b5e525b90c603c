"""What plots and tables show of an epoch's shards, kept beside them in `statistics.json`.

In: the manifest and what each shard counted while it was written. Out: the file, and the same numbers read back. They
hold for any machine: nothing in them depends on how the work was divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.base import files
from pipeline.base.errors import ShardError
from pipeline.sharding.output.writer import ShardResult
from trainer.data.shards import ShardsManifest
from trainer.records import read_record

NAME: Final = "statistics.json"
POINTS: Final = 100


@dataclass(frozen=True)
class Curve:
    """The curriculum as it is read, in up to 100 equal stretches of record batches."""

    tokens: list[int]
    """Tokens read by the end of each stretch."""
    sources: dict[str, list[int]]
    """Tokens of each stretch, by corpus."""
    stages: list[int]
    """Tokens read by the end of each stage."""


@dataclass(frozen=True)
class ShardSize:
    """One shard; its path begins with its stage's folder."""

    path: str
    documents: int
    tokens: int


@dataclass(frozen=True)
class Statistics:
    """An epoch's shards as plots show them."""

    curve: Curve
    lengths: list[int]
    """Documents by length in tokens: [2^i, 2^(i+1)) for i from 0."""
    shards: list[ShardSize]
    """In reading order."""

    @classmethod
    def collect(cls, manifest: ShardsManifest, results: Sequence[ShardResult]) -> Statistics:
        """Statistics of an epoch from its shards' results, in reading order."""
        batches = np.array([batch for result in results for batch in result.batch_tokens], dtype=np.int64)
        stretches = [stretch.sum(axis=0) for stretch in np.array_split(batches, min(POINTS, len(batches)))]
        lengths = np.sum([result.length_counts for result in results], axis=0)
        curve = Curve(
            tokens=np.cumsum([int(stretch.sum()) for stretch in stretches]).tolist(),
            sources={name: [int(stretch[i]) for stretch in stretches] for i, name in enumerate(manifest.sources)},
            stages=np.cumsum([stage.tokens for stage in manifest.stages]).tolist(),
        )
        entries = [shard for stage in manifest.stages for shard in stage.shards]
        sizes = [ShardSize(entry.path, entry.documents, entry.tokens) for entry in entries]
        return cls(curve, np.trim_zeros(lengths, "b").tolist(), sizes)

    def write(self, folder: Path) -> None:
        """Write `folder/statistics.json`."""
        files.write_json(folder / NAME, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Statistics:
        """The inverse of `write`. Raises `ShardError` where the file is damaged."""
        cure = "run `squeeze verify`, then materialize the asset again"
        return read_record(folder / NAME, cls, ShardError, what="the statistics of shards", cure=cure)
