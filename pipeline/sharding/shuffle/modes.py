"""Every way to shuffle an epoch, by its name in a profile (`mode` of `pipeline.sharding.settings`).

A mode is one function. In: an epoch's plan, its token stores, the settings, the folder of the shards, a folder for what
only the build needs, and an executor. Out: the results of the shards it wrote, by stage, each with its place in the
stage's stream. Its bytes do not depend on the executor, and called again after a kill it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from pipeline.base.executor import Executor
from pipeline.sharding.output.writer import ShardResult
from pipeline.sharding.schedule.schedule import EpochPlan
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle.two_passes import build_in_two_passes
from pipeline.sharding.shuffle.within_shard import build_within
from pipeline.tokenization.corpus_tokens.store import TokenStore


class Mode(Protocol):
    def __call__(
        self,
        epoch: EpochPlan,
        stores: Mapping[str, TokenStore],
        settings: ShardSettings,
        out: Path,
        work: Path,
        executor: Executor,
    ) -> dict[int, list[ShardResult]]: ...


MODES: Final[Mapping[str, Mode]] = {"global": build_in_two_passes, "within_shard": build_within}
