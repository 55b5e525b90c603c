"""Group `race`: a heat for each seed of an entry of the laptop race, the standard recipe and the entry side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.naming import TRAINING_POOL, Naming
from pipeline.assets.stored_asset import Metadata, StoredAsset
from pipeline.profile.profile import Profile
from pipeline.study.plan import StudyPlan
from pipeline.study.race.heat import HEAT_VERSION, Heat, heat_identity, heat_inputs, heat_key, race_of, run_heat
from pipeline.study.results.run_result import POOLED

GROUP: Final = "race"
JOB: Final = "race"


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """A heat for each seed; none for a profile that enters no track."""
    plan = profile.study_plan
    if plan is None or not _is_entry(plan):
        return []
    _, _, entry = race_of(plan)
    return [_heat(plan, seed, -number) for number, seed in enumerate(entry.seeds, start=1)]


def jobs(profile: Profile, naming: Naming) -> list[Any]:
    """The job `race`: every heat, one after another; finished ones are reused."""
    plan = profile.study_plan
    if plan is None or not _is_entry(plan):
        return []
    return [
        dg.define_asset_job(
            JOB,
            selection=dg.AssetSelection.groups(naming.group(GROUP)).upstream(),
            description="A race: the entry beside the standard recipe at every seed, and what they are made from.",
            tags=naming.run_tags,
        )
    ]


def _is_entry(plan: StudyPlan) -> bool:
    return plan.settings.race is not None and plan.settings.race.track is not None


def _heat(plan: StudyPlan, seed: int, priority: int) -> StoredAsset[Any]:
    return StoredAsset(
        key=heat_key(seed),
        group=GROUP,
        description=f"The standard recipe and the entry at seed {seed}, side by side, a thread each.",
        version=HEAT_VERSION,
        settings=heat_identity(plan, seed),
        inputs=heat_inputs(plan, seed),
        summary=Heat,
        make=lambda build: run_heat(plan, seed, build.inputs, build.out, build.launcher(), build.context.log),
        metadata=_metadata,
        kinds=frozenset({"pytorch"}),
        pool=TRAINING_POOL,
        priority=priority,
    )


def _metadata(heat: Heat, folder: Path) -> Metadata:
    standard, entry = heat.standard.result, heat.entry.result
    shown: dict[str, Any] = {
        "bits_per_byte": (heat.entry.file or entry).bits_per_byte[POOLED],
        "standard_bits_per_byte": (heat.standard.file or standard).bits_per_byte[POOLED],
        "text_bytes": heat.entry.text_bytes,
    }
    if entry.cpu_seconds and standard.cpu_seconds:
        shown["share_of_cpu_seconds"] = entry.cpu_seconds / standard.cpu_seconds
    if heat.entry.file is not None:
        shown["file_bytes"] = heat.entry.file.bytes
    return shown
