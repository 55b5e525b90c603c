"""The cheaper mode `within_shard`: one pass, fixed membership, shards and the documents inside them permuted.

In: an epoch's plan and its token stores. Out: shards as `gather` writes them, but each from one stretch of every
corpus: shard j of n takes the documents that begin in the j-th n-th of the corpus's tokens, in the store's order. Every
epoch's shards divide the corpora at the same places, so a document meets the same company again, in another order.
Because membership goes by place, these bytes do depend on the order of the stores (whose content hashes stand for it),
still not on workers or memory.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.base.arrow import offsets_of
from pipeline.base.executor import Executor
from pipeline.base.finished import finish, is_finished
from pipeline.base.ids import chain
from pipeline.base.progress import Progress
from pipeline.sharding.output.rows import Rows, concat, rows_of
from pipeline.sharding.output.writer import ShardResult, ShardWriter, read_result, write_result
from pipeline.sharding.schedule.schedule import EpochPlan, StagePlan
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle.selection import select
from pipeline.tokenization.corpus_tokens.store import StoreFile, TokenStore, read_batches

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """Some record batches of a store's file: those that overlap a shard's part of the corpus."""

    corpus: str
    file: StoreFile
    first: int
    last: int
    begins: int
    """The first batch's first token, counted over the corpus."""
    start: int
    stop: int
    """The shard takes the documents that begin in tokens [start, stop) of the corpus."""


@dataclass(frozen=True)
class WithinTask:
    """One shard of a stage; `rank` is its place in this epoch's order of shards."""

    rank: int
    stretches: tuple[Stretch, ...]
    tokens_per_batch: int


def build_within(
    epoch: EpochPlan,
    stores: Mapping[str, TokenStore],
    settings: ShardSettings,
    out: Path,
    work: Path,
    executor: Executor,
) -> dict[int, list[ShardResult]]:
    """Write all shards; their results by stage, with first tokens in the epoch's order of shards."""
    total = epoch.tokens
    worth = settings.worth_workers(total)
    memory_mb = settings.memory_mb * (executor.machines if worth else 1)
    fitting = max(1, memory_mb * 1_000_000 // (4 * epoch.itemsize * min(settings.tokens_per_shard, total)))
    tasks = [
        (task, stage, epoch, out, work) for stage in epoch.stages for task in _tasks(stage, epoch, stores, settings)
    ]
    progress = Progress(log, f"epoch {epoch.epoch}: shards written", total=len(tasks), unit="Mtok")
    results: dict[int, list[ShardResult]] = {}
    for stage_index, result in executor.map(write_within, tasks, ordered=False, worth=worth, most_at_once=fitting):
        progress.add(1, result.entry.tokens if result else 0)
        if result:
            results.setdefault(stage_index, []).append(result)
    return {stage_index: _in_order(shards) for stage_index, shards in results.items()}


def write_within(
    task: WithinTask, stage: StagePlan, epoch: EpochPlan, out: Path, work: Path
) -> tuple[int, ShardResult | None]:
    """Write one shard, or find it finished by an earlier attempt: its stage, and its result."""
    note = work / f"stage_{stage.index}_within_{task.rank:05d}.json"
    if is_finished(note):
        return stage.index, read_result(note)
    documents = [rows for stretch in task.stretches for rows in _selected(stretch, epoch, stage)]
    path = f"stage_{stage.index}/shard_{task.rank:05d}.arrow"
    writer = ShardWriter(
        out,
        path,
        dtype=epoch.tokenizer.dtype,
        sources=len(epoch.corpora),
        tokens_per_batch=task.tokens_per_batch,
    )
    result = writer.write([(0, concat(documents).sorted())] if documents else [])
    write_result(note, result)
    finish(note, *([out / path] if result else []))
    return stage.index, result


def _tasks(
    stage: StagePlan, epoch: EpochPlan, stores: Mapping[str, TokenStore], settings: ShardSettings
) -> list[WithinTask]:
    count = -(-stage.tokens // settings.tokens_per_shard)
    numbers = np.arange(count, dtype=np.uint64)
    ranks = np.argsort(np.argsort(chain(numbers, epoch.seed, epoch.epoch, stage.index), kind="stable"))
    corpora = sorted({part.corpus for part in stage.parts})
    tasks = []
    for number in range(count):
        stretches = tuple(s for corpus in corpora for s in _stretches(stores[corpus], number, count))
        tasks.append(WithinTask(int(ranks[number]), stretches, settings.tokens_per_batch))
    return tasks


def _stretches(store: TokenStore, number: int, count: int) -> list[Stretch]:
    start, stop = (store.tokens * n // count for n in (number, number + 1))
    result = []
    begins = 0
    for file in store.files:
        end = begins + file.tokens
        if begins < stop and end > start:
            batches = read_batches(file, store.tokenizer.dtype)
            sizes = [int(np.ptp(offsets_of(b.column("tokens"))[[0, -1]])) if b.num_rows else 0 for b in batches]
            edges = begins + np.cumsum([0, *sizes])
            first = max(0, int(np.searchsorted(edges, start, side="right")) - 1)
            last = int(np.searchsorted(edges, stop, side="left"))
            result.append(Stretch(store.corpus, file, first, last, int(edges[first]), start, stop))
        begins = end
    return result


def _selected(stretch: Stretch, epoch: EpochPlan, stage: StagePlan) -> list[Rows]:
    """The stretch's documents that the schedule selects, copies included, with their keys."""
    begins = stretch.begins
    result = []
    for batch in read_batches(stretch.file, epoch.tokenizer.dtype)[stretch.first : stretch.last]:
        if not batch.num_rows:
            continue
        offsets = offsets_of(batch.column("tokens")).astype(np.int64)
        starts = begins + offsets - offsets[0]
        begins = int(starts[-1])
        chosen, sort_keys = select(batch, stretch.file, stretch.corpus, epoch, stage)
        inside = (starts[chosen] >= stretch.start) & (starts[chosen] < stretch.stop)
        rows = rows_of(batch, epoch.source_id(stretch.corpus), epoch.itemsize).take(chosen[inside])
        result.append(replace(rows, keys=sort_keys[inside]))
    return result


def _in_order(shards: list[ShardResult]) -> list[ShardResult]:
    """The shards by path, each beginning where the one before ends."""
    result = []
    first_token = 0
    for shard in sorted(shards, key=lambda shard: shard.entry.path):
        result.append(replace(shard, entry=replace(shard.entry, first_token=first_token)))
        first_token += shard.entry.tokens
    return result
