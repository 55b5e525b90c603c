"""What plots and tables show of an epoch's shards, kept beside them in `statistics.json`.

In: the manifest and what each shard counted while it was written. Out: plain JSON values.

    curve           tokens by source over the epoch, in up to 100 equal stretches of record batches
    lengths         documents by length in tokens: [2^i, 2^(i+1)) for i from 0
    shards          path, documents and tokens of each shard
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline.sharding.output.writer import ShardResult
from trainer.data.shards import ShardsManifest

NAME: Final = "statistics.json"
POINTS: Final = 100


def collect(manifest: ShardsManifest, results: dict[int, list[ShardResult]]) -> dict[str, Any]:
    """Statistics of an epoch from its shards' results, by stage."""
    ordered = [r for stage in sorted(results) for r in sorted(results[stage], key=lambda r: r.entry.first_token)]
    batches = np.array([batch for result in ordered for batch in result.batch_tokens], dtype=np.int64)
    points = min(POINTS, len(batches))
    stretches = [stretch.sum(axis=0) for stretch in np.array_split(batches, points)]
    lengths = np.sum([result.length_counts for result in ordered], axis=0)
    return {
        "curve": {
            "tokens": np.cumsum([int(stretch.sum()) for stretch in stretches]).tolist(),
            "sources": {name: [int(s[i]) for s in stretches] for i, name in enumerate(manifest.sources)},
            "stages": np.cumsum([stage.tokens for stage in manifest.stages]).tolist(),
        },
        "lengths": np.trim_zeros(lengths, "b").tolist(),
        "shards": [
            {"path": shard.path, "documents": shard.documents, "tokens": shard.tokens}
            for stage in manifest.stages
            for shard in stage.shards
        ],
    }
