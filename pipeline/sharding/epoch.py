"""An epoch's shards from its slice of the schedule: the two-pass external shuffle, in bounded memory, restartable.

In: one epoch's slice (`schedule.epoch_slice`), the token stores' folders and `ShardSettings`. Out: `shards.json`,
`statistics.json` and `stage_<s>/shard_<n>.arrow` under `out`.

    scatter   every piece of the stores, on its own   -> runs of documents sorted by key
    gather    every shard, on its own                 <- the stretches of all runs that hold its documents

What always holds: the same slice and the same stores give the same bytes, whatever the workers, memory, pieces or the
order of documents in the stores; and a build that was killed goes on from its finished pieces and shards.
Disk needed while it runs: the shards, and as much again where the stores do not stay in the page cache.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.base import files
from pipeline.base.errors import ShardError
from pipeline.base.executor import Processes
from pipeline.base.memory import available_memory
from pipeline.base.progress import Progress
from pipeline.sharding.output import statistics
from pipeline.sharding.output.commit import EpochSummary, commit, summarize
from pipeline.sharding.output.writer import ShardResult
from pipeline.sharding.settings import MEMORY_SETTINGS, ShardSettings
from pipeline.sharding.shuffle.gather import Layout, ShardTask, gather, mapped
from pipeline.sharding.shuffle.scatter import Piece, pieces, scatter
from pipeline.sharding.shuffle.within_shard import build_within
from pipeline.tokenization.corpus_tokens.store import TokenStore, open_stores
from trainer.data.shards import DTYPE_BYTES, MANIFEST_NAME, read_manifest

log = logging.getLogger(__name__)

SHARDS_VERSION: Final = "1"
WORK_NAME: Final = "_work"
WORKER_MB: Final = 120
"""The least memory a worker gets: what it needs to run, and parts that are worth sorting."""


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
        build = _two_passes if settings.mode == "global" else build_within
        with files.naming_full_disk(out, f"epoch {epoch['epoch']}"):
            results = build(epoch, stores, settings, out)
            packing = settings.packing.context if settings.packing else None
            manifest = commit(epoch, settings.mode, packing, results, out)
    shutil.rmtree(out / WORK_NAME, ignore_errors=True)
    files.remove_unfinished(out)
    return summarize(manifest, json.loads((out / statistics.NAME).read_bytes()))


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


def _two_passes(
    epoch: Mapping[str, Any], stores: dict[str, TokenStore], settings: ShardSettings, out: Path
) -> dict[int, list[ShardResult]]:
    """Both passes; the results of the shards by stage."""
    work = out / WORK_NAME
    itemsize = DTYPE_BYTES[epoch["tokenizer"]["dtype"]]
    total = sum(store.tokens for store in stores.values())
    copying = not _stay_in_page_cache(stores, itemsize)
    slots = min(settings.slots(total), max(1, settings.memory_mb // WORKER_MB))
    with Processes(slots, setting=MEMORY_SETTINGS) as executor:
        part_bytes = _part_bytes(settings, slots, total * itemsize)
        todo = pieces(stores, epoch, part_bytes)
        _keep_runs_of_same_layout(work, {"part_bytes": part_bytes, "pieces": len(todo), "copying": copying})
        _check_disk(epoch, out, itemsize, copying)
        progress = Progress(log, f"epoch {epoch['epoch']}: scattered", total=len(todo), unit="Mtok")
        scatters = [(piece, epoch, work, part_bytes, copying) for piece in todo]
        for size in executor.map(_scatter, scatters, ordered=False):
            progress.add(1, size)
        results: dict[int, list[ShardResult]] = {}
        layouts = {stage["index"]: Layout.read(work, todo, stage["index"], copying) for stage in epoch["stages"]}
        tasks = [
            (task, work, out)
            for stage in epoch["stages"]
            for task in _shard_tasks(stage, epoch, settings, layouts[stage["index"]], part_bytes)
        ]
        progress = Progress(log, f"epoch {epoch['epoch']}: shards written", total=len(tasks), unit="Mtok")
        try:
            for stage, result in executor.map(_gather, tasks, ordered=False):
                progress.add(1, result.entry.tokens if result else 0)
                if result:
                    results.setdefault(stage, []).append(result)
        finally:
            mapped.cache_clear()
    return results


def _scatter(piece: Piece, *arguments: Any) -> int:
    """The tokens of a piece that is scattered."""
    scatter(piece, *arguments)
    return piece.tokens


def _gather(task: ShardTask, *arguments: Any) -> tuple[int, ShardResult | None]:
    return task.stage, gather(task, *arguments)


def _part_bytes(settings: ShardSettings, workers: int, total: int) -> int:
    """Bytes of tokens and places a worker holds at a time: small enough for its memory, of which a part takes up to 3
    times its size (joined, sorted, the one before it not yet freed), and for all workers to have something to do."""
    share = settings.memory_mb * 1_000_000 // workers - 60_000_000
    return max(2_000_000, min(share // 3, -(-total // (2 * workers))))


def _stay_in_page_cache(stores: dict[str, TokenStore], itemsize: int) -> bool:
    """Whether the stores fit in half of the memory that is available, beside the shards that are written."""
    return 2 * sum(store.tokens for store in stores.values()) * itemsize <= available_memory()


def _keep_runs_of_same_layout(work: Path, layout: dict[str, int]) -> None:
    """Runs of another division of the work are of no use; finished shards are, whatever the division was."""
    path = work / "layout.json"
    if path.exists() and json.loads(path.read_bytes()) != layout:
        for run in work.glob("piece_*"):
            run.unlink()
    files.write_json(path, layout)


def _check_disk(epoch: Mapping[str, Any], out: Path, itemsize: int, copying: bool) -> None:
    documents = sum(stage["documents"] for stage in epoch["stages"])
    tokens = sum(stage["tokens"] for stage in epoch["stages"])
    held = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    needed = (1 + copying) * tokens * itemsize + documents * 80 - held
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ShardError(
            f"{out}: shuffling epoch {epoch['epoch']} needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are "
            "free; free some space (`squeeze gc`) and run again"
        )


def _shard_tasks(
    stage: Mapping[str, Any], epoch: Mapping[str, Any], settings: ShardSettings, layout: Layout, window_bytes: int
) -> list[ShardTask]:
    total = layout.total_tokens
    if total != stage["tokens"]:
        raise ShardError(
            f"epoch {epoch['epoch']}, stage {stage['name']!r}: {total} tokens selected, {stage['tokens']} scheduled; "
            "the token stores changed: materialize the schedule again"
        )
    size = settings.tokens_per_shard
    dtype = epoch["tokenizer"]["dtype"]
    tasks = []
    for number in range(-(-total // size)):
        start, stop = number * size, min((number + 1) * size, total)
        tasks.append(
            ShardTask(
                stage=stage["index"],
                number=number,
                start=start,
                stop=stop,
                dtype=dtype,
                sources=len(epoch["sources"]),
                tokens_per_batch=settings.tokens_per_batch,
                runs=layout.runs,
                windows=tuple(layout.windows(start, stop, window_bytes, DTYPE_BYTES[dtype])),
            )
        )
    return tasks
