"""Group `shards`: the schedule, each epoch's shuffled shards, and the validation set in the same format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.assets.metadata import bars, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.profile.profile import Profile
from pipeline.sharding.epoch import SHARDS_VERSION, build_epoch
from pipeline.sharding.output.statistics import Statistics
from pipeline.sharding.schedule.build import SCHEDULE_VERSION, build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import MEMORY_SETTINGS
from pipeline.sharding.validation import VALIDATION_VERSION, build_validation
from pipeline.store import Artifact

GROUP: Final = "shards"
VALIDATION: Final = "validation"
AS_IN_THE_PLAN: Final = "as in the schedule"
"""Stands for the content hash of an epoch's token stores: its plan names the content of every one it reads, and the
others do not matter to it. The words enter the fingerprint of every stored epoch, so they cannot change."""


def stored_assets(profile: Profile) -> list[StoredAsset]:
    """The schedule, the validation set and the shards of every epoch."""
    mixed = {corpus for stage in profile.schedule.stages for corpus in stage.mixture}
    tokens = [f"tokens/{name}" for name in profile.corpora if name in mixed]

    def schedule(build: Build) -> Any:
        return build_schedule(profile.schedule, build.paths("tokens"), build.out)

    def validation(build: Build) -> Any:
        with build.executor(profile.shards.workers, MEMORY_SETTINGS) as executor:
            return build_validation(build.paths("tokens"), profile.shards, build.out, executor)

    return [
        StoredAsset(
            key="schedule",
            group=GROUP,
            description="Stages, mixture and repeats of every epoch, worked out in documents and tokens.",
            version=SCHEDULE_VERSION,
            settings=profile.schedule,
            inputs=tokens,
            make=schedule,
            metadata=_schedule_metadata,
            kinds=frozenset({"json"}),
        ),
        StoredAsset(
            key=VALIDATION,
            group=GROUP,
            description="Held-out documents in the shards' format, a stage per corpus and language: what is scored "
            "while the model trains.",
            version=VALIDATION_VERSION,
            settings={name: getattr(profile.shards, name) for name in ("tokens_per_shard", "tokens_per_batch")},
            inputs=[f"tokens/{name}" for name in profile.corpora],
            make=validation,
            metadata=_validation_metadata,
            pictures=_validation_pictures,
            kinds=frozenset({"arrow"}),
        ),
        *(_epoch(profile, tokens, epoch) for epoch in range(1, profile.schedule.epochs + 1)),
    ]


def epoch_key(epoch: int) -> str:
    """`shards/epoch_001` for epoch 1."""
    return f"shards/epoch_{epoch:03d}"


def _epoch(profile: Profile, tokens: list[str], epoch: int) -> StoredAsset:
    def make(build: Build) -> Any:
        plan = Schedule.read(build.path("schedule")).epoch(epoch)
        with build.executor(profile.shards.workers, MEMORY_SETTINGS) as executor:
            return build_epoch(plan, build.paths("tokens"), profile.shards, build.out, executor)

    def slices(inputs: Mapping[str, Artifact]) -> Mapping[str, str]:
        plan = Schedule.read(inputs["schedule"].path).epoch(epoch)
        return {"schedule": plan.content_hash} | dict.fromkeys(tokens, AS_IN_THE_PLAN)

    return StoredAsset(
        key=epoch_key(epoch),
        group=GROUP,
        description=f"Epoch {epoch}'s documents in an order of their own: a uniform permutation within each stage.",
        version=SHARDS_VERSION,
        settings=profile.shards,
        inputs=["schedule", *tokens],
        make=make,
        metadata=_epoch_metadata,
        pictures=_epoch_pictures,
        kinds=frozenset({"arrow"}),
        slices=slices,
    )


def _schedule_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        "epochs": facts["epochs"],
        "documents": facts["documents"],
        "tokens": facts["tokens"],
        "schedule": table(facts["rows"]),
    }


def _epoch_pictures(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.shards import curve_png, lengths_png, shards_png

    statistics = Statistics.read(folder)
    return {
        "tokens_by_source": curve_png(statistics.curve, [stage["name"] for stage in facts["stages"]]),
        "document_lengths": lengths_png(statistics.lengths),
        "shard_sizes": shards_png(statistics.shards),
    }


def _validation_pictures(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.shards import lengths_png

    return {"document_lengths": lengths_png(Statistics.read(folder).lengths)}


def _validation_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    columns = ("name", "documents", "tokens")
    return {
        "tokens": facts["tokens"],
        "documents": facts["documents"],
        "sets": table([{column: stage[column] for column in columns} for stage in facts["stages"]]),
    }


def _epoch_metadata(artifact: Artifact) -> Metadata:
    facts = artifact.summary
    return {
        "tokens": facts["tokens"],
        "documents": facts["documents"],
        "shards": facts["shards"],
        "sources": bars({name: float(row["tokens"]) for name, row in facts["sources"].items()}, "tokens"),
    }
