"""An epoch's shards from its slice of the schedule: the two-pass external shuffle, in bounded memory, restartable.

In: one epoch's slice (`schedule.epoch_slice`), the token stores' folders and `ShardSettings`. Out: `shards.json`,
`statistics.json` and `stage_<s>/shard_<n>.arrow` under `out`.

    scatter   every piece of the stores, on its own   -> runs of documents sorted by key
    gather    every shard, on its own                 <- the stretches of all runs that hold its documents

What always holds: the same slice and the same stores give the same bytes, whatever the workers, memory, pieces or the
order of documents in the stores; and a build that was killed goes on from its finished pieces and shards.
Disk needed while it runs: twice the shards.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ShardError
from pipeline.sharding import canonical, files, statistics
from pipeline.sharding.gather import Layout, ShardResult, ShardTask, gather
from pipeline.sharding.scatter import pieces, scatter
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.stores import TokenStore, open_stores
from pipeline.sharding.workers import Workers
from trainer.shards import (
    DTYPE_BYTES,
    MANIFEST_NAME,
    Counts,
    ShardsManifest,
    StageEntry,
    TokenizerRef,
    content_hash,
    read_manifest,
)

SHARDS_VERSION: Final = "1"
WORK_NAME: Final = "_work"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochSummary:
    """An epoch's shards in numbers; `statistics` holds what the plots show (see `pipeline.sharding.statistics`)."""

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


def build_epoch(
    epoch: Mapping[str, Any], tokens: Mapping[str, Path], settings: ShardSettings, out: Path
) -> EpochSummary:
    """Build the shards of one epoch under `out`, or finish what an earlier attempt left there.

    `epoch` is a slice of the schedule, `tokens` maps each of its corpora to its token store. Raises `ShardError` for
    stores other than those the schedule was made from, damaged stores, and a full disk.
    """
    if (out / MANIFEST_NAME).exists():
        manifest = read_manifest(out / MANIFEST_NAME)
    else:
        stores = _matching_stores(epoch, tokens)
        manifest = _shuffle(epoch, stores, settings, out)
    shutil.rmtree(out / WORK_NAME, ignore_errors=True)
    return summarize(manifest, json.loads((out / statistics.NAME).read_bytes()))


def summarize(manifest: ShardsManifest, stats: dict[str, Any]) -> EpochSummary:
    """The summary of shards that exist."""
    sources = {name: Counts(0, 0, 0) for name in manifest.sources}
    for stage in manifest.stages:
        for name, counts in stage.sources.items():
            sources[name] = Counts(*(a + b for a, b in zip(_tuple(sources[name]), _tuple(counts), strict=True)))
    return EpochSummary(
        content_hash=manifest.content_hash,
        epoch=manifest.epoch,
        documents=manifest.documents,
        tokens=manifest.tokens,
        bytes=manifest.bytes,
        shards=sum(len(stage.shards) for stage in manifest.stages),
        sources={name: dataclasses.asdict(counts) for name, counts in sources.items()},
        stages=tuple(
            {"name": s.name, "documents": s.documents, "tokens": s.tokens, "shards": len(s.shards)}
            for s in manifest.stages
        ),
        statistics=stats,
    )


def _tuple(counts: Counts) -> tuple[int, int, int]:
    return counts.documents, counts.tokens, counts.bytes


def _matching_stores(epoch: Mapping[str, Any], tokens: Mapping[str, Path]) -> dict[str, TokenStore]:
    missing = sorted(set(epoch["sources"]) - set(tokens))
    if missing:
        raise ShardError(f"epoch {epoch['epoch']}: no token store given for {', '.join(missing)}")
    stores = open_stores({name: tokens[name] for name in epoch["sources"]})
    for name, store in stores.items():
        if store.content_hash != epoch["sources"][name]:
            raise ShardError(
                f"tokens of {name}: content {store.content_hash[:12]}, the schedule was made from "
                f"{epoch['sources'][name][:12]}; materialize the schedule again"
            )
    return stores


def _shuffle(
    epoch: Mapping[str, Any], stores: dict[str, TokenStore], settings: ShardSettings, out: Path
) -> ShardsManifest:
    work = out / WORK_NAME
    dtype = epoch["tokenizer"]["dtype"]
    with Workers(settings.workers) as workers:
        total = sum(store.tokens for store in stores.values())
        part_tokens = _part_tokens(settings, workers.count, DTYPE_BYTES[dtype], total)
        todo = pieces(stores, part_tokens)
        _keep_runs_of_same_layout(work, {"part_tokens": part_tokens, "pieces": len(todo)})
        _check_disk(epoch, out, DTYPE_BYTES[dtype])
        progress = _Progress(f"epoch {epoch['epoch']}: scattered", total)
        for _ in workers.run(_scatter, [(piece, epoch, work, part_tokens) for piece in todo]):
            progress.parts(1, len(todo))
        results: dict[int, list[ShardResult]] = {}
        tasks = [
            (task, work, out, len(todo))
            for stage in epoch["stages"]
            for task in _shard_tasks(stage, epoch, settings, work, len(todo), part_tokens)
        ]
        progress = _Progress(f"epoch {epoch['epoch']}: shards written", sum(s["tokens"] for s in epoch["stages"]))
        for stage, result in workers.run(_gather, tasks):
            progress.parts(1, len(tasks))
            if result:
                results.setdefault(stage, []).append(result)
    return _commit(epoch, settings, results, out)


