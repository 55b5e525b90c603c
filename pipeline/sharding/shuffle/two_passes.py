"""The mode `global`: a uniform permutation of all documents by a two-pass external shuffle.

    scatter   every piece of the stores, on its own   -> runs of documents sorted by key
    gather    every shard, on its own                 <- the stretches of all runs that hold its documents

In: an epoch's plan and its token stores. Out: its shards, under `out`. What always holds: the same plan and the same
stores give the same bytes, whatever the executor, memory, pieces or the order of documents in the stores; and a build
that was killed goes on from its finished pieces and shards. Disk needed while it runs: the shards, and as much again
where the stores do not stay in the page cache.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.base import files
from pipeline.base.errors import ShardError
from pipeline.base.executor import Executor
from pipeline.base.finished import finish, is_finished
from pipeline.base.memory import available_memory
from pipeline.base.progress import Progress
from pipeline.sharding.output.writer import ShardResult
from pipeline.sharding.schedule.schedule import EpochPlan, StagePlan
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle import maps
from pipeline.sharding.shuffle.gather import Layout, ShardTask, gather
from pipeline.sharding.shuffle.scatter import pieces, scatter
from pipeline.tokenization.corpus_tokens.store import TokenStore

log = logging.getLogger(__name__)

WORKER_MB: Final = 120
"""The least memory a worker gets: what it needs to run, and parts that are worth sorting."""


def build_in_two_passes(
    epoch: EpochPlan,
    stores: Mapping[str, TokenStore],
    settings: ShardSettings,
    out: Path,
    work: Path,
    executor: Executor,
) -> dict[int, list[ShardResult]]:
    """Both passes; the results of the shards by stage. `work` is for files that only this build needs."""
    total = sum(store.tokens for store in stores.values())
    copying = not _stay_in_page_cache(stores, epoch.itemsize)
    worth = settings.worth_workers(total)
    memory_mb = settings.memory_mb * (executor.machines if worth else 1)
    fitting = max(1, memory_mb // WORKER_MB)
    chunk_bytes = _chunk_bytes(memory_mb, min(executor.slots if worth else 1, fitting), total * epoch.itemsize)
    divided = pieces(stores, epoch, chunk_bytes)
    _keep_runs_of_same_layout(work, {"chunk_bytes": chunk_bytes, "pieces": len(divided), "copying": copying})
    _check_disk(epoch, out, copying)
    progress = Progress(log, f"epoch {epoch.epoch}: scattered", total=len(divided), unit="Mtok")
    scatters = [(piece, epoch, work, chunk_bytes, copying) for piece in divided]
    for tokens in executor.map(scatter, scatters, ordered=False, worth=worth, most_at_once=fitting):
        progress.add(1, tokens)
    gathers = [
        (task, work, out)
        for stage in epoch.stages
        for task in _shard_tasks(stage, epoch, settings, Layout.read(work, divided, stage.index, copying), chunk_bytes)
    ]
    progress = Progress(log, f"epoch {epoch.epoch}: shards written", total=len(gathers), unit="Mtok")
    results: dict[int, list[ShardResult]] = {}
    try:
        for stage_index, result in executor.map(gather, gathers, ordered=False, worth=worth, most_at_once=fitting):
            progress.add(1, result.entry.tokens if result else 0)
            if result:
                results.setdefault(stage_index, []).append(result)
    finally:
        maps.release()
    return results


def _chunk_bytes(memory_mb: int, workers: int, total: int) -> int:
    """Bytes of tokens and places a worker holds at a time: small enough for its memory, of which a chunk takes up to 3
    times its size (joined, sorted, the one before it not yet freed), and for all workers to have something to do."""
    share = memory_mb * 1_000_000 // workers - 60_000_000
    return max(2_000_000, min(share // 3, -(-total // (2 * workers))))


def _stay_in_page_cache(stores: Mapping[str, TokenStore], itemsize: int) -> bool:
    """Whether the stores fit in half of the memory that is available, beside the shards that are written."""
    return 2 * sum(store.tokens for store in stores.values()) * itemsize <= available_memory()


def _keep_runs_of_same_layout(work: Path, layout: dict[str, int]) -> None:
    """Runs of another division of the work are of no use; finished shards are, whatever the division was."""
    path = work / "layout.json"
    if not is_finished(path) or json.loads(path.read_bytes()) != layout:
        for run in work.glob("piece_*"):
            run.unlink()
    files.write_json(path, layout)
    finish(path)


def _check_disk(epoch: EpochPlan, out: Path, copying: bool) -> None:
    written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    needed = (1 + copying) * epoch.tokens * epoch.itemsize + epoch.documents * 80 - written
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ShardError(
            f"{out}: shuffling epoch {epoch.epoch} needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are "
            "free; free some space (`squeeze gc`) and run again"
        )


def _shard_tasks(
    stage: StagePlan, epoch: EpochPlan, settings: ShardSettings, layout: Layout, window_bytes: int
) -> list[ShardTask]:
    total = layout.total_tokens
    if total != stage.tokens:
        raise ShardError(
            f"epoch {epoch.epoch}, stage {stage.name!r}: {total} tokens selected, {stage.tokens} scheduled; "
            "the token stores changed: materialize the schedule again"
        )
    size = settings.tokens_per_shard
    bounds = [(number * size, min((number + 1) * size, total)) for number in range(-(-total // size))]
    return [
        ShardTask(
            stage=stage.index,
            number=number,
            start=start,
            stop=stop,
            dtype=epoch.tokenizer.dtype,
            sources=len(epoch.corpora),
            tokens_per_batch=settings.tokens_per_batch,
            runs=layout.runs,
            windows=tuple(layout.windows(start, stop, window_bytes, epoch.itemsize)),
        )
        for number, (start, stop) in enumerate(bounds)
    ]
