"""The end of a build: the manifest and the statistics from the shards' results, and the summary for the UI.

The manifest is written last. What a folder without one holds is an unfinished build.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.canonical import canonical_hash
from pipeline.sharding.output import statistics
from pipeline.sharding.output.packing import pack_stage
from pipeline.sharding.output.writer import ShardResult
from trainer.data.shards import (
    MANIFEST_NAME,
    Counts,
    ShardsManifest,
    StageEntry,
    TokenizerRef,
    content_hash,
    read_manifest,
)


@dataclass(frozen=True)
class EpochSummary:
    """An epoch's shards in numbers; `statistics` holds what plots show (`pipeline.sharding.output.statistics`)."""

    content_hash: str
    epoch: int
    documents: int
    tokens: int
    bytes: int
    shards: int
    sources: dict[str, dict[str, int]]
    """Documents, tokens and bytes by source, over all stages."""
    stages: tuple[dict[str, Any], ...]
    """Name, documents, tokens and shards of each stage."""
    statistics: dict[str, Any]


def commit(
    epoch: Mapping[str, Any], mode: str, packing: int | None, results: dict[int, list[ShardResult]], out: Path
) -> ShardsManifest:
    """Write `statistics.json` and, last, `shards.json`, from the results of the shards of each stage.

    `packing` is the context of best-fit rows, if they are wanted.
    """
    names = sorted(epoch["sources"])
    stages = []
    for stage in epoch["stages"]:
        shards = sorted(results[stage["index"]], key=lambda result: result.entry.first_token)
        counts = {
            name: Counts(*(sum(shard.source_counts[i][j] for shard in shards) for j in range(3)))
            for i, name in enumerate(names)
        }
        counts = {name: value for name, value in counts.items() if value.documents}
        scheduled: dict[str, int] = {}
        for part in stage["parts"]:
            scheduled[part["source"]] = scheduled.get(part["source"], 0) + part["tokens"]
        stages.append(
            StageEntry(
                index=stage["index"],
                name=stage["name"],
                weights={name: round(tokens / stage["tokens"], 6) for name, tokens in sorted(scheduled.items())},
                documents=sum(shard.entry.documents for shard in shards),
                tokens=sum(shard.entry.tokens for shard in shards),
                sources=counts,
                shards=tuple(shard.entry for shard in shards),
                packing=pack_stage(out, stage["index"], [s.entry for s in shards], packing, epoch["tokenizer"]["dtype"])
                if packing
                else None,
            )
        )
    manifest = ShardsManifest(
        epoch=epoch["epoch"],
        seed=epoch["seed"],
        mode=mode,
        tokenizer=TokenizerRef(**epoch["tokenizer"]),
        sources=tuple(names),
        stages=tuple(stages),
        documents=sum(stage.documents for stage in stages),
        tokens=sum(stage.tokens for stage in stages),
        content_hash="",
        parents={f"tokens/{name}": value for name, value in epoch["sources"].items()}
        | {"schedule": canonical_hash(epoch)},
    )
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    files.write_json(out / statistics.NAME, statistics.collect(manifest, results))
    files.write_json(out / MANIFEST_NAME, manifest.to_json())
    return read_manifest(out / MANIFEST_NAME)


def summarize(manifest: ShardsManifest, stats: dict[str, Any]) -> EpochSummary:
    """The summary of shards that exist."""
    sources = {name: Counts(0, 0, 0) for name in manifest.sources}
    for stage in manifest.stages:
        for name, more in stage.sources.items():
            sources[name] = sources[name] + more
    return EpochSummary(
        content_hash=manifest.content_hash,
        epoch=manifest.epoch,
        documents=manifest.documents,
        tokens=manifest.tokens,
        bytes=manifest.bytes,
        shards=sum(len(stage.shards) for stage in manifest.stages),
        sources={name: dataclasses.asdict(counts) for name, counts in sources.items()},
        stages=tuple(
            {
                "name": stage.name,
                "documents": stage.documents,
                "tokens": stage.tokens,
                "shards": len(stage.shards),
                "sources": {name: counts.tokens for name, counts in stage.sources.items()},
            }
            for stage in manifest.stages
        ),
        statistics=stats,
    )