def _scatter(*arguments: Any) -> None:
    scatter(*arguments)


def _gather(task: ShardTask, *arguments: Any) -> tuple[int, ShardResult | None]:
    return task.stage, gather(task, *arguments)


def _part_tokens(settings: ShardSettings, workers: int, itemsize: int, total: int) -> int:
    """Tokens a worker holds at a time: small enough for its memory, of which a part takes up to 4 times its size
    (joined, taken, buffered), and for all workers to have something to do."""
    share = settings.memory_mb * 1_000_000 // workers - 60_000_000
    return max(1_000_000, min(share // (4 * itemsize), -(-total // (2 * workers))))


def _keep_runs_of_same_layout(work: Path, layout: dict[str, int]) -> None:
    """Runs of another division of the work are of no use; finished shards are, whatever the division was."""
    path = work / "layout.json"
    if path.exists() and json.loads(path.read_bytes()) != layout:
        for run in work.glob("piece_*"):
            run.unlink()
    files.write_json(path, layout)


def _check_disk(epoch: Mapping[str, Any], out: Path, itemsize: int) -> None:
    documents = sum(stage["documents"] for stage in epoch["stages"])
    tokens = sum(stage["tokens"] for stage in epoch["stages"])
    held = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    needed = 2 * (tokens * itemsize + documents * 40) - held
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ShardError(
            f"{out}: shuffling epoch {epoch['epoch']} needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are "
            "free; free some space (`squeeze gc`) and run again"
        )


def _shard_tasks(
    stage: Mapping[str, Any],
    epoch: Mapping[str, Any],
    settings: ShardSettings,
    work: Path,
    count: int,
    part_tokens: int,
) -> list[ShardTask]:
    total = Layout.read(work, count, stage["index"]).total_tokens
    if total != stage["tokens"]:
        raise ShardError(
            f"epoch {epoch['epoch']}, stage {stage['name']!r}: {total} tokens selected, {stage['tokens']} scheduled; "
            "the token stores changed: materialize the schedule again"
        )
    size = settings.tokens_per_shard
    return [
        ShardTask(
            stage=stage["index"],
            number=number,
            start=number * size,
            stop=min((number + 1) * size, total),
            dtype=epoch["tokenizer"]["dtype"],
            sources=len(epoch["sources"]),
            tokens_per_batch=settings.tokens_per_batch,
            window_tokens=part_tokens,
        )
        for number in range(-(-total // size))
    ]


def _commit(
    epoch: Mapping[str, Any], settings: ShardSettings, results: dict[int, list[ShardResult]], out: Path
) -> ShardsManifest:
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
            )
        )
    manifest = ShardsManifest(
        epoch=epoch["epoch"],
        seed=epoch["seed"],
        mode=settings.mode,
        tokenizer=TokenizerRef(**epoch["tokenizer"]),
        sources=tuple(names),
        stages=tuple(stages),
        documents=sum(stage.documents for stage in stages),
        tokens=sum(stage.tokens for stage in stages),
        content_hash="",
        parents={f"tokens/{name}": value for name, value in epoch["sources"].items()}
        | {"schedule": canonical.sha256(epoch)},
    )
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    files.write_json(out / statistics.NAME, statistics.collect(manifest, results))
    files.write_json(out / MANIFEST_NAME, manifest.to_json())
    return read_manifest(out / MANIFEST_NAME)


class _Progress:
    """Log lines, at most one every two seconds."""

    def __init__(self, label: str, tokens: int) -> None:
        self._label, self._tokens = label, tokens
        self._done = 0
        self._began = self._last = time.monotonic()

    def parts(self, more: int, total: int) -> None:
        self._done += more
        now = time.monotonic()
        if now - self._last >= 2 or self._done == total:
            tokens = self._tokens * self._done / total
            rate = tokens / max(now - self._began, 1e-9)
            log.info("%s %d of %d · %.1f Mtok · %.0f Mtok/s", self._label, self._done, total, tokens / 1e6, rate / 1e6)
            self._last = now
