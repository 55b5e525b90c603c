"""An epoch's shards from its plan: shuffled in bounded memory, restartable.

In: one epoch's plan, the token stores' folders, `ShardSettings` and an executor. Out: `shards.json`, `statistics.json`
and `stage_<s>/shard_<n>.arrow` under `out`, written by one of the modes (`pipeline.sharding.shuffle.modes`).

What always holds: the same plan and the same stores give the same bytes, whatever the executor; and a build that was
killed goes on from its finished parts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.base import files
from pipeline.base.errors import ShardError
from pipeline.base.executor import Executor
from pipeline.base.finished import finish, is_finished
from pipeline.sharding.output.commit import EpochSummary, WrittenEpoch, WrittenStage, commit, summarize
from pipeline.sharding.output.writer import ShardResult
from pipeline.sharding.schedule.copies import beside_of
from pipeline.sharding.schedule.schedule import EpochPlan
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle.modes import MODES
from pipeline.tokenization.corpus_tokens.store import TokenStore, open_stores
from trainer.data.shards import MANIFEST_NAME, read_manifest

SHARDS_VERSION: Final = "1"
WORK_NAME: Final = "_work"


def build_epoch(
    epoch: EpochPlan,
    tokens: Mapping[str, Path],
    settings: ShardSettings,
    out: Path,
    executor: Executor,
    schedule: Path | None = None,
) -> EpochSummary:
    """Build the shards of one epoch under `out`, or finish what an earlier attempt left there.

    `tokens` maps each of the plan's corpora to its token store; `schedule` is the folder that the plan is from, for
    plans that repeat documents by their clusters or order them by their losses. Raises `ShardError` for stores other
    than those the schedule was made from and damaged stores, DiskFullError for a full disk.
    """
    files.remove_unfinished(out)
    if is_finished(out / MANIFEST_NAME):
        manifest = read_manifest(out / MANIFEST_NAME)
    else:
        stores = _matching_stores(epoch, tokens, schedule)
        with files.naming_full_disk(out, f"epoch {epoch.epoch}"):
            results = MODES[settings.mode](epoch, stores, settings, out, out / WORK_NAME, executor)
            packing = settings.packing.context if settings.packing else None
            manifest = commit(_written(epoch, settings.mode, results), packing, out)
            finish(out / MANIFEST_NAME, *(file for file in out.glob("*/*") if file.parent.name != WORK_NAME))
    shutil.rmtree(out / WORK_NAME, ignore_errors=True)
    return summarize(manifest, out)


def _matching_stores(epoch: EpochPlan, tokens: Mapping[str, Path], schedule: Path | None) -> dict[str, TokenStore]:
    missing = sorted(set(epoch.corpora) - set(tokens))
    if missing:
        raise ShardError(f"epoch {epoch.epoch}: no token store given for {', '.join(missing)}")
    known = sorted({*epoch.copies, *epoch.losses})
    if known and schedule is None:
        raise ShardError(f"epoch {epoch.epoch}: documents of {', '.join(known)} are read as its schedule's folder says")
    beside = {name: beside_of(schedule, name) for name in known} if schedule is not None else {}
    stores = open_stores({name: tokens[name] for name in epoch.corpora}, beside=beside)
    for name, store in stores.items():
        if store.content_hash != epoch.corpora[name]:
            raise ShardError(
                f"tokens of {name}: content {store.content_hash[:12]}, the schedule was made from "
                f"{epoch.corpora[name][:12]}; materialize the schedule again"
            )
    return stores


def _written(epoch: EpochPlan, mode: str, results: Mapping[int, list[ShardResult]]) -> WrittenEpoch:
    return WrittenEpoch(
        epoch=epoch.epoch,
        seed=epoch.seed,
        mode=mode,
        tokenizer=epoch.tokenizer,
        corpora=epoch.corpora,
        schedule_hash=epoch.content_hash,
        stages=[
            WrittenStage(stage.index, stage.name, stage.tokens_by_corpus, results[stage.index])
            for stage in epoch.stages
        ],
    )
