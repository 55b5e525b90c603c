"""Group `shards`: the schedule, each epoch's shuffled shards, and the validation set in the same format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.losses import losses_asset
from pipeline.assets.metadata import bars, table
from pipeline.assets.mixture_search import found_stages, search_inputs
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.profile.profile import Profile
from pipeline.sharding.epoch import SHARDS_VERSION, build_epoch
from pipeline.sharding.output.commit import EpochSummary
from pipeline.sharding.schedule.build import SCHEDULE_VERSION, ScheduleRow, ScheduleSummary, build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import MEMORY_SETTINGS
from pipeline.sharding.validation import VALIDATION_VERSION, build_validation
from pipeline.store import Artifact

GROUP: Final = "shards"
VALIDATION: Final = "validation"
CLUSTERS: Final = "near_duplicates"
LOSSES: Final = "losses"
AS_IN_THE_PLAN: Final = "as in the schedule"
"""Stands for the content hash of an epoch's token stores: its plan names the content of every one it reads, and the
others do not matter to it. The words enter the fingerprint of every stored epoch, so they cannot change."""


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The schedule, the validation set and the shards of every epoch."""
    mixed = profile.schedule.corpora
    tokens = [f"tokens/{name}" for name in profile.corpora if name in mixed]
    ordered = any(stage.takes_losses for stage in profile.schedule.stages)

    def schedule(build: Build) -> ScheduleSummary:
        found = profile.schedule.model_copy(update={"stages": found_stages(profile.schedule.stages, build)})
        clusters = cluster_folder(found.repeats_by_cluster, build)
        losses = build.path(LOSSES) if ordered else None
        return build_schedule(found, build.paths("tokens"), build.out, clusters, losses)

    def validation(build: Build) -> EpochSummary:
        with build.executor(profile.engine, profile.shards.workers, MEMORY_SETTINGS) as executor:
            return build_validation(build.paths("tokens"), profile.shards, build.out, executor)

    return [
        StoredAsset(
            key="schedule",
            group=GROUP,
            description="Stages, mixture and repeats of every epoch, worked out in documents and tokens.",
            version=SCHEDULE_VERSION,
            settings=profile.schedule,
            inputs=[
                *tokens,
                *search_inputs(profile.schedule.stages),
                *cluster_inputs(profile.schedule.repeats_by_cluster),
                *([LOSSES] if ordered else []),
            ],
            summary=ScheduleSummary,
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
            summary=EpochSummary,
            make=validation,
            metadata=_validation_metadata,
            pictures=_validation_pictures,
            kinds=frozenset({"arrow"}),
        ),
        *([_losses(profile)] if ordered else []),
        *(_epoch(profile, tokens, epoch) for epoch in range(1, profile.schedule.epochs + 1)),
    ]


def epoch_key(epoch: int) -> str:
    """`shards/epoch_001` for epoch 1."""
    return f"shards/epoch_{epoch:03d}"


def cluster_inputs(repeats: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What a schedule is built from beside tokens where it repeats documents by their clusters."""
    return [CLUSTERS] if repeats else []


def cluster_folder(repeats: Mapping[str, Mapping[str, int]], build: Build) -> Path | None:
    """The folder of the clusters, where a schedule needs it."""
    return build.path(CLUSTERS) if repeats else None


def _losses(profile: Profile) -> StoredAsset[Any]:
    schedule = profile.schedule
    scored = {corpus for stage in schedule.stages if stage.takes_losses for corpus in stage.mixture}
    learned = schedule.loss_model.learned(schedule.corpora)
    read = [name for name in profile.corpora if name in scored or name in learned]
    # by its name, so that what it learns from is not what else is read
    model = schedule.loss_model.model_copy(update={"corpora": tuple(name for name in read if name in learned)})
    return losses_asset(
        profile,
        key=LOSSES,
        group=GROUP,
        model=model,
        setting="schedule.loss_model",
        scored=scored,
        inputs=[f"tokens/{name}" for name in read],
        stores=lambda build: build.paths("tokens"),
    )


def _epoch(profile: Profile, tokens: list[str], epoch: int) -> StoredAsset[Any]:
    def make(build: Build) -> EpochSummary:
        plan = Schedule.read(build.path("schedule")).epoch(epoch)
        with build.executor(profile.engine, profile.shards.workers, MEMORY_SETTINGS) as executor:
            folder = build.path("schedule")
            return build_epoch(plan, build.paths("tokens"), profile.shards, build.out, executor, folder)

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
        summary=EpochSummary,
        make=make,
        metadata=_epoch_metadata,
        pictures=lambda summary, folder: _epoch_pictures(summary, list(profile.corpora)),
        kinds=frozenset({"arrow"}),
        slices=slices,
    )


def _schedule_metadata(summary: ScheduleSummary, folder: Path) -> Metadata:
    tokens: Counter[str] = Counter()
    for row in summary.rows:
        tokens[row.source] += row.tokens
    return {
        "epochs": summary.epochs,
        "documents": summary.documents,
        "tokens": summary.tokens,
        "sources": bars(dict(tokens), "tokens"),
        "schedule": table([_row(row) for row in summary.rows]),
        **({"repeats_by_cluster": table([asdict(row) for row in summary.copies])} if summary.copies else {}),
    }


def _row(row: ScheduleRow) -> dict[str, Any]:
    """A row in as few letters as a page has room for."""
    return {
        "stage": f"{row.epoch}: {row.stage}",
        "source": row.source,
        "documents": row.documents,
        "tokens": row.tokens,
        "share": f"{row.share:.1%}",
        "repeats": float(f"{row.repeats:.3g}"),
    }


def _epoch_pictures(summary: EpochSummary, corpora: list[str]) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.shards import curve_png, lengths_png, shards_png

    statistics = summary.statistics
    return {
        "tokens_by_source": curve_png(statistics.curve, [stage.name for stage in summary.stages], corpora),
        "document_lengths": lengths_png(statistics.lengths),
        "shard_sizes": shards_png(statistics.shards),
    }


def _validation_pictures(summary: EpochSummary, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.shards import lengths_png

    return {"document_lengths": lengths_png(summary.statistics.lengths)}


def _inline_pictures(summary: EpochSummary) -> Metadata:
    """What shows without a click; the pictures with axes are behind one."""
    from pipeline.reporting.plots.sparkline import bars_markdown

    statistics = summary.statistics
    pictures = {
        "documents_by_length": bars_markdown(statistics.lengths, "documents by the power of two of their tokens"),
        "tokens_by_shard": bars_markdown([shard.tokens for shard in statistics.shards], "tokens of each shard"),
    }
    return {name: dg.MetadataValue.md(text) for name, text in pictures.items() if text}


def _validation_metadata(summary: EpochSummary, folder: Path) -> Metadata:
    return {
        "tokens": summary.tokens,
        "documents": summary.documents,
        **_inline_pictures(summary),
        "sets": table(
            [{"name": stage.name, "documents": stage.documents, "tokens": stage.tokens} for stage in summary.stages]
        ),
    }


def _epoch_metadata(summary: EpochSummary, folder: Path) -> Metadata:
    return {
        "tokens": summary.tokens,
        "documents": summary.documents,
        "shards": summary.shards,
        **_inline_pictures(summary),
        "sources": bars({name: float(row.tokens) for name, row in summary.sources.items()}, "tokens"),
    }
