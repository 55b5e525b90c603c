"""The cheaper mode `within_shard`: one pass, fixed membership, shards and the documents inside them permuted.

In: an epoch's slice and its token stores. Out: shards as `gather` writes them, but each from one stretch of every
corpus: shard j of n takes the documents that begin in the j-th n-th of the corpus's tokens, in the store's order. Every
epoch's shards divide the corpora at the same places, so a document meets the same company again, in another order.
Because membership goes by place, these bytes do depend on the order of the stores (whose content hashes stand for it),
still not on workers or memory.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.arrow import offsets_of
from pipeline.base.executor import Processes
from pipeline.base.ids import chain
from pipeline.base.progress import Progress
from pipeline.sharding.output.rows import Rows, concat
from pipeline.sharding.output.writer import ShardResult, ShardWriter, read_result, write_result
from pipeline.sharding.settings import MEMORY_SETTINGS, ShardSettings
from pipeline.sharding.shuffle.scatter import choose, rows_of
from pipeline.tokenization.corpus_tokens.store import StoreFile, TokenStore, read_batches
from trainer.data.shards import DTYPE_BYTES

log = logging.getLogger(__name__)

WORK_NAME = "_work"


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

    stage: int
    rank: int
    stretches: tuple[Stretch, ...]
    tokens_per_batch: int

    @property
    def path(self) -> str:
        return f"stage_{self.stage}/shard_{self.rank:05d}.arrow"


def build_within(
    epoch: Mapping[str, Any], stores: Mapping[str, TokenStore], settings: ShardSettings, out: Path
) -> dict[int, list[ShardResult]]:
    """Write all shards; their results by stage, with first tokens in the epoch's order of shards."""
    itemsize = DTYPE_BYTES[epoch["tokenizer"]["dtype"]]
    total = sum(stage["tokens"] for stage in epoch["stages"])
    fitting = max(1, settings.memory_mb * 1_000_000 // (4 * itemsize * min(settings.tokens_per_shard, total)))
    results: dict[int, list[ShardResult]] = {}
    with Processes(min(settings.slots(total), fitting), setting=MEMORY_SETTINGS) as executor:
        tasks = [(task, epoch, out) for stage in epoch["stages"] for task in _tasks(stage, epoch, stores, settings)]
        progress = Progress(log, f"epoch {epoch['epoch']}: shards written", total=len(tasks), unit="Mtok")
        for stage, result in executor.map(write_within, tasks, ordered=False):
            progress.add(1, result.entry.tokens if result else 0)
            if result:
                results.setdefault(stage, []).append(result)
    return {stage: _in_order(shards) for stage, shards in results.items()}


def write_within(task: WithinTask, epoch: Mapping[str, Any], out: Path) -> tuple[int, ShardResult | None]:
    """Write one shard, or find it finished by an earlier attempt."""
    note = out / WORK_NAME / f"stage_{task.stage}_within_{task.rank:05d}.json"
    if note.exists():
        return task.stage, read_result(note)
    (stage,) = [stage for stage in epoch["stages"] if stage["index"] == task.stage]
    found = [rows for stretch in task.stretches for rows in _selected(stretch, epoch, stage)]
    writer = ShardWriter(
        out,
        task.path,
        dtype=epoch["tokenizer"]["dtype"],
        sources=len(epoch["sources"]),
        tokens_per_batch=task.tokens_per_batch,
    )
    result = writer.write([(0, concat(found).sorted())] if found else [])
    write_result(note, result)
    return task.stage, result


def _tasks(
    stage: Mapping[str, Any], epoch: Mapping[str, Any], stores: Mapping[str, TokenStore], settings: ShardSettings
) -> list[WithinTask]:
    count = -(-stage["tokens"] // settings.tokens_per_shard)
    numbers = np.arange(count, dtype=np.uint64)
    ranks = np.argsort(np.argsort(chain(numbers, epoch["seed"], epoch["epoch"], stage["index"]), kind="stable"))
    corpora = sorted({part["source"] for part in stage["parts"]})
    tasks = []
    for number in range(count):
        stretches = tuple(s for corpus in corpora for s in _stretches(stores[corpus], number, count))
        tasks.append(WithinTask(stage["index"], int(ranks[number]), stretches, settings.tokens_per_batch))
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


def _selected(stretch: Stretch, epoch: Mapping[str, Any], stage: Mapping[str, Any]) -> list[Rows]:
    """The stretch's documents that the schedule selects, copies included, with their keys."""
    parts = [part for part in stage["parts"] if part["source"] == stretch.corpus]
    begins = stretch.begins
    result = []
    for batch in read_batches(stretch.file, epoch["tokenizer"]["dtype"])[stretch.first : stretch.last]:
        if not batch.num_rows:
            continue
        offsets = offsets_of(batch.column("tokens")).astype(np.int64)
        starts = begins + offsets - offsets[0]
        begins = int(starts[-1])
        chosen, sort_keys = choose(batch, stretch.corpus, epoch, stage, parts)
        inside = (starts[chosen] >= stretch.start) & (starts[chosen] < stretch.stop)
        taken = rows_of(batch, epoch, stretch.corpus).take(chosen[inside])
        taken.keys = sort_keys[inside]
        result.append(taken)
    return result


def _in_order(shards: list[ShardResult]) -> list[ShardResult]:
    """The shards by path, each beginning where the one before ends."""
    result = []
    first = 0
    for shard in sorted(shards, key=lambda shard: shard.entry.path):
        result.append(dataclasses.replace(shard, entry=dataclasses.replace(shard.entry, first_token=first)))
        first += shard.entry.tokens
    return result
