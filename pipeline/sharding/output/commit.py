"""The end of a build: the manifest and the statistics from the shards' results, and the summary for the UI.

In: an epoch whose shards are written. Out: `statistics.json` and, last, `shards.json`. What a folder without a manifest
holds is an unfinished build.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.base import files
from pipeline.sharding.output.packing import pack_stage
from pipeline.sharding.output.statistics import Statistics
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
class WrittenStage:
    """A stage whose shards are written."""

    index: int
    name: str
    scheduled: Mapping[str, int]
    """Tokens by corpus, as scheduled."""
    shards: Sequence[ShardResult]
    """In any order."""


@dataclass(frozen=True)
class WrittenEpoch:
    """An epoch, or a validation set, whose shards are written."""

    epoch: int
    seed: int
    mode: str
    tokenizer: TokenizerRef
    corpora: Mapping[str, str]
    """Content hashes of the token stores, sorted by corpus; a corpus's place is its `source_id`."""
    schedule_hash: str
    """Of what says which documents are read."""
    stages: Sequence[WrittenStage]


@dataclass(frozen=True)
class StageSummary:
    """A stage's shards in numbers."""

    name: str
    documents: int
    tokens: int
    shards: int
    sources: dict[str, int]
    """Tokens by corpus."""


@dataclass(frozen=True)
class EpochSummary:
    """An epoch's shards in numbers, and what plots show of them."""

    content_hash: str
    epoch: int
    documents: int
    tokens: int
    bytes: int
    shards: int
    sources: dict[str, Counts]
    """By corpus, over all stages."""
    stages: tuple[StageSummary, ...]
    statistics: Statistics


def commit(epoch: WrittenEpoch, packing: int | None, out: Path) -> ShardsManifest:
    """Write `statistics.json` and, last, `shards.json`. packing: the context of best-fit rows, if they are wanted."""
    in_order = [sorted(stage.shards, key=lambda shard: shard.entry.first_token) for stage in epoch.stages]
    stages = tuple(
        _stage_entry(epoch, stage, shards, packing, out) for stage, shards in zip(epoch.stages, in_order, strict=True)
    )
    manifest = ShardsManifest(
        epoch=epoch.epoch,
        seed=epoch.seed,
        mode=epoch.mode,
        tokenizer=epoch.tokenizer,
        sources=tuple(epoch.corpora),
        stages=stages,
        documents=sum(stage.documents for stage in stages),
        tokens=sum(stage.tokens for stage in stages),
        content_hash="",
        parents={f"tokens/{name}": value for name, value in epoch.corpora.items()} | {"schedule": epoch.schedule_hash},
    )
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    Statistics.collect(manifest, [shard for shards in in_order for shard in shards]).write(out)
    files.write_json(out / MANIFEST_NAME, manifest.to_json())
    return read_manifest(out / MANIFEST_NAME)


def _stage_entry(
    epoch: WrittenEpoch, stage: WrittenStage, shards: Sequence[ShardResult], packing: int | None, out: Path
) -> StageEntry:
    entries = tuple(shard.entry for shard in shards)
    counts = {
        name: Counts(*(sum(shard.source_counts[source_id][column] for shard in shards) for column in range(3)))
        for source_id, name in enumerate(epoch.corpora)
    }
    scheduled = sum(stage.scheduled.values())
    return StageEntry(
        index=stage.index,
        name=stage.name,
        weights={name: round(tokens / scheduled, 6) for name, tokens in sorted(stage.scheduled.items())},
        documents=sum(entry.documents for entry in entries),
        tokens=sum(entry.tokens for entry in entries),
        sources={name: value for name, value in counts.items() if value.documents},
        shards=entries,
        packing=pack_stage(out, stage.index, entries, packing, epoch.tokenizer.dtype) if packing else None,
    )


def summarize(manifest: ShardsManifest, out: Path) -> EpochSummary:
    """The summary of the shards that a folder holds."""
    sources = {name: Counts(0, 0, 0) for name in manifest.sources}
    for stage in manifest.stages:
        for name, counts in stage.sources.items():
            sources[name] += counts
    stages = tuple(
        StageSummary(
            name=stage.name,
            documents=stage.documents,
            tokens=stage.tokens,
            shards=len(stage.shards),
            sources={name: counts.tokens for name, counts in stage.sources.items()},
        )
        for stage in manifest.stages
    )
    return EpochSummary(
        content_hash=manifest.content_hash,
        epoch=manifest.epoch,
        documents=manifest.documents,
        tokens=manifest.tokens,
        bytes=manifest.bytes,
        shards=sum(stage.shards for stage in stages),
        sources=sources,
        stages=stages,
        statistics=Statistics.read(out),
    )
